"""A message as octets: ordered header fields and a body. Pure.

RFC 5322 §2.1-2.2 and §3.6. `reader` splits it once, for signing and for sending, and the only
edits are whole fields prepended or left out: nothing is ever serialised again.
Deviation: a blank before the colon (§4.5.1) is refused, because verifiers disagree on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import field

from relay.core.errors import SyntaxFault
from relay.core.immutable import immutable

MAX_LINE_OCTETS = 998  # RFC 5322 §2.1.1, CRLF excluded
# RFC 5322 §2.2, §3.6.8: from the beginning of a line to the end of the last one that is folded.
# Possessive, so that a line which is none costs no second look at its octets.
_FIELD = re.compile(rb"(?<![^\n])(([!-9;-~]++):[^\r]*+\r\n(?:[ \t][^\r]*+\r\n)*+)")


@immutable
class Field:
    """One header field.

    Attributes:
        key: the name in lower case.
        octets: the whole field as it stands, folded, with its last CRLF.
    """

    key: bytes
    octets: bytes

    @property
    def value(self) -> bytes:
        """What follows the colon, as it stands, with its last CRLF."""
        return self.octets[len(self.key) + 1 :]


def new_field(name: str, value: str | bytes) -> Field:
    """A field of our own making; `value` without line ends, or already folded by the caller."""
    octets = value if isinstance(value, bytes) else value.encode("utf-8")
    return Field(name.lower().encode("ascii"), name.encode("ascii") + b": " + octets + b"\r\n")


@immutable
class Traits:
    """What was seen while the octets arrived.

    Attributes:
        eight_bit_body: the body has octets above 0x7F (RFC 6152).
        long_body_line: a line of the body is over 998 octets.
        is_ambiguous: verifiers canonicalize the body in different ways: it has VT or FF,
            which some take for white space, or it is nothing but white space.
    """

    eight_bit_body: bool = False
    long_body_line: bool = False
    is_ambiguous: bool = False


@immutable
class Message:
    """Header section and body (RFC 5322 §2.1).

    Attributes:
        fields: the header fields in their order.
        body: the octets after the blank line, CRLF only, no dot-stuffing, in blocks; the
            last block ends in CRLF.
        traits: what the body needs of the next hop.
    """

    fields: tuple[Field, ...]
    body: tuple[bytes, ...] = ()
    traits: Traits = field(default_factory=Traits)

    @property
    def header(self) -> bytes:
        """The header section with its last CRLF, without the blank line."""
        return b"".join([f.octets for f in self.fields])

    @property
    def size_octets(self) -> int:
        """The whole message, blank line included."""
        return sum([len(f.octets) for f in self.fields]) + 2 + sum(map(len, self.body))

    def octets(self) -> bytes:
        """The whole message in one piece; costs a copy, so not for the path of a message."""
        return b"".join((self.header, b"\r\n", *self.body))

    def named(self, key: bytes) -> Iterator[Field]:
        """The fields of one lower-case name, from the top."""
        return (f for f in self.fields if f.key == key)

    def has(self, key: bytes) -> bool:
        """Whether a field of this lower-case name is there."""
        return key in [f.key for f in self.fields]

    def prepend(self, *fields: Field) -> Message:
        """The message with fields in front; everything else is the same memory."""
        return Message(fields + self.fields, self.body, self.traits)

    def without(self, keys: frozenset[bytes]) -> Message:
        """The message without the fields of these lower-case names."""
        if keys.isdisjoint([f.key for f in self.fields]):
            return self
        return self.with_fields(tuple(f for f in self.fields if f.key not in keys))

    def with_fields(self, fields: tuple[Field, ...]) -> Message:
        """The message with another header section; the body is the same memory."""
        return Message(fields, self.body, self.traits)


class TooManyFields(SyntaxFault):
    """A header section whose grammar was not looked at."""


def parse_header(section: bytes, *, max_fields: int) -> tuple[Field, ...]:
    """Read a header section (RFC 5322 §2.2), in linear time.

    Args:
        section: whole lines, CRLF only, without the blank line that ends the section.
        max_fields: more fields than this are refused.

    Raises:
        SyntaxFault: a line that is no field, a first line that is folded, a name outside
            ftext or with a blank before its colon.
        TooManyFields: more than `max_fields`.
    """
    found = _FIELD.findall(section)
    if sum([len(octets) for octets, _ in found]) == len(section) and len(found) <= max_fields:
        return tuple([Field(name.lower(), octets) for octets, name in found])
    raise _header_fault(section, max_fields)


def _header_fault(section: bytes, max_fields: int) -> SyntaxFault:
    """What is wrong with a header section that does not consist of fields."""
    if section[:1] in (b" ", b"\t"):
        return SyntaxFault("The first header line is a continuation")
    firsts = [line for line in section.split(b"\r\n")[:-1] if line[:1] not in (b" ", b"\t")]
    if len(firsts) > max_fields:
        return TooManyFields("Too many header fields")
    if not all(b":" in line for line in firsts):
        return SyntaxFault("A header line has no colon")
    return SyntaxFault("A header field name is not valid")
