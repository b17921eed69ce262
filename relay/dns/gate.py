"""The gate: a key signs once its record was seen in DNS and matches.

Deciding is pure, asking is the resolver's IO, and nothing here reads a clock. An answer that
never came changes nothing: a key that was seen before goes on signing while DNS is down. A
record that is there and wrong, or gone, closes the gate, because receivers see the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from relay.core.dkim.algorithm import PublicKey, SigningKey
from relay.core.dkim.query import TxtAnswer
from relay.core.dkim.record import record_name
from relay.dns.judge import RecordState, judge
from relay.dns.resolver import Resolver

__all__ = ["Gate", "OpenGate", "Pace", "RecordChange", "RecordGate", "RecordState", "judge"]


@dataclass(frozen=True, slots=True)
class Pace:
    """How often records are asked for.

    Attributes:
        first_seconds: after the first answer that does not match; doubled each time.
        longest_seconds: the longest wait while a record does not match.
        settled_seconds: the wait once it matches.
    """

    first_seconds: float = 2.0
    longest_seconds: float = 60.0
    settled_seconds: float = 300.0

    def after(self, state: RecordState, previous_seconds: float) -> float:
        """The wait after an answer.

        Args:
            state: what the answer means.
            previous_seconds: the wait before it while nothing changed; 0 after a change.
        """
        if state is RecordState.MATCHES:
            return self.settled_seconds
        return min(max(self.first_seconds, 2 * previous_seconds), self.longest_seconds)


@dataclass(frozen=True, slots=True)
class RecordChange:
    """The record of a key stands differently than before.

    Attributes:
        domain, selector: whose record.
        before, after: how it stood and stands.
        is_open: whether the key may sign.
        detail: the name of the record, then symptom, cause and fix.
    """

    domain: str
    selector: str
    before: RecordState
    after: RecordState
    is_open: bool
    detail: str


class Gate(Protocol):
    """Decides whether a key may be used now."""

    def is_open(self, key: SigningKey) -> bool:
        """Whether the key may sign; neither waits nor reads."""

    def state(self, key: SigningKey) -> RecordState:
        """How the record of the key stands."""

    def detail(self, key: SigningKey) -> str:
        """What is known about the record, for the log."""

    async def check(self, keys: Iterable[SigningKey]) -> tuple[RecordChange, ...]:
        """Ask for the records of these keys, and say what changed."""

    async def watch(
        self,
        keys: Callable[[], Iterable[SigningKey]],
        report: Callable[[RecordChange], None],
    ) -> None:
        """Go on asking, for the service's task group; ends when cancelled, or has nothing to do."""


class OpenGate:
    """A gate that is always open: `dns.gate = "off"`, for networks without our DNS."""

    def is_open(self, key: SigningKey) -> bool:
        """Yes."""
        return True

    def state(self, key: SigningKey) -> RecordState:
        """Nothing was asked."""
        return RecordState.UNCHECKED

    def detail(self, key: SigningKey) -> str:
        """Why nothing is known."""
        return 'its record is not checked (dns.gate = "off")'

    async def check(self, keys: Iterable[SigningKey]) -> tuple[RecordChange, ...]:
        """Nothing to ask."""
        return ()

    async def watch(
        self,
        keys: Callable[[], Iterable[SigningKey]],
        report: Callable[[RecordChange], None],
    ) -> None:
        """Nothing to do."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known about the record of one key.

    Attributes:
        public: the key that the record was compared with.
        is_open: whether the key may sign.
        wait_seconds: until the next question.
    """

    public: PublicKey
    state: RecordState = RecordState.UNCHECKED
    detail: str = ""
    is_open: bool = False
    wait_seconds: float = 0.0


class RecordGate:
    """A gate that opens for each key by itself: `dns.gate = "published"`."""

    def __init__(
        self,
        resolver: Resolver,
        *,
        pace: Pace | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """Start with every key unchecked.

        Args:
            resolver: who is asked.
            pace: how often; None for the default.
            sleep: how `watch` lets time pass.
        """
        self._resolver = resolver
        self._pace = pace or Pace()
        self._sleep = sleep
        self._known: dict[tuple[str, str], _Known] = {}

    def is_open(self, key: SigningKey) -> bool:
        """Whether the key may sign; neither waits nor reads."""
        return self._of(key).is_open

    def state(self, key: SigningKey) -> RecordState:
        """How the record of the key stands."""
        return self._of(key).state

    def detail(self, key: SigningKey) -> str:
        """The name of the record, and symptom, cause and fix."""
        known = self._of(key)
        return f"{_name(key)}: {known.detail or 'its record was not asked for yet'}"

    async def check(self, keys: Iterable[SigningKey]) -> tuple[RecordChange, ...]:
        """Ask for the records of these keys, all at once, and say what changed."""
        async with asyncio.TaskGroup() as group:
            asked = [(key, group.create_task(self._resolver.txt(_name(key)))) for key in keys]
        changes = [self._take(key, task.result()) for key, task in asked]
        return tuple(change for change in changes if change is not None)

    async def watch(
        self,
        keys: Callable[[], Iterable[SigningKey]],
        report: Callable[[RecordChange], None],
    ) -> None:
        """Go on asking: often while a record does not match, rarely once it does.

        Args:
            keys: the keys as they are now; asked for again before each round.
            report: told of each change.
        """
        slept = 0.0
        due: dict[tuple[str, str], float] = {}
        while True:
            current = list(keys())
            due = {_id(key): due.get(_id(key), slept + self._wait(key)) for key in current}
            self._known = {i: known for i, known in self._known.items() if i in due}
            unchecked = RecordState.UNCHECKED
            soon = [
                key for key in current if due[_id(key)] <= slept or self.state(key) is unchecked
            ]
            for change in await self.check(soon):
                report(change)
            due |= {_id(key): slept + self._wait(key) for key in soon}
            # Never longer than this, so that a key that was added is noticed.
            pause = min([self._pace.longest_seconds, *(at - slept for at in due.values())])
            await self._sleep(pause)
            slept += pause

    def _of(self, key: SigningKey) -> _Known:
        known = self._known.get(_id(key))
        public = key.public
        # The same selector with another key starts anew; comparing identity first is cheap.
        if known is None or (known.public is not public and known.public != public):
            return _Known(public)
        return known

    def _wait(self, key: SigningKey) -> float:
        return self._of(key).wait_seconds

    def _take(self, key: SigningKey, answer: TxtAnswer) -> RecordChange | None:
        before = self._of(key)
        state, detail = judge(answer, key.public)
        is_open = state is RecordState.MATCHES
        if state is RecordState.TEMPERROR and before.is_open:
            # No answer says nothing about the record: what was true before stays true.
            is_open = True
            detail += "; it matched when it was last seen, so the key goes on signing"
        changed = state is not before.state
        wait = self._pace.after(state, 0.0 if changed else before.wait_seconds)
        self._known[_id(key)] = _Known(key.public, state, detail, is_open, wait)
        if not changed:
            return None
        named = f"{_name(key)}: {detail}"
        return RecordChange(key.domain, key.selector, before.state, state, is_open, named)


def _id(key: SigningKey) -> tuple[str, str]:
    return key.domain, key.selector


def _name(key: SigningKey) -> str:
    return record_name(key.selector, key.domain)
