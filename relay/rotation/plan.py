"""The next step of a rotation. Pure: facts, journal, policy and `now` in; one step out.

Of each algorithm a domain has one line of keys, the preferred first, as the keyring orders them:

    intend → make → publish → in use → superseded → (days) → retire: destroy, withdraw, finish

A step is done and the plan is asked again, until there is nothing to do. What an operator does in
between, by hand, is just another fact.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain

from relay.core.dkim.algorithm import DEFAULT_RSA_BITS, Algorithm, PublicKey
from relay.rotation.journal import Entry, Journal

DAY_SECONDS = 86400.0
MIN_RETIRE_DAYS = 7  # mail is retried for five days (RFC 5321 §4.5.4.1), and lies in queues


@dataclass(frozen=True, slots=True)
class Policy:
    """What the settings say about a domain.

    Attributes:
        every_seconds: the age at which a key is due to be replaced; 0 for never.
        retire_after_seconds: how long an old record stays once a newer key signs.
        is_published_by_us: there is a DNS provider that we may change its records at.
        revokes: an old record is left with an empty p=, not removed.
    """

    every_seconds: float = 0.0
    retire_after_seconds: float = MIN_RETIRE_DAYS * DAY_SECONDS
    is_published_by_us: bool = False
    revokes: bool = False

    @property
    def is_unattended(self) -> bool:
        """Whether keys are made and ended without being asked to."""
        return self.every_seconds > 0 and self.is_published_by_us


@dataclass(frozen=True, slots=True)
class Order:
    """What an operator asks for now, beyond the policy.

    Attributes:
        rotates: make the next key of these kinds.
        publishes: put a record that is waiting into DNS.
        retires: end the keys whose time has come.
        retires_now: end this selector, whatever its time; empty for none.
        template: of the next selector; empty for the default.
    """

    rotates: frozenset[Algorithm] = frozenset()
    publishes: bool = False
    retires: bool = False
    retires_now: str = ""
    template: str = ""


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """A key that lies in the folder.

    Attributes:
        selector: in A-labels.
        public: its public half.
        made_at: when its file was written, in seconds since 1970.
        is_open: its record was seen, so that it may sign.
        detail: what is known about its record.
    """

    selector: str
    public: PublicKey
    made_at: float
    is_open: bool
    detail: str = ""


class Act(StrEnum):
    """What a step does."""

    INTEND = "intend"
    MAKE = "make"
    PUBLISH = "publish"
    USE = "use"
    SUPERSEDE = "supersede"
    RESUME = "resume"  # the newer key signs no more: the old one is needed again
    RETIRE = "retire"
    DESTROY = "destroy"
    WITHDRAW = "withdraw"
    FINISH = "finish"


@dataclass(frozen=True, slots=True)
class Step:
    """One step; `entry` is the key's, as the journal has it or is to have it."""

    act: Act
    entry: Entry


class Waits(StrEnum):
    """What somebody has to do, or time."""

    PUBLISH = "publish"  # somebody has to publish the record
    DNS = "dns"  # it was published by us, and is not seen everywhere yet
    RETIRE = "retire"
    ROTATE = "rotate"


@dataclass(frozen=True, slots=True)
class Due:
    """Something that is to be done.

    Attributes:
        waits: for what.
        selector: of which key.
        at_seconds: from when on, in seconds since 1970.
    """

    waits: Waits
    selector: str
    at_seconds: float


Facts = Sequence[KeyFacts]  # of a domain, the preferred first


@dataclass(frozen=True, slots=True)
class State:
    """How a domain stands.

    Attributes:
        facts: its keys, the preferred first.
        there: selectors that have a key file, one that cannot be read included.
        journal: what is remembered.
    """

    facts: Facts
    there: frozenset[str]
    journal: Journal


def next_step(state: State, policy: Policy, order: Order, now: float) -> Step | None:
    """What to do next; None when there is nothing but to wait."""
    steps = chain(
        _unfinished(state, policy),
        *(_line_steps(line, state.journal, policy, order, now) for line in lines(state.facts)),
    )
    return next(steps, None)


def dues(state: State, policy: Policy) -> list[Due]:
    """What is waited for, and from when on it is due."""
    found = []
    journal = state.journal
    for newest, *older in lines(state.facts):
        entry = entry_of(newest, journal)
        if not newest.is_open:
            waits = Waits.PUBLISH if entry.published_at is None else Waits.DNS
            found.append(Due(waits, newest.selector, entry.made_at or newest.made_at))
        elif policy.every_seconds:
            at = (entry.in_use_at or newest.made_at) + policy.every_seconds
            found.append(Due(Waits.ROTATE, newest.selector, at))
        for key in older:
            since = entry_of(key, journal).superseded_at
            if since is not None:
                at = since + policy.retire_after_seconds
                found.append(Due(Waits.RETIRE, key.selector, at))
    return found


def lines(facts: Facts) -> Iterator[list[KeyFacts]]:
    """The keys of each algorithm, the preferred first."""
    for algorithm in Algorithm:
        if line := [key for key in facts if key.public.algorithm is algorithm]:
            yield line


def entry_of(key: KeyFacts, journal: Journal) -> Entry:
    """The entry of a key; a fresh one for a key that the journal does not know."""
    known = journal.entries.get(key.selector)
    if known is not None:
        return known
    public = key.public
    return Entry(
        selector=key.selector, algorithm=public.algorithm, bits=public.bits, made_at=key.made_at
    )


def _unfinished(state: State, policy: Policy) -> Iterator[Step]:
    """What was begun and not ended."""
    for entry in state.journal.entries.values():
        if entry.retiring_at is not None:
            if entry.destroyed_at is None:
                yield Step(Act.DESTROY, entry)
            yield Step(Act.WITHDRAW if policy.is_published_by_us else Act.FINISH, entry)
        elif entry.made_at is None:
            yield Step(Act.MAKE, entry)
        elif entry.selector not in state.there:
            yield Step(Act.FINISH, entry)  # somebody took the file away


def _line_steps(
    line: list[KeyFacts], journal: Journal, policy: Policy, order: Order, now: float
) -> Iterator[Step]:
    """The steps of one line of keys, the newest first."""
    newest, *older = line
    entry = entry_of(newest, journal)
    if newest.is_open:
        if entry.in_use_at is None:
            yield Step(Act.USE, entry)
    elif _publishes(policy, order) and entry.published_at is None:
        yield Step(Act.PUBLISH, entry)
    for key in older:
        yield from _older_steps(entry_of(key, journal), newest, policy, order, now)
    if order.retires_now == newest.selector and any(key.is_open for key in older):
        yield Step(Act.RETIRE, entry)
    age = now - (entry.in_use_at or newest.made_at)
    is_due = policy.is_unattended and age >= policy.every_seconds
    if newest.is_open and (is_due or entry.algorithm in order.rotates):
        yield Step(Act.INTEND, _next_key(newest))


def _publishes(policy: Policy, order: Order) -> bool:
    return policy.is_published_by_us and (policy.is_unattended or order.publishes)


def _older_steps(
    entry: Entry, newest: KeyFacts, policy: Policy, order: Order, now: float
) -> Iterator[Step]:
    if entry.superseded_at is None:
        if newest.is_open:
            yield Step(Act.SUPERSEDE, entry)
        return
    if not newest.is_open:
        yield Step(Act.RESUME, entry)
        return
    is_due = now - entry.superseded_at >= policy.retire_after_seconds
    is_asked = order.retires or policy.is_unattended
    if order.retires_now == entry.selector or (is_due and is_asked):
        yield Step(Act.RETIRE, entry)


def _next_key(newest: KeyFacts) -> Entry:
    """The key that follows; its selector is chosen when the step is done."""
    public = newest.public
    bits = public.bits
    if public.algorithm is Algorithm.RSA_SHA256:
        bits = max(bits, DEFAULT_RSA_BITS)
    return Entry(selector="", algorithm=public.algorithm, bits=bits)
