"""Why a key record is of no use: one list for `verify`, the gate and `dns check`. Pure.

Either it cannot be read: then it is told from what arrived what a console or somebody did to it on
its way into DNS, and the first that fits is the likely cause. Or it can, and excludes mail that is
signed as we sign it (RFC 6376 §3.6.1, RFC 8301 §3).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from relay.core.dkim.algorithm import MIN_RSA_BITS, Algorithm, PublicKey
from relay.core.dkim.record import TXT_STRING_OCTETS, KeyRecord

AS_PRINTED = "publish it as `dkim-relay keys record` prints it"
_ITEM = re.compile(rb"(?:\A|;)\s*([A-Za-z][A-Za-z0-9_]*)\s*=\s*([^;]*)")
_NEXT_TAG = re.compile(rb"(?:\s|DKIM1|rsa|ed25519)[kpthsnv]\s*=\s*[^\s=]")
_NOT_KEYS = (
    (b"v=spf", "an SPF record"),
    (b"v=dmarc", "a DMARC record"),
    (b"o=", "a DomainKeys policy, which means nothing today"),
)
_QUOTES = ('"', "'", "\N{LEFT DOUBLE QUOTATION MARK}", "\N{RIGHT DOUBLE QUOTATION MARK}")


class Kind(StrEnum):
    """What is wrong; scripts compare these words."""

    MALFORMED = "malformed"  # none of the following
    NOT_A_KEY = "not_a_key"
    QUOTES = "quotes"
    ESCAPES = "escapes"
    PEM_LINES = "pem_lines"
    NAME_IN_VALUE = "name_in_value"
    NOT_ASCII = "not_ascii"
    KEY_TYPE = "key_type"
    CUT_OFF = "cut_off"
    LOST_SEMICOLONS = "lost_semicolons"
    LETTER_CASE = "letter_case"
    VERSION_NOT_FIRST = "version_not_first"
    HASH_EXCLUDED = "hash_excluded"
    SERVICE_EXCLUDED = "service_excluded"
    SHORT_KEY = "short_key"


@dataclass(frozen=True, slots=True)
class Cause:
    """What is wrong with a record, or probably happened to it, and what to do."""

    kind: Kind
    what: str
    fix: str = AS_PRINTED


def why_unreadable(octets: bytes, public: PublicKey | None = None) -> Cause:
    """What probably happened to a record that cannot be read.

    Args:
        octets: the record, its strings joined.
        public: the key that should be there; None when it is not known.
    """
    found = (cause for check in _CHECKS if (cause := check(octets, public)))
    return next(found, Cause(Kind.MALFORMED, "it was changed on its way into DNS"))


def why_excluded(record: KeyRecord) -> Cause | None:
    """Why a record keeps its own key from signatures like ours; None when it does not.

    Args:
        record: with a key.
    """
    if record.hashes and "sha256" not in record.hashes:
        given = ":".join(sorted(record.hashes))
        what = f"h={given} excludes sha256, the hash that mail is signed with"
        return Cause(Kind.HASH_EXCLUDED, what, "remove h= from the record")
    if not record.services & {"*", "email"}:
        what = f"s={':'.join(sorted(record.services))} excludes email"
        return Cause(Kind.SERVICE_EXCLUDED, what, "remove s= from the record")
    public = record.public
    is_rsa = public is not None and public.algorithm is Algorithm.RSA_SHA256
    if public is not None and is_rsa and public.bits < MIN_RSA_BITS:
        what = f"an RSA key of {public.bits} bits, which receivers must not rely on (RFC 8301)"
        return Cause(Kind.SHORT_KEY, what, "make one of 2048 bits: dkim-relay keys new")
    return None


def has_key(octets: bytes, public: PublicKey) -> bool:
    """Whether the p= of a record is this key, whatever else is wrong with it."""
    return _tags(octets).get(b"p") == _base64(public)


def _other_record(octets: bytes, public: PublicKey | None) -> Cause | None:
    start = octets.strip()[:12].lower()
    for prefix, what in _NOT_KEYS:
        if start.startswith(prefix):
            cause = f"this is {what}, not a key: a wildcard record, or the wrong name"
            return Cause(Kind.NOT_A_KEY, cause, f"delete it, and {AS_PRINTED}")
    if b"=" in octets:
        return None
    return Cause(Kind.NOT_A_KEY, "this is no key record", f"delete it, and {AS_PRINTED}")


def _quoted(octets: bytes, public: PublicKey | None) -> Cause | None:
    if any(quote.encode() in octets for quote in _QUOTES):
        fix = "enter it without them, the console adds its own"
        return Cause(Kind.QUOTES, "quotes became part of the record", fix)
    return None


def _escaped(octets: bytes, public: PublicKey | None) -> Cause | None:
    if b"\\" in octets:
        return Cause(Kind.ESCAPES, "backslashes became part of the record", "enter it without them")
    return None


def _pasted_pem(octets: bytes, public: PublicKey | None) -> Cause | None:
    if b"-----" in octets:
        return Cause(Kind.PEM_LINES, "the BEGIN and END lines of a key file are in p=")
    return None


def _pasted_name(octets: bytes, public: PublicKey | None) -> Cause | None:
    if b"_domainkey" in octets:
        fix = "enter only what follows it"
        return Cause(Kind.NAME_IN_VALUE, "the name of the record is in its value", fix)
    return None


def _not_ascii(octets: bytes, public: PublicKey | None) -> Cause | None:
    if octets.isascii():
        return None
    return Cause(Kind.NOT_ASCII, "it was copied through a document that put other characters in")


def _wrong_type(octets: bytes, public: PublicKey | None) -> Cause | None:
    if public is None:
        return None
    expected = public.algorithm.key_type
    given = _tags(octets).get(b"k", b"rsa").decode("ascii", "backslashreplace")
    if has_key(octets, public) and given != expected:
        cause = f"p= is this key, but k= says {given}"
        return Cause(Kind.KEY_TYPE, cause, f"write k={expected}")
    return None


def _cut(octets: bytes, public: PublicKey | None) -> Cause | None:
    given = _tags(octets).get(b"p", b"")
    where = " (the length of one string)" if len(octets) == TXT_STRING_OCTETS else ""
    fix = f"enter it as strings of at most {TXT_STRING_OCTETS} octets"
    if public is None:
        return Cause(Kind.CUT_OFF, f"probably cut off{where}", fix) if given and where else None
    whole = _base64(public)
    if given and given != whole and whole.startswith(given):
        cause = f"cut off: {len(given)} of {len(whole)} characters of p= are there{where}"
        return Cause(Kind.CUT_OFF, cause, fix)
    return None


def _lost_semicolons(octets: bytes, public: PublicKey | None) -> Cause | None:
    if any(_NEXT_TAG.search(value) for _, value in _ITEM.findall(octets)):
        fix = "enter it with them: some consoles need them escaped (\\;) or the whole in quotes"
        return Cause(Kind.LOST_SEMICOLONS, "semicolons between tags are lost", fix)
    return None


def _upper_case(octets: bytes, public: PublicKey | None) -> Cause | None:
    tags = _tags(octets)
    if any(name.isupper() for name in tags) or tags.get(b"v", b"DKIM1") == b"dkim1":
        return Cause(Kind.LETTER_CASE, "names of tags are lower case and DKIM1 is upper case")
    return None


def _version_not_first(octets: bytes, public: PublicKey | None) -> Cause | None:
    tags = _tags(octets)
    if tags.get(b"v") == b"DKIM1" and next(iter(tags)) != b"v":
        return Cause(Kind.VERSION_NOT_FIRST, "v=DKIM1 must stand first")
    return None


_CHECKS: tuple[Callable[[bytes, PublicKey | None], Cause | None], ...] = (
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
