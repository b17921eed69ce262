"""DATA: what a message may be made of on its way in. RFC 5321 §4.1.1.4, §4.5.2, §4.5.3.1."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace

import pytest

from relay.core.errors import Reason
from relay.core.events import Outcome
from relay.core.reader import ReadLimits
from tests.fakes.edge import READ_LIMITS, Edge
from tests.fakes.transcript import Conversation, Segments

OPENING = """\
S: 220 relay.example ESMTP dkim-relay
C: HELO c
S: 250 relay.example
C: MAIL FROM:<>
S: 250 2.1.0 OK
C: RCPT TO:<b@example.net>
S: 250 2.1.5 Ok
C: DATA
S: 354 End data with <CR><LF>.<CR><LF>
"""
OPENING_OCTETS = b"HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n"
QUEUED = "S: 250 2.0.0 Ok: queued as 4F\n"
BYE = "C: QUIT\nS: 221 2.0.0 Goodbye"
RESTART = OPENING.partition("S: 250 relay.example\n")[2]
AGAIN = f"{RESTART}C: From: a@example.com\nC:\x20\nC: Again.\nC: .\n" + QUEUED


@pytest.mark.parametrize(
    ("body", "carried"),
    [
        ("", b""),
        (r"\r\n", b"\r\n"),
        (r"..\r\n", b".\r\n"),
        (r"..a\r\n...b\r\n....\r\n", b".a\r\n..b\r\n...\r\n"),
        (r".a\r\n", b"a\r\n"),  # RFC 5321 §4.5.2: the first dot goes, whatever follows
        (r"a.\r\n.b\r\nc\r\n", b"a.\r\nb\r\nc\r\n"),
        (r"\r\n\r\n\r\n", b"\r\n\r\n\r\n"),
        (r"x\t \r\n-- \r\n", b"x\t \r\n-- \r\n"),
        (r"\xe4\xff\x80\r\n", b"\xe4\xff\x80\r\n"),
        (r"\x01\x08\x1b\x7f\r\n", b"\x01\x08\x1b\x7f\r\n"),
        (r"Q\r\nQUIT\r\nRSET\r\n", b"Q\r\nQUIT\r\nRSET\r\n"),
    ],
)
async def test_a_body_arrives_as_it_was_sent(
    converse: Conversation, body: str, carried: bytes
) -> None:
    """Dots are unstuffed and nothing else is changed."""
    await converse(
        f"{OPENING}C< From: a@example.com\\r\\n\\r\\n{body}.\\r\\n\n{QUEUED}{AGAIN}{BYE}"
    )
    sent = converse.edge.upstream.messages[0]
    assert sent.partition(b"From: a@example.com\r\n")[2].partition(b"\r\n")[2] == carried


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (r".\r\n", "550 5.6.0 The From header field must stand exactly once"),
        (r"\r\n.\r\n", "550 5.6.0 The From header field must stand exactly once"),
        (
            r"From: a@example.com\r\nFrom: a@example.com\r\n\r\n.\r\n",
            "550 5.6.0 The From header field must stand exactly once",
        ),
        (
            r" folded first\r\nFrom: a@example.com\r\n\r\n.\r\n",
            "554 5.6.0 The first header line is a continuation",
        ),
        (
            r"From : a@example.com\r\n\r\n.\r\n",
            "554 5.6.0 A header field name is not valid",
        ),
    ],
)
async def test_a_message_outside_the_grammar(
    converse: Conversation, message: str, said: str
) -> None:
    """It is refused with the reason, and the session goes on."""
    await converse(f"{OPENING}C< {message}\nS: {said}\n{AGAIN}{BYE}")
    assert len(converse.edge.upstream.messages) == 1


@pytest.mark.parametrize("octets", [998, 999, 1001, 1002, 2002])
async def test_a_long_line_is_not_the_listeners_to_refuse(
    converse: Conversation, octets: int
) -> None:
    """Lines over 1,000 octets pass DATA whole; what to do with them is decided for the hop."""
    await converse(
        f"{OPENING}C: From: a@example.com\nC:\x20\nC: {'x' * octets}\nC: .\n{QUEUED}{AGAIN}{BYE}"
    )
    first = converse.edge.endings[0]
    assert first.size_octets == len(b"From: a@example.com\r\n\r\n\r\n") + octets


@pytest.mark.parametrize("segments", [Segments.WHOLE, Segments.LINES])
async def test_a_very_long_line(segments: Segments, edge: Edge) -> None:
    """The same for one that fills several reads."""
    await Conversation(edge, segments)(
        f"{OPENING}C: From: a@example.com\nC:\x20\nC: {'x' * 70_000}\nC: .\n{QUEUED}{AGAIN}{BYE}"
    )
    assert edge.endings[0].size_octets > 70_000


@pytest.mark.parametrize("segments", [Segments.WHOLE, Segments.LINES])
@pytest.mark.parametrize("over", [0, 1, 90_000])
async def test_the_size_limit(segments: Segments, over: int) -> None:
    """Octets are counted, whatever was declared; 552 5.3.4 comes after the final dot."""
    header = "From: a@example.com\r\n\r\n"
    lines, rest = divmod(100_000 + over - len(header), 500)
    edge = Edge()
    said = QUEUED if not over else "S: 552 5.3.4 Message is over the size limit\n"
    body = ("C: " + "x" * 498 + "\n") * lines
    last = "C: " + "x" * (rest - 2) + "\n" if rest > 1 else f"C< {'x' * rest}" + r"\r\n" + "\n"
    await Conversation(edge, segments)(
        f"{OPENING}C: From: a@example.com\nC:\x20\n{body}{last}C: .\n{said}{AGAIN}{BYE}"
    )
    first, second = edge.endings
    assert first.outcome is (Outcome.REJECTED if over else Outcome.RELAYED)
    assert second.outcome is Outcome.RELAYED


async def test_a_header_section_over_its_limit(converse: Conversation) -> None:
    """A header section has a limit of its own."""
    field = "C: X: " + "x" * 400 + "\n"
    await converse(
        f"{OPENING}C: From: a@example.com\n{field * 51}C:\x20\nC: .\n"
        f"S: 552 5.3.4 Header section is over the limit (limits.max_header_bytes)\n{AGAIN}{BYE}"
    )


@pytest.mark.parametrize(
    ("limits", "passes", "is_over", "said"),
    [
        (
            {"max_header_octets": 60},
            "X: " + "x" * 34,
            "X: " + "x" * 35,
            "Header section is over the limit (limits.max_header_bytes)",
        ),
        (
            {"max_header_fields": 3},
            "X: 1\nC: X: 1",
            "X: 1\nC: X: 1\nC: X: 1",
            "Too many header fields (limits.max_header_fields)",
        ),
        (
            {"max_field_octets": 30},
            "X: " + "x" * 25,
            "X: " + "x" * 26,
            "A header field is over the limit (limits.max_header_field_bytes)",
        ),
    ],
    ids=["section", "fields", "field"],
)
async def test_what_a_header_section_is_over(
    limits: dict[str, int], passes: str, is_over: str, said: str
) -> None:
    """At a limit it passes; beyond, the client hears which one it is and how it is set."""
    edge = Edge(read_limits=replace(READ_LIMITS, **limits))  # type: ignore[arg-type]  # all int
    message = "C: From: a@example.com\nC: {}\nC:\x20\nC: .\n"
    await Conversation(edge, Segments.WHOLE)(
        f"{OPENING}{message.format(passes)}{QUEUED}"
        f"{RESTART}{message.format(is_over)}S: 552 5.3.4 {said}\n{BYE}"
    )
    first, second = edge.endings
    assert first.outcome is Outcome.RELAYED
    assert second.outcome is Outcome.REJECTED
    assert second.reason is Reason.MESSAGE_SIZE
    assert second.detail == said


MIB = 1024 * 1024


@pytest.fixture
def traced() -> Iterator[None]:
    """Count what Python holds; not what the kernel gave, which stays after it is let go."""
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize(
    "opening", [b"", b"From: a@example.com\r\n\r\n"], ids=["in the header", "in the body"]
)
async def test_data_without_a_line_end_is_bounded(opening: bytes) -> None:
    """Release blocker 2: no CRLF, no end, far over the limit: little is held, and it closes."""
    edge = Edge(read_limits=ReadLimits(max_message_octets=4 * MIB, max_header_octets=MIB // 4))
    client = edge.client()
    client.send(OPENING_OCTETS + opening)
    await client.take(len(b"".join(_opening_replies())))
    block = b"x" * (256 * 1024)
    before = tracemalloc.get_traced_memory()[0]
    held = []
    for _ in range(40):
        client.send(block)
        await _turn()
        held.append(tracemalloc.get_traced_memory()[0] - before)
    assert max(held) < 4 * MIB + MIB
    assert held[20] < MIB  # at 5 MiB of 4 the message is lost, and its memory let go
    assert (await client.rest()).startswith(b"552 5.3.4 Message is over the size limit\r\n")
    assert not edge.upstream.messages
    assert edge.upstream.open_transactions == 0
    assert not edge.sessions
    # The log must name the size, or nobody finds out why this client's mail does not go.
    assert edge.ending.outcome is Outcome.REJECTED
    assert edge.ending.reply == "552 5.3.4 Message is over the size limit"


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("junk", [b"\0", b"\r", b"x\ny"])
async def test_a_message_that_is_refused_already_is_not_kept(junk: bytes) -> None:
    """From its first fault on nothing of a message is kept, and the answer waits for its end."""
    edge = Edge(read_limits=replace(READ_LIMITS, max_message_octets=50 * MIB))
    client = edge.client()
    client.send(OPENING_OCTETS + b"From: a@example.com\r\n\r\n" + junk + b"y\r\n")
    await client.take(len(b"".join(_opening_replies())))
    before = tracemalloc.get_traced_memory()[0]
    block = (b"x" * 62 + b"\r\n") * 4096
    for _ in range(20):
        client.send(block)
        await _turn()
    assert tracemalloc.get_traced_memory()[0] - before < MIB
    client.send(b".\r\nQUIT\r\n")
    assert (await client.rest()).startswith(b"554 5.6.0 ")


def _opening_replies() -> list[bytes]:
    return [line[3:].encode() + b"\r\n" for line in OPENING.splitlines() if line.startswith("S: ")]


async def _turn() -> None:
    """Let the session do what it has to do; it has nothing to say yet."""
    for _ in range(12):
        await asyncio.sleep(0)


async def test_a_message_that_does_not_wait_for_354() -> None:
    """More than is read ahead, all at once: reading goes on where the message begins."""
    edge = Edge(read_limits=replace(READ_LIMITS, max_message_octets=4 * MIB))
    client = edge.client()
    body = (b"x" * 62 + b"\r\n") * 32_768
    message = b"From: a@example.com\r\n\r\n" + body + b".\r\nQUIT\r\n"
    client.send(b"NOOP\r\n" * 20_000 + OPENING_OCTETS + message)
    assert (await client.rest()).endswith(b"queued as 4F\r\n221 2.0.0 Goodbye\r\n")
    assert edge.upstream.messages[0].endswith(body)
