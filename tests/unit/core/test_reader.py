"""relay.core.reader: one split between header and body, the same for every split of the octets."""

from __future__ import annotations

import tracemalloc

import pytest

from relay.core.message import MAX_LINE_OCTETS, Field, Message, Traits
from relay.core.reader import (
    MessageFault,
    MessageReader,
    ReadLimits,
    normalize_newlines,
    read_message,
)

STRICT = ReadLimits()
NORMALIZING = ReadLimits(normalize_newlines=True)
HEADER = b"From: a@example.com\r\nSubject: x\r\n"


def read(octets: bytes, limits: ReadLimits = STRICT, *, block: int = 0) -> Message:
    """A message read whole, or in blocks of so many octets."""
    if not block:
        return read_message(octets, limits)
    return read_message([octets[i : i + block] for i in range(0, len(octets), block)], limits)


def fault_of(octets: bytes, limits: ReadLimits = STRICT, *, block: int = 0) -> str:
    """Why a message is refused, as enhanced code and text."""
    with pytest.raises(MessageFault) as caught:
        read(octets, limits, block=block)
    assert str(caught.value) == caught.value.text
    assert caught.value.text.isascii()
    assert caught.value.text.isprintable()
    return f"{caught.value.enhanced} {caught.value.text}"


# What is read -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("octets", "keys", "body"),
    [
        pytest.param(b"A: 1\r\n\r\nbody\r\n", [b"a"], b"body\r\n", id="ordinary"),
        pytest.param(b"A: 1\r\n\r\n", [b"a"], b"", id="empty body"),
        pytest.param(b"A: 1\r\n", [b"a"], b"", id="no blank line"),
        pytest.param(b"A: 1", [b"a"], b"", id="no line end at all"),
        pytest.param(b"A: 1\r\nB: 2", [b"a", b"b"], b"", id="no line end at the end"),
        pytest.param(b"", [], b"", id="nothing"),
        pytest.param(b"\r\n", [], b"", id="a blank line only"),
        pytest.param(b"\r\nbody\r\n", [], b"body\r\n", id="empty header section"),
        pytest.param(b"\r\n\r\n", [], b"\r\n", id="empty header section, body of a blank line"),
        pytest.param(b"A: 1\r\n\r\n\r\n\r\n", [b"a"], b"\r\n\r\n", id="body of blank lines"),
        pytest.param(b"A: 1\r\n\r\nB: 2\r\n\r\n", [b"a"], b"B: 2\r\n\r\n", id="only one split"),
        pytest.param(b"A: 1\r\n\r\nbody", [b"a"], b"body\r\n", id="last line completed"),
        pytest.param(b"A: 1\r\n \r\n\r\nb\r\n", [b"a"], b"b\r\n", id="white line is folding"),
        pytest.param(b"A:\r\n", [b"a"], b"", id="empty value"),
        pytest.param(b"A:\r\n\t1\r\nB:2\r\n", [b"a", b"b"], b"", id="folded at once"),
        pytest.param(b"!#$%&'*+-.^_`|~: 1\r\n", [b"!#$%&'*+-.^_`|~"], b"", id="every ftext"),
        pytest.param(b"A: \xff\xfe\r\n\r\n\xff\r\n", [b"a"], b"\xff\r\n", id="eight bits"),
        pytest.param(b"A: \x01\x08\x1b\x7f\r\n", [b"a"], b"", id="controls other than NUL"),
        pytest.param(b"From jane Fri Nov 20 10:00\r\nA: 1\r\n", [b"a"], b"", id="mbox line"),
        pytest.param(b">From jane Nov 20\r\nA: 1\r\n", [b"a"], b"", id="quoted mbox line"),
        pytest.param(b"From jane\r\n\r\nbody\r\n", [], b"body\r\n", id="mbox line only"),
    ],
)
def test_message_is_split_once(octets: bytes, keys: list[bytes], body: bytes) -> None:
    """The first blank line splits; every octet is in one field or in the body."""
    message = read(octets)
    assert [f.key for f in message.fields] == keys
    assert b"".join(message.body) == body
    for block in (1, 2, 3):
        split = read(octets, block=block)
        assert split.fields == message.fields
        assert b"".join(split.body) == body


# What is refused --------------------------------------------------------------------------------

BARE = "5.6.0 Bare CR or LF in the message"
NUL = "5.6.0 NUL in the message"
VT_FF = "5.6.0 VT or FF in the header section"


@pytest.mark.parametrize("block", [0, 1, 2, 5])
@pytest.mark.parametrize(
    ("octets", "fault"),
    [
        pytest.param(b"A: 1\n\nbody\n", BARE, id="LF only"),
        pytest.param(b"A: 1\r\rbody\r", BARE, id="CR only"),
        pytest.param(HEADER + b"\r\nbody\nmore\r\n", BARE, id="bare LF in the body"),
        pytest.param(HEADER + b"\r\nbody\rmore\r\n", BARE, id="bare CR in the body"),
        pytest.param(HEADER + b"\r\nbody\r\r\n", BARE, id="CR before CRLF"),
        pytest.param(HEADER + b"\r\nbody\n\r\n", BARE, id="LF before CRLF"),
        pytest.param(HEADER + b"\r\nbody\r\n\n", BARE, id="LF after CRLF"),
        pytest.param(HEADER + b"\r\nbody\r", BARE, id="CR at the very end"),
        pytest.param(HEADER + b"\r\nbody\n", BARE, id="LF at the very end"),
        pytest.param(HEADER + b"\r\nbody\n\r", BARE, id="line end the wrong way round"),
        pytest.param(HEADER + b"\r\n.\n.\r\n", BARE, id="smuggled end of data"),
        pytest.param(HEADER + b"\r\n.\r.\r\n", BARE, id="smuggled end of data with CR"),
        pytest.param(b"A: 1\rB: 2\r\n\r\n", BARE, id="bare CR in the header section"),
        pytest.param(b"A: 1\nB: 2\r\n\r\n", BARE, id="bare LF in the header section"),
        pytest.param(HEADER + b"\n\r\nbody\r\n", BARE, id="LF at the split"),
        pytest.param(HEADER + b"\r\nbo\0dy\r\n", NUL, id="NUL in the body"),
        pytest.param(b"A: \0\r\n\r\nbody\r\n", NUL, id="NUL in a field"),
        pytest.param(b"A\0: 1\r\n\r\nbody\r\n", NUL, id="NUL in a name"),
        pytest.param(b"\0", NUL, id="NUL only"),
        pytest.param(
            b" A: 1\r\n\r\n",
            "5.6.0 The first header line is a continuation",
            id="first line folded",
        ),
        pytest.param(
            b"\tA: 1\r\n", "5.6.0 The first header line is a continuation", id="first line tabbed"
        ),
        pytest.param(
            b"A: 1\r\nno colon\r\n\r\n", "5.6.0 A header line has no colon", id="no colon"
        ),
        pytest.param(b"just text", "5.6.0 A header line has no colon", id="text without header"),
        pytest.param(
            b"A: 1\r\n.\r\n\r\n", "5.6.0 A header line has no colon", id="a dot in the header"
        ),
        pytest.param(
            b"A : 1\r\n\r\n", "5.6.0 A header field name is not valid", id="blank before the colon"
        ),
        pytest.param(
            b"A\t: 1\r\n\r\n", "5.6.0 A header field name is not valid", id="tab before the colon"
        ),
        pytest.param(
            b"From : jane@example.com\r\n",
            "5.6.0 A header field name is not valid",
            id="blank before the colon of From",
        ),
        pytest.param(
            b"A: 1\r\nFrom jane Fri Nov 20 10:00\r\n",
            "5.6.0 A header field name is not valid",
            id="mbox line further down",
        ),
        pytest.param(
            b"From jane Nov 20\r\n\tx: y\r\n",
            "5.6.0 The first header line is a continuation",
            id="folded mbox line",
        ),
        pytest.param(b"A: 1\x0b\r\n\r\n", VT_FF, id="VT in a field"),
        pytest.param(b"A: \x0c1\r\n\r\n", VT_FF, id="FF in a field"),
        pytest.param(b": 1\r\n", "5.6.0 A header field name is not valid", id="no name"),
        pytest.param(b"\xc3\xbc: 1\r\n", "5.6.0 A header field name is not valid", id="8-bit name"),
        pytest.param(b"A\x7f: 1\r\n", "5.6.0 A header field name is not valid", id="DEL in a name"),
        pytest.param(
            b"A b: 1\r\n", "5.6.0 A header field name is not valid", id="blank within a name"
        ),
    ],
)
def test_unfit_message_is_refused(octets: bytes, fault: str, block: int) -> None:
    """Verifiers disagree on all of these, or they are no message: refused, whatever the split."""
    assert fault_of(octets, block=block) == fault


@pytest.mark.parametrize("block", [0, 1, 2, 3])
@pytest.mark.parametrize(
    ("octets", "normal"),
    [
        (b"A: 1\n\nbody\n", b"A: 1\r\n\r\nbody\r\n"),
        (b"A: 1\r\rbody\r", b"A: 1\r\n\r\nbody\r\n"),
        (b"A: 1\r\n\r\na\rb\nc\r\n", b"A: 1\r\n\r\na\r\nb\r\nc\r\n"),
        (b"A: 1\r\n\r\na\r\r\nb\n\rc\r\n", b"A: 1\r\n\r\na\r\n\r\nb\r\n\r\nc\r\n"),
        (b"A: 1\n\r\nx\r", b"A: 1\r\n\r\nx\r\n"),
        (b"\nbody", b"\r\nbody\r\n"),
        (b"\r", b"\r\n"),
        (b"A: 1\r\n\r\n\r", b"A: 1\r\n\r\n\r\n"),
        (b"A: 1\r\n\r\n.\n.\r.\r\n", b"A: 1\r\n\r\n.\r\n.\r\n.\r\n"),
    ],
)
def test_bare_newlines_are_normalized_when_asked(octets: bytes, normal: bytes, block: int) -> None:
    """Each bare CR or LF becomes one CRLF, before anything else looks at the message."""
    assert read(octets, NORMALIZING, block=block).octets() == normal
    assert normalize_newlines(octets) in (normal, normal.removesuffix(b"\r\n"))


@pytest.mark.parametrize("block", [0, 1, 2])
def test_nul_is_refused_even_when_normalizing(block: int) -> None:
    """Nothing stands for NUL; a mended line end does not hide it."""
    assert fault_of(b"A: 1\n\nbo\0dy\n", NORMALIZING, block=block) == NUL


def test_normalized_octets_are_the_same_when_there_is_nothing_to_do() -> None:
    """No copy is made of a file that is well formed."""
    octets = HEADER + b"\r\nbody\r\n"
    assert normalize_newlines(octets) is octets


def test_the_first_fault_is_said() -> None:
    """A client is told what was wrong first, not last."""
    reader = MessageReader(STRICT, body_sink=lambda _: None)
    reader.feed(b"A: 1\r\nno colon\r\n\r\n")
    reader.feed(b"bare \n and \0\r\n")
    with pytest.raises(MessageFault, match="no colon"):
        reader.finish()


# Limits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [0, 1, 7, 50])
@pytest.mark.parametrize("has_body", [True, False])
def test_header_section_at_its_limit(block: int, has_body: bool) -> None:
    """Exactly so many octets pass, the blank line not counted; one more is refused."""
    limits = ReadLimits(max_header_octets=100)
    rest = b"\r\nbody\r\n" if has_body else b""
    exact = b"A: " + b"x" * 95 + b"\r\n"
    assert len(exact) == 100
    assert read(exact + rest, limits, block=block).header == exact
    over = b"A: " + b"x" * 96 + b"\r\n"
    fault = "5.3.4 Header section is over the limit (limits.max_header_bytes)"
    assert fault_of(over + rest, limits, block=block) == fault


def test_header_section_without_end_is_refused_before_it_is_kept() -> None:
    """A client that never sends a blank line cannot make the reader keep what it sends."""
    kept: list[bytes] = []
    reader = MessageReader(ReadLimits(max_header_octets=1000), body_sink=kept.append)
    for _ in range(100):
        reader.feed(b"A: " + b"x" * 94 + b"\r\n")
        assert held_octets(reader) <= 1100
    with pytest.raises(MessageFault, match="Header section"):
        reader.finish()
    assert not kept


@pytest.mark.parametrize("block", [0, 1, 64])
def test_number_of_fields_at_its_limit(block: int) -> None:
    """2,000 fields pass by default, 2,001 do not; folding lines are no fields."""
    header = b"".join(b"X-%d: 1\r\n y\r\n" % n for n in range(2000))
    assert len(read(header + b"\r\n", block=block).fields) == 2000
    fault = "5.3.4 Too many header fields (limits.max_header_fields)"
    assert fault_of(header + b"Y: 1\r\n\r\n", block=block) == fault


@pytest.mark.parametrize("block", [0, 1, 7])
def test_message_at_its_limit(block: int) -> None:
    """Exactly so many octets pass, header and blank line counted; one more is 5.3.4."""
    limits = ReadLimits(max_message_octets=50)
    exact = HEADER + b"\r\n" + b"x" * (50 - len(HEADER) - 4) + b"\r\n"
    assert len(exact) == 50
    assert read(exact, limits, block=block).octets() == exact
    fault = "5.3.4 Message is over the size limit"
    assert fault_of(exact[:-2] + b"x\r\n", limits, block=block) == fault


def test_message_without_line_ends_is_bounded() -> None:
    """Octets without any line end count too: no limit depends on a CRLF to come."""
    limits = ReadLimits(max_message_octets=10_000, max_header_octets=20_000)
    reader = MessageReader(limits, body_sink=lambda _: None)
    for _ in range(100):
        reader.feed(b"x" * 1000)
        assert held_octets(reader) <= 10_000
    assert reader.size_octets == 100_000
    with pytest.raises(MessageFault) as caught:
        reader.finish()
    assert caught.value.enhanced == "5.3.4"


def held_octets(reader: MessageReader) -> int:
    """How many octets of the message a reader holds, wherever it has them."""
    seen = 0
    stack: list[object] = [getattr(reader, name) for name in vars(reader) if name != "_sink"]
    while stack:
        match stack.pop():
            case bytes() | bytearray() as octets:
                seen += len(octets)
            case list() | tuple() as items:
                stack.extend(items)
            case Field() as field:
                stack.extend((field.key, field.octets))
            case _:
                pass
    return seen


@pytest.mark.parametrize("last", [b"bare \n\r\n", b"NUL \0\r\n", b"x" * 60_000 + b"\r\n"])
def test_refused_message_is_let_go(last: bytes) -> None:
    """From the fault on nothing of the message is kept, and the sink gets no more of it."""
    fed: list[bytes] = []
    limits = ReadLimits(max_message_octets=100_000)
    reader = MessageReader(limits, body_sink=fed.append)
    reader.feed(HEADER + b"\r\n" + (b"x" * 76 + b"\r\n") * 600)
    assert held_octets(reader) > 40_000
    reader.feed(last)
    given = len(fed)
    reader.feed(b"more\r")
    reader.feed(b"\n")
    assert held_octets(reader) == 0
    assert len(fed) == given
    with pytest.raises(MessageFault):
        reader.finish()
    assert len(fed) == given


@pytest.mark.parametrize("size", [1, 2])
def test_small_blocks_cost_no_more_memory_than_large_ones(size: int) -> None:
    """A client that sends a message two octets at a time does not make it twenty times as big."""
    octets = HEADER + b"\r\n" + b"a line of text, and another word\r\n" * 1500
    tracemalloc.start()
    try:
        reader = MessageReader(STRICT, body_sink=lambda _: None)
        for start in range(0, len(octets), size):
            reader.feed(octets[start : start + size])
        held, _ = tracemalloc.get_traced_memory()
        message = reader.finish()
    finally:
        tracemalloc.stop()
    assert message.octets() == octets
    assert held < 3 * len(octets)


def test_body_reaches_the_sink_once_and_in_order() -> None:
    """What the body hash is fed is the body of the message, octet for octet."""
    octets = HEADER + b"\r\none\r\n\r\ntwo\r"
    fed: list[bytes] = []
    reader = MessageReader(STRICT, body_sink=fed.append)
    for position in range(len(octets)):
        reader.feed(octets[position : position + 1])
    reader.feed(b"\nunfinished")
    message = reader.finish()
    assert b"".join(fed) == b"".join(message.body) == b"one\r\n\r\ntwo\r\nunfinished\r\n"


# Traits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("octets", "is_eight_bit"),
    [
        (HEADER + b"\r\nplain \x7f\r\n", False),
        (HEADER + b"\r\n\x80\r\n", True),
        (HEADER + b"\r\n" + b"x\r\n" * 100 + b"\xff\r\n", True),
        (b"Subject: \xc3\xbc\r\n\r\nplain\r\n", False),  # RFC 6532, not RFC 6152
        (b"Subject: \xc3\xbc\r\n", False),
    ],
)
@pytest.mark.parametrize("block", [0, 1, 100])
def test_eight_bit_body_is_seen(octets: bytes, is_eight_bit: bool, block: int) -> None:
    """Octets over 0x7F in the body, wherever they stand; the header section is another matter."""
    assert read(octets, block=block).traits == Traits(eight_bit_body=is_eight_bit)


@pytest.mark.parametrize(
    ("body", "is_ambiguous"),
    [
        (b"text\r\n", False),
        (b"", False),
        (b"\r\n\r\n", False),
        (b"text \t\r\n \r\n", False),
        (b"\r\n \r\ntext\r\n", False),
        (b" \r\n", True),
        (b"\r\n\t\r\n", True),
        (b"te\x0bxt\r\n", True),
        (b"text\r\n\x0c\r\n", True),
    ],
)
@pytest.mark.parametrize("block", [0, 1, 2])
def test_body_on_which_verifiers_disagree_is_seen(
    body: bytes, is_ambiguous: bool, block: int
) -> None:
    """VT, FF, and nothing but white space: canonicalized differently by one or the other."""
    assert read(HEADER + b"\r\n" + body, block=block).traits == Traits(is_ambiguous=is_ambiguous)


LINE = b"x" * MAX_LINE_OCTETS
LONG = LINE + b"x"


@pytest.mark.parametrize("block", [0, 1, 2, 997, 998, 999, 1000, 1001])
@pytest.mark.parametrize(
    ("body", "is_long"),
    [
        pytest.param(LINE + b"\r\n", False, id="998"),
        pytest.param(LONG + b"\r\n", True, id="999"),
        pytest.param(LINE, False, id="998 without line end"),
        pytest.param(LONG, True, id="999 without line end"),
        pytest.param((LINE + b"\r\n") * 3, False, id="998 three times"),
        pytest.param(
            b"\r\n" + LINE + b"\r\n\r\n" + LINE + b"\r\n", False, id="998 and blank lines"
        ),
        pytest.param((LINE + b"\r\n") * 2 + LONG + b"\r\n", True, id="999 at last"),
        pytest.param(LONG + b"\r\n" + b"x\r\n" * 500, True, id="999 at first"),
        pytest.param(
            b"x\r\n" * 500 + LONG + b"\r\n" + b"x\r\n" * 500, True, id="999 in the middle"
        ),
        pytest.param(b"y" * 500 + b"\r\n" + LINE + b"\r\n", False, id="998 after 500"),
        pytest.param(b"y" * 997 + b"\r\n" + LONG + b"\r\n", True, id="999 after 997"),
        pytest.param(b"", False, id="nothing"),
        pytest.param(b"\r\n" * 2000, False, id="blank lines"),
        pytest.param(b"z" * 5000 + b"\r\n", True, id="5,000"),
    ],
)
def test_long_body_line_is_seen(body: bytes, is_long: bool, block: int) -> None:
    """Over 998 octets without CRLF is long, wherever blocks split the line."""
    message = read(HEADER + b"\r\n" + body, block=block)
    assert message.traits.long_body_line is is_long
    assert not message.traits.eight_bit_body


def test_long_header_line_is_no_trait_of_the_body() -> None:
    """Header lines are measured where they are sent; folding is not done here."""
    assert read(b"A: " + LONG + b"\r\n\r\nx\r\n").traits == Traits()
