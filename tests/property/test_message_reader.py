"""A message is the same message, or the same refusal, however its octets arrive."""

from __future__ import annotations

from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core.errors import SyntaxFault
from relay.core.message import Traits
from relay.core.reader import MessageFault, MessageReader, ReadLimits, read_message
from tests.property.strategies import ODD_PIECES, messages, read_or_fault, splits

LIMITS = ReadLimits(max_message_octets=400, max_header_octets=120, max_header_fields=4)
NORMALIZING = ReadLimits(
    max_message_octets=400, max_header_octets=120, max_header_fields=4, normalize_newlines=True
)
PIECES = (b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b":", b"A: b\r\n", b"x", b"From ", b"\xff")
wild = st.lists(st.sampled_from(PIECES + ODD_PIECES), max_size=20).map(b"".join)
long_lines = st.lists(
    st.tuples(st.sampled_from([b"x" * 997, b"x" * 998, b"x" * 999, b"x", b""]), st.just(b"\r\n")),
    max_size=4,
).map(lambda lines: b"A: b\r\n\r\n" + b"".join(a + b for a, b in lines))


def outcome(blocks: list[bytes], limits: ReadLimits) -> tuple[object, ...]:
    """What became of a message: its fields, body and traits, or that it was refused."""
    fed: list[bytes] = []
    reader = MessageReader(limits, body_sink=fed.append)
    for block in blocks:
        reader.feed(block)
    try:
        message = reader.finish()
    except MessageFault:
        return ("refused",)
    body = b"".join(message.body)
    assert b"".join(fed) == body
    return (message.fields, body, message.traits)


@given(drawn=splits(wild))
def test_wild_octets_in_any_blocks(drawn: tuple[bytes, list[bytes]]) -> None:
    """Read alike whole, in blocks, and octet by octet, refusing and normalizing."""
    octets, blocks = drawn
    for limits in (LIMITS, NORMALIZING):
        whole = outcome([octets], limits)
        assert outcome(blocks, limits) == whole
        assert outcome([octets[i : i + 1] for i in range(len(octets))], limits) == whole


@given(octets=messages())
def test_every_split_of_a_message(octets: bytes) -> None:
    """Two blocks, at every point."""
    whole = outcome([octets], ReadLimits())
    for position in range(len(octets) + 1):
        assert outcome([octets[:position], octets[position:]], ReadLimits()) == whole


@settings(max_examples=30)
@given(drawn=splits(long_lines))
def test_long_lines_in_any_blocks(drawn: tuple[bytes, list[bytes]]) -> None:
    """Length is that of the line, not of what is left of it in a block."""
    octets, blocks = drawn
    body = octets.partition(b"\r\n\r\n")[2]
    is_long = any(len(line) > 998 for line in body.split(b"\r\n"))
    assert read_message(blocks).traits == Traits(long_body_line=is_long)


@given(octets=messages())
def test_accepted_message_is_the_octets_it_came_in(octets: bytes) -> None:
    """Not one octet is added, dropped or changed between reading and sending."""
    message = read_message(octets)
    assert message.octets() == octets
    assert message.size_octets == len(octets)


@given(octets=wild)
def test_accepted_message_is_canonical(octets: bytes) -> None:
    """Whatever is let through has CRLF line ends only, no NUL, and whole fields."""
    for limits in (LIMITS, NORMALIZING):
        message = read_or_fault(partial(read_message, limits=limits), octets)
        if isinstance(message, SyntaxFault):
            assert isinstance(message, MessageFault)
            assert message.enhanced in ("5.6.0", "5.3.4")
            assert message.text.isascii()
            continue
        out = message.octets()
        assert out.count(b"\r\n") == out.count(b"\r") == out.count(b"\n")
        assert b"\0" not in out
        assert out.endswith(b"\r\n")
        assert b"\r\n\r\n" not in message.header
        assert len(message.header) <= limits.max_header_octets
        assert len(message.fields) <= limits.max_header_fields
        for field in message.fields:
            assert field.octets.endswith(b"\r\n")
            assert field.octets.lower().startswith(field.key + b":")
            assert b"\r\n" not in field.octets[:-2].replace(b"\r\n ", b"").replace(b"\r\n\t", b"")


@given(octets=wild)
def test_normalized_message_is_read_again_unchanged(octets: bytes) -> None:
    """Normalizing twice is normalizing once, and strict reading has nothing more to say."""
    try:
        message = read_message(octets, NORMALIZING)
        again = read_message(message.octets(), ReadLimits())
    except MessageFault:
        return
    assert again.octets() == message.octets()
    assert again.traits == message.traits
