"""A crowd at the door: what it costs, and what it leaves to the others.

`python -m tests.bench.load`: 2,000 idle connections, half of them over TLS, and 200 clients that
send a few octets a second within DATA, beside normal traffic of 20 sessions, all on loopback:
smtp-source → relay → smtp-sink. About half a minute for each event loop. Latency is what one more
client sees, which sends a message now and then in lock-step. At the end everybody has to be
answered and every message to be at the sink, or the exit status is 1.

Memory is what is resident, without the kernel's socket buffers.
"""

from __future__ import annotations

import argparse
import json
import resource
import smtplib
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.bench.bench import Bench
from tests.bench.crowd import CrowdProcess
from tests.bench.postfix_tools import FROM, TO
from tests.bench.workload import Workload, message
from tests.fakes.certificates import Certificates
from tests.fakes.processes import (
    LOOPBACK,
    Program,
    ProgramFailedError,
    free_port,
    port_accepts,
    smtp_greets,
    wait_until,
)

IDLE_PLAIN, IDLE_TLS, SLOW = 1_000, 1_000, 200
SESSIONS = 20
NEEDED_FILES = 6_000
PROBE_PAUSE_SECONDS = 0.02
# A transaction of a slow client waits at the next hop as well, whose patience is to be five minutes
# (RFC 5321 §4.5.3.2.7). smtp-sink's is 100 s, which a busy machine outlasts: the relay would then
# rightly answer 451.
SINK_SECONDS = 1800
# With the whole crowd there, after the normal traffic.
MAX_RESIDENT_MIB = 256.0
KIB_PER_MIB = 1024
SHOWN_REASONS = 5

SETTINGS = """
[[listeners]]
address = "{host}:{port}"
[[listeners]]
address = "{host}:{tls_port}"
tls = "implicit"
certificate_file = "{certificate}"
key_file = "{key}"
[[upstreams]]
url = "smtp://{host}:{sink_port}"
tls = "none"
max_connections = 300  # each of the slow ones has one
[limits]
max_connections = 3000
max_connections_per_address = 3000
min_data_bytes_per_second = 0  # else the slow ones are sent away after half a minute
"""
SERVE = {
    "uvloop": ("-m", "relay"),
    "asyncio": (
        "-c",
        "import sys; sys.modules['uvloop'] = None; from relay.cli import main; main()",
    ),
}


@dataclass(frozen=True)
class Traffic:
    """Normal traffic, measured once.

    Attributes:
        per_second: messages of all sessions together.
        cpu_ms: what the relay used for each.
        p50_ms, p99_ms: how long one more client waits until its message is taken.
        probes: from how many messages of that client.
    """

    per_second: float
    cpu_ms: float
    p50_ms: float
    p99_ms: float
    probes: int


class LoadBench(Bench):
    """A relay with a second listener, for TLS, and what comes to it."""

    def __init__(self, folder: Path, loop: str) -> None:
        """Describe the programs.

        Args:
            folder: for keys, settings and output.
            loop: "asyncio" or "uvloop".
        """
        super().__init__(folder)
        certificates = Certificates(folder)
        certificate, key = certificates.files()
        tls_port = free_port()
        settings = folder / "relay.toml"
        settings.write_text(
            SETTINGS.format(
                host=LOOPBACK,
                port=self.port,
                tls_port=tls_port,
                sink_port=self.sink_port,
                certificate=certificate,
                key=key,
            )
        )
        kept = {
            name: text
            for name, text in self.relay.environment.items()
            if not name.startswith(("DKIM_RELAY_LISTEN", "DKIM_RELAY_UPSTREAM"))
        }
        argv = [sys.executable, *SERVE[loop], "serve", "-c", str(settings)]
        self.relay = Program(argv, folder=folder, name="relay", environment=kept)
        *sink, address, backlog = self.sink.argv
        patience = ["-t", str(SINK_SECONDS)]
        self.sink = Program([*sink, *patience, address, backlog], folder=folder, name="sink")
        self.crowd = CrowdProcess(
            sender=FROM,
            recipient=TO,
            host=LOOPBACK,
            port=self.port,
            tls_port=tls_port,
            ca=certificates.ca_file,
        )
        self.sent = 0

    def traffic(self, messages: int) -> Traffic:
        """Let 20 sessions send that many messages, and measure."""
        workload = Workload("normal", 2048, "plain", SESSIONS, messages)
        with self._probing(message(workload, sender=FROM, recipient=TO)) as waits_ms:
            figures = self.run(workload)
        self.sent += messages + len(waits_ms)
        cuts = statistics.quantiles(waits_ms, n=100)
        return Traffic(figures.per_second, figures.cpu_ms, cuts[49], cuts[98], len(waits_ms))

    @contextmanager
    def _probing(self, text: str) -> Iterator[list[float]]:
        """Send a message now and then; how long each took, in milliseconds, is added up."""
        waits_ms: list[float] = []
        octets = text.replace("\n", "\r\n").encode("ascii")
        is_over = threading.Event()

        def probe() -> None:
            with smtplib.SMTP(LOOPBACK, self.port, timeout=60) as client:
                client.ehlo()
                while not is_over.wait(PROBE_PAUSE_SECONDS):
                    began_at = time.perf_counter()
                    client.sendmail(FROM, [TO], octets)
                    waits_ms.append((time.perf_counter() - began_at) * 1000)

        thread = threading.Thread(target=probe)
        thread.start()
        try:
            yield waits_ms
        finally:
            is_over.set()
            thread.join()

    def resident_mib(self) -> float:
        """What the relay has in memory now."""
        status = Path(f"/proc/{self.relay.pid}/status").read_text("ascii")
        return int(status.partition("VmRSS:")[2].split()[0]) / KIB_PER_MIB

    def stored(self) -> int:
        """How many messages the sink has."""
        return self.count()

    def complaints(self) -> list[str]:
        """Lines of the relay's log that should not be there."""
        lines = self.relay.stderr_path.read_text("utf-8").splitlines()
        return [line for line in lines if json.loads(line)["level"] in ("warning", "error")]


class Report:
    """Prints, and remembers whether all was as it must be."""

    def __init__(self) -> None:
        self.is_good = True

    def line(self, what: str, figure: str) -> None:
        """One figure."""
        print(f"  {what:<58} {figure}", flush=True)

    def traffic(self, what: str, measured: Traffic) -> None:
        """Normal traffic."""
        rates = f"{measured.per_second:.0f} messages/s, CPU {measured.cpu_ms:.2f} ms each"
        waits = f"p50 {measured.p50_ms:.1f} ms, p99 {measured.p99_ms:.1f} ms"
        self.line(what, f"{rates}; {waits} ({measured.probes} probes)")

    def must(self, is_so: bool, what: str, reasons: Sequence[str] = ()) -> None:
        """A condition of success; where it does not hold, the first of the reasons."""
        self.is_good = self.is_good and is_so
        self.line(what, "yes" if is_so else "NO")
        for reason in reasons[:SHOWN_REASONS] if not is_so else ():
            print(f"      {reason}", flush=True)


def run(loop: str, messages: int, report: Report) -> None:
    """All stages with one event loop."""
    print(f"{loop}:")
    with tempfile.TemporaryDirectory(prefix="dkim-relay-load-") as name:
        bench = LoadBench(Path(name), loop)
        bench.prove()
        with bench.sink as sink, bench.relay as relay:
            sink.wait_ready(lambda: port_accepts(bench.sink_port))
            relay.wait_ready(lambda: smtp_greets(bench.port))
            with bench.crowd as crowd:
                measure(bench, crowd, messages, report)
            report.must(smtp_greets(bench.port), "the relay greets the next client")
            report.must(relay.stop() == 0, "and ends with status 0 when it is told to")
        complaints = bench.complaints()
        report.must(not complaints, "its log has no warning", complaints)


def measure(bench: LoadBench, crowd: CrowdProcess, messages: int, report: Report) -> None:
    """From a quiet relay to a full one, and back."""
    bench.traffic(messages // 4)  # caches, pools and the allocator have what they want
    report.line("memory at rest", f"{bench.resident_mib():.1f} MiB")
    report.traffic("20 sessions alone", bench.traffic(messages))
    heard = {}
    for kind, count in (("plain", IDLE_PLAIN), ("tls", IDLE_TLS), ("slow", SLOW)):
        before = bench.resident_mib()
        heard[kind] = crowd.gather(kind, count)
        each = (bench.resident_mib() - before) * KIB_PER_MIB / count
        report.line(f"memory of {count} {kind} connections", f"{each:.1f} KiB each")
    report.traffic("20 sessions with the crowd", bench.traffic(messages))
    resident = bench.resident_mib()
    report.line("memory with the crowd", f"{resident:.1f} MiB")
    last = crowd.finish()
    answered = bench.sent + last["slow"].get("250", 0)
    with suppress(ProgramFailedError):  # the report says it below
        wait_until(lambda: bench.stored() >= answered, what="what was answered is stored")
    report.line("memory when it has gone", f"{bench.resident_mib():.1f} MiB")
    report.must(resident < MAX_RESIDENT_MIB, f"it stayed under {MAX_RESIDENT_MIB:.0f} MiB")
    came = {"plain": "220 250", "tls": "220 250", "slow": "220 250 250 250 354"}
    counts = {"plain": IDLE_PLAIN, "tls": IDLE_TLS, "slow": SLOW}
    for said, wanted, what in (
        (heard, came, "each of the crowd was let in"),
        (last, dict.fromkeys(came, "250"), "each of the crowd was answered at the end"),
    ):
        others = unlike(said, wanted)
        is_so = said == {kind: {wanted[kind]: count} for kind, count in counts.items()}
        report.must(is_so, what, others)
    stored, wanted_count = bench.stored(), bench.sent + SLOW
    counted = f"{stored} at the sink; {bench.sent} of normal traffic and {SLOW} slow ones were sent"
    report.must(stored == wanted_count, "every message arrived, and arrived once", [counted])


def unlike(said: Mapping[str, Mapping[str, int]], wanted: Mapping[str, str]) -> list[str]:
    """What clients heard that they should not have."""
    return [
        f"{count} {kind}: {words}"
        for kind, heard in said.items()
        for words, count in heard.items()
        if words != wanted[kind]
    ]


def raise_file_limit() -> None:
    """As many open files as this and the programs that it starts need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < NEEDED_FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (NEEDED_FILES, max(hard, NEEDED_FILES)))


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.load", description=__doc__)
    parser.add_argument("--loop", choices=list(SERVE), help="only this one")
    parser.add_argument("--messages", type=int, default=8000, help="in each measurement")
    arguments = parser.parse_args()
    raise_file_limit()
    report = Report()
    for loop in [arguments.loop] if arguments.loop else SERVE:
        run(loop, arguments.messages, report)
    sys.exit(0 if report.is_good else 1)


if __name__ == "__main__":
    main()
