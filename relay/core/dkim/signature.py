"""The DKIM-Signature header field: read, and written. Pure. RFC 6376 §3.5.

Written with folds only between tags and after the colons of h= (some verifiers split a
folded name); bh= and b= are base64 and may fold anywhere.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass

from relay.core.address import a_label
from relay.core.dkim.canonical import Canonicalization
from relay.core.dkim.tags import Tag, TagFault, decode_base64, parse_tags
from relay.core.errors import SyntaxFault
from relay.core.message import Field

FIELD_NAME = "DKIM-Signature"
FIELD_KEY = b"dkim-signature"
_FOLD = b"\r\n\t"
_LINE_OCTETS = 76  # under the 78 of RFC 5322 §2.1.1
_REQUIRED = ("v", "a", "b", "bh", "d", "h", "s")  # §3.5
_NUMBER = re.compile(rb"[0-9]{1,12}")  # §3.5: t= and x= of 12 digits must be read
_LENGTH = re.compile(rb"[0-9]{1,76}")  # §3.5 l=
_HEADER_NAME = re.compile(rb"[!-9;-~]+")


@dataclass(frozen=True, slots=True)
class Signature:
    """A DKIM-Signature field, read (§3.5).

    Attributes:
        field: the field as it stands in the message.
        algorithm: a=, as written: what we do not know must still be named.
        header_method, body_method: the halves of c=.
        domain, selector: d= and s= in A-labels.
        auid: i=, or None when absent.
        names: h= in lower case, in order.
        body_hash, value: bh= and b= decoded.
        length: l= in octets, or None.
        signed_at, expires_at: t= and x= in seconds since 1970, or None.
        value_span: where the value of b= stands in `field.value`.
    """

    field: Field
    algorithm: str
    header_method: Canonicalization
    body_method: Canonicalization
    domain: str
    selector: str
    auid: str | None
    names: tuple[bytes, ...]
    body_hash: bytes
    value: bytes
    length: int | None
    signed_at: int | None
    expires_at: int | None
    value_span: tuple[int, int]

    @property
    def unsigned_field(self) -> Field:
        """The field with the value of b= taken out, as it was signed (§3.7)."""
        start, end = self.value_span
        kind, octets = type(self.field), self.field.octets
        value_start = len(octets) - len(self.field.value)
        return kind(self.field.key, octets[: value_start + start] + octets[value_start + end :])


def parse_signature(field: Field) -> Signature:
    """Read a DKIM-Signature field (§3.5, §6.1.1; RFC 8616 §4 for UTF-8 in it).

    Raises:
        TagFault: a tag is missing, malformed or contradicts another; with its offset from
            the start of the field's value.
    """
    tags = parse_tags(field.value, utf8=True)
    for name in _REQUIRED:
        if name not in tags:
            raise TagFault(name, 0, "is missing")
    if tags["v"].value != b"1":
        raise TagFault("v", tags["v"].offset, "is not 1")
    header_method, body_method = _canonicalizations(tags.get("c"))
    b = tags["b"]
    signature = Signature(
        field=field,
        algorithm=_text(tags["a"]).lower(),
        header_method=header_method,
        body_method=body_method,
        domain=_domain(tags["d"]),
        selector=_domain(tags["s"]),
        auid=_text(tags["i"]) if "i" in tags else None,
        names=_names(tags["h"]),
        body_hash=_base64(tags["bh"]),
        value=_base64(b),
        length=_number(tags.get("l"), _LENGTH),
        signed_at=_number(tags.get("t"), _NUMBER),
        expires_at=_number(tags.get("x"), _NUMBER),
        # White space around the value belongs to the value: all of it was absent (§3.7).
        value_span=_whole_value(field.value, b),
    )
    _check(signature, tags)
    return signature


def _check(signature: Signature, tags: dict[str, Tag]) -> None:
    """What tags must be to each other (§3.5, §6.1.1)."""
    if b"from" not in signature.names:
        raise TagFault("h", tags["h"].offset, "does not name From")
    q = tags.get("q")
    if q is not None and b"dns/txt" not in q.unfolded.split(b":"):
        raise TagFault("q", q.offset, "has no query method that is known")
    if signature.auid is not None:
        domain = signature.auid.rpartition("@")[2]
        try:
            domain = a_label(domain)
        except SyntaxFault as exc:
            raise TagFault("i", tags["i"].offset, "has no domain") from exc
        if domain != signature.domain and not domain.endswith("." + signature.domain):
            raise TagFault("i", tags["i"].offset, "is not within d=")
    signed_at, expires_at = signature.signed_at, signature.expires_at
    if signed_at is not None and expires_at is not None and expires_at <= signed_at:
        raise TagFault("x", tags["x"].offset, "is not later than t=")


def _canonicalizations(tag: Tag | None) -> tuple[Canonicalization, Canonicalization]:
    if tag is None:
        return Canonicalization.SIMPLE, Canonicalization.SIMPLE
    header, _, body = _text(tag).lower().partition("/")
    try:
        return Canonicalization(header), Canonicalization(body or "simple")
    except ValueError as exc:
        raise TagFault("c", tag.offset, "is not a canonicalization that is known") from exc


def _text(tag: Tag) -> str:
    try:
        return tag.value.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise TagFault(tag.name, tag.offset, "is not UTF-8") from exc


def _domain(tag: Tag) -> str:
    try:
        return a_label(tag.unfolded.decode("utf-8"))
    except (SyntaxFault, UnicodeDecodeError) as exc:
        raise TagFault(tag.name, tag.offset, "is not a domain name") from exc


def _names(tag: Tag) -> tuple[bytes, ...]:
    names = tuple(name.strip(b" \t\r\n").lower() for name in tag.value.split(b":"))
    if not all(_HEADER_NAME.fullmatch(name) for name in names):
        raise TagFault(tag.name, tag.offset, "has something that is no header field name")
    return names


def _base64(tag: Tag) -> bytes:
    try:
        octets = decode_base64(tag.unfolded)
    except binascii.Error as exc:
        raise TagFault(tag.name, tag.offset, "is not base64") from exc
    if not octets:
        raise TagFault(tag.name, tag.offset, "is empty")
    return octets


def _number(tag: Tag | None, grammar: re.Pattern[bytes]) -> int | None:
    if tag is None:
        return None
    if grammar.fullmatch(tag.value) is None:
        digits = "12" if grammar is _NUMBER else "76"
        raise TagFault(tag.name, tag.offset, f"is not a number of at most {digits} digits")
    return int(tag.value)


def _whole_value(octets: bytes, tag: Tag) -> tuple[int, int]:
    equals = octets.index(b"=", tag.offset)
    end = octets.find(b";", equals)
    if end < 0:
        end = len(octets) - 2 if octets.endswith(b"\r\n") else len(octets)
    return equals + 1, end


def fold(pieces: Sequence[tuple[bytes, bytes]], *, column: int) -> bytes:
    """Join pieces with line breaks only where a piece begins.

    Args:
        pieces: (what joins it to the piece before when there is no break, the piece).
        column: how many octets of the first line are already taken.

    Returns:
        Octets whose lines are at most 76 octets wide where the pieces permit.
    """
    parts: list[bytes] = []
    for joint, piece in pieces:
        if column + len(joint) + len(piece) > _LINE_OCTETS and column > 1:
            parts.append(_FOLD)
            column = 1
        else:
            parts.append(joint)
            column += len(joint)
        parts.append(piece)
        column += len(piece)
    return b"".join(parts)


def fold_base64(text: bytes, *, column: int) -> bytes:
    """Break base64 into lines; it may break anywhere (§3.5 b=)."""
    first = max(0, _LINE_OCTETS - column)
    rest = range(first, len(text), _LINE_OCTETS - 1)
    width = _LINE_OCTETS - 1
    return _FOLD.join((text[:first], *(text[i : i + width] for i in rest)))
