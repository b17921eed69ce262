"""What the relay is before the first message: `python -m tests.bench.idle`.

Seconds from its start until it greets, memory once it has nothing to do, and which modules take
how long to import. One key, no messages. Medians of several starts; the import times of the one
in the middle.
"""

from __future__ import annotations

import argparse
import re
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.accounting import Account
from tests.bench.contender import Relay, make_ground
from tests.bench.growth import at_rest
from tests.fakes.processes import smtp_greets

SHOWN_MODULES = 15
LOOK_SECONDS, READY_SECONDS = 0.002, 60.0
_IMPORTED = re.compile(r"^import time: +(\d+) \| +(\d+) \| ( *)(\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Start:
    """One start: until it greets; memory at rest."""

    ready_seconds: float
    rss_mib: float
    pss_mib: float


def start(relay: Relay) -> Start:
    """Start it, let it come to rest, stop it."""
    (part,) = relay.parts()
    with part.program:
        began_at = time.perf_counter()
        while not smtp_greets(relay.port):
            if time.perf_counter() > began_at + READY_SECONDS:
                raise TimeoutError(part.program.tail())
            time.sleep(LOOK_SECONDS)
        ready_seconds = time.perf_counter() - began_at
        account = Account([part.program.pid])
        at_rest(account)
        return Start(ready_seconds, account.rss_mib(), account.pss_mib())


def imports(relay: Relay) -> list[tuple[int, int, str]]:
    """Modules with the microseconds of their own and with what they import, slowest first."""
    (part,) = relay.parts()
    with part.program as program:
        program.wait_ready(relay.greets)
    found = _IMPORTED.findall(program.stderr_path.read_text("utf-8"))
    program.stderr_path.unlink()
    return sorted(((int(own), int(all_), name) for own, all_, _, name in found), reverse=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.idle", description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dkim-relay-idle-") as name:
        ground = make_ground(Path(name))
        relay = Relay(ground, workers=arguments.workers)
        start(relay)  # compiles the modules
        starts = [start(relay) for _ in range(arguments.runs)]
        told = [
            f"{what} {statistics.median(getattr(each, key) for each in starts):.{digits}f}"
            for what, key, digits in (
                ("start to greeting, s:", "ready_seconds", 2),
                ("RSS at rest, MiB:", "rss_mib", 1),
                ("PSS at rest, MiB:", "pss_mib", 1),
            )
        ]
        print(*told, sep="\n")
        probe = Relay(ground, python_options=("-X", "importtime"))
        show([imports(probe) for _ in range(arguments.runs)])


def show(runs: Sequence[list[tuple[int, int, str]]]) -> None:
    """The table of modules, of the run whose sum is the median."""
    modules = sorted(runs, key=lambda run: sum(own for own, _, _ in run))[len(runs) // 2]
    total_ms = sum(own for own, _, _ in modules) / 1000
    print(f"imports: {len(modules)} modules, {total_ms:.0f} ms\n")
    print("| module | own ms | with what it imports |\n|---|---:|---:|")
    for own, with_imports, name in modules[:SHOWN_MODULES]:
        print(f"| {name} | {own / 1000:.1f} | {with_imports / 1000:.1f} |")


if __name__ == "__main__":
    main()
