"""Why a body hash does not match, from the received body alone. Pure. RFC 6376 §3.4, §3.7."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from relay.core.dkim.canonical import Canonicalization
from relay.core.dkim.diagnose.change import CANONICAL_FIX, NOT_AFTER_SIGNING, SIGNER_FIX, Change
from relay.core.dkim.diagnose.undo import undone
from relay.core.dkim.signature import Signature
from relay.core.excerpt import counted, excerpt
from relay.core.message import Message

MAX_FOOTER_LINES = 20_000  # how many lines at the end are tried as added
MAX_BANNER_LINES = 50  # how many lines at the beginning
MAX_BANNER_OCTETS = 64 * 1024 * 1024  # hashed in all for that
_CRLF = b"\r\n"
_BLANKS = re.compile(rb"  +")
UNKNOWN = Change(
    "what changed cannot be told from this message alone",
    "compare it with the message as it was sent: --original FILE",
)


def explain_body(message: Message, signature: Signature) -> Change:
    """Why bh= is not the hash of this body.

    Args:
        message: as received.
        signature: whose body hash does not match.

    Returns:
        The change that explains bh= exactly, or the advice to compare with the original.
    """
    body = b"".join(message.body)
    return next(_explanations(message, body, signature), UNKNOWN)


def _explanations(message: Message, body: bytes, signature: Signature) -> Iterator[Change]:
    method, length, expected = signature.body_method, signature.length, signature.body_hash

    def matches(octets: bytes) -> bool:
        return hashlib.sha256(octets[:length]).digest() == expected

    if matches(canonical_body(body, _other(method))):
        yield _other_canonicalization(method)
    canonical = canonical_body(body, method)
    for change, octets in _hashed_otherwise(body, canonical):
        if matches(octets):
            yield change
    for change, before in undone(message, body):
        if matches(canonical_body(before, method)):
            yield change
    if length is None:
        yield from _footer(body, canonical, expected)
        yield from _banner(canonical, expected)


def _hashed_otherwise(body: bytes, canonical: bytes) -> Iterator[tuple[Change, bytes]]:
    """What faulty signers hash instead of the canonical body."""
    empty = Change(
        "the body was empty when it was signed: the signer did not get to see it", SIGNER_FIX
    )
    yield empty, b""
    yield empty, _CRLF
    what = "the signer hashed LF line ends instead of CRLF"
    yield Change(what, SIGNER_FIX), canonical.replace(_CRLF, b"\n")
    what = "the signer left the last line end out of the hash"
    yield Change(what, SIGNER_FIX), canonical.removesuffix(_CRLF)
    yield Change("the signer hashed the blank lines at the end too", SIGNER_FIX), body


def _other(method: Canonicalization) -> Canonicalization:
    match method:
        case Canonicalization.SIMPLE:
            return Canonicalization.RELAXED
        case Canonicalization.RELAXED:
            return Canonicalization.SIMPLE


def _other_canonicalization(method: Canonicalization) -> Change:
    match method:
        case Canonicalization.SIMPLE:
            what = "relaxed body canonicalization would have matched: only white space in lines "
            return Change(what + "or at their end was added after signing", CANONICAL_FIX)
        case Canonicalization.RELAXED:
            what = "simple body canonicalization matches: the signer wrote relaxed in c= and "
            return Change(what + "hashed the body as it was", SIGNER_FIX)


def canonical_body(body: bytes, method: Canonicalization) -> bytes:
    """The body as it is hashed (RFC 6376 §3.4.3, §3.4.4); CRLF line ends, ending in one."""
    if method is Canonicalization.RELAXED:
        body = _BLANKS.sub(b" ", body.replace(b"\t", b" ")).replace(b" \r\n", _CRLF)
    end = len(body)
    while body.endswith(_CRLF, 0, end):
        end -= len(_CRLF)
    if end or method is Canonicalization.SIMPLE:
        return body[:end] + _CRLF
    return b""


def _footer(body: bytes, canonical: bytes, expected: bytes) -> Iterator[Change]:
    """The body without its last lines: what a footer is appended to."""
    lines = canonical.split(_CRLF)
    first = max(0, len(lines) - MAX_FOOTER_LINES)
    hasher = hashlib.sha256(b"".join(line + _CRLF for line in lines[:first]))
    for i in range(first, len(lines)):
        hasher.update(lines[i] + _CRLF)
        # Blank lines at the end do not count, so only a line with text can be the last.
        if lines[i] and hasher.copy().digest() == expected:
            received = body.split(_CRLF)
            added = _CRLF.join(received[i + 1 :])
            shown = excerpt(added)
            yield Change(
                f"a footer of {counted(len(added), 'octet')} was appended after line {i + 1} of "
                f"the body, beginning {shown!r}: mailing lists and scanners do that",
                NOT_AFTER_SIGNING,
            )
            return


def _banner(canonical: bytes, expected: bytes) -> Iterator[Change]:
    """The body without its first lines: what a warning is put in front of."""
    attempts = min(MAX_BANNER_LINES, MAX_BANNER_OCTETS // max(len(canonical), 1))
    start = 0
    for line in range(1, attempts + 1):
        end = canonical.find(_CRLF, start)
        if end < 0:
            return
        start = end + len(_CRLF)
        if hashlib.sha256(canonical[start:]).digest() == expected:
            shown = excerpt(canonical[:start])
            yield Change(
                f"a warning or banner was put in front of the body ({counted(line, 'line')}, "
                f"beginning {shown!r}): gateways do that",
                NOT_AFTER_SIGNING,
            )
            return
