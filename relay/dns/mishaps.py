"""What consoles and people do to a record on its way into DNS, told from what arrived. Pure.

Only asked for a record that cannot be read; the first that fits is the likely cause.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass

from relay.core.dkim.algorithm import PublicKey
from relay.core.dkim.record import TXT_STRING_OCTETS
from relay.dns.finding import Code

AS_PRINTED = "publish it as `dkim-relay keys record` prints it"
_ITEM = re.compile(rb"(?:\A|;)\s*([A-Za-z][A-Za-z0-9_]*)\s*=\s*([^;]*)")
_NEXT_TAG = re.compile(rb"(?:\s|DKIM1|rsa|ed25519)[kpthsnv]\s*=\s*[^\s=]")
_QUOTES = ('"', "'", "\N{LEFT DOUBLE QUOTATION MARK}", "\N{RIGHT DOUBLE QUOTATION MARK}")


@dataclass(frozen=True, slots=True)
class Mishap:
    """What probably happened, and what to do."""

    code: Code
    cause: str
    fix: str = AS_PRINTED


def find_mishap(octets: bytes, public: PublicKey | None) -> Mishap:
    """What probably happened to a record that cannot be read.

    Args:
        octets: the record, its strings joined.
        public: the key that should be there; None when it is not known.
    """
    found = (mishap for check in _CHECKS if (mishap := check(octets, public)))
    return next(found, Mishap(Code.MALFORMED, "it was changed on its way into DNS"))


def has_key(octets: bytes, public: PublicKey) -> bool:
    """Whether the p= of a record is this key, whatever else is wrong with it."""
    return _tags(octets).get(b"p") == _base64(public)


def _other_record(octets: bytes, public: PublicKey | None) -> Mishap | None:
    start = octets.strip()[:12].lower()
    for prefix, kind in ((b"v=spf", "SPF"), (b"v=dmarc", "DMARC"), (b"o=", "an old policy")):
        if start.startswith(prefix):
            cause = f"this is {kind}, not a key: a wildcard record, or the wrong name"
            return Mishap(Code.NOT_A_KEY, cause)
    return None if b"=" in octets else Mishap(Code.NOT_A_KEY, "this is no key record")


def _quoted(octets: bytes, public: PublicKey | None) -> Mishap | None:
    if any(quote.encode() in octets for quote in _QUOTES):
        fix = "enter it without them, the console adds its own"
        return Mishap(Code.QUOTES, "quotes became part of the record", fix)
    return None


def _escaped(octets: bytes, public: PublicKey | None) -> Mishap | None:
    if b"\\" in octets:
        return Mishap(
            Code.ESCAPES, "backslashes became part of the record", "enter it without them"
        )
    return None


def _pasted_pem(octets: bytes, public: PublicKey | None) -> Mishap | None:
    if b"-----" in octets:
        return Mishap(Code.PEM_LINES, "the BEGIN and END lines of a key file are in p=")
    return None


def _pasted_name(octets: bytes, public: PublicKey | None) -> Mishap | None:
    if b"_domainkey" in octets:
        fix = "enter only what follows it"
        return Mishap(Code.NAME_IN_VALUE, "the name of the record is in its value", fix)
    return None


def _not_ascii(octets: bytes, public: PublicKey | None) -> Mishap | None:
    if octets.isascii():
        return None
    return Mishap(Code.NOT_ASCII, "it was copied through a document that put other characters in")


def _wrong_type(octets: bytes, public: PublicKey | None) -> Mishap | None:
    if public is None:
        return None
    expected = public.algorithm.key_type
    given = _tags(octets).get(b"k", b"rsa").decode("ascii", "backslashreplace")
    if has_key(octets, public) and given != expected:
        cause = f"p= is this key, but k= says {given}"
        return Mishap(Code.KEY_TYPE, cause, f"write k={expected}")
    return None


def _cut(octets: bytes, public: PublicKey | None) -> Mishap | None:
    given = _tags(octets).get(b"p", b"")
    where = " (the length of one string)" if len(octets) == TXT_STRING_OCTETS else ""
    fix = f"enter it as strings of at most {TXT_STRING_OCTETS} octets"
    if public is None:
        return Mishap(Code.CUT_OFF, f"probably cut off{where}", fix) if given and where else None
    whole = _base64(public)
    if given and given != whole and whole.startswith(given):
        cause = f"cut off: {len(given)} of {len(whole)} characters of p= are there{where}"
        return Mishap(Code.CUT_OFF, cause, fix)
    return None


def _lost_semicolons(octets: bytes, public: PublicKey | None) -> Mishap | None:
    if any(_NEXT_TAG.search(value) for _, value in _ITEM.findall(octets)):
        fix = "the console needs them escaped or quoted"
        return Mishap(Code.LOST_SEMICOLONS, "semicolons between tags are lost", fix)
    return None


def _upper_case(octets: bytes, public: PublicKey | None) -> Mishap | None:
    tags = _tags(octets)
    if any(name.isupper() for name in tags) or tags.get(b"v", b"DKIM1") == b"dkim1":
        return Mishap(Code.LETTER_CASE, "names of tags are lower case and DKIM1 is upper case")
    return None


def _version_not_first(octets: bytes, public: PublicKey | None) -> Mishap | None:
    tags = _tags(octets)
    if tags.get(b"v") == b"DKIM1" and next(iter(tags)) != b"v":
        return Mishap(Code.VERSION_NOT_FIRST, "v=DKIM1 must stand first")
    return None


_CHECKS: tuple[Callable[[bytes, PublicKey | None], Mishap | None], ...] = (
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
