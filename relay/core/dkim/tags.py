"""Tag=value lists. Pure. RFC 6376 §3.2.

Deviation: none. White space inside a value is kept; the reader of a tag decides.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

from relay.core.errors import SyntaxFault

_NAME = re.compile(rb"[A-Za-z][A-Za-z0-9_]*")
_FWS = b" \t\r\n"
_VALUE = re.compile(rb"[!-:<-~ \t\r\n]*")  # VALCHAR and FWS; ";" ends a value
_UTF8_VALUE = re.compile(rb"[!-:<-~ \t\r\n\x80-\xff]*")  # RFC 8616 §4


class TagFault(SyntaxFault):
    """A tag list that breaks its grammar.

    Attributes:
        tag: the name of the tag concerned, or what stands in its place.
        offset: octets from the start of the list.
    """

    def __init__(self, tag: str, offset: int, what: str) -> None:
        super().__init__(f"tag {tag!r} at octet {offset}: {what}")
        self.tag = tag
        self.offset = offset
        self.what = what


def decode_base64(text: bytes) -> bytes:
    """The octets of a base64string without white space (§3.5).

    The grammar has up to two "=" at the end, needed or not. Whether one too many is taken must
    not depend on the version of Python; every verifier we know takes it.

    Raises:
        binascii.Error: outside the grammar, or cut short.
    """
    digits = len(text.rstrip(b"="))
    needed, given = -digits % 4, len(text) - digits
    if given > 2:
        raise binascii.Error("more than two =")
    return base64.b64decode(text[: digits + min(needed, given)], validate=True)


@dataclass(frozen=True, slots=True)
class Tag:
    """One tag: its value without surrounding white space, and where it stands."""

    name: str
    value: bytes
    offset: int
    value_start: int
    value_end: int

    @property
    def unfolded(self) -> bytes:
        """The value with all white space removed (base64, colon-separated lists)."""
        return b"".join(self.value.split())


def parse_tags(octets: bytes, *, utf8: bool = False) -> dict[str, Tag]:
    """The tags of a list, in the order they stand (RFC 6376 §3.2).

    Args:
        octets: the list, folded or not.
        utf8: octets above 0x7F may stand in values: an internationalised header field has
            them (RFC 8616 §4), a key record has not.

    Raises:
        TagFault: a name outside the grammar, a missing "=", a duplicate, or an octet that
            no value may have; with the tag and its offset.
    """
    tags: dict[str, Tag] = {}
    position = 0
    for item in octets.split(b";"):
        start, position = position, position + len(item) + 1
        if not item.strip(_FWS):
            if position <= len(octets):  # only the last ";" may be followed by nothing
                raise TagFault("", start, "an empty tag")
            continue
        tag = _tag(item, start, _UTF8_VALUE if utf8 else _VALUE)
        if tag.name in tags:
            raise TagFault(tag.name, tag.offset, "stands twice")
        tags[tag.name] = tag
    return tags


def _tag(item: bytes, start: int, grammar: re.Pattern[bytes]) -> Tag:
    raw_name, equals, raw_value = item.partition(b"=")
    name = raw_name.strip(_FWS)
    shown = name[:40].decode("ascii", "backslashreplace")
    offset = start + len(raw_name) - len(raw_name.lstrip(_FWS))
    if not equals:
        raise TagFault(shown, offset, 'has no "="')
    if _NAME.fullmatch(name) is None:
        raise TagFault(shown, offset, "is not a tag name")
    value = raw_value.strip(_FWS)
    bad = grammar.match(value)
    if bad is not None and bad.end() != len(value):
        raise TagFault(shown, offset, f"has the octet 0x{value[bad.end()]:02x} in its value")
    value_start = start + len(raw_name) + 1 + len(raw_value) - len(raw_value.lstrip(_FWS))
    return Tag(name.decode("ascii"), value, offset, value_start, value_start + len(value))
