"""A client that goes away: before its final dot nothing leaves, behind it everything goes on.

Release blocker 3: aiosmtpd cancels what is under way, after the upstream may have accepted, and
the client's retry makes a duplicate.
"""

from __future__ import annotations

import asyncio

import pytest

from relay.core.events import Outcome
from tests.fakes.edge import MESSAGE, Edge
from tests.fakes.smtp_client import MemoryClient
from tests.fakes.upstream import reply

UP_TO_DATA = b"HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n"
COMPLETE = UP_TO_DATA + MESSAGE + b".\r\n"


@pytest.mark.parametrize("final", [b"250 2.0.0 Ok", b"554 5.7.1 Spam"])
@pytest.mark.parametrize("how", ["half-close", "reset"])
async def test_behind_the_final_dot(edge: Edge, how: str, final: bytes) -> None:
    """The upstream's transaction is not touched, and the log has its end."""
    edge.upstream.final_gate.clear()
    edge.upstream.final = reply(final)
    client = edge.client()
    client.send(COMPLETE)
    await edge.upstream.until_sent()
    (client.end if how == "half-close" else client.vanish)()
    await asyncio.sleep(0)
    assert edge.upstream.open_transactions == 1
    edge.upstream.final_gate.set()
    await client.rest()
    await edge.until_over()
    assert not edge.upstream.transactions[0].is_abandoned
    ending = edge.ending
    assert ending.outcome is (Outcome.RELAYED if final[:1] == b"2" else Outcome.REJECTED)
    assert ending.reply == final.decode()
    assert ending.client_left is (how == "reset")
    # Who closed only its own direction still hears the truth.
    assert client.heard.endswith(final + b"\r\n") is (how == "half-close")
    assert not edge.faults


async def test_a_reset_within_the_segment_of_the_dot(edge: Edge) -> None:
    """Dot and reset in the same turn of the loop: the message was complete, so it goes."""
    client = edge.client()
    client.send(COMPLETE)
    client.vanish()
    await edge.until_over()
    # The replies to MAIL and RCPT were never written: what the client had asked for is not known
    # to it, but it had said all there is to say.
    assert len(edge.upstream.messages) in (0, 1)
    assert edge.upstream.open_transactions == 0
    assert len(edge.endings) == len(edge.upstream.transactions)
    assert not edge.faults


@pytest.mark.parametrize("sent", range(0, len(COMPLETE), 3))
@pytest.mark.parametrize("how", ["half-close", "reset"])
async def test_before_the_final_dot(edge: Edge, how: str, sent: int) -> None:
    """Wherever a client stops, nothing leaves and nothing is left open upstream."""
    client = edge.client()
    client.send(COMPLETE[: sent or 1])
    await asyncio.sleep(0)
    (client.end if how == "half-close" else client.vanish)()
    await client.rest()
    await edge.until_over()
    assert not edge.upstream.messages
    assert edge.upstream.open_transactions == 0
    assert [e.outcome for e in edge.endings] in ([], [Outcome.ABANDONED])
    assert not edge.faults


async def test_a_client_that_leaves_while_a_recipient_is_on_its_way(edge: Edge) -> None:
    """Its place is free again when the upstream has answered or was told to stop, not later."""
    edge.upstream.holds_recipients = True
    client = edge.client()
    client.send(UP_TO_DATA)
    await edge.upstream.until_given()
    client.vanish()
    edge.upstream.release()
    await edge.until_over()
    assert edge.upstream.transactions[0].is_abandoned
    assert not edge.faults


async def test_a_client_that_left_does_not_hold_the_others_up(edge: Edge) -> None:
    """Sessions know nothing of one another: one hangs on its upstream, the next is served."""
    edge.upstream.final_gate.clear()
    first = edge.client()
    first.send(COMPLETE)
    await edge.upstream.until_sent()
    first.vanish()
    second: MemoryClient = edge.client()
    second.send(COMPLETE + b"QUIT\r\n")
    await edge.upstream.until_sent(2)
    edge.upstream.final_gate.set()
    assert (await second.rest()).endswith(b"queued as 4F\r\n221 2.0.0 Goodbye\r\n")
    await edge.until_over()
    assert [e.client_left for e in edge.endings] == [True, False]
