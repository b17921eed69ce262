"""The relay with a clock in its event loop: `python -m tests.bench.lag_probe OUT serve …`.

IO. Starts the relay as its own command does, except that a timer of a millisecond runs in the
loop, and writes how late it was. Costs nothing when it is not used: the relay knows nothing of
it. For one process; workers have loops of their own.

Each line of OUT is of a tenth of a second: when it ended, on the clock of `time.perf_counter`;
the longest that the timer waited too long; and the most CPU that the loop's thread used between
two timers, which is what the relay did itself, and not the other programs on the machine. The two
in milliseconds.
"""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import uvloop

from relay.cli import main as relay

TIMER_SECONDS = 0.001
LINE_SECONDS = 0.1


@dataclass(frozen=True)
class Lag:
    """A line of the output."""

    ended_at: float
    late_ms: float
    cpu_ms: float


def read(path: Path, *, from_at: float, to_at: float) -> Lag:
    """The worst of a stretch of time.

    Args:
        path: what a probe has written.
        from_at: on the clock of `time.perf_counter`.
        to_at: the same.
    """
    lines = [line.split() for line in path.read_text("ascii").splitlines()]
    lags = [Lag(*map(float, words)) for words in lines if len(words) == 3]
    within = [lag for lag in lags if from_at < lag.ended_at - LINE_SECONDS and lag.ended_at < to_at]
    late_ms = max((lag.late_ms for lag in within), default=0.0)
    return Lag(to_at, late_ms, max((lag.cpu_ms for lag in within), default=0.0))


class Probe:
    """The timer."""

    def __init__(self, loop: asyncio.AbstractEventLoop, output: TextIO) -> None:
        """Begin, as soon as the loop runs."""
        self._loop = loop
        self._output = output
        loop.call_soon(self._begin)

    def _begin(self) -> None:
        self._began_at = self._last_at = time.perf_counter()
        self._cpu = time.thread_time()
        self._late = self._most = 0.0
        self._loop.call_later(TIMER_SECONDS, self._tick)

    def _tick(self) -> None:
        now, cpu = time.perf_counter(), time.thread_time()
        self._late = max(self._late, now - self._last_at - TIMER_SECONDS)
        self._most = max(self._most, cpu - self._cpu)
        if now - self._began_at >= LINE_SECONDS:
            self._output.write(f"{now:.6f} {self._late * 1000:.3f} {self._most * 1000:.3f}\n")
            self._began_at, self._late, self._most = now, 0.0, 0.0
        self._last_at, self._cpu = time.perf_counter(), time.thread_time()
        self._loop.call_later(TIMER_SECONDS, self._tick)


def main() -> None:
    """Let the loop that the relay makes have the timer in it."""
    make = uvloop.new_event_loop
    with Path(sys.argv.pop(1)).open("w", buffering=1, encoding="ascii") as output:

        def make_probed() -> uvloop.Loop:
            loop = make()
            Probe(loop, output)
            return loop

        uvloop.new_event_loop = make_probed
        relay()


if __name__ == "__main__":
    main()
