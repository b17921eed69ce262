"""More than a turn of the loop takes came at once: nothing hangs, is lost, or is answered twice."""

from __future__ import annotations

import asyncio

import pytest

from relay.core.events import Outcome
from tests.fakes.edge import MESSAGE, Edge
from tests.fakes.smtp_client import MemoryClient

OPENING = b"HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.net>\r\n"
LINE = b"x" * 78 + b"\r\n"
TOO_BIG = b"552 5.3.4 Message is over the size limit\r\n"
GOODBYE = b"221 2.0.0 Goodbye\r\n"


async def begun(edge: Edge, command: bytes = b"DATA\r\n") -> MemoryClient:
    """A client whose message may come."""
    client = edge.client()
    client.send(OPENING + command)
    said = b"354 " if command == b"DATA\r\n" else b"250 2.1.5 "
    await client.until(lambda: said in client.heard)
    return client


@pytest.mark.parametrize("is_reset", [True, False])
async def test_all_that_was_said_before_the_end_counts(edge: Edge, is_reset: bool) -> None:
    """A client says the rest of its session and goes, while the reply to RCPT is awaited."""
    edge.upstream.holds_recipients = True
    client = edge.client()
    client.send(OPENING)
    await edge.upstream.until_given()
    await asyncio.sleep(0)
    client.send(b"DATA\r\n" + MESSAGE + b".\r\nQUIT\r\n")
    if is_reset:
        client.vanish()
    else:
        client.end()
    edge.upstream.release()
    await edge.until_over()
    assert len(edge.upstream.messages) == 1
    assert edge.ending.outcome is Outcome.RELAYED
    assert client.heard.endswith(GOODBYE) is not is_reset


@pytest.mark.parametrize("junk", [b"\0", b"x\ny"])
async def test_refused_while_held_back(junk: bytes) -> None:
    """A message that waits for memory and turns out bad is read on, and the session goes on."""
    edge = Edge(budget_octets=10_000)
    client = await begun(edge)
    client.send(MESSAGE + LINE * 900 + junk + LINE * 200)
    await client.until(lambda: client.unsent_octets == 0)
    client.send(b"\r\n.\r\nQUIT\r\n")
    heard = await client.rest()
    assert b"\r\n554 5.6.0 " in heard
    assert heard.endswith(GOODBYE)
    assert edge.memory.octets == 0


async def test_far_too_much_at_once_has_one_reply() -> None:
    """Over twice the limit in one segment, its end included: it was given up before."""
    edge = Edge()
    client = await begun(edge)
    client.wire.deliver(MESSAGE + LINE * 4000 + b".\r\nMAIL FROM:<>\r\n")
    heard = await client.rest()
    assert heard.partition(b"354 ")[2].partition(b"\r\n")[2] == TOO_BIG
    assert edge.ending.outcome is Outcome.REJECTED


async def test_a_chunk_far_too_big_has_one_reply() -> None:
    """The same for BDAT, and for a chunk that belongs to no message."""
    for command in (b"", b"RSET\r\n"):
        edge = Edge()
        client = await begun(edge, command)
        wire = MESSAGE + LINE * 4000
        client.wire.deliver(b"BDAT %d LAST\r\n%bQUIT\r\n" % (len(wire), wire))
        heard = await client.rest()
        assert heard.count(b"552 ") + heard.count(b"503 ") == 1
        assert edge.memory.octets == 0


async def test_a_client_that_never_reads_and_goes(edge: Edge) -> None:
    """Replies that nobody hears are no reason to forget a message behind its final dot."""
    client = await begun(edge, b"")
    client.wire.is_read = False
    transaction = b"MAIL FROM:<>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n" + MESSAGE + b".\r\n"
    client.send(b"HELP\r\n" * 8000 + b"RSET\r\n" + transaction * 2 + b"QUIT\r\n")
    for _ in range(200):
        await asyncio.sleep(0)
    client.wire.lose(None)
    await edge.until_over()
    assert len(edge.upstream.messages) == 2
