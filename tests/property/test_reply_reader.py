"""Replies are the same replies, however the octets of a server arrive."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relay.core.reply import Reply, ReplyReader, ReplySyntaxError
from tests.property.strategies import splits

lines = st.binary(max_size=12).map(
    lambda octets: bytes(b for b in octets if b in b"\t" or (b >= 0x20 and b != 0x7F))
)
replies = st.builds(
    Reply,
    st.integers(200, 599),
    st.lists(lines, min_size=1, max_size=4).map(tuple),
)
streams = st.lists(replies, max_size=5)
PIECES = (b"250", b"-", b" ", b"\r\n", b"\r", b"\n", b"x", b"550 5.1.1 no\r\n", b"250-a\r\n", b"\0")
garbage = st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join)


def read(blocks: list[bytes]) -> tuple[list[Reply], bool, bool]:
    """The replies up to the first fault, whether there was one, and whether nothing is held."""
    reader = ReplyReader()
    found: list[Reply] = []
    for block in blocks:
        try:
            found += reader.feed(block)
        except ReplySyntaxError:
            return found, True, False
    return found, False, reader.is_empty


@given(drawn=st.data(), stream=streams)
def test_what_is_written_is_read(drawn: st.DataObject, stream: list[Reply]) -> None:
    """Any replies, in any blocks, with the beginning of another behind them."""
    octets = b"".join(reply.wire() for reply in stream)
    _, blocks = drawn.draw(splits(st.just(octets)))
    assert read(blocks) == (stream, False, True)
    assert read([*blocks, b"2"]) == (stream, False, False)


@given(drawn=splits(garbage))
def test_garbage_is_garbage_in_any_blocks(drawn: tuple[bytes, list[bytes]]) -> None:
    """Refused or not does not depend on the split; what was read before may come out earlier."""
    octets, blocks = drawn
    singles = [octets[i : i + 1] for i in range(len(octets))]
    whole, by_blocks, by_octets = read([octets]), read(blocks), read(singles)
    assert whole[1] == by_blocks[1] == by_octets[1]
    if not whole[1]:
        assert whole == by_blocks == by_octets
    for reply in by_octets[0]:
        assert reply.wire() in octets.replace(b"250\r\n", b"250 \r\n")
