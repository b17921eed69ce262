"""relay.core.message: whole fields, in front or left out, and nothing else touched."""

from __future__ import annotations

import pytest

from relay.core.errors import SyntaxFault
from relay.core.message import Field, new_field, parse_header
from relay.core.reader import read_message


@pytest.mark.parametrize(
    "octets", [b"A: 1\r\n\r\nx\r\n", b"A: 1\r\n b\r\nc:d\r\n\r\n", b"\r\nx\r\n"]
)
def test_message_is_the_same_octets_again(octets: bytes) -> None:
    """Nothing is serialised anew: what was read is what goes out."""
    message = read_message(octets)
    assert message.octets() == octets
    assert message.header + b"\r\n" + b"".join(message.body) == octets
    assert message.size_octets == len(octets)


def test_field_keeps_its_octets() -> None:
    """Names keep their case, values their folding; only the key is in lower case."""
    (field,) = read_message(b"SuBJect:  \tx\r\n\ty \r\n\r\n").fields
    assert field == Field(b"subject", b"SuBJect:  \tx\r\n\ty \r\n")
    assert field.value == b"  \tx\r\n\ty \r\n"


def test_named_fields_come_from_the_top() -> None:
    """Order is the message's, whatever the case of the names."""
    message = read_message(b"X: 1\r\nY: 2\r\nx: 3\r\n")
    assert [f.value for f in message.named(b"x")] == [b" 1\r\n", b" 3\r\n"]
    assert message.has(b"y")
    assert not message.has(b"z")


def test_prepended_fields_stand_in_front() -> None:
    """The rest of the message is the same memory."""
    message = read_message(b"From: a@example.com\r\n\r\nbody\r\n")
    more = message.prepend(new_field("B", "2"), new_field("A", "1"))
    assert more.octets() == b"B: 2\r\nA: 1\r\n" + message.octets()
    assert more.body is message.body
    assert more.fields[2:] == message.fields


def test_fields_are_left_out_whole() -> None:
    """All of a name go, folded ones with all their lines; nothing else changes."""
    message = read_message(b"A: 1\r\nBcc: x,\r\n y\r\nB: 2\r\nbCC:z\r\n\r\nBcc: body\r\n")
    assert message.without(frozenset({b"bcc"})).octets() == b"A: 1\r\nB: 2\r\n\r\nBcc: body\r\n"
    assert message.without(frozenset({b"c"})) is message


@pytest.mark.parametrize(
    ("value", "octets"),
    [
        ("x", b"Name-Of: x\r\n"),
        ("ü", b"Name-Of: \xc3\xbc\r\n"),
        (b"\xff\r\n\ty", b"Name-Of: \xff\r\n\ty\r\n"),
    ],
)
def test_new_field_is_written(value: str | bytes, octets: bytes) -> None:
    """A field of our own: name as given, one blank, UTF-8 or the octets themselves."""
    assert new_field("Name-Of", value) == Field(b"name-of", octets)


def test_header_section_may_be_empty() -> None:
    """No fields are no fault of syntax."""
    assert parse_header(b"", max_fields=0) == ()


def test_header_fault_is_a_syntax_fault() -> None:
    """Readers of header sections alone get the plain fault."""
    with pytest.raises(SyntaxFault, match="no colon"):
        parse_header(b"x\r\n", max_fields=1)
