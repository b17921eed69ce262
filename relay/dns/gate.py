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

Which records are asked for when is in `watch`: first those that mail waits for, then by age, not
more than some at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from relay import clock
from relay.core.dkim.algorithm import PublicKey, SigningKey
from relay.core.dkim.record import record_name
from relay.dns.authorities import Authority, ServerAnswer
from relay.dns.everywhere import Finding, taken_together
from relay.dns.judge import RecordState, judge
from relay.dns.memory import Memory, Seen, fingerprint
from relay.dns.resolver import Resolver

__all__ = ["Gate", "OpenGate", "Pace", "RecordChange", "RecordGate", "RecordState", "judge"]


@dataclass(frozen=True, slots=True)
class Pace:
    """How often records are asked for, and how long what was seen counts.

    Attributes:
        first_seconds: after the first answer that does not match; doubled each time.
        longest_seconds: the longest wait while a record does not match.
        settled_seconds: the wait once it matches.
        notice_seconds: a key that was added is noticed within this time.
        max_at_once: records asked for at the same time.
        max_per_second: records asked for again in one second; with so many keys that this does
            not suffice, the waits grow.
        grace_seconds: a match that was seen within this time counts at once after a start.
        silent_seconds: a server that does not answer holds a new key up for so long.
    """

    first_seconds: float = 2.0
    longest_seconds: float = 60.0
    settled_seconds: float = 300.0
    notice_seconds: float = 5.0
    max_at_once: int = 50
    max_per_second: int = 20
    grace_seconds: float = 7 * 86400.0
    silent_seconds: float = 3600.0

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


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known about the record of one key.

    Attributes:
        public: the key that the record was compared with.
        is_open: whether the key may sign.
        wait_seconds: until the next question.
        remembered: the last sighting, of a time before this one was asked for.
        silent_since: when only servers that do not answer began to hold the key up.
    """

    public: PublicKey
    state: RecordState = RecordState.UNCHECKED
    detail: str = ""
    is_open: bool = False
    wait_seconds: float = 0.0
    remembered: Seen | None = None
    silent_since: float | None = None


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
        self._known: dict[tuple[str, str], _Known] = {}
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

    def _of(self, key: SigningKey) -> _Known:
        known = self._known.get(_id(key))
        public = key.public
        # The same selector with another key starts anew; comparing identity first is cheap.
        if known is None or (known.public is not public and known.public != public):
            known = self._known[_id(key)] = self._remembered(key)
        return known

    def _remembered(self, key: SigningKey) -> _Known:
        """What is known of a key before its record is asked for."""
        seen = self._memory.recall(_name(key))
        if seen is None or not seen.matches or seen.fingerprint != fingerprint(key.public):
            return _Known(key.public)
        at = datetime.fromtimestamp(seen.at_seconds, UTC)
        detail = f"it matched when it was last seen, at {at:%Y-%m-%dT%H:%M:%SZ}"
        is_open = self._now() - seen.at_seconds <= self._pace.grace_seconds
        return _Known(key.public, detail=detail, is_open=is_open, remembered=seen)

    def _take(self, key: SigningKey, finding: Finding) -> RecordChange | None:
        before, now = self._of(key), self._now()
        state, detail, silent_since = finding.state, finding.detail, None
        if state is RecordState.MATCHES:
            is_open = True
            if finding.silent and not before.is_open:
                silent_since = now if before.silent_since is None else before.silent_since
                if is_held := now - silent_since < self._pace.silent_seconds:
                    state, is_open = RecordState.TEMPERROR, not is_held
        else:
            is_open = self._stays_open(before, finding)
            if is_open and state is RecordState.TEMPERROR:
                detail += "; it matched when it was last seen, so the key goes on signing"
            elif is_open:
                detail += "; the key goes on signing"
        self._note(key, finding, is_open=is_open)
        changed = (state, is_open) != (before.state, before.is_open)
        wait = self._pace.after(state, 0.0 if changed else before.wait_seconds)
        self._known[_id(key)] = _Known(
            key.public, state, detail, is_open, wait, before.remembered, silent_since
        )
        if not changed:
            return None
        named = f"{_name(key)}: {detail}"
        return RecordChange(key.domain, key.selector, before.state, state, is_open, named)

    def _stays_open(self, before: _Known, finding: Finding) -> bool:
        """Whether a key that was verified before may go on although not all is well."""
        if finding.state is RecordState.TEMPERROR:
            # No answer says nothing about the record: what was true before stays true.
            return before.is_open or before.remembered is not None
        return before.is_open and finding.is_somewhere

    def _note(self, key: SigningKey, finding: Finding, *, is_open: bool) -> None:
        """Remember what was seen, where it can be relied upon."""
        if finding.state is RecordState.TEMPERROR:
            return
        matches = finding.state is RecordState.MATCHES and is_open
        if matches or not is_open:
            seen = Seen(fingerprint(key.public), matches, self._now())
            self._memory.note(_name(key), seen)


def _id(key: SigningKey) -> tuple[str, str]:
    return key.domain, key.selector


def _name(key: SigningKey) -> str:
    return record_name(key.selector, key.domain)
