"""What usually happens to a body on its way, taken back. Pure.

Each function gives the body as it may have been, or None when there is nothing to take back.
Bodies are octets with CRLF line ends, ending in one.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from relay.core.dkim.diagnose.change import (
    EIGHT_BIT_FIX,
    LONG_LINE_FIX,
    NOT_AFTER_SIGNING,
    SIGNER_FIX,
    Change,
)
from relay.core.errors import SyntaxFault
from relay.core.message import Field, Message
from relay.core.mime import PLAIN_TEXT, Entity, read_entity, split_multipart

MAX_DEPTH = 10  # of MIME parts
_CRLF = b"\r\n"
_FOLDED_FROM_OCTETS = (
    900  # hops fold lines at 990 or 998 octets; none that long is folded by chance
)
_ENCODED = re.compile(rb"quoted-printable|base64", re.IGNORECASE)
_ENCODING = b"content-transfer-encoding"

Undo = Callable[[Message, bytes], bytes | None]


@dataclass(frozen=True, slots=True)
class Undoing:
    """A usual change, and how it is taken back."""

    change: Change
    undo: Undo


def undone(message: Message, body: bytes) -> Iterator[tuple[Change, bytes]]:
    """Each usual change that may have been made, with the body as it was before it."""
    for undoing in _UNDOINGS:
        before = undoing.undo(message, body)
        if before is not None and before != body:
            yield undoing.change, before


def _mbox_quoting(message: Message, body: bytes) -> bytes:
    return _at_line_starts(body, b">From ", b"From ")


def _dots_doubled(message: Message, body: bytes) -> bytes:
    return _at_line_starts(body, b"..", b".")


def _dots_hashed(message: Message, body: bytes) -> bytes:
    return _at_line_starts(body, b".", b"..")


def _at_line_starts(body: bytes, old: bytes, new: bytes) -> bytes:
    return (_CRLF + body).replace(_CRLF + old, _CRLF + new)[len(_CRLF) :]


def _long_lines(message: Message, body: bytes) -> bytes:
    """Join what was folded: Postfix breaks a long line with CRLF and a blank, Sendmail with "!"."""
    lines: list[bytes] = []
    open_octets = 0  # of the last piece, when it may have been folded behind
    for line in body.split(_CRLF):
        if open_octets >= _FOLDED_FROM_OCTETS and line.startswith(b" "):
            lines[-1] = lines[-1].removesuffix(b"!")
            lines.append(line[1:])
        else:
            lines.append(_CRLF + line)
        open_octets = len(line)
    return b"".join(lines)[len(_CRLF) :]


def _signature_dashes(message: Message, body: bytes) -> bytes:
    return (_CRLF + body).replace(b"\r\n--\r\n", b"\r\n-- \r\n")[len(_CRLF) :]


def _reencoded(message: Message, body: bytes) -> bytes | None:
    try:
        return _decoded(Entity(message.fields, body), MAX_DEPTH).body
    except SyntaxFault:
        return None


def _decoded(entity: Entity, depth: int) -> Entity:
    """The entity with every text part in 8 bits, as it may have been before a hop encoded it."""
    kind, encoding = entity.content_type(PLAIN_TEXT), entity.transfer_encoding()
    if kind.main == "multipart" and depth:
        pieces = split_multipart(entity.body, kind.boundary)
        parts = [_decoded(read_entity(part), depth - 1).octets() for part in pieces.parts]
        return Entity(entity.fields, pieces.joined(parts))
    if kind.main != "text" or _ENCODED.fullmatch(encoding.encode("ascii", "replace")) is None:
        return entity
    content = decoded_content(entity.body, encoding)
    fields = tuple(
        Field(f.key, _ENCODED.sub(b"8bit", f.octets)) if f.key == _ENCODING else f
        for f in entity.fields
    )
    return entity if content is None else Entity(fields, content)


def decoded_content(body: bytes, encoding: str) -> bytes | None:
    """The content of a part; None when its base64 is damaged (RFC 2045 §6)."""
    if encoding == "quoted-printable":
        return binascii.a2b_qp(body)
    if encoding == "base64":
        try:
            return base64.b64decode(b"".join(body.split()), validate=True)
        except binascii.Error:
            return None
    return body


def _added_part(message: Message, body: bytes) -> bytes | None:
    """The body without the last part of its multipart."""
    try:
        boundary = Entity(message.fields, b"").content_type(PLAIN_TEXT).boundary
        pieces = split_multipart(body, boundary)
    except SyntaxFault:
        return None
    if len(pieces.parts) < 2:
        return None
    end = b"\r\n" if pieces.between[-1].startswith(b"\r\n") else b""
    kept = b"".join(
        b for pair in zip(pieces.between[:-2], pieces.parts[:-1], strict=True) for b in pair
    )
    return kept + end + pieces.between[-1].removeprefix(b"\r\n")


_UNDOINGS = (
    Undoing(
        Change(
            "the body was re-encoded (8bit to quoted-printable or base64) after signing: decoded, "
            "it matches; a hop without 8BITMIME does that",
            EIGHT_BIT_FIX,
        ),
        _reencoded,
    ),
    Undoing(
        Change(
            "lines that were too long were folded after signing: joined, they match; hops do that "
            "to lines over 998 octets",
            LONG_LINE_FIX,
        ),
        _long_lines,
    ),
    Undoing(
        Change(
            'a line that began with "From " got a ">" in front: a mailbox in mbox form does that',
            "look at the message as it came over SMTP, or keep such lines out of messages",
        ),
        _mbox_quoting,
    ),
    Undoing(
        Change(
            "a part was added at the end of the multipart: mailing lists and scanners do that",
            NOT_AFTER_SIGNING,
        ),
        _added_part,
    ),
    Undoing(
        Change(
            "lines that begin with a dot have one too many: a hop took no dot-stuffing away",
            "mend that hop (RFC 5321 §4.5.2)",
        ),
        _dots_doubled,
    ),
    Undoing(
        Change("the signer hashed the body with dot-stuffing (RFC 5321 §4.5.2)", SIGNER_FIX),
        _dots_hashed,
    ),
    Undoing(
        Change(
            'the blank behind "--" was taken away: programs that strip white space do that',
            NOT_AFTER_SIGNING,
        ),
        _signature_dashes,
    ),
)
