"""What an answer from DNS means for a key: symptom, cause, fix. Pure.

The gate, `dns check` and `verify` all ask here, so that they cannot disagree.
RFC 6376 §3.6.1 (the record), §3.6.2.2 (several records, strings), RFC 8301 §3.2, RFC 8463 §4.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from relay.core.dkim.algorithm import DEFAULT_RSA_BITS, MIN_RSA_BITS, Algorithm, PublicKey
from relay.core.dkim.causes import AS_PRINTED, Cause, has_key, why_excluded, why_unreadable
from relay.core.dkim.query import TxtAnswer, TxtOutcome
from relay.core.dkim.record import KeyRecord, parse_record
from relay.core.dkim.tags import TagFault
from relay.core.errors import SyntaxFault
from relay.dns.finding import Code, Finding, Severity

_SHOWN_CHARACTERS = 100
_SHOWN_RECORDS = 5
_SPACED_KEY = re.compile(rb"(?:\A|;)\s*p\s*=\s*[A-Za-z0-9+/]+\s+[A-Za-z0-9+/=]")


class RecordState(StrEnum):
    """How the record of a key stands."""

    UNCHECKED = "unchecked"  # not asked for yet
    MATCHES = "matches"  # a verifier can use it
    MISSING = "missing"
    DIFFERENT = "different"  # it has another key
    REVOKED = "revoked"  # p= is empty
    MALFORMED = "malformed"  # cannot be read, or its tags or size exclude our signatures
    SEVERAL = "several"  # more than one record: a verifier may take any
    TEMPERROR = "temperror"  # DNS did not answer


@dataclass(frozen=True, slots=True)
class Judgement:
    """What an answer means.

    Attributes:
        state: how the record stands.
        findings: the one that gave the state, then what is worth knowing besides.
        record: the record as it was read; None when there is not exactly one that can be.
    """

    state: RecordState
    findings: tuple[Finding, ...]
    record: KeyRecord | None = None


def judge(answer: TxtAnswer, public: PublicKey) -> tuple[RecordState, str]:
    """What an answer means for a key.

    Args:
        answer: of the TXT question for the key's record.
        public: the key that should be there.

    Returns:
        The state, and for logs and people: symptom, cause, fix.
    """
    judgement = examine(answer, public)
    said = [f for f in judgement.findings if f.severity is not Severity.NOTE]
    finding = "; ".join(map(str, said))
    return judgement.state, f"{finding} [{answer.detail}]" if answer.detail else finding


def examine(answer: TxtAnswer, public: PublicKey | None) -> Judgement:
    """What an answer means for a key, finding by finding.

    Args:
        answer: of the TXT question for the key's record.
        public: the key that should be there; None when it is not known: then MATCHES means
            that a verifier can use what is there.
    """
    match answer.outcome:
        case TxtOutcome.FOUND:
            return _examine_records(answer.records, public)
        case TxtOutcome.NXDOMAIN:
            return _missing("the name does not exist")
        case TxtOutcome.NO_DATA:
            return _missing("the name exists, but has no TXT record")
        case TxtOutcome.SERVFAIL:
            symptom = "DNS failed to answer, which says nothing about the record"
            fault = _fault(Code.SERVFAIL, symptom, fix="see its log")
            return Judgement(RecordState.TEMPERROR, (fault,))
        case TxtOutcome.TIMEOUT:
            symptom = "DNS did not answer in time, which says nothing about the record"
            return Judgement(RecordState.TEMPERROR, (_fault(Code.TIMEOUT, symptom),))


def _missing(symptom: str) -> Judgement:
    cause = "it was not entered yet, or under another name"
    return Judgement(RecordState.MISSING, (_fault(Code.MISSING, symptom, cause, AS_PRINTED),))


def _examine_records(records: tuple[bytes, ...], public: PublicKey | None) -> Judgement:
    if len(set(records)) == 1:  # the same text in strings of other lengths is the same record
        return _examine_record(records[0], public)
    if not records:
        return _missing("there is no record")
    # RFC 6376 §3.6.2.2: what a verifier does with several records is undefined.
    matching = RecordState.MATCHES
    others = [record for record in records if _examine_record(record, public).state is not matching]
    listed = "; ".join(_shown(record) for record in others[:_SHOWN_RECORDS])
    listed += "; ..." if len(others) > _SHOWN_RECORDS else ""
    if len(others) == len(records):
        what, fix = "none has this key", f"delete them all ({listed}) and {AS_PRINTED}"
    elif others:
        what, fix = "one has this key", f"delete the rest: {listed}"
    else:
        what, fix = "each can be used", "keep one"
    symptom = f"{len(records)} records, a verifier may take any; {what}"
    cause = "an older record, perhaps one shared by several services, was left there"
    return Judgement(RecordState.SEVERAL, (_fault(Code.SEVERAL, symptom, cause, fix),))


def _examine_record(octets: bytes, public: PublicKey | None) -> Judgement:
    try:
        record = parse_record(octets)
    except SyntaxFault as exc:
        return Judgement(RecordState.MALFORMED, (_unreadable(octets, public, exc),))
    if record.public is None:
        cause = "it was revoked on purpose, or the console took p= for empty"
        fix = "make a new key, or publish this one again if the revocation was a mistake"
        fault = _fault(Code.REVOKED, "p= is empty, which revokes the key", cause, fix)
        return Judgement(RecordState.REVOKED, (fault,), record)
    if public is not None and record.public != public:
        what = (
            f"the record has the key {record.public.fingerprint} ({record.key_type}), ours is"
            f" {public.fingerprint} ({public.algorithm.key_type})"
        )
        cause = "an older record, or another server's key, at this selector"
        return Judgement(
            RecordState.DIFFERENT, (_fault(Code.DIFFERENT, what, cause, AS_PRINTED),), record
        )
    notes = tuple(_worth_knowing(octets, record))
    if (excluded := why_excluded(record)) is not None:
        fault = _fault(_code(excluded), excluded.what, fix=excluded.fix)
        return Judgement(RecordState.MALFORMED, (fault, *notes), record)
    what = "published and matching" if public is not None else "published"
    good = Finding(Code.PUBLISHED, Severity.OK, what)
    return Judgement(RecordState.MATCHES, (good, *notes), record)


def _unreadable(octets: bytes, public: PublicKey | None, fault: SyntaxFault) -> Finding:
    cause = why_unreadable(octets, public)
    tag, offset = (fault.tag, fault.offset) if isinstance(fault, TagFault) else (None, None)
    symptom = _short(str(fault))
    return Finding(
        _code(cause), Severity.FAULT, symptom, cause.what, cause.fix, tag=tag, offset=offset
    )


def _code(cause: Cause) -> Code:
    return Code(cause.kind.value)


def _worth_knowing(octets: bytes, record: KeyRecord) -> Iterator[Finding]:
    """What should be looked at although a verifier can use the record."""
    if record.is_testing:
        what = "t=y tells receivers that the domain is only testing"
        fix = "remove t=y once mail verifies: receivers may ignore signatures until then"
        yield _warning(Code.TESTING, what, fix)
    if record.granularity not in (None, "*"):
        what = f"g={record.granularity} matches no signature without i="
        fix = "remove g=: it means nothing since RFC 6376, but old receivers refuse the signature"
        yield _warning(Code.GRANULARITY, _short(what), fix)
    if _SPACED_KEY.search(octets):
        what = "there are spaces inside p=, which RFC 6376 permits and some receivers refuse"
        yield Finding(Code.SPACES_IN_KEY, Severity.NOTE, what, fix="enter p= without spaces")
    if not octets.lstrip().startswith(b"v"):
        what = "v=DKIM1 is left out, which RFC 6376 permits and some receivers and tests refuse"
        yield Finding(Code.NO_VERSION, Severity.NOTE, what, fix="begin the record with v=DKIM1;")


def size_finding(public: PublicKey) -> Finding | None:
    """What to know about a key of this size that a verifier takes; None when nothing."""
    if public.algorithm is not Algorithm.RSA_SHA256 or public.bits < MIN_RSA_BITS:
        return None
    size = f"an RSA key of {public.bits} bits"
    if public.bits < DEFAULT_RSA_BITS:
        fix = "make one of 2048 bits: dkim-relay keys new"
        return _warning(Code.SHORT_KEY, f"{size} can be factored with means that exist", fix)
    if public.bits > DEFAULT_RSA_BITS:
        what = f"{size} is longer than some receivers and consoles take"
        fix = "2048 bits is what all of them take"
        return Finding(Code.LONG_KEY, Severity.NOTE, what, fix=fix)
    return None


def carries(answer: TxtAnswer, public: PublicKey) -> bool:
    """Whether one of the records has this key in p=, whatever else is wrong with it."""
    return any(has_key(octets, public) for octets in answer.records)


def _fault(code: Code, symptom: str, cause: str = "", fix: str = "") -> Finding:
    return Finding(code, Severity.FAULT, symptom, cause, fix)


def _warning(code: Code, symptom: str, fix: str) -> Finding:
    return Finding(code, Severity.WARNING, symptom, fix=fix)


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."


def _shown(octets: bytes) -> str:
    """The beginning of a record on one line of printable ASCII, with its key's fingerprint."""
    text = _short(ascii(octets.decode("utf-8", "backslashreplace")))
    try:
        public = parse_record(octets).public
    except SyntaxFault:
        return text
    return f"{text} (the key {public.fingerprint})" if public is not None else text
