"""`make bench`: smtp-source → relay → smtp-sink, and what a message costs.

Messages per second run from the start of the load until the sink has counted every message;
CPU is what the relay's process used, in seconds per 1,000 messages (= ms per message), which on
a shared machine is the figure to trust. Before anything is measured, one message has to come out
signed and valid. Each figure is the median of the runs.
"""

from __future__ import annotations

import argparse
import os
import re
import smtplib
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import dkim

from relay.core.dkim.algorithm import DEFAULT_RSA_BITS, Algorithm
from relay.keyring.writing import write_key_pair
from tests.bench.workload import WORKLOADS, Workload, message
from tests.fakes.processes import (
    LOOPBACK,
    Program,
    free_port,
    port_accepts,
    smtp_greets,
    wait_until,
)
from tests.fakes.programs import find_program

DOMAIN, SELECTOR = "example.com", "bench"
FROM, TO = f"user@{DOMAIN}", "someone@sink.test"
RUN_SECONDS = 300.0
_COUNTED = re.compile(rb"mesg=(\d+)\s*\r")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Figures:
    """One run."""

    per_second: float
    cpu_ms: float


def _program(name: str) -> str:
    path = find_program(name)
    if path is None:
        sys.exit(f"{name} is not installed; on Debian: apt-get install postfix")
    return path


class Bench:
    """The relay between Postfix's load generator and its sink, all on loopback."""

    def __init__(self, folder: Path) -> None:
        """Make a key and describe the programs."""
        self.folder = folder
        key = write_key_pair(
            folder / "keys", DOMAIN, SELECTOR, Algorithm.RSA_SHA256, DEFAULT_RSA_BITS
        )
        self.record = key.record.value.encode("ascii")
        self.sink_port, self.port = free_port(), free_port()
        as_user = ["-u", "nobody"] if os.geteuid() == 0 else []
        self._source = _program("smtp-source")
        self.sink = Program(
            [
                _program("smtp-sink"),
                *(*as_user, "-c", "-m", "1000", f"{LOOPBACK}:{self.sink_port}", "1024"),
            ],
            folder=folder,
            name="sink",
        )
        self.relay = Program(
            [sys.executable, "-m", "relay", "serve"],
            folder=folder,
            name="relay",
            environment={
                **{k: v for k, v in os.environ.items() if not k.startswith("DKIM_RELAY_")},
                "PYTHONPATH": os.getcwd(),
                "DKIM_RELAY_KEYS_DIR": str(folder / "keys"),
                "DKIM_RELAY_LISTEN": f"{LOOPBACK}:{self.port}",
                "DKIM_RELAY_UPSTREAM__URL": f"smtp://{LOOPBACK}:{self.sink_port}",
                "DKIM_RELAY_UPSTREAM__TLS": "none",
                "DKIM_RELAY_DNS__GATE": "off",
            },
        )

    def run(self, workload: Workload) -> Figures:
        """Send the workload once."""
        path = self.folder / f"{workload.name}.eml"
        path.write_text(message(workload, sender=FROM, recipient=TO), encoding="ascii")
        count, cpu, began_at = self._count(), self._cpu_seconds(), time.perf_counter()
        keep = ["-d"] if workload.is_kept else []
        counts = ["-s", str(workload.sessions), "-m", str(workload.messages)]
        subprocess.run(
            [
                *(self._source, *keep, *counts, "-f", FROM, "-t", TO),
                *("-F", str(path), f"{LOOPBACK}:{self.port}"),
            ],
            check=True,
            timeout=RUN_SECONDS,
        )
        wait_until(
            lambda: self._count() - count >= workload.messages,
            what="the sink has counted every message",
        )
        seconds = time.perf_counter() - began_at
        used = self._cpu_seconds() - cpu
        return Figures(workload.messages / seconds, used * 1000 / workload.messages)

    def peak_rss_mb(self) -> float:
        """The most memory that the relay had resident so far."""
        status = Path(f"/proc/{self.relay.pid}/status").read_text("ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    def _cpu_seconds(self) -> float:
        stat = Path(f"/proc/{self.relay.pid}/stat").read_text("ascii").rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / _TICKS

    def _count(self) -> int:
        found = _COUNTED.findall(self.sink.stdout_path.read_bytes()[-400:])
        return int(found[-1]) if found else 0

    def prove(self) -> None:
        """One message comes out signed and valid, or there is nothing to measure."""
        dump = self.folder / "proof"
        dump.mkdir(mode=0o777)
        dump.chmod(0o777)
        self.folder.chmod(0o755)
        argv = [a for a in self.sink.argv if a not in ("-c", "-m", "1000")]
        argv[-2:-2] = ["-d", f"{dump}/%M."]
        with Program(argv, folder=self.folder, name="proof") as sink, self.relay as relay:
            sink.wait_ready(lambda: port_accepts(self.sink_port))
            relay.wait_ready(lambda: smtp_greets(self.port))
            text = message(WORKLOADS["small"], sender=FROM, recipient=TO)
            with smtplib.SMTP(LOOPBACK, self.port, timeout=30) as client:
                client.sendmail(FROM, [TO], text.replace("\n", "\r\n").encode("ascii"))
        stored = next(dump.iterdir()).read_bytes().replace(b"\n", b"\r\n")
        signed = stored[stored.index(b"DKIM-Signature:") :]
        if not dkim.verify(signed, dnsfunc=lambda _name, timeout=0: self.record):
            sys.exit("the message that came out is not signed and valid: nothing was measured")


def main() -> None:
    """Run the workloads that were asked for and print a table."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=", description=__doc__)
    parser.add_argument("workloads", nargs="*", default=["small"], choices=list(WORKLOADS))
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dkim-relay-bench-") as name:
        bench = Bench(Path(name))
        bench.prove()
        print("| workload | messages/s | CPU s per 1,000 | runs | peak RSS MB |")
        print("|---|---|---|---|---|")
        for workload in arguments.workloads:
            with bench.sink as sink, bench.relay as relay:
                sink.wait_ready(lambda: port_accepts(bench.sink_port))
                relay.wait_ready(lambda: smtp_greets(bench.port))
                runs = [bench.run(WORKLOADS[workload]) for _ in range(arguments.runs)]
                rate = statistics.median(run.per_second for run in runs)
                cpu = statistics.median(run.cpu_ms for run in runs)
                peak = bench.peak_rss_mb()
            print(f"| {workload} | {rate:.0f} | {cpu:.2f} | {len(runs)} | {peak:.0f} |")


if __name__ == "__main__":
    main()
