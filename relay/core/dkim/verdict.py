"""What a verifier finds out about one signature. Pure data. RFC 6376 §6, RFC 8601 §2.7.1."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from relay.core.dkim.algorithm import PublicKey
from relay.core.dkim.query import TxtOutcome
from relay.core.dkim.record import KeyRecord
from relay.core.dkim.signature import Signature


class Result(StrEnum):
    """What a signature, or a message, is worth (RFC 8601 §2.7.1)."""

    NONE = "none"  # the message has no signature
    PASS = "pass"  # noqa: S105 - a result, not a password
    FAIL = "fail"
    POLICY = "policy"  # it could verify, and is not accepted all the same
    NEUTRAL = "neutral"  # it cannot be read
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that keeps a signature from passing."""

    result: Result
    cause: str
    fix: str


@dataclass(frozen=True, slots=True)
class LocalKey:
    """A key of ours for the domain and selector of a signature.

    Attributes:
        public: its public half.
        place: the file, for people.
    """

    public: PublicKey
    place: str


@dataclass(frozen=True, slots=True)
class Published:
    """What DNS has for a signature.

    Attributes:
        name: the owner name of the record.
        outcome: what came of the question.
        detail: the server asked, how long it took, the CNAME that was followed.
        count: how many records there are.
        record: the one that was used, or that comes nearest to being usable.
    """

    name: str
    outcome: TxtOutcome
    detail: str = ""
    count: int = 0
    record: KeyRecord | None = None

    @property
    def public(self) -> PublicKey | None:
        """The published key."""
        return self.record.public if self.record else None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was measured, whatever the result; None where it could not be told.

    Attributes:
        body_matches: whether bh= is the hash of this body.
        header_matches: whether b= is a signature of this header section.
        published_key_signed: whether the published key made b=, over whatever.
        local_key_signed: whether the local key did.
        signing_key: the key that is known to have made b=.
    """

    body_matches: bool | None = None
    header_matches: bool | None = None
    published_key_signed: bool | None = None
    local_key_signed: bool | None = None
    signing_key: PublicKey | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found about one signature.

    Attributes:
        result: RFC 8601's word.
        cause: the symptom and its likely cause.
        fix: what to do; empty for a pass.
        domain, selector, algorithm: of the signature, empty when it cannot be read.
        notes: what a reader should know of the signature, even when it passes.
        signature: the field, read; None when it cannot be.
        published: what DNS has; None when it was not asked.
        local: our own key of that name; None when there is none.
        evidence: what was measured.
        copy_of: the number, from 0, of the signature that this one is a copy of.
        is_skipped: it was not verified, because there are too many.
    """

    result: Result
    cause: str
    fix: str = ""
    domain: str = ""
    selector: str = ""
    algorithm: str = ""
    notes: tuple[str, ...] = ()
    signature: Signature | None = None
    published: Published | None = None
    local: LocalKey | None = None
    evidence: Evidence = field(default_factory=Evidence)
    copy_of: int | None = None
    is_skipped: bool = False

    @property
    def passed(self) -> bool:
        """Whether the signature verifies."""
        return self.result is Result.PASS
