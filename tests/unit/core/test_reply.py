"""relay.core.reply: what a server says is read strictly; what we say cannot break its line."""

from __future__ import annotations

import pytest

from relay.core import reply as module
from relay.core.reply import (
    MAX_REPLY_LINE_OCTETS,
    MAX_REPLY_LINES,
    Reply,
    ReplyReader,
    ReplySyntaxError,
    own,
)

EHLO = (
    b"250-mail.example.com at your service\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250 PIPELINING\r\n"
)
EHLO_REPLY = Reply(
    250, (b"mail.example.com at your service", b"SIZE 1000", b"8BITMIME", b"PIPELINING")
)

CASES = [
    pytest.param(b"250 OK\r\n", [Reply(250, (b"OK",))], id="one line"),
    pytest.param(b"250\r\n", [Reply(250, (b"",))], id="no text, no blank"),
    pytest.param(b"250 \r\n", [Reply(250, (b"",))], id="no text"),
    pytest.param(b"250-\r\n250 \r\n", [Reply(250, (b"", b""))], id="two lines without text"),
    pytest.param(b"250-a\r\n250\r\n", [Reply(250, (b"a", b""))], id="last line is the code only"),
    pytest.param(EHLO, [EHLO_REPLY], id="EHLO"),
    pytest.param(
        b"250 a\r\n354 b\r\n550 5.1.1 c\r\n",
        [Reply(250, (b"a",)), Reply(354, (b"b",)), Reply(550, (b"5.1.1 c",))],
        id="three at once",
    ),
    pytest.param(b"250  two blanks \r\n", [Reply(250, (b" two blanks ",))], id="blanks are text"),
    pytest.param(b"250 a\tb\r\n", [Reply(250, (b"a\tb",))], id="tab"),
    pytest.param(b"550 gr\xc3\xbc\xdfe\r\n", [Reply(550, (b"gr\xc3\xbc\xdfe",))], id="eight bits"),
    pytest.param(b"250--\r\n250  -\r\n", [Reply(250, (b"-", b" -"))], id="hyphens in text"),
    pytest.param(b"", [], id="nothing"),
]


def read(data: bytes, *, block: int = 0) -> list[Reply]:
    """All replies in `data`, fed whole or in blocks of so many octets."""
    reader = ReplyReader()
    size = block or max(1, len(data))
    replies = []
    for start in range(0, len(data), size):
        replies += reader.feed(data[start : start + size])
    return replies


@pytest.mark.parametrize("block", [0, 1, 2, 3, 7])
@pytest.mark.parametrize(("data", "replies"), CASES)
def test_replies_are_read(data: bytes, replies: list[Reply], block: int) -> None:
    """The same replies, wherever the octets are split."""
    assert read(data, block=block) == replies


@pytest.mark.parametrize(("data", "replies"), CASES)
def test_trailing_octets_wait(data: bytes, replies: list[Reply]) -> None:
    """What follows the last line end is held, and completed later."""
    reader = ReplyReader()
    assert reader.feed(data + b"22") == replies
    assert reader.feed(b"1 bye\r") == []
    assert reader.feed(b"\n") == [Reply(221, (b"bye",))]


def test_unfinished_reply_is_not_empty() -> None:
    """A connection with half a reply in it must not be used for the next command."""
    reader = ReplyReader()
    steps = [(b"", True), (b"250", False), (b"-first\r\n", False), (b"250 last\r", False)]
    for data, is_empty in [*steps, (b"\n", True), (b"250 next\r\n", True)]:
        reader.feed(data)
        assert reader.is_empty is is_empty


@pytest.mark.parametrize("block", [0, 1, 2])
@pytest.mark.parametrize(
    "data",
    [
        b"\r\n",
        b"OK\r\n",
        b"25 OK\r\n",
        b"2500 OK\r\n",
        b"250OK\r\n",
        b"250_OK\r\n",
        b"250\tOK\r\n",
        b" 250 OK\r\n",
        b"-250 OK\r\n",
        b"+50 OK\r\n",
        b"150 OK\r\n",
        b"050 OK\r\n",
        b"650 OK\r\n",
        b"999 OK\r\n",
        b"\xb2\xb5\xb0 OK\r\n",
        b"250 OK\n250 OK\r\n",
        b"250 a\rb\r\n",
        b"250 a\r\r\n",
        b"250 a\0\r\n",
        b"250 a\x1b[2J\r\n",
        b"250 a\x7f\r\n",
        b"250-a\r\n251 b\r\n",
        b"250-a\r\n250-b\r\n550 c\r\n",
        b"250-a\r\n\r\n",
        b"250-a\r\nb\r\n",
        b"HTTP/1.1 400 Bad Request\r\n",
        b"\x16\x03\x01\x02\r\n",
    ],
)
def test_garbage_is_refused(data: bytes, block: int) -> None:
    """No guess is made at what a server may have meant: the connection is of no more use."""
    with pytest.raises(ReplySyntaxError) as caught:
        read(data, block=block)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "fault",
    [
        b"junk\r\n",
        b"250-a\r\n550 b\r\n",
        b"250 x\n\r\n",
        b"250 " + b"x" * 5000,
        b"250-x\r\n" * (MAX_REPLY_LINES + 1),
    ],
)
@pytest.mark.parametrize(
    ("held", "data", "replies"),
    [
        (b"", b"", ()),
        (b"", b"250 a\r\n", (Reply(250, (b"a",)),)),
        (b"2", b"50 a\r\n550 b\r\n", (Reply(250, (b"a",)), Reply(550, (b"b",)))),
        (b"250-a\r\n", b"250 b\r\n354\r\n", (Reply(250, (b"a", b"b")), Reply(354, (b"",)))),
        (b"", b"250 a\r\n354-b\r\n354 c\r\n", (Reply(250, (b"a",)), Reply(354, (b"b", b"c")))),
    ],
)
def test_replies_before_garbage_are_not_lost(
    held: bytes, data: bytes, replies: tuple[Reply, ...], fault: bytes
) -> None:
    """They came with the same octets, and answer what was asked; the fault stays for good."""
    reader = ReplyReader()
    assert reader.feed(held) == []
    with pytest.raises(ReplySyntaxError) as caught:
        reader.feed(data + fault + b"250 behind\r\n")
    assert caught.value.replies == replies
    assert not reader.is_empty
    with pytest.raises(ReplySyntaxError) as again:
        reader.feed(b"250 late\r\n")
    assert again.value.replies == ()


@pytest.mark.parametrize("block", [0, 1, 1000, MAX_REPLY_LINE_OCTETS, MAX_REPLY_LINE_OCTETS + 1])
def test_line_at_its_limit(block: int) -> None:
    """So many octets before the CRLF pass, one more does not; the split makes no difference."""
    exact = b"250 " + b"x" * (MAX_REPLY_LINE_OCTETS - 4)
    assert read(exact + b"\r\n", block=block) == [Reply(250, (exact[4:],))]
    with pytest.raises(ReplySyntaxError):
        read(exact + b"x\r\n", block=block)


def test_line_without_end_is_refused() -> None:
    """A server that never ends its line is not listened to for ever."""
    with pytest.raises(ReplySyntaxError):
        read(b"250 " + b"x" * 20_000, block=1000)


@pytest.mark.parametrize("block", [0, 5])
def test_lines_of_a_reply_at_their_limit(block: int) -> None:
    """So many lines pass, one more does not, ended or not."""
    exact = b"250-x\r\n" * (MAX_REPLY_LINES - 1)
    (reply,) = read(exact + b"250 x\r\n", block=block)
    assert len(reply.lines) == MAX_REPLY_LINES
    with pytest.raises(ReplySyntaxError):
        read(exact + b"250-x\r\n250 x\r\n", block=block)
    with pytest.raises(ReplySyntaxError):
        read(exact + b"250-x\r\n250-x\r\n", block=block)


def test_many_replies_at_once_are_read() -> None:
    """The limits are those of one reply, not of what arrives in one read."""
    assert len(read(b"250 x\r\n" * 20_000)) == 20_000


# A reply ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (200, "2"),
        (250, "2"),
        (299, "2"),
        (354, "3"),
        (421, "4"),
        (451, "4"),
        (500, "5"),
        (559, "5"),
    ],
)
def test_kind_of_a_reply(code: int, kind: str) -> None:
    """The first digit decides, and exactly one kind holds; 354 is none of them."""
    reply = Reply(code, (b"",))
    kinds = {"2": reply.is_positive, "4": reply.is_transient, "5": reply.is_permanent}
    assert [digit for digit, holds in kinds.items() if holds] == ([] if kind == "3" else [kind])


@pytest.mark.parametrize(
    ("line", "enhanced"),
    [
        (b"5.7.1 no", "5.7.1"),
        (b"5.7.1", "5.7.1"),
        (b"2.0.0 Queued as 1", "2.0.0"),
        (b"4.999.999 x", "4.999.999"),
        (b"5.7.1: no", ""),
        (b"5.7.1\tno", ""),
        (b"5.7 no", ""),
        (b"5.7.1.2 no", ""),
        (b"3.7.1 no", ""),
        (b"5.1000.1 no", ""),
        (b" 5.7.1 no", ""),
        (b"no 5.7.1", ""),
        (b"5.7.1\n", ""),
        (b"", ""),
    ],
)
def test_enhanced_code_of_a_reply(line: bytes, enhanced: str) -> None:
    """RFC 3463 §2: at the beginning of the first line, or not at all."""
    assert Reply(550, (line, b"5.1.1 second line")).enhanced == enhanced


@pytest.mark.parametrize(
    "data", [b"250 OK\r\n", b"250 \r\n", EHLO, b"550-a\r\n550 gr\xfc\xdfe\r\n"]
)
def test_reply_goes_out_as_it_came(data: bytes) -> None:
    """An upstream's reply is passed through octet for octet."""
    (reply,) = read(data)
    assert reply.wire() == data


def test_reply_is_shown_on_one_line() -> None:
    """For logs: code and all lines, with what is not UTF-8 escaped."""
    assert str(Reply(550, (b"5.1.1 gr\xc3\xbc\xc3\x9fe", b"\xff"))) == "550 5.1.1 grüße \\xff"


# Our own ----------------------------------------------------------------------------------------


def test_own_reply() -> None:
    """Code, enhanced code, text; without an enhanced code no blank in its place."""
    assert own(550, "5.7.1", "No").wire() == b"550 5.7.1 No\r\n"
    assert own(354, "", "Go").wire() == b"354 Go\r\n"


@pytest.mark.parametrize(
    "text", ["a\r\nb", "a\nb", "a\rb", "a\0b", "a\tb", "ä", "a\x7f", "a\u2028b"]
)
def test_own_reply_cannot_break_its_line(text: str) -> None:
    """Whatever finds its way into a text, it is one line of printable ASCII."""
    with pytest.raises(ValueError, match="printable ASCII"):
        own(550, "5.7.1", text)


@pytest.mark.parametrize("enhanced", ["5.7.1\r\n250 2.0.0", "5.7.1\n", "ä"])
def test_own_enhanced_code_cannot_break_its_line(enhanced: str) -> None:
    """Nor does the enhanced code."""
    with pytest.raises(ValueError, match="printable ASCII"):
        own(550, enhanced, "a")


def test_replies_of_ours_are_well_formed() -> None:
    """Every constant is what our own reader takes, with the class that its code says."""
    constants = {n: r for n, r in vars(module).items() if isinstance(r, Reply)}
    assert len(constants) > 20
    for name, reply in constants.items():
        assert read(reply.wire()) == [reply], name
        assert len(reply.wire()) <= 512, name  # RFC 5321 §4.5.3.1.5
        if name != "GO_AHEAD":  # RFC 2034 §4: all but 3yz
            assert reply.enhanced[:1] == str(reply.code)[0], name
