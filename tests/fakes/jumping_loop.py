"""An event loop whose clock jumps ahead when nothing is under way.

For tests with both ends of every connection in this process: where nobody has anything to read
and no thread is at work, only a timer can be awaited, so waiting for it is not worth its while.
Timeouts can be as long as in earnest then, a slow machine does not make them fire too early, and
a test that waits for one is quick. What the loop says of time is in order, but no measure.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

SILENCE_SECONDS = 0.003  # real ones, without any event; then the clock jumps
# At most so far: a timer fires after several silences in a row, never after a single one.
JUMP_SECONDS = 1.0


class _JumpingSelector(selectors.DefaultSelector):
    """Asks the system for a moment only; says how far the clock has jumped.

    Attributes:
        jumped_seconds: all jumps together.
        is_at_work: whether something is under way that the system does not know.
    """

    def __init__(self) -> None:
        super().__init__()
        self.jumped_seconds = 0.0
        self.is_at_work: Callable[[], bool] = bool

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready, without waiting for long."""
        if timeout is not None and timeout <= 0:
            return super().select(0)
        ready = super().select(SILENCE_SECONDS)
        if not ready and timeout is not None and not self.is_at_work():
            self.jumped_seconds += min(timeout, JUMP_SECONDS)
        return ready


class JumpingLoop(asyncio.SelectorEventLoop):
    """See the text of the module."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        self._calls: set[asyncio.Future[Any]] = set()
        super().__init__(self._jumping)
        self._jumping.is_at_work = lambda: bool(self._calls)

    def time(self) -> float:
        """The clock of all timers."""
        return super().time() + self._jumping.jumped_seconds

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """As usual; the clock stands still meanwhile."""
        call = super().run_in_executor(executor, func, *args)
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        return call


def run_jumping(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on such a loop, to its end."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(work)
