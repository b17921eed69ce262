"""What a session may cost: time, lines, bad commands, memory; and how it ends."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from relay.core.events import Outcome
from tests.fakes.edge import LIMITS, MESSAGE, Edge
from tests.fakes.smtp_client import MemoryClient
from tests.fakes.transcript import Conversation, hold

OPENING = "S: 220 relay.example ESMTP dkim-relay\nC: HELO c\nS: 250 relay.example"
MAIL = "C: MAIL FROM:<a@example.com>\nS: 250 2.1.0 OK"
RCPT = "C: RCPT TO:<b@example.net>\nS: 250 2.1.5 Ok"
DATA = "C: DATA\nS: 354 End data with <CR><LF>.<CR><LF>"
BYE = "C: QUIT\nS: 221 2.0.0 Goodbye"
NOT_UNDERSTOOD = "S: 500 5.5.2 Command not understood"
UP_TO_DATA = b"HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n"
IDLE = b"421 4.4.2 Nothing was heard for too long\r\n"
SHUTTING_DOWN = b"421 4.3.2 The service is shutting down\r\n"


# ---- lines and commands ------------------------------------------------------------------------


async def test_too_many_bad_commands(converse: Conversation) -> None:
    """The third is the last, in these settings; what follows is not looked at."""
    bad = f"C: X\n{NOT_UNDERSTOOD}\n"
    await converse(
        f"{OPENING}\n{bad}C: NOOP\nS: 250 2.0.0 OK\n{bad}{bad}"
        "S: 421 4.7.0 Too many bad commands\nC: MAIL FROM:<>\nC: NOOP"
    )


async def test_bad_commands_of_all_kinds_count(converse: Conversation) -> None:
    """Sequence, syntax and what is not implemented count alike."""
    await converse(
        f"{OPENING}\nC: DATA\nS: 503 5.5.1 Bad sequence of commands\n"
        "C: MAIL FROM:x\nS: 501 5.1.7 Bad reverse-path\n"
        "C: EXPN x\nS: 502 5.5.1 Command not implemented\nS: 421 4.7.0 Too many bad commands"
    )


async def test_too_many_bad_recipients_come_behind_the_good_ones(converse: Conversation) -> None:
    """421 is the last word, also when a reply from upstream is on its way."""
    bad = "C: RCPT TO:<>\nS: 501 5.1.3 Bad forward-path\n"
    await converse(
        f"{OPENING}\n{MAIL}\n{bad}{bad}{RCPT}\n{bad}S: 421 4.7.0 Too many bad commands\nC: NOOP"
    )
    assert converse.edge.upstream.open_transactions == 0


@pytest.mark.parametrize(
    ("octets", "reply"),
    [
        (510, "250 2.0.0 OK"),
        (511, "500 5.5.2 Command line too long"),
        (512, "500 5.5.2 Command line too long"),
        (513, "500 5.5.2 Command line too long"),
        (2000, "500 5.5.2 Command line too long"),
        (70_000, "500 5.5.2 Command line too long"),
    ],
)
@pytest.mark.parametrize("cut", [1, 7, 100_000])
async def test_a_long_command(edge: Edge, octets: int, reply: str, cut: int) -> None:
    """512 octets with CRLF are taken; more are one fault, whatever stands in them."""
    if octets > 2000 and cut == 1:
        cut = 511
    client = edge.client()
    line = b"NOOP " + b"x" * (octets - 5) + b"\r\n"
    for position in range(0, len(line), cut):
        client.send(line[position : position + cut])
        await asyncio.sleep(0)
    client.send(b"NOOP\r\nQUIT\r\n")
    heard = (await client.rest()).decode().split("\r\n")
    assert heard[1:] == [reply, "250 2.0.0 OK", "221 2.0.0 Goodbye", ""]


async def test_a_command_without_an_end_is_not_kept(edge: Edge) -> None:
    """Megabytes without a line end are thrown away as they come."""
    client = edge.client()
    for _ in range(64):
        client.send(b"x" * 65_536)
        await asyncio.sleep(0)
        assert client.unsent_octets < 512 * 1024
    client.send(b"\r\nQUIT\r\n")
    assert (await client.rest()).endswith(
        b"\r\n500 5.5.2 Command line too long\r\n221 2.0.0 Goodbye\r\n"
    )


async def test_the_command_limit_is_a_sessions_own() -> None:
    """Aiosmtpd keeps it in one dictionary for all, cleared by whoever connects."""
    edge = Edge(limits=replace(LIMITS, max_command_octets=600, max_bad_commands=100))
    line = b"NOOP " + b"x" * 580 + b"\r\n"
    first = edge.client()
    first.send(line)
    await first.reply()
    assert await first.reply() == b"250 2.0.0 OK\r\n"
    others = [edge.client() for _ in range(3)]
    for other in others:
        other.send(b"EHLO c\r\n" * 20)
        await other.reply()
    first.send(line + line.replace(b"x", b"x" * 2))
    assert await first.reply() == b"250 2.0.0 OK\r\n"
    assert await first.reply() == b"500 5.5.2 Command line too long\r\n"
    for client in (first, *others):
        client.end()
        await client.rest()


@pytest.mark.parametrize("verb", [b"GET", b"POST", b"CONNECT", b"HEAD", b"PUT", b"OPTIONS"])
async def test_a_web_browser_is_no_client(verb: bytes) -> None:
    """A page in a browser on this machine may post anything to a port of 127.0.0.1.

    Its body would be commands, and loopback may sign: a session that begins with HTTP ends.
    """
    edge = Edge(limits=replace(LIMITS, max_bad_commands=20))
    client = edge.client()
    client.send(
        verb + b" / HTTP/1.1\r\nHost: 127.0.0.1:2525\r\n\r\n" + UP_TO_DATA + MESSAGE + b".\r\n"
    )
    client.end()
    heard = await client.rest()
    assert b"354 " not in heard
    assert edge.upstream.begins == 0


# ---- writes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [b"EHLO c\r\n", b"HELO c\r\n", b"HELP\r\n"])
async def test_a_reply_is_one_write(edge: Edge, command: bytes) -> None:
    """EHLO's lines too: aiosmtpd sends each by itself."""
    client = edge.client()
    await client.reply()
    client.send(command)
    await client.reply()
    client.end()
    await client.rest()
    assert len(client.wire.writes) == 2


async def test_the_replies_to_a_group_are_one_write(edge: Edge) -> None:
    """RFC 2920 §3.2: the replies to a pipelined group leave together."""
    client = edge.client()
    await client.reply()
    client.send(UP_TO_DATA.replace(b"RCPT", b"RCPT TO:<c@example.net>\r\nRCPT"))
    await client.until(lambda: client.heard.endswith(b"354 End data with <CR><LF>.<CR><LF>\r\n"))
    assert len(client.wire.writes) == 2
    client.end()
    await client.rest()


async def test_recipients_of_a_group_travel_together(edge: Edge) -> None:
    """No recipient waits here for the reply to the one before it."""
    edge.upstream.holds_recipients = True
    client = edge.client()
    client.send(b"HELO c\r\nMAIL FROM:<>\r\n" + b"RCPT TO:<b@example.net>\r\n" * 4 + b"QUIT\r\n")
    await edge.upstream.until_given(4)
    edge.upstream.release()
    assert (await client.rest()).count(b"250 2.1.5 Ok\r\n") == 4


# ---- time --------------------------------------------------------------------------------------


def now() -> float:
    """The loop's clock."""
    return asyncio.get_running_loop().time()


def expire(edge: Edge, seconds: float) -> None:
    """A sweep, so many seconds later."""
    for session in tuple(edge.sessions):
        session.sweep(now() + seconds)


@pytest.mark.parametrize(
    "before",
    [b"", b"HELO c\r\n", b"HELO c\r\nMAIL FROM:<>\r\n", UP_TO_DATA[:-6], UP_TO_DATA, b"NOO"],
)
async def test_an_idle_session(edge: Edge, before: bytes) -> None:
    """Silent for too long while it is its turn: 421 4.4.2, said before the connection closes."""
    client = edge.client()
    if before:
        client.send(before)
    for _ in range(10):
        await asyncio.sleep(0)
    expire(edge, 299)
    await asyncio.sleep(0)
    assert not client.is_closed
    expire(edge, 301)
    assert (await client.rest()).endswith(IDLE)
    assert client.heard.count(b"421 ") == 1
    assert edge.upstream.open_transactions == 0
    await edge.until_over()


async def test_an_idle_session_within_a_message(edge: Edge) -> None:
    """A message that stops half-way is not sent."""
    client = edge.client()
    client.send(UP_TO_DATA + MESSAGE)
    for _ in range(10):
        await asyncio.sleep(0)
    expire(edge, 301)
    assert (await client.rest()).endswith(IDLE)
    assert not edge.upstream.messages
    assert edge.upstream.open_transactions == 0


async def test_a_session_that_waits_for_the_upstream_is_not_idle(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client cannot speak while it waits; its time begins with the reply."""
    edge.upstream.final_gate.clear()
    client = edge.client()
    client.send(UP_TO_DATA + MESSAGE + b".\r\n")
    await edge.upstream.until_sent()
    expire(edge, 3000)
    loop = asyncio.get_running_loop()
    real = loop.time
    monkeypatch.setattr(loop, "time", lambda: real() + 3000)  # the upstream was that slow
    edge.upstream.final_gate.set()
    await client.until(lambda: b"queued as 4F" in client.heard)
    for _ in range(5):
        await asyncio.sleep(0)
    expire(edge, 1)
    client.send(b"QUIT\r\n")
    assert (await client.rest()).endswith(b"queued as 4F\r\n221 2.0.0 Goodbye\r\n")


async def test_a_client_that_never_reads(edge: Edge) -> None:
    """Replies that nobody takes stop the session; when its time is over it is closed."""
    client = edge.client()
    await client.reply()
    client.wire.is_read = False
    for _ in range(40):
        client.send(b"HELP\r\n" * 10_000)
        await asyncio.sleep(0)
    assert client.unsent_octets  # it does not go on reading what it cannot answer
    assert client.wire.get_write_buffer_size() < 2 * 1024 * 1024
    expire(edge, 301)
    await edge.until_over()
    assert client.is_closed


async def test_a_client_that_floods(edge: Edge) -> None:
    """While a transaction is under way little is read ahead; then it is answered, in order."""
    edge.upstream.final_gate.clear()
    client = edge.client()
    client.send(UP_TO_DATA + MESSAGE + b".\r\n")
    await edge.upstream.until_sent()
    count = 3_000
    line = b"NOOP " + b"x" * 400 + b"\r\n"
    client.send(line * count)
    await asyncio.sleep(0)
    assert client.wire.is_paused
    assert client.unsent_octets > len(line) * count - 600 * 1024
    client.send(b"QUIT\r\n")
    edge.upstream.final_gate.set()
    heard = await client.rest()
    assert heard.count(b"250 2.0.0 OK\r\n") == count
    assert heard.endswith(b"221 2.0.0 Goodbye\r\n")


# ---- the end of the service --------------------------------------------------------------------


@pytest.mark.parametrize("steps", [[], [OPENING], [OPENING, MAIL], [OPENING, MAIL, RCPT]])
async def test_draining_an_idle_session(edge: Edge, steps: list[str]) -> None:
    """Between commands: 421 4.3.2, and the transaction is given up upstream."""
    client = edge.client()
    if steps:
        await hold(client, "\n".join(steps))
    else:
        await client.reply()
    for session in tuple(edge.sessions):
        session.drain()
    assert (await client.rest()) == SHUTTING_DOWN
    assert edge.upstream.open_transactions == 0


async def test_draining_within_a_message(edge: Edge) -> None:
    """A message whose DATA has begun is taken to its end, relayed and answered."""
    client = edge.client()
    await hold(client, "\n".join([OPENING, MAIL, RCPT, DATA]))
    client.send(MESSAGE[:20])
    await asyncio.sleep(0)
    for session in tuple(edge.sessions):
        session.drain()
    await asyncio.sleep(0)
    assert not client.is_closed
    client.send(MESSAGE[20:] + b".\r\nMAIL FROM:<>\r\n")
    assert (await client.rest()) == b"250 2.0.0 Ok: queued as 4F\r\n" + SHUTTING_DOWN
    assert edge.ending.outcome is Outcome.RELAYED


async def test_draining_behind_the_final_dot(edge: Edge) -> None:
    """The upstream's answer is awaited and passed on."""
    edge.upstream.final_gate.clear()
    client = edge.client()
    client.send(UP_TO_DATA + MESSAGE + b".\r\n")
    await edge.upstream.until_sent()
    for session in tuple(edge.sessions):
        session.drain()
    await asyncio.sleep(0)
    edge.upstream.final_gate.set()
    assert (await client.rest()).endswith(b"250 2.0.0 Ok: queued as 4F\r\n" + SHUTTING_DOWN)


async def test_draining_while_recipients_are_on_their_way(edge: Edge) -> None:
    """Every reply that was asked for comes before 421."""
    edge.upstream.holds_recipients = True
    client = edge.client()
    client.send(b"HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.net>\r\n")
    await edge.upstream.until_given()
    for session in tuple(edge.sessions):
        session.drain()
    edge.upstream.release()
    assert (await client.rest()).endswith(b"250 2.1.5 Ok\r\n" + SHUTTING_DOWN)
    assert edge.upstream.open_transactions == 0


async def test_one_connection_too_many() -> None:
    """There is a word before the door closes, and nothing that is sent is obeyed."""
    edge = Edge(has_room=False)
    client: MemoryClient = edge.client()
    client.send(UP_TO_DATA)
    assert await client.rest() == b"421 4.3.2 Too many connections\r\n"
    assert edge.upstream.begins == 0
