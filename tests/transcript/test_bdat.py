"""CHUNKING: messages in chunks of so many octets, whatever these are (RFC 3030)."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from relay.core.events import Outcome
from relay.core.reader import ReadLimits
from relay.listener.endpoint import Endpoint, ListenerTls
from tests.fakes.certificates import Certificates
from tests.fakes.edge import Edge
from tests.fakes.transcript import Conversation
from tests.fakes.upstream import reply

HEADER = b"From: a@example.com\r\nDate: x\r\nMessage-ID: <1@example.com>\r\n\r\n"
OPENING = """\
S: 220 relay.example ESMTP dkim-relay
C: HELO c
S: 250 relay.example
"""
ENVELOPE = """\
C: MAIL FROM:<a@example.com>
S: 250 2.1.0 OK
C: RCPT TO:<b@example.net>
S: 250 2.1.5 Ok
"""
QUEUED = "S: 250 2.0.0 Ok: queued as 4F\n"
BYE = "C: QUIT\nS: 221 2.0.0 Goodbye"
BAD_SEQUENCE = "S: 503 5.5.1 Bad sequence of commands\n"
NO_RECIPIENTS = "S: 554 5.5.1 No valid recipients\n"
UP_TO_DATA = b"HELO c\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\n"


def chunk(octets: bytes, *, last: bool = False) -> str:
    """A line of a transcript: the command and its octets."""
    command = b"BDAT %d%b\r\n" % (len(octets), b" LAST" if last else b"")
    return f"C< {repr(command + octets)[2:-1]}\n".replace('"', r"\"")


def taken(octets: bytes) -> str:
    """The reply to a chunk that is not the last."""
    return f"S: 250 2.0.0 {len(octets)} octets received\n"


def relayed(edge: Edge) -> list[bytes]:
    """The messages that left, without our signature."""
    return [octets[octets.index(b"From: a@") :] for octets in edge.upstream.messages]


# ---- what is taken -----------------------------------------------------------------------------

BODIES = {
    "text": b"Hello.\r\n",
    "dots": b".\r\n..\r\n.\r\n.x\r\n",
    "an end of data": b"one\r\n.\r\ntwo\r\n.\r\n",
    "commands": b"RSET\r\nQUIT\r\nBDAT 5 LAST\r\nMAIL FROM:<>\r\n",
    "eight bits": b"\xff\xfe \xe4\r\n",
    "nothing": b"",
}


@pytest.mark.parametrize("body", BODIES)
async def test_a_message_in_one_chunk(converse: Conversation, body: str) -> None:
    """Octet for octet: dots and what looks like an end or a command are content."""
    octets = HEADER + BODIES[body]
    await converse(OPENING + ENVELOPE + chunk(octets, last=True) + QUEUED + BYE)
    assert relayed(converse.edge) == [octets]


@pytest.mark.parametrize("places", [(10,), (0, 20), (5, 6, 7), (30, 30), (60, 61)])
@pytest.mark.parametrize("last", ["full", "empty"])
async def test_a_message_in_several_chunks(
    converse: Conversation, places: tuple[int, ...], last: str
) -> None:
    """Cut anywhere, in lines and between CR and LF; the last chunk may be empty."""
    octets = HEADER + b"one\r\n.\r\ntwo\r\n"
    cuts = [0, *places, len(octets)]
    pieces = [octets[a:b] for a, b in pairwise(cuts)]
    if last == "empty":
        pieces.append(b"")
    *firsts, final = pieces
    script = "".join(chunk(piece) + taken(piece) for piece in firsts)
    await converse(OPENING + ENVELOPE + script + chunk(final, last=True) + QUEUED + BYE)
    assert relayed(converse.edge) == [octets]


async def test_every_cut_of_a_message_in_two_chunks() -> None:
    """Both chunks and the next command in one segment, and the message cut at every octet."""
    octets = HEADER + b".\r\n\r\n.\r\n"
    edge = Edge()
    for cut in range(len(octets) + 1):
        one, two = octets[:cut], octets[cut:]
        client = edge.client()
        client.send(UP_TO_DATA + b"BDAT %d\r\n" % len(one) + one)
        client.send(b"bdat %d last\r\n" % len(two) + two + b"MAIL FROM:<>\r\nQUIT\r\n")
        lines = (await client.rest()).splitlines()[4:]
        assert lines == [
            b"250 2.0.0 %d octets received" % len(one),
            b"250 2.0.0 Ok: queued as 4F",
            b"250 2.1.0 OK",
            b"221 2.0.0 Goodbye",
        ]
    assert relayed(edge) == [octets] * (len(octets) + 1)
    assert edge.memory.octets == 0


async def test_every_cut_of_the_stream() -> None:
    """Two segments, cut at every octet of the whole session."""
    octets = HEADER + b"x\r\n.\r\n"
    stream = UP_TO_DATA + b"BDAT 20\r\n" + octets[:20]
    stream += b"BDAT %d LAST\r\n" % (len(octets) - 20) + octets[20:] + b"QUIT\r\n"
    edge = Edge()
    for cut in range(1, len(stream)):
        client = edge.client()
        client.send(stream[:cut])
        await asyncio.sleep(0)
        client.send(stream[cut:])
        assert (await client.rest()).endswith(b"queued as 4F\r\n221 2.0.0 Goodbye\r\n")
    assert relayed(edge) == [octets] * (len(stream) - 1)


async def test_messages_follow_one_another(converse: Conversation) -> None:
    """BDAT, DATA, and BDAT again in one session."""
    octets = HEADER + b"Hello.\r\n"
    data = "C: DATA\nS: 354 End data with <CR><LF>.<CR><LF>\n"
    lines = "".join(f"C: {line}\n" for line in octets.decode().split("\r\n")[:-1])
    await converse(
        f"{OPENING}{ENVELOPE}{chunk(octets, last=True)}{QUEUED}"
        f"{ENVELOPE}{data}{lines}C: .\n{QUEUED}"
        f"{ENVELOPE}{chunk(octets, last=True)}{QUEUED}{BYE}"
    )
    assert relayed(converse.edge) == [octets] * 3


async def test_a_message_without_a_final_line_end(converse: Conversation) -> None:
    """DATA cannot end so, BDAT can: the line is ended, and the signature is over that."""
    await converse(
        OPENING + ENVELOPE + chunk(HEADER + b"no end", last=True) + QUEUED + BYE,
    )
    assert relayed(converse.edge) == [HEADER + b"no end\r\n"]


async def test_a_header_without_a_body(converse: Conversation) -> None:
    """Nor needs there be a blank line, or an end of the last field's."""
    octets = HEADER[:-4]
    await converse(OPENING + ENVELOPE + chunk(octets, last=True) + QUEUED + BYE)
    assert relayed(converse.edge) == [HEADER]


@pytest.mark.parametrize("command", ["bdat", "BdAt"])
@pytest.mark.parametrize("argument", ["{} LAST", "{} last", "{}   LaSt", "000{} LAST", "{} LAST  "])
async def test_how_it_may_be_written(converse: Conversation, command: str, argument: str) -> None:
    """In any letters, with blanks; leading zeros are digits."""
    octets = HEADER + b"x\r\n"
    line = f"{command} {argument.format(len(octets))}\r\n".encode() + octets
    await converse(f"{OPENING}{ENVELOPE}C< {repr(line)[2:-1]}\n{QUEUED}{BYE}")


# ---- what is refused ---------------------------------------------------------------------------

BAD = [
    "",
    "x",
    "-1",
    "+1",
    "1.0",
    "0x10",
    "1 2",
    "LAST",
    "1 LASTS",
    "1 LAST LAST",
    "1LAST",
    "1\tLAST",
    "999999999999999999999",
    "\u0661",
]


@pytest.mark.parametrize("argument", BAD)
@pytest.mark.parametrize("envelope", ["", ENVELOPE], ids=["alone", "in a transaction"])
async def test_a_size_that_is_none(converse: Conversation, envelope: str, argument: str) -> None:
    """Where the chunk ends nobody knows then: what follows must not be taken for commands."""
    await converse(
        f"{OPENING}{envelope}C: BDAT {argument}\nS: 501 5.5.4 Bad argument\n"
        "C: MAIL FROM:<evil@example.com>\nC: RSET\nC: NOOP"
    )
    assert not converse.edge.upstream.messages
    assert converse.edge.upstream.open_transactions == 0


LONG = b"BDAT " + b"0" * 600 + b"9 LAST\r\n"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"BDAT 9 LAST\n", b"500 5.5.2 Bare CR, bare LF or NUL in a command"),
        (b"BDAT 9\r LAST\r\n", b"500 5.5.2 Bare CR, bare LF or NUL in a command"),
        (b"bdat 9 \0LAST\r\n", b"500 5.5.2 Bare CR, bare LF or NUL in a command"),
        (LONG, b"500 5.5.2 Command line too long"),
    ],
    ids=["bare LF", "bare CR", "NUL", "too long"],
)
@pytest.mark.parametrize("cut", [1, 100, 10_000])
async def test_a_line_that_is_no_command(line: bytes, said: bytes, cut: int) -> None:
    """The same: a chunk follows, and its octets are nobody's commands.

    Who stands in front of us may have read the line with its bare LF, and have passed on the
    content of a chunk for what it is.
    """
    edge = Edge()
    client = edge.client()
    stream = UP_TO_DATA + line + b"RSET\r\nMAIL FROM:<evil@example.com>\r\nNOOP\r\n"
    for position in range(0, len(stream), cut):
        client.send(stream[position : position + cut])
        await asyncio.sleep(0)
    client.end()
    assert (await client.rest()).splitlines()[4:] == [said]
    assert edge.upstream.open_transactions == 0


SKIPPED = b"MAIL FROM:<evil@example.com>\r\nQUIT\r\n"


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("octets", [b"", SKIPPED, SKIPPED * 200], ids=len)
async def test_a_chunk_without_a_transaction(
    converse: Conversation, octets: bytes, last: bool
) -> None:
    """Its octets are read and thrown away (RFC 3030 §2), then it is a bad sequence."""
    await converse(
        f"{OPENING}{chunk(octets, last=last)}{BAD_SEQUENCE}C: NOOP\nS: 250 2.0.0 OK\n{BYE}"
    )
    assert not converse.edge.upstream.begins
    assert converse.edge.memory.octets == 0


async def test_a_chunk_behind_mail(converse: Conversation) -> None:
    """Without a recipient it is a bad sequence, and the transaction goes on."""
    octets = HEADER + b"x\r\n"
    await converse(
        f"{OPENING}C: MAIL FROM:<a@example.com>\nS: 250 2.1.0 OK\n"
        f"{chunk(SKIPPED)}{BAD_SEQUENCE}C: RCPT TO:<b@example.net>\nS: 250 2.1.5 Ok\n"
        f"{chunk(octets, last=True)}{QUEUED}{BYE}"
    )
    assert relayed(converse.edge) == [octets]


async def test_a_chunk_behind_refused_recipients(converse: Conversation) -> None:
    """554, as for DATA; a client that pipelines cannot know it, so it is no bad command."""
    converse.edge.upstream.answers[b"no@example.net"] = reply(b"550 5.1.1 No")
    one = (
        "C: MAIL FROM:<a@example.com>\nS: 250 2.1.0 OK\n"
        "C: RCPT TO:<no@example.net>\nS: 550 5.1.1 No\n"
        f"{chunk(SKIPPED)}{NO_RECIPIENTS}{chunk(SKIPPED, last=True)}{NO_RECIPIENTS}"
        "C: RSET\nS: 250 2.0.0 OK\n"
    )
    await converse(OPENING + one * 5 + BYE)
    assert not converse.edge.upstream.messages
    assert converse.edge.memory.octets == 0


async def test_commands_between_chunks(converse: Conversation) -> None:
    """MAIL, RCPT and DATA are a bad sequence there (RFC 3030 §2), and change nothing."""
    octets = HEADER + b"x\r\n"
    await converse(
        f"{OPENING}{ENVELOPE}{chunk(octets[:9])}{taken(octets[:9])}"
        f"C: DATA\n{BAD_SEQUENCE}C: RCPT TO:<c@example.net>\n{BAD_SEQUENCE}"
        f"C: NOOP\nS: 250 2.0.0 OK\nC: HELP\nS: 214 2.0.0 See RFC 5321\n"
        f"{chunk(octets[9:], last=True)}{QUEUED}C: MAIL FROM:<>\nS: 250 2.1.0 OK\n{BYE}"
    )
    assert relayed(converse.edge) == [octets]
    assert converse.edge.endings[0].rcpt_to == ("b@example.net",)


@pytest.mark.parametrize("again", ["RSET", "HELO c"])
async def test_giving_up_between_chunks(converse: Conversation, again: str) -> None:
    """RSET and a new greeting end the message; nothing of it gets into the next."""
    octets = HEADER + b"x\r\n"
    said = {"R": "250 2.0.0 OK", "H": "250 relay.example"}[again[0]]
    await converse(
        f"{OPENING}{ENVELOPE}{chunk(b'Evil: field' * 30)}{taken(b'Evil: field' * 30)}"
        f"C: {again}\nS: {said}\n{chunk(SKIPPED, last=True)}{BAD_SEQUENCE}"
        f"{ENVELOPE}{chunk(octets, last=True)}{QUEUED}{BYE}"
    )
    assert relayed(converse.edge) == [octets]
    assert converse.edge.memory.octets == 0
    assert converse.edge.upstream.open_transactions == 0


@pytest.mark.parametrize("end", ["end", "vanish"])
@pytest.mark.parametrize("sent", [b"BDAT 100\r\n", b"BDAT 100\r\nxy", b"BDAT 2\r\nxy", b"BDAT 9 L"])
async def test_a_client_that_leaves(edge: Edge, end: str, sent: bytes) -> None:
    """Within a chunk or between two: nothing is sent, nothing stays."""
    client = edge.client()
    client.send(UP_TO_DATA + sent)
    await asyncio.sleep(0)
    getattr(client, end)()
    await client.rest()
    await edge.until_over()
    assert not edge.upstream.messages
    assert edge.upstream.open_transactions == 0
    assert edge.memory.octets == 0
    assert not edge.faults


FITTING = HEADER + b"x" * (1000 - len(HEADER) - 2) + b"\r\n"


@pytest.mark.parametrize("more", [b"", b"x\r\n"], ids=["at the limit", "over it"])
@pytest.mark.parametrize("cuts", [(), (999,), (10, 500)], ids=len)
async def test_the_size_is_counted_over_all_chunks(more: bytes, cuts: tuple[int, ...]) -> None:
    """Over the limit it is read to its end, then 552; the session goes on."""
    octets = FITTING + more
    edge = Edge(read_limits=ReadLimits(max_message_octets=1000))
    client = edge.client()
    places = [0, *cuts, len(octets)]
    *firsts, last = [octets[a:b] for a, b in pairwise(places)]
    client.send(UP_TO_DATA + b"".join(b"BDAT %d\r\n" % len(p) + p for p in firsts))
    client.send(b"BDAT %d LAST\r\n" % len(last) + last + b"MAIL FROM:<>\r\nQUIT\r\n")
    *_, said, mail, goodbye = (await client.rest()).splitlines()
    expected = (
        b"552 5.3.4 Message is over the size limit" if more else b"250 2.0.0 Ok: queued as 4F"
    )
    assert (said, mail, goodbye) == (expected, b"250 2.1.0 OK", b"221 2.0.0 Goodbye")
    assert edge.endings[0].outcome is (Outcome.REJECTED if more else Outcome.RELAYED)
    assert edge.memory.octets == 0


@pytest.mark.parametrize("envelope", [b"", UP_TO_DATA], ids=["alone", "in a transaction"])
async def test_a_chunk_that_never_ends(envelope: bytes) -> None:
    """Far over the limit the session is closed; none of it counts against other messages."""
    edge = Edge(read_limits=ReadLimits(max_message_octets=10_000))
    client = edge.client()
    client.send(envelope + b"BDAT 99999999999999999999 LAST\r\n")
    for _ in range(100):
        client.send(b"x" * 1000)
        await asyncio.sleep(0)
        assert edge.memory.octets <= 11_000
    assert (await client.rest()).endswith(b"552 5.3.4 Message is over the size limit\r\n")
    await edge.until_over()
    assert edge.memory.octets == 0
    assert edge.upstream.open_transactions == 0


@pytest.mark.parametrize("bare", [b"a\nb\r\n", b"a\rb\r\n", b"a\r", b"a\n", b"a\r\n\n", b"a\0\r\n"])
@pytest.mark.parametrize("cut", ["one chunk", "cut behind it"])
async def test_a_bare_line_end_in_a_chunk(converse: Conversation, bare: bytes, cut: str) -> None:
    """It is refused at the end of the message, and nothing leaves."""
    octets = HEADER + bare
    text = "NUL in the message" if b"\0" in bare else "Bare CR or LF in the message"
    said = f"S: 554 5.6.0 {text}\n"
    pieces = chunk(octets, last=True)
    if cut != "one chunk":
        pieces = chunk(octets) + taken(octets) + chunk(b"", last=True)
    await converse(f"{OPENING}{ENVELOPE}{pieces}{said}C: NOOP\nS: 250 2.0.0 OK\n{BYE}")
    assert not converse.edge.upstream.messages


async def test_a_cr_and_its_lf_in_two_chunks(converse: Conversation) -> None:
    """They are one line end: chunks are no lines."""
    one, two = HEADER + b"a\r", b"\nb\r\n"
    await converse(
        f"{OPENING}{ENVELOPE}{chunk(one)}{taken(one)}{chunk(two, last=True)}{QUEUED}{BYE}"
    )
    assert relayed(converse.edge) == [one + two]


async def test_draining_between_chunks(edge: Edge) -> None:
    """The client would have to speak: it is told 421, and the message is given up."""
    client = edge.client()
    client.send(UP_TO_DATA + b"BDAT 2\r\nxy")
    await client.until(lambda: client.heard.endswith(b"octets received\r\n"))
    for session in tuple(edge.sessions):
        session.drain()
    assert (await client.rest()).endswith(b"\r\n421 4.3.2 The service is shutting down\r\n")
    assert edge.upstream.open_transactions == 0
    assert edge.memory.octets == 0


async def test_draining_within_a_chunk(edge: Edge) -> None:
    """The last chunk has begun: it is taken, relayed and answered first."""
    client = edge.client()
    octets = HEADER + b"x\r\n"
    client.send(UP_TO_DATA + b"BDAT %d LAST\r\n" % len(octets) + octets[:9])
    await client.until(lambda: client.heard.count(b"\r\n") == 4)
    for session in tuple(edge.sessions):
        session.drain()
    await asyncio.sleep(0)
    client.send(octets[9:])
    assert (await client.rest()).endswith(
        b"250 2.0.0 Ok: queued as 4F\r\n421 4.3.2 The service is shutting down\r\n"
    )


async def test_where_tls_is_needed(certificates: Certificates) -> None:
    """The chunk is read before it is refused: it must not be taken for commands."""
    endpoint = Endpoint(
        tls=ListenerTls.STARTTLS, certificates=certificates.listener(), requires_tls=True
    )
    edge = Edge(endpoint=endpoint)
    client = edge.client()
    client.send(b"EHLO c\r\nBDAT %d LAST\r\n" % len(SKIPPED) + SKIPPED + b"NOOP\r\nQUIT\r\n")
    assert (await client.rest()).splitlines()[-3:] == [
        b"530 5.7.0 Must issue a STARTTLS command first",
        b"250 2.0.0 OK",
        b"221 2.0.0 Goodbye",
    ]
