"""Who waits for a connection: in order, each until its deadline. IO: futures and one timer.

Those whose transaction was begun before, on a connection that is lost, stand before all others.
There is one wake-up for all: at the first deadline, or when the head of the queue may go on by
time alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple, Protocol

from relay.core.errors import Rejection
from relay.upstream.protocol import Connection


@dataclass(frozen=True, slots=True)
class Place:
    """Room for one more connection, counted already; who is granted it opens one.

    Attributes:
        is_probe: whether that is the one attempt of a breaker that is half open.
    """

    is_probe: bool


Grant = Connection | Place


class Wish(NamedTuple):
    """What a transaction asks for.

    Attributes:
        deadline: by the loop's clock.
        prefers_new: whether a connection that was kept is the second choice.
        is_begun: whether the transaction was begun before: its recipients are paid for, and it
            stands before the others.
    """

    deadline: float
    prefers_new: bool = False
    is_begun: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class _Waiter:
    wish: Wish
    future: asyncio.Future[Grant]


class Granter(Protocol):
    """Who gives what is waited for: the pool."""

    def grant(self, wish: Wish) -> Grant | None:
        """What is wished for; None: it has to wait.

        Raises:
            Rejection: it would wait in vain.
        """

    def take_back(self, grant: Grant, wish: Wish) -> None:
        """What was granted is not wanted any more."""

    def changes_at(self, wish: Wish) -> float:
        """When `grant` may answer otherwise by time alone, by the loop's clock."""

    def too_late(self) -> Rejection:
        """What is said to those whose deadline is over."""


class Queue:
    """The waiters.

    Args:
        granter: is asked for the head of the queue only.
    """

    __slots__ = ("_alarm", "_begun", "_granter", "_others")

    def __init__(self, granter: Granter) -> None:
        self._granter = granter
        self._begun: deque[_Waiter] = deque()
        self._others: deque[_Waiter] = deque()
        self._alarm: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._begun) + len(self._others)

    def has_before(self, wish: Wish) -> bool:
        """Whether anybody would stand before."""
        return bool(self._begun) or (bool(self._others) and not wish.is_begun)

    async def wait(self, wish: Wish) -> Grant:
        """Stand at the end, behind all or behind those that were begun before.

        Raises:
            Rejection: the deadline is over, or it would be in vain.
        """
        waiter = _Waiter(wish, asyncio.get_running_loop().create_future())
        self._line(waiter).append(waiter)
        self._set_alarm()
        try:
            return await waiter.future
        except asyncio.CancelledError:
            if waiter.future.cancelled():
                self._line(waiter).remove(waiter)
                self.serve()
            elif waiter.future.exception() is None:  # granted at the last moment
                self._granter.take_back(waiter.future.result(), wish)
            raise

    def serve(self) -> None:
        """Give them what they wish for, in their order, as far as it goes."""
        while (head := self._head) is not None:
            grant: Grant | Rejection | None
            try:
                grant = self._granter.grant(head.wish)
            except Rejection as rejection:
                grant = rejection
            if grant is None:
                break
            self._settle(head, grant)
        self._set_alarm()

    def dismiss(self, make_rejection: Callable[[], Rejection]) -> None:
        """Send all away."""
        for waiter in (*self._begun, *self._others):
            self._settle(waiter, make_rejection())
        self._set_alarm()

    def _line(self, waiter: _Waiter) -> deque[_Waiter]:
        return self._begun if waiter.wish.is_begun else self._others

    @property
    def _head(self) -> _Waiter | None:
        """Who is next; those that were cancelled this very moment are passed over."""
        for line in (self._begun, self._others):
            for waiter in line:
                if not waiter.future.done():
                    return waiter
        return None

    def _settle(self, waiter: _Waiter, result: Grant | Rejection) -> None:
        if waiter.future.done():  # cancelled; it removes itself
            return
        self._line(waiter).remove(waiter)
        if isinstance(result, Rejection):
            waiter.future.set_exception(result)
        else:
            waiter.future.set_result(result)

    def _set_alarm(self) -> None:
        head = self._head
        if head is None:
            if self._alarm is not None:
                self._alarm.cancel()
                self._alarm = None
            return
        # All wait equally long, so that the first of the others is the earliest of them; but who
        # was begun before may stand in line for the second time, with its first deadline.
        waiting = (*self._begun, self._others[0]) if self._others else self._begun
        wake_at = min(waiter.wish.deadline for waiter in waiting)
        wake_at = min(wake_at, self._granter.changes_at(head.wish))
        if self._alarm is not None:
            if self._alarm.when() <= wake_at:
                return
            self._alarm.cancel()
        self._alarm = asyncio.get_running_loop().call_at(wake_at, self._wake)

    def _wake(self) -> None:
        self._alarm = None
        now = asyncio.get_running_loop().time()
        late = [waiter for waiter in self._begun if waiter.wish.deadline <= now]
        late += takewhile(lambda waiter: waiter.wish.deadline <= now, self._others)
        for waiter in late:
            self._settle(waiter, self._granter.too_late())
        self.serve()
