"""The decoder of DATA against a reference that looks at one octet at a time."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.listener.data import DataDecoder

ALPHABET = b"\r\n.a"
STREAMS = st.lists(
    st.sampled_from(
        [b"\r", b"\n", b".", b"a", b"\r\n", b"\r\n.", b"\r\n.\r\n", b"\r\n..", b"aaaa"]
    ),
    max_size=14,
).map(b"".join)


def reference(stream: bytes) -> tuple[bytes, bytes | None]:
    """RFC 5321 §4.5.2 in its own words: lines end in CRLF, the first dot of a line goes.

    Returns:
        The message so far (whole lines only while the end is out), and what is behind its end.
    """
    message = line = b""
    for position in range(len(stream)):
        line += stream[position : position + 1]
        if not line.endswith(b"\r\n"):
            continue
        if line == b".\r\n":
            return message, stream[position + 1 :]
        message += line.removeprefix(b".")
        line = b""
    return message, None


def decode(pieces: list[bytes]) -> tuple[bytes, bytes | None]:
    """What the decoder makes of a stream in these pieces; the end takes the rest with it."""
    blocks: list[bytes] = []
    decoder = DataDecoder(blocks.append)
    for number, piece in enumerate(pieces, start=1):
        rest = decoder.feed(piece)
        if rest is not None:
            return b"".join(blocks), rest + b"".join(pieces[number:])
    return b"".join(blocks), None


def agree(pieces: list[bytes]) -> None:
    """Compare with the reference, also for a stream whose end has not come yet."""
    stream = b"".join(pieces)
    message, rest = decode(pieces)
    expected, expected_rest = reference(stream)
    assert rest == expected_rest
    if rest is not None:
        assert message == expected
        return
    # Nothing has ended: what was handed on is the beginning of what will be.
    ended, nothing = decode([*pieces, b"\r\n.\r\n"])
    assert nothing is not None
    assert ended.startswith(message)
    assert ended == reference(stream + b"\r\n.\r\n")[0]


@pytest.mark.parametrize("length", range(8))
def test_every_short_stream_octet_by_octet(length: int) -> None:
    """All streams of up to seven of the octets that matter."""
    for octets in product(ALPHABET, repeat=length):
        agree([bytes([octet]) for octet in octets])


@given(stream=STREAMS)
def test_every_split_point(stream: bytes) -> None:
    """A stream in two pieces, cut at every place, in one, and in single octets."""
    for cut in range(len(stream) + 1):
        agree([stream[:cut], stream[cut:]])
    agree([stream[i : i + 1] for i in range(len(stream))])


@given(stream=STREAMS, cuts=st.lists(st.integers(0, 60), max_size=8))
def test_any_pieces(stream: bytes, cuts: list[int]) -> None:
    """A stream in any pieces, empty ones too."""
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    agree([stream[a:b] for a, b in pairwise(places)])


@pytest.mark.parametrize("octet", [b"a", b"\r", b".", b"\n", b"\0"])
def test_little_is_held_back(octet: bytes) -> None:
    """Octets are handed on as they come, but for what may be part of an end."""
    handed_on = 0

    def count(block: bytes) -> None:
        nonlocal handed_on
        handed_on += len(block)

    decoder = DataDecoder(count)
    for number in range(1, 100):
        assert decoder.feed(octet * 1000) is None
        assert handed_on >= 1000 * number - 6
