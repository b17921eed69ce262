"""What an answer from DNS means for a key: symptom, cause, fix. Pure.

RFC 6376 §3.6.1 (the record), §3.6.2.2 (several records, strings), RFC 8463 §4.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from enum import StrEnum

from relay.core.dkim.algorithm import PublicKey
from relay.core.dkim.query import TxtAnswer, TxtOutcome
from relay.core.dkim.record import TXT_STRING_OCTETS, KeyRecord, parse_record
from relay.core.errors import SyntaxFault

_AS_PRINTED = "publish it as `dkim-relay keys record` prints it"
_ITEM = re.compile(rb"(?:\A|;)\s*([A-Za-z][A-Za-z0-9_]*)\s*=\s*([^;]*)")
_NEXT_TAG = re.compile(rb"(?:\s|DKIM1|rsa|ed25519)[kpthsnv]\s*=\s*[^\s=]")
_QUOTES = ('"', "'", "\N{LEFT DOUBLE QUOTATION MARK}", "\N{RIGHT DOUBLE QUOTATION MARK}")
_SHOWN_CHARACTERS = 100


class RecordState(StrEnum):
    """How the record of a key stands."""

    UNCHECKED = "unchecked"  # not asked for yet
    MATCHES = "matches"  # a verifier can use it
    MISSING = "missing"
    DIFFERENT = "different"  # it has another key
    REVOKED = "revoked"  # p= is empty
    MALFORMED = "malformed"  # cannot be read, or its tags exclude our signatures
    SEVERAL = "several"  # more than one record: a verifier may take any
    TEMPERROR = "temperror"  # DNS did not answer


def judge(answer: TxtAnswer, public: PublicKey) -> tuple[RecordState, str]:
    """What an answer means for a key.

    Args:
        answer: of the TXT question for the key's record.
        public: the key that should be there.

    Returns:
        The state, and for logs and people: symptom, cause, fix.
    """
    match answer.outcome:
        case TxtOutcome.FOUND:
            state, finding = _judge_records(answer.records, public)
        case TxtOutcome.NXDOMAIN:
            state, finding = RecordState.MISSING, f"the name does not exist: {_AS_PRINTED}"
        case TxtOutcome.NO_DATA:
            finding = f"the name exists, but has no TXT record: {_AS_PRINTED}"
            state = RecordState.MISSING
        case TxtOutcome.SERVFAIL:
            finding = "DNS failed to answer, which says nothing about the record: see its log"
            state = RecordState.TEMPERROR
        case TxtOutcome.TIMEOUT:
            finding = "DNS did not answer in time, which says nothing about the record"
            state = RecordState.TEMPERROR
    return state, f"{finding} [{answer.detail}]" if answer.detail else finding


def _judge_records(records: tuple[bytes, ...], public: PublicKey) -> tuple[RecordState, str]:
    if len(set(records)) == 1:  # the same text in strings of other lengths is the same record
        return _judge_record(records[0], public)
    if not records:
        return RecordState.MISSING, f"there is no record: {_AS_PRINTED}"
    # RFC 6376 §3.6.2.2: what a verifier does with several records is undefined.
    matching = RecordState.MATCHES
    others = [record for record in records if _judge_record(record, public)[0] is not matching]
    listed = "; ".join(_shown(record) for record in others)
    if len(others) == len(records):
        what, fix = "none has this key", f"delete them all ({listed}) and {_AS_PRINTED}"
    elif others:
        what, fix = "one has this key", f"delete the rest: {listed}"
    else:
        what, fix = "each has this key", "keep one"
    return RecordState.SEVERAL, f"{len(records)} records, a verifier may take any; {what}: {fix}"


def _judge_record(octets: bytes, public: PublicKey) -> tuple[RecordState, str]:
    try:
        record = parse_record(octets)
    except SyntaxFault as exc:
        hint = _diagnosis(octets, public)
        return RecordState.MALFORMED, f"{_short(str(exc))}; {hint}"
    if record.public is None:
        fix = "make a new key, or publish this one again if the revocation was a mistake"
        return RecordState.REVOKED, f"p= is empty, which revokes the key: {fix}"
    if record.public != public:
        what = (
            f"the record has the key {record.public.fingerprint} ({record.key_type}), ours is"
            f" {public.fingerprint} ({public.algorithm.key_type})"
        )
        cause = "an older record, or another server's key, at this selector"
        return RecordState.DIFFERENT, f"{what}; {cause}: {_AS_PRINTED}"
    if excluded := _exclusion(record):
        return RecordState.MALFORMED, excluded
    notes = "; t=y tells receivers that the domain is only testing" if record.is_testing else ""
    return RecordState.MATCHES, f"published and matching{notes}"


def _exclusion(record: KeyRecord) -> str:
    """Why the tags of a record keep its key from our signatures; empty when they do not."""
    if record.hashes and "sha256" not in record.hashes:  # RFC 6376 §3.6.1, h=
        given = ":".join(sorted(record.hashes))
        return f"h={given} excludes sha256, the hash we sign with: remove h="
    if not record.services & {"*", "email"}:  # RFC 6376 §3.6.1, s=
        return f"s={':'.join(sorted(record.services))} excludes mail: remove s="
    return ""


def _diagnosis(octets: bytes, public: PublicKey) -> str:
    """What probably happened to a record that cannot be read, and what to do."""
    found = (hint for check in _DIAGNOSES if (hint := check(octets, public)))
    return next(found, _AS_PRINTED)


def _other_record(octets: bytes, public: PublicKey) -> str:
    start = octets.strip()[:12].lower()
    for prefix, kind in ((b"v=spf", "SPF"), (b"v=dmarc", "DMARC"), (b"o=", "an old policy")):
        if start.startswith(prefix):
            return f"this is {kind}, not a key: a wildcard record, or the wrong name"
    return "" if b"=" in octets else f"this is no key record: {_AS_PRINTED}"


def _quoted(octets: bytes, public: PublicKey) -> str:
    if any(quote.encode() in octets for quote in _QUOTES):
        return "quotes became part of the record: enter it without them, the console adds its own"
    return ""


def _escaped(octets: bytes, public: PublicKey) -> str:
    if b"\\" in octets:
        return "backslashes became part of the record: enter it without them"
    return ""


def _pasted_pem(octets: bytes, public: PublicKey) -> str:
    if b"-----" in octets:
        return "the BEGIN and END lines of a key file are in p=: " + _AS_PRINTED
    return ""


def _pasted_name(octets: bytes, public: PublicKey) -> str:
    if b"_domainkey" in octets:
        return "the name of the record is in its value: enter only what follows it"
    return ""


def _not_ascii(octets: bytes, public: PublicKey) -> str:
    if not octets.isascii():
        return "it was copied through a document that put other characters in: " + _AS_PRINTED
    return ""


def _wrong_type(octets: bytes, public: PublicKey) -> str:
    tags = _tags(octets)
    expected = public.algorithm.key_type
    given = tags.get(b"k", b"rsa").decode("ascii", "backslashreplace")
    if tags.get(b"p") == _base64(public) and given != expected:
        return f"p= is this key, but k= says {given}: write k={expected}"
    return ""


def _cut(octets: bytes, public: PublicKey) -> str:
    given, whole = _tags(octets).get(b"p", b""), _base64(public)
    if given and given != whole and whole.startswith(given):
        where = " (the length of one string)" if len(octets) == TXT_STRING_OCTETS else ""
        what = f"cut off: {len(given)} of {len(whole)} characters of p= are there{where}"
        return f"{what}; enter it as strings of at most {TXT_STRING_OCTETS} octets"
    return ""


def _lost_semicolons(octets: bytes, public: PublicKey) -> str:
    if any(_NEXT_TAG.search(value) for _, value in _ITEM.findall(octets)):
        return "semicolons between tags are lost: the console needs them escaped or quoted"
    return ""


def _upper_case(octets: bytes, public: PublicKey) -> str:
    tags = _tags(octets)
    if any(name.isupper() for name in tags) or tags.get(b"v", b"DKIM1") == b"dkim1":
        return "names of tags are lower case and DKIM1 is upper case: " + _AS_PRINTED
    return ""


def _version_not_first(octets: bytes, public: PublicKey) -> str:
    tags = _tags(octets)
    if tags.get(b"v") == b"DKIM1" and next(iter(tags)) != b"v":
        return "v=DKIM1 must stand first: " + _AS_PRINTED
    return ""


_DIAGNOSES: tuple[Callable[[bytes, PublicKey], str], ...] = (
    _other_record,
    _quoted,
    _escaped,
    _pasted_pem,
    _pasted_name,
    _not_ascii,
    _wrong_type,
    _cut,
    _lost_semicolons,
    _upper_case,
    _version_not_first,
)


def _tags(octets: bytes) -> dict[bytes, bytes]:
    """Tags as far as they can be made out; the first of each name; no white space."""
    tags: dict[bytes, bytes] = {}
    for name, value in _ITEM.findall(octets):
        tags.setdefault(name, b"".join(value.split()))
    return tags


def _base64(public: PublicKey) -> bytes:
    return base64.b64encode(public.octets)


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."


def _shown(record: bytes) -> str:
    """The beginning of a record on one line of printable ASCII."""
    return _short(ascii(record.decode("utf-8", "backslashreplace")))
