"""The structure of a MIME body: content types and parts, as spans of the octets. Pure.

RFC 2045 §5-6, RFC 2046 §5.1 and §5.2. Only what is needed to re-encode single parts in place;
nothing is decoded here and nothing is built anew.
Deviation: a boundary in RFC 2231 continuations is not read: such a body has no known parts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from relay.core.errors import SyntaxFault
from relay.core.message import Field, new_field, parse_header

MAX_PART_FIELDS = 200
_TOKEN = rb"[!#-'*+\-.0-9A-Z^-~]+"  # RFC 2045 §5.1
_TYPE = re.compile(rb"\s*(%b)/(%b)" % (_TOKEN, _TOKEN))
_PARAMETER = re.compile(rb'\s*;\s*(%b)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s;"]*)' % _TOKEN, re.DOTALL)
_BLANKS = b" \t"


@dataclass(frozen=True, slots=True)
class ContentType:
    """A Content-Type field, read; names in lower case.

    Attributes:
        boundary: of a multipart; empty when there is none.
    """

    main: str = "text"
    sub: str = "plain"
    boundary: bytes = b""

    def __str__(self) -> str:
        """The type and subtype, for people."""
        return f"{self.main}/{self.sub}"


PLAIN_TEXT = ContentType()  # RFC 2045 §5.2
EMBEDDED = ContentType("message", "rfc822")  # RFC 2046 §5.1.5: the default in a digest


@dataclass(frozen=True, slots=True)
class Entity:
    """A message or body part: its header fields and its body (RFC 2045 §2.4)."""

    fields: tuple[Field, ...]
    body: bytes

    def content_type(self, default: ContentType = PLAIN_TEXT) -> ContentType:
        """The type of the body (RFC 2045 §5).

        Raises:
            SyntaxFault: the field stands twice, or is outside its grammar.
        """
        field = self._only(b"content-type")
        if field is None:
            return default
        value = field.value.replace(b"\r\n", b"")
        found = _TYPE.match(value)
        if found is None:
            raise SyntaxFault("its Content-Type cannot be read")
        boundary = b""
        for parameter in _PARAMETER.finditer(value, found.end()):
            if parameter[1].lower() == b"boundary":
                boundary = _unquoted(parameter[2])
        main, sub = (word.decode("ascii").lower() for word in found.groups())
        return ContentType(main, sub, boundary)

    def transfer_encoding(self) -> str:
        """The Content-Transfer-Encoding in lower case (RFC 2045 §6.1).

        Raises:
            SyntaxFault: the field stands twice.
        """
        field = self._only(b"content-transfer-encoding")
        return field.value.strip().decode("ascii", "replace").lower() if field else "7bit"

    def with_transfer_encoding(self, encoding: str, body: bytes) -> Entity:
        """The entity with another body, and the field that says how it is encoded."""
        key = b"content-transfer-encoding"
        new = new_field("Content-Transfer-Encoding", encoding)
        fields = tuple(new if f.key == key else f for f in self.fields)
        return Entity(fields if new in fields else (*fields, new), body)

    def octets(self) -> bytes:
        """Header section, blank line and body, as a body part has them."""
        return b"".join([f.octets for f in self.fields]) + b"\r\n" + self.body

    def _only(self, key: bytes) -> Field | None:
        found = [f for f in self.fields if f.key == key]
        if len(found) > 1:
            raise SyntaxFault(f"its {key.decode('ascii')} field stands twice")
        return found[0] if found else None


def read_entity(octets: bytes) -> Entity:
    """A body part, or an embedded message (RFC 2046 §5.1, §5.2.1).

    Raises:
        SyntaxFault: its header section cannot be read.
    """
    if octets.startswith(b"\r\n"):
        return Entity((), octets[2:])
    header, blank_line, body = octets.partition(b"\r\n\r\n")
    if not blank_line:
        header, body = octets.removesuffix(b"\r\n"), b""
    return Entity(parse_header(header + b"\r\n", max_fields=MAX_PART_FIELDS), body)


def _unquoted(value: bytes) -> bytes:
    if not value.startswith(b'"'):
        return value
    return re.sub(rb"\\(.)", rb"\1", value[1:-1])


@dataclass(frozen=True, slots=True)
class Multipart:
    """The pieces of a multipart body, which joined give the body again (RFC 2046 §5.1.1).

    Attributes:
        between: preamble and delimiter lines before each part, then the end with epilogue;
            always one more than there are parts.
        parts: octets of each part, without the CRLF that belongs to the delimiter.
    """

    between: tuple[bytes, ...]
    parts: tuple[bytes, ...]

    def joined(self, parts: Sequence[bytes]) -> bytes:
        """The body with these parts in place of its own."""
        pieces = [self.between[0]]
        for part, after in zip(parts, self.between[1:], strict=True):
            pieces += (part, after)
        return b"".join(pieces)


def split_multipart(body: bytes, boundary: bytes) -> Multipart:
    """Find the parts (RFC 2046 §5.1.1), in linear time.

    Raises:
        SyntaxFault: no boundary is known, or none is found.
    """
    if not boundary:
        raise SyntaxFault("its boundary is not known")
    spans = list(_delimiters(b"\r\n" + body, b"\r\n--" + boundary))
    if not spans:
        raise SyntaxFault("its boundary is not found")
    between, parts = [body[: spans[0][1]]], []
    for (_, start, is_last), following in zip(spans, [*spans[1:], None], strict=True):
        if is_last:
            between[-1] += body[start:]
            break
        if following is None:  # the closing delimiter is missing: all the rest is one part
            parts.append(body[start:])
            between.append(b"")
        else:
            end = max(start, following[0])
            parts.append(body[start:end])
            between.append(body[end : following[1]])
    return Multipart(tuple(between), tuple(parts))


def _delimiters(octets: bytes, delimiter: bytes) -> list[tuple[int, int, bool]]:
    """(start, end, whether it is the last) of each delimiter line, relative to the body.

    `octets` is the body with a CRLF in front, so offsets are two less than found.
    """
    found = []
    position = octets.find(delimiter)
    while position >= 0:
        end = octets.find(b"\r\n", position + 2)
        end = len(octets) if end < 0 else end
        rest = octets[position + len(delimiter) : end]
        is_last = rest.startswith(b"--")
        if not rest.removeprefix(b"--").strip(_BLANKS):
            start = max(0, position - 2)
            found.append((start, min(end, len(octets) - 2), is_last))
            if is_last:
                break
        position = octets.find(delimiter, end)
    return found
