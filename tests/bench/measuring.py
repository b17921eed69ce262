"""One run of one contender: proven, measured, proven again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from tests.bench.accounting import Account, busy_seconds, peak_pss, quantile
from tests.bench.contender import Contender
from tests.bench.latency import WARM_UP, StampingSink, time_messages
from tests.bench.postfix_tools import PROOF_SECONDS, Sink, Source, StoringSink
from tests.bench.proof import prove
from tests.bench.workload import Workload

WARM_UP_SHARE = 0.1
# Of messages this large a few are enough to see the peak, so memory is looked at often.
LARGE_OCTETS = 1_000_000
LARGE_PROOFS = 4  # as many are verified afterwards: each takes dkimpy half a second
LOOK_SECONDS, LOOK_OFTEN_SECONDS = 0.4, 0.15
# What is left to do after the last message was counted, such as removing it from a queue.
SETTLE_SECONDS, SETTLED_CPU_SECONDS, SETTLE_LOOKS = 0.25, 0.01, 20


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What was measured once; None where it does not apply.

    Attributes:
        cpu_ms: CPU of all processes of the contender, for each message.
        pss_mib: its memory at its peak.
        per_second: messages, from the start of the load until the sink had all of them.
        tools_ms: CPU of load generator and sink, for each message.
        others_share: of the machine's CPU in that time, what went to nobody of these.
        taken_p50_ms, taken_p99_ms: until the client had the reply to its dot.
        arrived_p50_ms, arrived_p99_ms: until the smarthost had the dot.
    """

    cpu_ms: float
    pss_mib: float
    per_second: float | None = None
    tools_ms: float | None = None
    others_share: float | None = None
    taken_p50_ms: float | None = None
    taken_p99_ms: float | None = None
    arrived_p50_ms: float | None = None
    arrived_p99_ms: float | None = None


Profiling = Callable[[Contender, Workload], AbstractContextManager[None]]


class Course:
    """The sinks and the load generator that every contender meets."""

    def __init__(self, contender: Contender, source: Source) -> None:
        """For one contender, which is not started yet."""
        ground = contender.ground
        self.contender = contender
        self._source = source
        self._sink = Sink(ground.folder, ground.sink_port)
        self._storing = StoringSink(ground.folder, ground.sink_port)

    def run(
        self,
        workload: Workload,
        *,
        profiling: Profiling = lambda _contender, _workload: nullcontext(),
    ) -> Figures:
        """Start the contender, prove, measure, prove again, stop it.

        Raises:
            ProgramFailedError: it did not start, or not all messages arrived.
            subprocess.CalledProcessError: it refused a message.
            UnprovenError: a message came out unsigned or not valid.
        """
        with self.contender as contender:
            self._prove(workload, 1)
            with profiling(contender, workload):
                figures = (self._time if workload.is_timed else self._load)(workload)
            is_large = workload.body_octets > LARGE_OCTETS
            self._prove(workload, LARGE_PROOFS if is_large else workload.sessions)
        return figures

    def _prove(self, workload: Workload, messages: int) -> None:
        contender = self.contender
        if not contender.signs:
            return
        some = Workload(
            workload.name, workload.body_octets, workload.kind, workload.sessions, messages
        )
        with self._storing as storing:
            self._source.send(some, contender.port)
            storing.wait_count(messages, wait_seconds=PROOF_SECONDS)
        prove(contender.ground.key_path, storing.stored)

    def _load(self, workload: Workload) -> Figures:
        with self._sink as sink:
            warm_up = round(workload.messages * WARM_UP_SHARE)
            if warm_up >= workload.sessions:
                self._source.send(workload.scaled(WARM_UP_SHARE), self.contender.port)
                sink.wait_count(workload.scaled(WARM_UP_SHARE).messages)
            return self._blast(workload, sink)

    def _blast(self, workload: Workload, sink: Sink) -> Figures:
        account, sinks, messages = self.contender.account, Account([sink.pid]), workload.messages
        every = LOOK_OFTEN_SECONDS if workload.body_octets > LARGE_OCTETS else LOOK_SECONDS
        with peak_pss(account, every_seconds=every) as peak:
            counted, cpu, of_sink = sink.count(), account.cpu_seconds(), sinks.cpu_seconds()
            busy, own, began_at = busy_seconds(), time.process_time(), time.perf_counter()
            of_source = self._source.send(workload, self.contender.port)
            sink.wait_count(counted + messages)
            seconds = time.perf_counter() - began_at
            tools = of_source + sinks.cpu_seconds() - of_sink
            used = account.cpu_seconds() - cpu
            others = busy_seconds() - busy - used - tools - (time.process_time() - own)
            used = _settled_cpu(account) - cpu
        return Figures(
            cpu_ms=used * 1000 / messages,
            pss_mib=peak.mib,
            per_second=messages / seconds,
            tools_ms=tools * 1000 / messages,
            others_share=min(1.0, max(0.0, others / (seconds * (os.cpu_count() or 1)))),
        )

    def _time(self, workload: Workload) -> Figures:
        account = self.contender.account
        port = self.contender.ground.sink_port
        with StampingSink(port) as sink, peak_pss(account, every_seconds=LOOK_SECONDS) as peak:
            cpu = account.cpu_seconds()
            waits = time_messages(workload, self.contender.port, sink)
            used = account.cpu_seconds() - cpu
        return Figures(
            cpu_ms=used * 1000 / (workload.messages + WARM_UP),
            pss_mib=peak.mib,
            taken_p50_ms=quantile(waits.taken_ms, 0.5),
            taken_p99_ms=quantile(waits.taken_ms, 0.99),
            arrived_p50_ms=quantile(waits.arrived_ms, 0.5),
            arrived_p99_ms=quantile(waits.arrived_ms, 0.99),
        )


def _settled_cpu(account: Account) -> float:
    """What the processes have used once they have come to rest."""
    used = account.cpu_seconds()
    for _ in range(SETTLE_LOOKS):
        time.sleep(SETTLE_SECONDS)
        before, used = used, account.cpu_seconds()
        if used - before <= SETTLED_CPU_SECONDS:
            break
    return used
