"""What was asked for, kept for as long as DNS permits (RFC 1035 §3.2.1, RFC 2308 §5). In memory.

Whoever asks for what is being asked for already waits for that answer, also when it may not be
kept: thousands of domains of one zone ask for its servers once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Value = TypeVar("Value")


@dataclass(slots=True)
class _Asked(Generic[Value]):
    """A question under way; without a value at its end, whoever asked was cancelled or failed."""

    done: asyncio.Event = field(default_factory=asyncio.Event)
    value: Value | None = None


@dataclass(slots=True)
class Cache(Generic[Value]):
    """Answers by name.

    Attributes:
        max_entries: the oldest goes when there are more.
        max_seconds: nothing is kept for longer, whatever its TTL.
        monotonic: a clock that is never set, in seconds.
    """

    max_entries: int
    max_seconds: float
    monotonic: Callable[[], float] = time.monotonic
    _kept: dict[str, tuple[float, Value]] = field(init=False, default_factory=dict)
    _asked: dict[str, _Asked[Value]] = field(init=False, default_factory=dict)

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._kept)

    async def get(self, name: str, ask: Callable[[], Awaitable[tuple[Value, float]]]) -> Value:
        """What is kept for a name, or else the answer to the question.

        Args:
            name: of what is asked for.
            ask: the answer, and for how many seconds it may be kept; 0 for not at all.
        """
        while (until_and_value := self._kept.get(name)) is None or (
            until_and_value[0] <= self.monotonic()
        ):
            asked = self._asked.get(name)
            if asked is None:
                return await self._ask(name, ask)
            await asked.done.wait()
            if asked.value is not None:
                return asked.value
        return until_and_value[1]

    async def _ask(self, name: str, ask: Callable[[], Awaitable[tuple[Value, float]]]) -> Value:
        asked = self._asked[name] = _Asked()
        try:
            asked.value, seconds = await ask()
        finally:
            del self._asked[name]
            asked.done.set()
        self._kept.pop(name, None)  # the newest stands last
        if seconds > 0:
            if len(self._kept) >= self.max_entries:
                del self._kept[next(iter(self._kept))]
            self._kept[name] = self.monotonic() + min(seconds, self.max_seconds), asked.value
        return asked.value
