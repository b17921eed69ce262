"""Clients that hold a session with little: one octet now and then, a message that never ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from relay.core.errors import Reason
from relay.core.events import Outcome
from relay.listener.endpoint import Endpoint
from tests.fakes.edge import LIMITS, Edge
from tests.fakes.smtp_client import MemoryClient

OPENING = b"EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.net>\r\n"
HEADER = b"From: a@example.com\r\n\r\n"
TIME_IS_UP = b"421 4.4.2 Nothing was heard for too long\r\n"
TOO_SLOW = b"421 4.4.2 Data comes too slowly\r\n"
SLOW = replace(
    LIMITS,
    idle_seconds=300.0,
    command_seconds=60.0,
    min_data_rate=100,
    data_grace_seconds=30.0,
    max_command_octets=512,
)

Pass = Callable[[float], None]


@pytest.fixture
async def edge() -> Edge:
    """An edge with the times that stand in the settings."""
    endpoint = Endpoint(may_auth_in_clear=True)
    return Edge(limits=SLOW, endpoint=endpoint, passwords={"a": "b"})


@pytest.fixture
async def pass_time(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> Pass:
    """So many seconds go by, then the sweep comes round."""
    loop = asyncio.get_running_loop()
    real, gone = loop.time, [0.0]
    monkeypatch.setattr(loop, "time", lambda: real() + gone[0])

    def pass_seconds(seconds: float) -> None:
        gone[0] += seconds
        for session in tuple(edge.sessions):
            session.sweep(loop.time())

    return pass_seconds


async def turn() -> None:
    """Let the session do what it has to do."""
    for _ in range(5):
        await asyncio.sleep(0)


async def ready(edge: Edge, octets: bytes = b"EHLO c\r\n") -> MemoryClient:
    """A client that has said something and was answered."""
    client = edge.client()
    client.send(octets)
    await turn()
    return client


@pytest.mark.parametrize("piece", [b"N", b"N" * 100, b"N" * 600, b"N" * 20_000])
@pytest.mark.parametrize("before", [b"", b"AUTH LOGIN\r\n", b"NOOP\r\nNO", b"AUTH PLAIN "])
async def test_a_command_that_never_ends(
    edge: Edge, pass_time: Pass, before: bytes, piece: bytes
) -> None:
    """It is always talking, so it is never idle; the whole line has its time all the same."""
    client = await ready(edge, b"EHLO c\r\n" + before)
    seconds = 0
    while not client.is_closed and seconds < 200:
        client.send(piece)
        await turn()
        pass_time(5)
        await turn()
        seconds += 5
    assert 55 <= seconds <= 70
    assert client.heard.endswith(TIME_IS_UP)
    await edge.until_over()


async def test_a_command_after_a_long_silence(edge: Edge, pass_time: Pass) -> None:
    """Its time begins with its own first octet, not with the end of what was before it."""
    client = await ready(edge)
    pass_time(250)
    client.send(b"NO")
    await turn()
    pass_time(50)
    await turn()
    assert not client.is_closed
    client.send(b"OP\r\nNOO")
    await turn()
    pass_time(59)
    await turn()
    client.send(b"P\r\nQUIT\r\n")
    heard = await client.rest()
    assert heard.endswith(b"250 2.0.0 OK\r\n250 2.0.0 OK\r\n221 2.0.0 Goodbye\r\n")


async def test_commands_that_keep_coming(edge: Edge, pass_time: Pass) -> None:
    """Lines that do end are no offence, however long the session lasts."""
    client = await ready(edge)
    for _ in range(50):
        client.send(b"P\r\nNOO" if client.heard.endswith(b"OK\r\n") else b"NOOP\r\nNOO")
        await turn()
        pass_time(50)
        await turn()
    client.send(b"P\r\nQUIT\r\n")
    assert (await client.rest()).count(b"250 2.0.0 OK\r\n") == 51


@pytest.mark.parametrize("command", [b"DATA\r\n", b"BDAT 50000 LAST\r\n"])
async def test_a_message_that_comes_too_slowly(edge: Edge, pass_time: Pass, command: bytes) -> None:
    """Under the least rate for longer than the grace: 421, and upstream nothing is left open."""
    client = await ready(edge, OPENING + command)
    client.send(HEADER)
    for _ in range(5):
        client.send(b"x" * 400)
        pass_time(5)  # 80 octets a second, and a little more
        await turn()
    assert not client.is_closed
    client.send(b"x" * 300)
    pass_time(6)
    assert (await client.rest()).endswith(TOO_SLOW)
    await edge.until_over()
    assert edge.ending.outcome is Outcome.DEFERRED
    assert edge.ending.reason is Reason.CLIENT_TOO_SLOW
    assert edge.upstream.open_transactions == 0
    assert edge.memory.octets == 0


@pytest.mark.parametrize("grace", [2.0, 30.0, 90.0])
async def test_the_grace_of_a_message(edge: Edge, pass_time: Pass, grace: float) -> None:
    """Before it is over, the rate is not looked at."""
    edge.limits = replace(SLOW, data_grace_seconds=grace)
    client = await ready(edge, OPENING + b"DATA\r\n")
    pass_time(grace - 1)
    await turn()
    assert not client.is_closed
    pass_time(2)
    assert (await client.rest()).endswith(TOO_SLOW)


@pytest.mark.parametrize("command", [b"DATA\r\n", b"BDAT 100000 LAST\r\n"])
async def test_a_message_at_the_least_rate(edge: Edge, pass_time: Pass, command: bytes) -> None:
    """It may take as long as it needs."""
    client = await ready(edge, OPENING + command)
    client.send(HEADER)
    for _ in range(100):
        client.send((b"x" * 70 + b"\r\n") * 7)
        pass_time(5)
        await turn()
    assert not client.is_closed
    left = 100_000 - len(HEADER) - 100 * 7 * 72
    client.send(b".\r\nQUIT\r\n" if command == b"DATA\r\n" else b"x" * left + b"QUIT\r\n")
    assert (await client.rest()).endswith(b"queued as 4F\r\n221 2.0.0 Goodbye\r\n")


async def test_the_rate_can_be_left_to_itself() -> None:
    """With 0 only silence ends a message."""
    edge = Edge(limits=replace(SLOW, min_data_rate=0))
    client = await ready(edge, OPENING + b"DATA\r\n")
    client.send(HEADER)
    await turn()
    for session in tuple(edge.sessions):
        session.sweep(asyncio.get_running_loop().time() + 299)
    await turn()
    client.send(b".\r\nQUIT\r\n")
    assert (await client.rest()).endswith(b"queued as 4F\r\n221 2.0.0 Goodbye\r\n")


async def test_a_chunk_that_comes_too_slowly_and_belongs_to_nothing(
    edge: Edge, pass_time: Pass
) -> None:
    """What is only read to be thrown away has the same limits."""
    client = await ready(edge, b"EHLO c\r\nBDAT 50000\r\n")
    for _ in range(8):
        client.send(b"x")
        pass_time(5)
        await turn()
    assert (await client.rest()).endswith(TOO_SLOW)


@pytest.mark.parametrize("sent", [b"", b"BDAT 100\r\nxx", b"BDAT 2\r\nxx", b"DATA\r\nxx"])
async def test_silence(edge: Edge, pass_time: Pass, sent: bytes) -> None:
    """Before a message, within it, or between two chunks: 421, within the time for silence."""
    edge.limits = replace(SLOW, min_data_rate=0)
    client = await ready(edge, OPENING + sent)
    pass_time(299)
    await turn()
    assert not client.is_closed
    pass_time(2)
    assert (await client.rest()).endswith(TIME_IS_UP)
    await edge.until_over()
    assert edge.upstream.open_transactions == 0
