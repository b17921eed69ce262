"""Give body parts another Content-Transfer-Encoding, where MIME permits it. Pure.

RFC 2045 §6 (encodings), RFC 2046 §5 (composite types), RFC 6152 §3, RFC 1847 §2.1 (what is
signed or encrypted is not touched). Only parts that need it change: their encoded body and their
Content-Transfer-Encoding field. The decoded content of every part stays what it was, boundaries
and all other header fields keep their octets.
"""

from __future__ import annotations

import base64
import binascii
import re

from relay.core.errors import RelayError, SyntaxFault
from relay.core.message import MAX_LINE_OCTETS, new_field
from relay.core.mime import (
    EMBEDDED,
    PLAIN_TEXT,
    ContentType,
    Entity,
    read_entity,
    split_multipart,
)

_WHY_CHARACTERS = 200  # types and encodings are a stranger's words
MAX_DEPTH = 20  # each level is searched once for its boundary
_IDENTITY = frozenset({"7bit", "8bit", "binary"})
_PROTECTED = frozenset(
    {
        "multipart/signed",
        "multipart/encrypted",
        "application/pkcs7-mime",
        "application/pkcs7-signature",
        "application/x-pkcs7-mime",
        "application/x-pkcs7-signature",
        "application/pgp-encrypted",
        "application/pgp-signature",
    }
)
_INLINE_PGP = b"-----BEGIN PGP "
_QP_LINE_OCTETS = 76  # RFC 2045 §6.7 (5), CRLF excluded
_EQUALS = 0x3D
# What may not stand for itself: rule 1, and blanks at the end of a line (rule 3).
_NOT_LITERAL = re.compile(rb"[^\t\r\n -<>-~]|[ \t](?=\r\n|\Z)")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/=\r\n\t ]")


class CannotReencode(RelayError):
    """A part cannot be changed without changing what it means; the text says which."""

    def __init__(self, part: str, why: str) -> None:
        what = f"Part {part}" if part else "The body"
        super().__init__(f"{what} cannot be re-encoded: {why:.{_WHY_CHARACTERS}}")


def reencode(message: Entity, *, seven_bit: bool) -> Entity:
    """The message with lines of at most 998 octets, without VT and FF, if asked for in 7 bits.

    Args:
        message: the whole message; its body needs the change.
        seven_bit: whether octets above 0x7F must go.

    Raises:
        CannotReencode: a part that needs it may not be touched, or cannot be read.
    """
    changed = _Pass(seven_bit).entity(_as_mime(message), PLAIN_TEXT, ())
    if changed.body.endswith(b"\r\n"):
        return changed
    # A message ends in CRLF, its content need not: a soft line break adds nothing to it.
    is_text = changed.transfer_encoding() == "quoted-printable"
    return Entity(changed.fields, changed.body + (b"=\r\n" if is_text else b"\r\n"))


def _as_mime(message: Entity) -> Entity:
    """A message without MIME fields said it was US-ASCII text; say so to mark the encoding."""
    keys = {f.key for f in message.fields}
    if b"mime-version" in keys:
        return message
    if b"content-type" not in keys and not message.body.isascii():
        raise CannotReencode("", "8-bit octets, and no Content-Type says what they are")
    return Entity((*message.fields, new_field("MIME-Version", "1.0")), message.body)


class _Pass:
    """One walk through the parts; positions are numbers from 1, as (1, 2) for part 1.2."""

    def __init__(self, seven_bit: bool) -> None:
        self._seven_bit = seven_bit

    def entity(self, entity: Entity, default: ContentType, position: tuple[int, ...]) -> Entity:
        """An entity whose body needs the change, changed."""
        try:
            kind, encoding = entity.content_type(default), entity.transfer_encoding()
        except SyntaxFault as exc:
            raise self._refuse(position, str(exc)) from exc
        if str(kind) in _PROTECTED:
            raise self._refuse(position, f"{kind} is signed or encrypted")
        if len(position) > MAX_DEPTH:
            raise self._refuse(position, "nested too deeply")
        if kind.main == "multipart" or kind.main == "message":
            if encoding not in _IDENTITY:  # RFC 2045 §6.4
                raise self._refuse(position, f"{kind} with the encoding {encoding[:40]!a}")
            body = self._composite(entity.body, kind, position)
            if encoding == "7bit" or not self._seven_bit:
                return Entity(entity.fields, body)
            return entity.with_transfer_encoding("7bit", body)
        return self._leaf(entity, kind, encoding, position)

    def _composite(self, body: bytes, kind: ContentType, position: tuple[int, ...]) -> bytes:
        if kind.main == "message" and kind.sub != "rfc822":
            raise self._refuse(position, f"{kind} may not be changed")  # RFC 2046 §5.2
        try:
            if kind.main == "message":
                return self._part(body, PLAIN_TEXT, (*position, 1))
            pieces = split_multipart(body, kind.boundary)
        except SyntaxFault as exc:
            raise self._refuse(position, str(exc)) from exc
        if any(map(self._needs, pieces.between)):
            raise self._refuse(position, "text outside its parts needs it")
        default = EMBEDDED if kind.sub == "digest" else PLAIN_TEXT
        return pieces.joined(
            [
                self._part(part, default, (*position, number)) if self._needs(part) else part
                for number, part in enumerate(pieces.parts, start=1)
            ]
        )

    def _part(self, octets: bytes, default: ContentType, position: tuple[int, ...]) -> bytes:
        try:
            entity = read_entity(octets)
        except SyntaxFault as exc:
            raise self._refuse(position, str(exc)) from exc
        if any(self._needs(f.octets) for f in entity.fields):
            raise self._refuse(position, "its header section needs it")
        if not self._needs(entity.body):
            return octets
        return self.entity(entity, default, position).octets()

    def _leaf(
        self, entity: Entity, kind: ContentType, encoding: str, position: tuple[int, ...]
    ) -> Entity:
        if kind.main == "text" and _INLINE_PGP in entity.body:
            raise self._refuse(position, "inline PGP is signed or encrypted")
        content = self._decoded(entity.body, encoding, position)
        if encoding == "quoted-printable" or (kind.main == "text" and encoding != "base64"):
            return entity.with_transfer_encoding("quoted-printable", quoted_printable(content))
        return entity.with_transfer_encoding("base64", base64_lines(content))

    def _decoded(self, body: bytes, encoding: str, position: tuple[int, ...]) -> bytes:
        if encoding in _IDENTITY:
            return body
        if encoding == "quoted-printable":
            return binascii.a2b_qp(body)
        if encoding == "base64" and _NOT_BASE64.search(body) is None:
            try:
                return base64.b64decode(b"".join(body.split()), validate=True)
            except binascii.Error as exc:
                raise self._refuse(position, "its base64 is damaged") from exc
        raise self._refuse(position, f"its encoding {encoding[:40]!a} cannot be read")

    def _needs(self, octets: bytes) -> bool:
        is_too_wide = self._seven_bit and not octets.isascii()
        return is_too_wide or b"\x0b" in octets or b"\x0c" in octets or has_long_line(octets)

    def _refuse(self, position: tuple[int, ...], why: str) -> CannotReencode:
        return CannotReencode(".".join(map(str, position)), why)


def has_long_line(octets: bytes) -> bool:
    """Whether a line is over 998 octets, in one search for each 998 (RFC 5322 §2.1.1)."""
    position = 0
    while len(octets) - position > MAX_LINE_OCTETS:
        end = octets.rfind(b"\r\n", position, position + MAX_LINE_OCTETS + 2)
        if end < 0:
            return True
        position = end + 2
    return False


def quoted_printable(content: bytes) -> bytes:
    """Text in quoted-printable; its CRLF line ends stay (RFC 2045 §6.7).

    `binascii.b2a_qp` makes lines of 78 octets where blanks end them, and LF soft breaks.
    """
    escaped = _NOT_LITERAL.sub(lambda found: b"=%02X" % found[0][0], content)
    return b"\r\n".join(map(_soft_broken, escaped.split(b"\r\n")))


def _soft_broken(line: bytes) -> bytes:
    """A line in pieces of at most 76 octets, none of which splits an escape."""
    pieces, start = [], 0
    while len(line) - start > _QP_LINE_OCTETS:
        end = start + _QP_LINE_OCTETS - 1
        end -= next((back for back in (1, 2) if line[end - back] == _EQUALS), 0)
        pieces.append(line[start:end] + b"=\r\n")
        start = end
    pieces.append(line[start:])
    return b"".join(pieces)


def base64_lines(content: bytes) -> bytes:
    """Octets in base64, 76 to a line, without a last line end (RFC 2045 §6.8)."""
    return base64.encodebytes(content).removesuffix(b"\n").replace(b"\n", b"\r\n")
