"""How many are let in, in all and of one address, and what tells an operator of a gateway."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from ipaddress import ip_network

import pytest

from relay.core.events import Noted
from relay.listener import gateway
from relay.listener.endpoint import Endpoint
from relay.listener.sockets import Listeners
from tests.fakes.edge import LIMITS, MESSAGE, Edge, until_connections
from tests.fakes.smtp_client import SocketClient

pytestmark = pytest.mark.usefixtures("quiet")

GREETING = b"220 relay.example ESMTP dkim-relay\r\n"
TOO_MANY = b"421 4.3.2 Too many connections\r\n"
TOO_MANY_HERE = b"421 4.7.0 Too many connections from this address\r\n"
UP_TO_DATA = b"HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n"


def told(edge: Edge) -> list[object]:
    """The limits that were come to."""
    reached = [e for e in edge.events if isinstance(e, Noted) and e.name == "limit.reached"]
    return [dict(event.fields)["limit"] for event in reached]


async def test_connections_of_one_address() -> None:
    """One too many is told so and closed; other addresses and later ones are let in."""
    edge = Edge()
    async with (
        edge.listening("127.0.0.1:0", "[::1]:0", max_connections_per_address=2) as listeners,
        AsyncExitStack() as stack,
    ):
        v4, v6 = listeners.addresses

        async def connect(address: tuple[str, int]) -> SocketClient:
            return await stack.enter_async_context(SocketClient(*address))

        first, second = await connect(v4), await connect(v4)
        assert [await first.reply(), await second.reply()] == [GREETING, GREETING]
        assert await (await connect(v4)).rest() == TOO_MANY_HERE
        assert await (await connect(v6)).reply() == GREETING
        await first.say(b"QUIT")
        await until_connections(listeners, 2)
        assert await (await connect(v4)).reply() == GREETING
        assert await (await connect(v4)).rest() == TOO_MANY_HERE
    assert told(edge) == ["max_connections_per_address"] * 2


@pytest.mark.parametrize("how", ["QUIT", "reset", "refused"])
async def test_places_are_given_back(how: str) -> None:
    """However a session ends, and also when it was one too many: over many sessions."""
    edge = Edge()
    async with edge.listening(max_connections=2, max_connections_per_address=2) as listeners:
        for _ in range(20):
            async with (
                SocketClient(*listeners.addresses[0]) as first,
                SocketClient(*listeners.addresses[0]) as second,
            ):
                assert [await first.reply(), await second.reply()] == [GREETING, GREETING]
                if how == "refused":
                    async with SocketClient(*listeners.addresses[0]) as third:
                        assert await third.rest() == TOO_MANY
                for client in (first, second):
                    if how == "QUIT":
                        await client.say(b"QUIT")
                        await client.rest()
                    else:
                        client.reset()
            await until_connections(listeners, 0)
    assert told(edge) == (["max_connections"] * 20 if how == "refused" else [])


async def test_a_session_that_waits_for_the_upstream_keeps_its_place() -> None:
    """Though its client is gone: what it costs is still there."""
    edge = Edge()
    edge.upstream.final_gate.clear()
    async with edge.listening(max_connections=1) as listeners:
        async with SocketClient(*listeners.addresses[0]) as client:
            await client.send(UP_TO_DATA + MESSAGE + b".\r\n")
            await edge.upstream.until_sent()
            client.reset()
        async with SocketClient(*listeners.addresses[0]) as other:
            assert await other.rest() == TOO_MANY
        edge.upstream.final_gate.set()
        await until_connections(listeners, 0)
        async with SocketClient(*listeners.addresses[0]) as later:
            assert await later.reply() == GREETING


async def test_the_sweep_gives_memory_back() -> None:
    """A message that is held back for too long is refused by the one timer, on real sockets."""
    edge = Edge(limits=replace(LIMITS, memory_seconds=0.05), budget_octets=40_000)
    body = (b"x" * 62 + b"\r\n") * 1500
    edge.upstream.final_gate.clear()
    async with (
        edge.listening() as listeners,
        SocketClient(*listeners.addresses[0]) as first,
        SocketClient(*listeners.addresses[0]) as second,
        asyncio.TaskGroup() as tasks,
    ):
        sweeping = tasks.create_task(listeners.sweep())
        await first.send(UP_TO_DATA + MESSAGE + body[:39_000] + b"\r\n.\r\n")
        await edge.upstream.until_sent()
        await second.reply()
        said = await second.say(b"HELO c", b"MAIL FROM:<>", b"RCPT TO:<b@example.net>", b"DATA")
        assert said[-1].startswith(b"354 ")
        tasks.create_task(second.send(MESSAGE + body + b".\r\nNOOP\r\nQUIT\r\n"))
        assert await second.rest() == (
            b"452 4.3.1 Out of memory for messages, try again later\r\n"
            b"250 2.0.0 OK\r\n221 2.0.0 Goodbye\r\n"
        )
        sweeping.cancel()
    assert edge.memory.octets == 0


# ---- a gateway ---------------------------------------------------------------------------------


async def come(listeners: Listeners, *addresses: str) -> None:
    """Clients of these addresses, one after the other, behind a proxy."""
    for address in addresses:
        family = "TCP6" if ":" in address else "TCP4"
        async with SocketClient(*listeners.addresses[0]) as client:
            await client.send(f"PROXY {family} {address} {address} 1 2\r\nQUIT\r\n".encode())
            await client.rest()


@pytest.mark.parametrize(
    ("addresses", "is_told"),
    [
        (["172.17.0.1"] * 10, True),
        (["172.17.0.1"] * 100, True),
        (["fd00::1"] * 10, True),
        (["172.17.0.1"] * 9, False),
        (["172.17.0.1", "172.17.0.2"] * 20, False),
        ([*["172.17.0.1"] * 9, "172.17.0.2", *["172.17.0.1"] * 9], False),
        (["127.0.0.1"] * 20, False),
        (["127.0.0.1", "172.17.0.1", "::1"] * 10, True),
        (["::1"] * 20, False),
        (["8.8.8.8"] * 20, False),
    ],
)
async def test_clients_that_all_look_alike(
    monkeypatch: pytest.MonkeyPatch, addresses: list[str], is_told: bool
) -> None:
    """Once, when all have one private address that is not this machine's."""
    monkeypatch.setattr(gateway, "_SESSIONS", 10)
    edge = Edge(endpoint=Endpoint(proxies=(ip_network("127.0.0.0/8"),)))
    async with edge.listening() as listeners:
        await come(listeners, *addresses)
    told = [e for e in edge.events if isinstance(e, Noted) and e.name == "clients.alike"]
    assert len(told) == int(is_told)
    common = next((a for a in addresses if a != "127.0.0.1"), "")
    if is_told:
        assert told[0].level == "warning"
        assert f"all 10 sessions from elsewhere came from {common}:" in str(told[0].fields)
