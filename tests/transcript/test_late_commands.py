"""A command that comes while the session waits for something else is done when that is over."""

from __future__ import annotations

import asyncio

import pytest

from tests.fakes.edge import MESSAGE, Edge

RECIPIENT = b"HELO c\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\n"


async def turns() -> None:
    """Let the session do what it can."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.parametrize("late", [b"DATA\r\n", b"RSET\r\n", b"RCPT TO:<c@example.net>\r\n"])
async def test_a_command_in_a_segment_of_its_own(edge: Edge, late: bytes) -> None:
    """RFC 2920 lets a client send it before it has the reply to RCPT, for which we wait."""
    edge.upstream.holds_recipients = True
    client = edge.client()
    client.send(RECIPIENT)
    await edge.upstream.until_given()
    await turns()
    client.send(late)
    await turns()
    edge.upstream.transactions[0].may_answer.set()
    expected = b"354 " if late == b"DATA\r\n" else b"250 "
    await client.until(lambda: client.heard.splitlines()[4:5] != [])
    assert client.heard.splitlines()[4].startswith(expected)
    client.send((MESSAGE + b".\r\n" if late == b"DATA\r\n" else b"") + b"QUIT\r\n")
    assert (await client.rest()).endswith(b"221 2.0.0 Goodbye\r\n")
    assert edge.upstream.transactions[0].is_over
