"""The listening sockets: bound, counted, drained."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from relay.core.errors import ConfigError
from relay.core.events import Outcome
from relay.listener.bind import Binding
from relay.listener.sockets import Listeners
from tests.fakes.edge import LIMITS, MESSAGE, Edge
from tests.fakes.smtp_client import SocketClient

GREETING = b"220 relay.example ESMTP dkim-relay\r\n"
SHUTTING_DOWN = b"421 4.3.2 The service is shutting down\r\n"
COMPLETE = b"HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n" + MESSAGE + b".\r\n"
ANY_PORT = [Binding(address="127.0.0.1:0")]


@pytest.fixture
async def edge() -> Edge:
    """What stands around the sockets."""
    return Edge()


@pytest.fixture
async def listeners(edge: Edge) -> AsyncIterator[Listeners]:
    """Two connections at most, on a free port."""
    made = edge.listeners(max_connections=2)
    await made.open(ANY_PORT)
    yield made
    edge.upstream.final_gate.set()
    edge.upstream.release()
    await made.close(5.0)


async def test_several_addresses(edge: Edge) -> None:
    """IPv4 and IPv6 beside each other, each with its port."""
    listeners = edge.listeners()
    await listeners.open([*ANY_PORT, Binding(address="[::1]:0")])
    try:
        (v4, port4), (v6, port6) = listeners.addresses
        assert (v4, v6) == ("127.0.0.1", "::1")
        for host, port in ((v4, port4), (v6, port6)):
            async with SocketClient(host, port) as client:
                assert await client.reply() == GREETING
                assert await client.say(b"HELO c", b"MAIL FROM:<>", b"QUIT") == [
                    b"250 relay.example\r\n",
                    b"250 2.1.0 OK\r\n",
                    b"221 2.0.0 Goodbye\r\n",
                ]
                assert await client.rest() == b""
    finally:
        assert await listeners.close(5.0) == 0


async def test_an_address_in_use(edge: Edge) -> None:
    """The fault names the address, the reason and what to do; what was bound is let go."""
    listeners = edge.listeners()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError) as caught:
            await listeners.open([*ANY_PORT, Binding(address=f"127.0.0.1:{port}")])
    [fault] = caught.value.faults
    assert fault.where == f"listener 127.0.0.1:{port}"
    assert fault.what == "cannot listen: Address already in use"
    assert fault.fix
    await listeners.close(1.0)


async def test_the_name_is_never_looked_up(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither ours nor the client's is asked for in DNS: that would block everything."""

    def forbidden(*_: object) -> None:
        raise AssertionError("a name was looked up")

    for name in ("getfqdn", "gethostbyaddr", "gethostbyname", "getnameinfo", "gethostname"):
        monkeypatch.setattr(socket, name, forbidden)
    client = edge.client()
    client.send(COMPLETE + b"QUIT\r\n")
    assert (await client.rest()).endswith(b"queued as 4F\r\n221 2.0.0 Goodbye\r\n")


async def test_connections_are_counted(edge: Edge, listeners: Listeners) -> None:
    """One too many is told 421 and closed; there is room again when another leaves."""
    address = listeners.addresses[0]
    async with SocketClient(*address) as first, SocketClient(*address) as second:
        assert [await first.reply(), await second.reply()] == [GREETING, GREETING]
        assert listeners.connections == 2
        async with SocketClient(*address) as third:
            assert await third.rest() == b"421 4.3.2 Too many connections\r\n"
        await second.say(b"QUIT")
        await second.rest()
        async with SocketClient(*address) as fourth:
            assert await fourth.reply() == GREETING


async def test_closing_says_goodbye(listeners: Listeners) -> None:
    """Idle clients hear 421 4.3.2, and nobody is let in any more."""
    address = listeners.addresses[0]
    async with SocketClient(*address) as client:
        assert await client.reply() == GREETING
        assert await listeners.close(5.0) == 0
        assert await client.rest() == SHUTTING_DOWN
    assert listeners.connections == 0
    with pytest.raises(ConnectionError):
        await asyncio.open_connection(*address)


async def test_closing_waits_for_a_message(edge: Edge, listeners: Listeners) -> None:
    """What is behind its final dot is finished and answered first."""
    edge.upstream.final_gate.clear()
    async with SocketClient(*listeners.addresses[0]) as client:
        await client.send(COMPLETE)
        await edge.upstream.until_sent()
        async with asyncio.TaskGroup() as tasks:
            closing = tasks.create_task(listeners.close(5.0))
            await asyncio.sleep(0)
            edge.upstream.final_gate.set()
        assert closing.result() == 0
        assert (await client.rest()).endswith(b"queued as 4F\r\n" + SHUTTING_DOWN)


async def test_closing_does_not_wait_for_ever(edge: Edge, listeners: Listeners) -> None:
    """Sessions over their time are cut off and counted; their transactions still end."""
    edge.upstream.final_gate.clear()
    async with SocketClient(*listeners.addresses[0]) as client:
        await client.send(COMPLETE)
        await edge.upstream.until_sent()
        assert await listeners.close(0.01) == 1
        assert (await client.rest()).count(b"421") == 0
        edge.upstream.final_gate.set()
        await listeners.close(5.0)
    assert edge.ending.outcome is Outcome.RELAYED
    assert edge.ending.client_left


@pytest.mark.parametrize("turns", range(8))
async def test_a_client_that_comes_while_closing(edge: Edge, turns: int) -> None:
    """However far its connection has got, it is not left alone with an open socket."""
    listeners = edge.listeners()
    await listeners.open(ANY_PORT)
    with socket.create_connection(listeners.addresses[0]) as client:
        client.setblocking(False)
        for _ in range(turns):
            await asyncio.sleep(0)
        assert await listeners.close(5.0) == 0
        assert listeners.connections == 0
        loop = asyncio.get_running_loop()
        heard = b""
        async with asyncio.timeout(5):
            try:
                while octets := await loop.sock_recv(client, 1000):
                    heard += octets
            except ConnectionResetError:
                pass  # it was still in the kernel's queue
    assert listeners.connections == 0
    assert heard in (b"", SHUTTING_DOWN, GREETING + SHUTTING_DOWN)


async def test_the_sweep_ends_idle_sessions() -> None:
    """One timer looks at all sessions, as long as it runs."""
    edge = Edge(limits=replace(LIMITS, idle_seconds=0.05))
    listeners = edge.listeners()
    await listeners.open(ANY_PORT)
    async with asyncio.TaskGroup() as tasks:
        sweeping = tasks.create_task(listeners.sweep())
        async with SocketClient(*listeners.addresses[0]) as client:
            assert await client.rest() == (
                GREETING + b"421 4.4.2 Nothing was heard for too long\r\n"
            )
        sweeping.cancel()
    await listeners.close(5.0)


@pytest.mark.parametrize("how", ["half-close", "close", "reset"])
async def test_a_client_that_leaves_behind_its_final_dot(
    edge: Edge, listeners: Listeners, how: str
) -> None:
    """Release blocker 3, with FIN and RST of a real client: the upstream's transaction ends."""
    edge.upstream.final_gate.clear()
    heard = b""
    async with SocketClient(*listeners.addresses[0]) as client:
        await client.send(COMPLETE)
        await edge.upstream.until_sent()
        match how:
            case "half-close":
                client.end()
            case "close":
                await client.close()
            case _:
                client.reset()
        # The relay must have noticed before the upstream answers; its next client tells.
        async with SocketClient(*listeners.addresses[0]) as other:
            await other.reply()
            assert await other.say(b"NOOP") == [b"250 2.0.0 OK\r\n"]
        edge.upstream.final_gate.set()
        if how == "half-close":
            heard = await client.rest()
    assert await listeners.close(5.0) == 0
    assert edge.ending.outcome is Outcome.RELAYED
    assert not edge.upstream.transactions[0].is_abandoned
    if how == "half-close":
        assert heard.endswith(b"250 2.0.0 Ok: queued as 4F\r\n")
    if how == "reset":
        assert edge.ending.client_left


async def test_a_client_that_floods(edge: Edge, listeners: Listeners) -> None:
    """More commands than are read ahead, while the upstream thinks: all are answered in order."""
    edge.upstream.final_gate.clear()
    count = 100_000
    async with SocketClient(*listeners.addresses[0]) as client, asyncio.TaskGroup() as tasks:
        await client.send(COMPLETE)
        await edge.upstream.until_sent()
        tasks.create_task(client.send(b"NOOP\r\n" * count + b"QUIT\r\n"))
        for _ in range(20):
            await asyncio.sleep(0)
        edge.upstream.final_gate.set()
        heard = await client.rest()
        assert heard.count(b"250 2.0.0 OK\r\n") == count
        assert heard.endswith(b"221 2.0.0 Goodbye\r\n")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the length of the queue")
@pytest.mark.parametrize("backlog", [7, 300])
async def test_the_queue_of_the_system(edge: Edge, backlog: int) -> None:
    """It is as long as the settings say, whatever a supervisor has made it."""
    listeners = Listeners(
        edge.station, edge.limits, rules=edge.rules, max_connections=10, backlog=backlog
    )
    with socket.create_server(("127.0.0.1", 0), backlog=20) as ours:
        await listeners.open([Binding(address=f"fd:{os.dup(ours.fileno())}")])
        try:
            state = ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 32)
            assert int.from_bytes(state[28:32], sys.byteorder) == backlog  # tcpi_sacked
        finally:
            await listeners.close(1.0)
