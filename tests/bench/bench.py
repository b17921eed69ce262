"""The relay between load generator and sink, for measurements that are no contest.

IO. One relay, one sink, started by whoever measures; `tests.bench.growth`, `stall`, `idle` and
`load` are such.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.accounting import Account
from tests.bench.contender import Relay, make_ground
from tests.bench.postfix_tools import PROOF_SECONDS, RUN_SECONDS, Sink, Source, StoringSink, counted
from tests.bench.proof import prove
from tests.bench.workload import WORKLOADS, Workload
from tests.fakes.processes import Program, port_accepts, smtp_greets, wait_until


@dataclass(frozen=True)
class Cost:
    """One run: messages per second, CPU of the relay for each in milliseconds."""

    per_second: float
    cpu_ms: float


class Bench:
    """Both programs, described; whoever measures may describe them anew."""

    def __init__(
        self, folder: Path, *, loop: str = "uvloop", settings: Mapping[str, str] | None = None
    ) -> None:
        """Make a key, and describe the programs.

        Args:
            folder: for keys, messages and output.
            loop: a key of `tests.bench.contender.LOOPS`.
            settings: further ones of the relay, as the environment has them.
        """
        self.folder = folder
        self.ground = make_ground(folder)
        contender = Relay(self.ground, loop=loop, settings=settings)
        self.sink_port, self.port = self.ground.sink_port, contender.port
        self.source = Source(folder)
        self.sink: Program = Sink(folder, self.sink_port)
        self.relay: Program = contender.parts()[0].program
        self.ready_seconds = 0.0  # from start to greeting, once it has run

    @contextmanager
    def running(self) -> Iterator[Account]:
        """Both at work, after one message has come out signed and valid; the relay's processes."""
        self.prove()
        with self.sink as sink:
            sink.wait_ready(lambda: port_accepts(self.sink_port))
            began_at = time.perf_counter()
            with self.relay as relay:
                relay.wait_ready(lambda: smtp_greets(self.port), wait_seconds=RUN_SECONDS)
                self.ready_seconds = time.perf_counter() - began_at
                yield self.account

    @property
    def account(self) -> Account:
        """The processes of the relay, while it runs."""
        return Account([self.relay.pid])

    def run(self, workload: Workload) -> Cost:
        """Send a workload once, and wait until the sink has all of it."""
        count, cpu = self.count(), self.account.cpu_seconds()
        began_at = time.perf_counter()
        self.source.send(workload, self.port)
        self.wait_count(count + workload.messages)
        seconds = time.perf_counter() - began_at
        used = self.account.cpu_seconds() - cpu
        return Cost(workload.messages / seconds, used * 1000 / workload.messages)

    def count(self) -> int:
        """How many messages the sink has."""
        return counted(self.sink)

    def wait_count(self, count: int) -> None:
        """Wait until it has so many."""
        wait_until(
            lambda: self.count() >= count,
            what=f"the sink has {count} messages",
            wait_seconds=RUN_SECONDS,
        )

    def prove(self) -> None:
        """One message comes out signed and valid, or there is nothing to measure."""
        storing = StoringSink(self.folder, self.sink_port)
        one = Workload("proof", WORKLOADS["small"].body_octets, "plain", 1, 1)
        with storing, self.relay as relay:
            relay.wait_ready(lambda: smtp_greets(self.port), wait_seconds=RUN_SECONDS)
            self.source.send(one, self.port)
            storing.wait_count(1, wait_seconds=PROOF_SECONDS)
        prove(self.ground.key_path, storing.stored)


def say(line: str) -> None:
    """A line of a report, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
