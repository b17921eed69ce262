"""The budget for messages in memory: held back, then 452, nothing lost, nothing kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from relay.core.events import Outcome
from relay.core.reader import ReadLimits
from relay.core.reply import Reply
from tests.fakes.edge import LIMITS, MESSAGE, Edge
from tests.fakes.smtp_client import MemoryClient
from tests.fakes.upstream import lost, reply

OPENING = b"HELO c\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\n"
HEADER = b"From: a@example.com\r\n\r\n"
BLOCK = (b"x" * 62 + b"\r\n") * 160  # 10,240 octets: one segment, one read
BUDGET = 50_000
NO_MEMORY = b"452 4.3.1 Out of memory for messages, try again later"
QUEUED = b"250 2.0.0 Ok: queued as 4F"


def make_edge(budget_octets: int = BUDGET, max_message_octets: int = 100_000) -> Edge:
    """An edge with a small budget."""
    return Edge(
        limits=replace(LIMITS, memory_seconds=10.0),
        read_limits=ReadLimits(max_message_octets=max_message_octets),
        budget_octets=budget_octets,
    )


def later(edge: Edge, seconds: float) -> None:
    """A sweep, so many seconds later."""
    for session in tuple(edge.sessions):
        session.sweep(asyncio.get_running_loop().time() + seconds)


async def turn() -> None:
    """Let every session do what it has to do."""
    for _ in range(5):
        await asyncio.sleep(0)


async def begun(edge: Edge, *blocks: bytes, command: bytes = b"DATA\r\n") -> MemoryClient:
    """A client in the middle of its message."""
    client = edge.client()
    client.send(OPENING + command)
    await turn()
    for block in (HEADER, *blocks):
        client.send(block)
        await turn()
    return client


def lines(octets: bytes) -> list[bytes]:
    """The replies behind the greeting and the opening."""
    return octets.splitlines()[4:]


@pytest.mark.parametrize("command", [b"DATA\r\n", b"BDAT 90000 LAST\r\n"])
async def test_reading_is_held_back_at_the_budget(command: bytes) -> None:
    """At no time is there more than the budget and one read for each session."""
    edge = make_edge()
    clients = [await begun(edge, command=command) for _ in range(6)]
    for _ in range(8):
        for client in clients:
            client.send(BLOCK)
        await turn()
        assert edge.memory.octets <= BUDGET + 6 * len(BLOCK)
    assert all(client.wire.is_paused for client in clients)
    assert sum(client.unsent_octets for client in clients) >= 6 * 8 * len(BLOCK) - 12 * len(BLOCK)
    for client in clients:
        client.vanish()
    await edge.until_over()
    assert edge.memory.octets == 0


async def test_who_waits_goes_on_when_there_is_room() -> None:
    """Nothing of a message that was held back is lost, and it takes its place when one is free."""
    edge = make_edge()
    edge.upstream.final_gate.clear()
    first = await begun(edge, BLOCK, BLOCK, BLOCK, BLOCK)
    first.send(b".\r\nQUIT\r\n")
    await edge.upstream.until_sent()
    second = await begun(edge, BLOCK)
    second.send(BLOCK * 6 + b".\r\nQUIT\r\n")
    await turn()
    assert second.wire.is_paused
    later(edge, 9)
    await turn()
    assert not second.is_closed
    edge.upstream.final_gate.set()
    assert lines(await first.rest())[1:] == [QUEUED, b"221 2.0.0 Goodbye"]
    assert lines(await second.rest())[1:] == [QUEUED, b"221 2.0.0 Goodbye"]
    assert edge.upstream.messages[1].endswith(b"\r\n\r\n" + BLOCK * 7)
    assert edge.memory.octets == 0


async def test_who_waits_too_long_is_told_452() -> None:
    """Behind the end of its message, which is read and thrown away; then the session goes on."""
    edge = make_edge()
    edge.upstream.final_gate.clear()
    first = await begun(edge, *[BLOCK] * 4)
    first.send(b".\r\nQUIT\r\n")
    await edge.upstream.until_sent()
    second = await begun(edge, BLOCK)
    assert second.wire.is_paused
    second.send(BLOCK * 2)
    await turn()
    later(edge, 11)
    # What comes from now on is thrown away as it comes: nobody has to wait for room again.
    for _ in range(5):
        second.send(BLOCK)
        await turn()
        assert second.unsent_octets == 0
        assert edge.memory.octets < BUDGET
    second.send(b".\r\n")
    await second.until(lambda: NO_MEMORY in second.heard)
    edge.upstream.final_gate.set()
    assert lines(await first.rest())[1:] == [QUEUED, b"221 2.0.0 Goodbye"]
    second.send(OPENING[8:] + b"DATA\r\n" + HEADER + BLOCK + b".\r\nQUIT\r\n")
    said = lines(await second.rest())
    assert said[1] == NO_MEMORY
    assert said[-2:] == [QUEUED, b"221 2.0.0 Goodbye"]
    assert len(edge.upstream.messages) == 2
    deferred = [e for e in edge.endings if e.outcome is Outcome.DEFERRED]
    assert [e.reply.encode() for e in deferred] == [NO_MEMORY]
    assert edge.memory.octets == 0


async def test_two_that_wait_for_each_other() -> None:
    """One gives up, which is the room that the other needs."""
    edge = make_edge()
    clients = [await begun(edge, BLOCK, BLOCK) for _ in range(2)]
    for client in clients:
        client.send(BLOCK)
        client.send(BLOCK + b".\r\nQUIT\r\n")
    await turn()
    assert all(client.wire.is_paused for client in clients)
    later(edge, 11)
    said = [lines(await client.rest())[1] for client in clients]
    assert sorted(said) == [QUEUED, NO_MEMORY]
    assert edge.memory.octets == 0


async def test_small_messages_of_others_still_pass() -> None:
    """While the budget is used up, what comes whole goes through."""
    edge = make_edge()
    big = await begun(edge, *[BLOCK] * 6)
    assert big.wire.is_paused
    for _ in range(20):
        client = edge.client()
        client.send(OPENING + b"DATA\r\n" + MESSAGE + b".\r\nQUIT\r\n")
        assert lines(await client.rest()) == [
            b"354 End data with <CR><LF>.<CR><LF>",
            QUEUED,
            b"221 2.0.0 Goodbye",
        ]
    assert edge.memory.octets <= BUDGET + len(BLOCK)
    big.vanish()
    await edge.until_over()
    assert edge.memory.octets == 0


async def test_a_message_that_comes_whole_over_the_budget() -> None:
    """It goes; and the session's next message is not told to wait for memory that there is."""
    edge = make_edge(budget_octets=1000)
    client = edge.client()
    client.send(OPENING + b"DATA\r\n" + HEADER + BLOCK + b".\r\n")
    await client.until(lambda: QUEUED in client.heard)
    assert not client.wire.is_paused
    client.send(OPENING[8:] + b"DATA\r\n")
    await turn()
    client.send(HEADER)
    await turn()
    later(edge, 11)
    client.send(b"x\r\n.\r\nQUIT\r\n")
    said = lines(await client.rest())
    assert said.count(QUEUED) == 2
    assert NO_MEMORY not in said


async def test_what_is_refused_is_not_counted() -> None:
    """A message with a fault is only read to its end: others must not wait for it."""
    edge = make_edge(max_message_octets=1_000_000)
    client = await begun(edge, b"a\0b\r\n", *[BLOCK] * 20)
    assert not client.wire.is_paused
    assert edge.memory.octets == 0
    client.send(b".\r\nQUIT\r\n")
    assert lines(await client.rest())[1].startswith(b"554 5.6.0 ")


async def test_pipelined_commands_are_not_counted() -> None:
    """Only what is of the message, not what is sent behind it."""
    edge = make_edge()
    edge.upstream.final_gate.clear()
    client = edge.client()
    message = HEADER + BLOCK
    client.send(OPENING + b"DATA\r\n" + message + b".\r\n" + b"NOOP\r\n" * 1000)
    await edge.upstream.until_sent()
    assert edge.memory.octets == len(message) + len(b".\r\n")
    edge.upstream.final_gate.set()
    client.send(b"QUIT\r\n")
    assert (await client.rest()).count(b"250 2.0.0 OK\r\n") == 1000
    assert edge.memory.octets == 0


async def test_a_message_over_twice_the_limit_in_one_read() -> None:
    """One message, one reply: its end is there, so it is answered once and the session goes on."""
    edge = make_edge(max_message_octets=1000, budget_octets=1 << 30)
    client = edge.client()
    client.send(OPENING + b"DATA\r\n" + HEADER + BLOCK + b".\r\nQUIT\r\n")
    assert lines(await client.rest()) == [
        b"354 End data with <CR><LF>.<CR><LF>",
        b"552 5.3.4 Message is over the size limit",
        b"221 2.0.0 Goodbye",
    ]


ENDS: dict[str, Callable[[MemoryClient], None]] = {
    "the dot": lambda client: client.send(b".\r\nQUIT\r\n"),
    "half-close": lambda client: client.end(),
    "reset": lambda client: client.vanish(),
}


FINALS: dict[str, Reply | Exception] = {
    "accepted": reply(b"250 2.0.0 Ok"),
    "refused": reply(b"554 5.7.1 No"),
    "lost": lost(),
    "fault": RuntimeError("boom"),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("final", FINALS)
@pytest.mark.parametrize("is_held", [False, True])
async def test_everything_is_given_back(end: str, final: str, is_held: bool) -> None:
    """However a message ends, whether it was held back or not."""
    edge = make_edge(budget_octets=25_000 if is_held else 1 << 30)
    edge.upstream.final = FINALS[final]
    clients = [await begun(edge, BLOCK) for _ in range(5)]
    assert any(client.wire.is_paused for client in clients) is is_held
    for client in clients:
        ENDS[end](client)
    await turn()
    if is_held:
        later(edge, 11)
    for client in clients:
        client.end()
        await client.rest()
    await edge.until_over()
    assert edge.memory.octets == 0
    assert edge.upstream.open_transactions == 0


CHUNK = b"BDAT %d\r\n" % len(BLOCK) + BLOCK
LEAKS = {
    "RSET between chunks": OPENING + CHUNK * 3 + b"RSET\r\n",
    "EHLO between chunks": OPENING + CHUNK * 3 + b"EHLO c\r\n",
    "QUIT between chunks": OPENING + CHUNK * 3 + b"QUIT\r\n",
    "chunks of no message": b"HELO c\r\n" + CHUNK * 2,
    "a chunk behind MAIL": OPENING.rpartition(b"RCPT")[0] + CHUNK * 2,
    "a bad chunk": OPENING + CHUNK + b"BDAT x\r\n",
    "a bare LF": OPENING + b"DATA\r\n" + HEADER + BLOCK + b"a\nb\r\n" + BLOCK + b".\r\n",
    "no From": OPENING + b"DATA\r\nSubject: x\r\n\r\n" + BLOCK + b".\r\n",
    "over the limit": OPENING + b"DATA\r\n" + HEADER + BLOCK * 11 + b".\r\n",
    "far over the limit": OPENING + b"DATA\r\n" + HEADER + BLOCK * 30,
    "no key": OPENING + b"DATA\r\nFrom: a@closed.example\r\n\r\n" + BLOCK + b".\r\n",
    "an unfinished message": OPENING + b"DATA\r\n" + HEADER + BLOCK,
    "relayed": (OPENING[8:] + b"DATA\r\n" + HEADER + BLOCK + b".\r\n").join([b"HELO c\r\n", b""]),
}


@pytest.mark.parametrize("octets", LEAKS.values(), ids=LEAKS)
@pytest.mark.parametrize("segment_octets", [3000, 1 << 20])
async def test_nothing_leaks_over_many_sessions(octets: bytes, segment_octets: int) -> None:
    """The account is even while a session is idle behind it, and at the end."""
    edge = make_edge(budget_octets=1 << 30)
    for _ in range(20):
        client = edge.client()
        for position in range(0, len(octets), segment_octets):
            client.send(octets[position : position + segment_octets])
            await asyncio.sleep(0)
        await turn()
        is_open = octets.endswith(BLOCK) and b"DATA" in octets
        if not is_open:
            assert edge.memory.octets == 0
        client.end()
        await client.rest()
    await edge.until_over()
    assert edge.memory.octets == 0
    assert edge.upstream.open_transactions == 0
    assert not edge.faults


async def test_noop_does_not_hold_a_message_between_chunks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """BDAT without LAST: the next chunk has to come in time, whatever else is said (RFC 3030)."""
    edge = make_edge()
    client = edge.client()
    client.send(OPENING + b"BDAT %d\r\n" % len(HEADER + BLOCK) + HEADER + BLOCK)
    await turn()
    assert edge.memory.octets > 0
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    monkeypatch.setattr(loop, "time", lambda: began_at + 301)
    client.send(b"NOOP\r\n")
    await turn()
    assert client.heard.endswith(b"250 2.0.0 OK\r\n")
    later(edge, 0)
    await turn()
    assert b"\r\n421 4.4.2 " in client.heard
    assert edge.memory.octets == 0
