"""How good or bad something is, and the word that says so: colour is never the only sign. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from relay.core.events import Outcome
from relay.core.status import (
    DomainStatus,
    KeyRole,
    KeyStatus,
    Reach,
    TransactionStatus,
    UpstreamStatus,
)


class Tone(StrEnum):
    """How good something is: the name of its colour and of its sign."""

    GOOD = "good"
    IDLE = "idle"  # neither good nor bad
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Mark:
    """A tone with the word that is shown beside its sign."""

    tone: Tone
    word: str


_RECORDS: Final = {
    "": Mark(Tone.IDLE, "record not looked at"),
    "unchecked": Mark(Tone.IDLE, "record not asked for yet"),
    "matches": Mark(Tone.GOOD, "record matches"),
    "missing": Mark(Tone.BAD, "record missing"),
    "different": Mark(Tone.BAD, "record has another key"),
    "revoked": Mark(Tone.BAD, "record revoked"),
    "malformed": Mark(Tone.BAD, "record cannot be used"),
    "several": Mark(Tone.BAD, "several records"),
    "temperror": Mark(Tone.WARN, "DNS does not answer"),
}

_OUTCOMES: Final = {
    Outcome.REJECTED: Mark(Tone.BAD, "Refused"),
    Outcome.DEFERRED: Mark(Tone.WARN, "Deferred"),
    Outcome.UNKNOWN: Mark(Tone.WARN, "Unknown"),
    Outcome.ABANDONED: Mark(Tone.IDLE, "Left"),
}


def of_domain(domain: DomainStatus) -> Mark:
    """Whether a domain signs."""
    if not domain.is_ready:
        return Mark(Tone.BAD, "does not sign")
    if not domain.is_read:
        return Mark(Tone.IDLE, "keys not read yet")
    if any(has_trouble(key) for key in domain.keys):
        return Mark(Tone.WARN, "signs, with trouble")
    if any(milestone.is_due for milestone in domain.milestones):
        return Mark(Tone.WARN, "signs, with something due")
    return Mark(Tone.GOOD, "signs")


def has_trouble(key: KeyStatus) -> bool:
    """Whether a key needs somebody's attention although its domain may sign."""
    is_bad = of_record(key).tone in (Tone.WARN, Tone.BAD)
    return key.role is KeyRole.FAULTY or (key.role is not KeyRole.WAITS and is_bad)


def waits_for_record(key: KeyStatus) -> bool:
    """Whether a key would sign if its record were in DNS as it is shown."""
    if not key.record_text or key.record in ("matches", "revoked", "temperror"):
        return False
    return key.role is KeyRole.WAITS or of_record(key).tone is Tone.BAD


def of_role(key: KeyStatus) -> Mark:
    """What a key does."""
    match key.role:
        case KeyRole.SIGNS:
            return Mark(Tone.GOOD, "signs")
        case KeyRole.READY:
            return Mark(Tone.IDLE, "in reserve")
        case KeyRole.WAITS:
            return Mark(Tone.WARN, "waits for its record")
        case KeyRole.FAULTY:
            return Mark(Tone.BAD, "cannot be used")


def of_record(key: KeyStatus) -> Mark:
    """How the record of a key stands."""
    return _RECORDS.get(key.record) or Mark(Tone.WARN, f"record: {key.record}")


def of_reach(upstream: UpstreamStatus) -> Mark:
    """Whether an upstream can be reached."""
    match upstream.reach:
        case Reach.UNTRIED:
            return Mark(Tone.IDLE, "not tried yet")
        case Reach.OK:
            return Mark(Tone.GOOD, "reachable")
        case Reach.FAILING:
            return Mark(Tone.BAD, "cannot be reached")
        case Reach.LEFT_ALONE:
            return Mark(Tone.BAD, "down, probed now and then")


def of_transaction(transaction: TransactionStatus) -> Mark:
    """How a transaction ended."""
    if transaction.outcome == Outcome.RELAYED:
        is_signed = bool(transaction.signatures)
        return Mark(Tone.GOOD, "Signed") if is_signed else Mark(Tone.WARN, "Unsigned")
    try:
        return _OUTCOMES[Outcome(transaction.outcome)]
    except (KeyError, ValueError):  # a word of a newer process
        return Mark(Tone.IDLE, transaction.outcome)
