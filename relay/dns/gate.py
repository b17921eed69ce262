"""The gate: a key signs once its record was seen in DNS, matching, wherever receivers may ask.

* **Opens** when every authoritative server of the zone that answers has the record. A server that
  does not answer holds a new key up for `silent_seconds`, then it counts as out of service. When
  the servers cannot be found, or none of them can be reached from here (a closed network), the
  configured resolver's answer counts instead.
* **Stays open** while a server has the record, and while none answers: a DNS outage never stops
  a key that was verified. What was seen outlives a restart in the state folder, if there is one:
  a match of less than `grace_seconds` ago opens the gate before anything is asked; an older one
  as soon as a question had no answer.
* **Closes** when all servers that answer say otherwise: receivers see the same.

Those rules are in `standing`. Which records are asked for when is in `watch`: first those that
mail waits for, then by age, not more than some at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from relay import clock
from relay.core.dkim.algorithm import SigningKey
from relay.core.dkim.record import record_name
from relay.dns.everywhere import Finding, taken_together
from relay.dns.judge import RecordState
from relay.dns.memory import Memory
from relay.dns.resolver import Resolver
from relay.dns.standing import Pace, Standing
from relay.dns.survey import Authority, ServerAnswer


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


Report = Callable[[RecordChange], None]


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

    async def start(
        self, keys: Iterable[SigningKey], report: Report, *, within_seconds: float
    ) -> None:
        """Ask for records of which nothing is known, for a limited time."""

    async def watch(self, keys: Callable[[], Iterable[SigningKey]], report: Report) -> None:
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

    async def start(
        self, keys: Iterable[SigningKey], report: Report, *, within_seconds: float
    ) -> None:
        """Nothing to ask."""

    async def watch(self, keys: Callable[[], Iterable[SigningKey]], report: Report) -> None:
        """Nothing to do."""


class RecordGate:
    """A gate that opens for each key by itself: `dns.gate = "published"`."""

    def __init__(
        self,
        resolver: Resolver,
        authority: Authority | None = None,
        *,
        memory: Memory | None = None,
        pace: Pace | None = None,
        now: Callable[[], float] = clock.now,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] | None = None,
    ) -> None:
        """Start with what the memory has.

        Args:
            resolver: who is asked where the authoritative servers cannot be.
            authority: who asks those; None: only the resolver is asked.
            memory: what was seen before; None for nothing.
            pace: how often; None for the default.
            now: seconds since 1970.
            monotonic: a clock that is never set, in seconds.
            sleep: how `watch` lets time pass; None: until then, or until mail waits for a key.
        """
        self._resolver = resolver
        self._authority = authority
        self._memory = memory or Memory()
        self._pace = pace or Pace()
        self._now = now
        self._monotonic = monotonic
        self._sleep = sleep or self._until_wanted
        self._known: dict[tuple[str, str], Standing] = {}
        self._wanted = asyncio.Event()

    def is_open(self, key: SigningKey) -> bool:
        """Whether the key may sign; neither waits nor reads."""
        known = self._of(key)
        if known.state is RecordState.UNCHECKED and not known.is_open:
            self._wanted.set()
        return known.is_open

    def state(self, key: SigningKey) -> RecordState:
        """How the record of the key stands."""
        return self._of(key).state

    def detail(self, key: SigningKey) -> str:
        """The name of the record, and symptom, cause and fix."""
        known = self._of(key)
        return f"{_name(key)}: {known.detail or 'its record was not asked for yet'}"

    async def check(self, keys: Iterable[SigningKey]) -> tuple[RecordChange, ...]:
        """Ask for the records of these keys, some at once, and say what changed."""
        changes: list[RecordChange] = []
        await self._ask(keys, changes.append)
        return tuple(changes)

    async def start(
        self, keys: Iterable[SigningKey], report: Report, *, within_seconds: float
    ) -> None:
        """Ask for records of which nothing is known; what is still open then is `watch`'s.

        Keys that were verified before are not waited for.

        Args:
            keys: the keys there are.
            report: told of each change.
            within_seconds: the longest this may take.
        """
        unknown = [key for key in keys if not self._of(key).is_open]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_seconds):
                await self._ask(unknown, report)

    async def watch(self, keys: Callable[[], Iterable[SigningKey]], report: Report) -> None:
        """Go on asking: often while a record does not match, rarely once it does.

        Args:
            keys: the keys as they are now; asked for again before each round.
            report: told of each change.
        """
        due: dict[tuple[str, str], float] = {}
        try:
            while True:
                self._wanted.clear()
                due, soon, next_at = self._round(keys(), due, self._monotonic())
                await self._ask(soon, report)
                now = self._monotonic()
                due |= {_id(key): now + self._of(key).wait_seconds for key in soon}
                next_at = min([next_at, *(due[_id(key)] for key in soon)])
                await self._memory.save(self._now())
                await self._sleep(min(max(0.0, next_at - now), self._pace.notice_seconds))
        finally:
            self._memory.save_now(self._now())

    def _round(
        self, keys: Iterable[SigningKey], before: dict[tuple[str, str], float], now: float
    ) -> tuple[dict[tuple[str, str], float], list[SigningKey], float]:
        """When each key is due, those to ask for in this round, and when the next of others is.

        One pass, because there may be tens of thousands. Keys that are there no more are forgotten;
        what was seen of them is in the memory.
        """
        due: dict[tuple[str, str], float] = {}
        waited_for: list[SigningKey] = []
        ready: list[tuple[float, tuple[str, str], SigningKey]] = []
        next_at = now + self._pace.notice_seconds
        for key in keys:
            known, i = self._of(key), _id(key)
            due[i] = at = before.get(i, now + known.wait_seconds)
            if known.state is not RecordState.UNCHECKED:
                if at <= now:
                    ready.append((at, i, key))
                else:
                    next_at = min(next_at, at)
            elif known.is_open:
                ready.append((0.0, i, key))
            else:
                waited_for.append(key)
        if len(self._known) > len(due):
            self._known = {i: known for i, known in self._known.items() if i in due}
        if waited_for:
            return due, waited_for, now if ready else next_at
        soon = [key for _, _, key in sorted(ready)[: self._pace.max_per_second]]
        return due, soon, min(next_at, now + 1.0) if len(ready) > len(soon) else next_at

    async def _until_wanted(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wanted.wait(), seconds)

    async def _ask(self, keys: Iterable[SigningKey], report: Report) -> None:
        """Ask for the records of these keys, `max_at_once` at the same time."""
        waiting = iter(keys)

        async def work() -> None:
            for key in waiting:
                if (change := self._take(key, await self._find(key))) is not None:
                    report(change)

        async with asyncio.TaskGroup() as group:
            for _ in range(self._pace.max_at_once):
                group.create_task(work())

    async def _find(self, key: SigningKey) -> Finding:
        """How the record stands, asked of whoever can tell."""
        name = _name(key)
        if self._authority is not None:
            survey = await self._authority.survey(name)
            if survey.answers:
                finding = taken_together(survey.answers, key.public)
                if finding.state is not RecordState.TEMPERROR:
                    return finding
        answer = await self._resolver.txt(name)
        return taken_together([ServerAnswer(name, "the resolver", "", answer)], key.public)

    def _of(self, key: SigningKey) -> Standing:
        known, public = self._known.get(_id(key)), key.public
        # The same selector with another key starts anew; comparing identity first is cheap.
        if known is None or (known.public is not public and known.public != public):
            seen, now = self._memory.recall(_name(key)), self._now()
            known = Standing.remembered_of(public, seen, pace=self._pace, now=now)
            self._known[_id(key)] = known
        return known

    def _take(self, key: SigningKey, finding: Finding) -> RecordChange | None:
        before, now = self._of(key), self._now()
        after = self._known[_id(key)] = before.after(finding, pace=self._pace, now=now)
        if (seen := after.sighting(finding, now)) is not None:
            self._memory.note(_name(key), seen)
        if not after.differs_from(before):
            return None
        named = f"{_name(key)}: {after.detail}"
        return RecordChange(
            key.domain, key.selector, before.state, after.state, after.is_open, named
        )


def _id(key: SigningKey) -> tuple[str, str]:
    return key.domain, key.selector


def _name(key: SigningKey) -> str:
    return record_name(key.selector, key.domain)
