"""Sessions behind a proxy: its header is required from whom the listener lists, and only there."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from ipaddress import ip_network

import pytest

from relay.core.policy import ClientRule
from relay.listener.certificates import Certificates
from relay.listener.endpoint import Endpoint, ListenerTls
from relay.listener.logins import LoginLimits
from relay.listener.proxy import SIGNATURE
from tests.fakes.edge import LIMITS, MESSAGE, Edge, until_connections
from tests.fakes.smtp_client import PATIENCE_SECONDS, SocketClient

pytestmark = pytest.mark.usefixtures("quiet")

GREETING = b"220 relay.example ESMTP dkim-relay\r\n"
OK = b"250 2.0.0 OK\r\n"
V1 = b"PROXY TCP4 192.0.2.1 127.0.0.1 40000 25\r\n"
V2 = SIGNATURE + b"\x21\x11\x00\x0c" + bytes([192, 0, 2, 1, 127, 0, 0, 1]) + b"\x9c\x40\x00\x19"
V2_TLV = (
    SIGNATURE + b"\x21\x11" + struct.pack("!H", 12 + 3 + 1000)
    + bytes([192, 0, 2, 1, 127, 0, 0, 1]) + b"\x9c\x40\x00\x19"
    + b"\x20\x03\xe8" + b"EHLO evil\r\n".ljust(1000, b"x")
)  # fmt: skip
V1_6 = b"PROXY TCP6 2001:db8::1 ::1 40000 25\r\n"
HEADERS = {"version 1": V1, "version 2": V2, "version 2 with extensions": V2_TLV}
BEHIND = ClientRule("behind", (ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")))
EVERY_TLS = tuple(ListenerTls)

Make = Callable[..., Edge]


@pytest.fixture
def make(presented: Certificates) -> Make:
    """An edge that believes a proxy on this machine; the clients behind it may send."""

    def make_edge(
        tls: ListenerTls = ListenerTls.NONE, proxies: str = "127.0.0.0/8", **changes: object
    ) -> Edge:
        endpoint = Endpoint(
            tls=tls,
            certificates=presented if tls is not ListenerTls.NONE else None,
            proxies=(ip_network(proxies),),
            may_auth_in_clear=True,
        )
        arguments = {"rules": (BEHIND,), "received": "full", **changes}
        return Edge(endpoint=endpoint, **arguments)  # type: ignore[arg-type]  # as written there

    return make_edge


async def can_send(client: SocketClient) -> bool:
    """Whether the session is one of a client that may."""
    [said] = (await client.say(b"EHLO c", b"MAIL FROM:<>"))[1:]
    return said == b"250 2.1.0 OK\r\n"


@pytest.mark.parametrize("tls", EVERY_TLS)
@pytest.mark.parametrize("header", HEADERS)
async def test_a_client_is_who_the_proxy_says(
    make: Make, trusting: ssl.SSLContext, tls: ListenerTls, header: str
) -> None:
    """Its address decides what it may, and stands in the trace; TLS comes behind, or in between."""
    edge = make(tls)
    async with edge.listening() as listeners, SocketClient(*listeners.addresses[0]) as client:
        if tls is ListenerTls.IMPLICIT:
            await client.secure(trusting, before=HEADERS[header])  # one segment with ClientHello
            assert await client.reply() == GREETING
        else:
            await client.send(HEADERS[header])
            await client.begin(trusting, tls)
        assert await can_send(client)
        await client.say(b"RCPT TO:<b@example.net>", b"DATA", MESSAGE + b".", b"QUIT")
        await client.rest()
    assert b" ([192.0.2.1])" in edge.upstream.messages[0]
    assert edge.ending.client == "192.0.2.1"
    assert not edge.faults


@pytest.mark.parametrize("header", [*HEADERS.values(), V1_6], ids=[*HEADERS, "IPv6"])
async def test_a_whole_session_in_the_segment_of_the_header(make: Make, header: bytes) -> None:
    """What stands behind the header is the client's, to the octet."""
    edge = make()
    session = b"HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n" + MESSAGE
    async with edge.listening() as listeners, SocketClient(*listeners.addresses[0]) as client:
        await client.send(header + session + b".\r\nQUIT\r\n")
        assert [line[:3] for line in (await client.rest()).splitlines()] == [
            *(b"220", b"250", b"250", b"250", b"354", b"250", b"221")
        ]
    assert edge.ending.client in ("192.0.2.1", "2001:db8::1")


@pytest.mark.parametrize("tls", EVERY_TLS)
async def test_a_header_that_is_there_before_the_connection_is_accepted(
    make: Make, trusting: ssl.SSLContext, tls: ListenerTls
) -> None:
    """Proxies do not wait either."""
    edge = make(tls)
    async with edge.listening() as listeners, AsyncExitStack() as stack:
        clients = [SocketClient(*listeners.addresses[0]) for _ in range(10)]
        for client in clients:
            client.be_early(V1)
        for client in clients:
            await stack.enter_async_context(client)
            await client.begin(trusting, tls)
            assert await can_send(client)


@pytest.mark.parametrize("tls", [ListenerTls.NONE, ListenerTls.IMPLICIT])
@pytest.mark.parametrize("header", HEADERS)
async def test_a_header_in_single_octets(
    make: Make, trusting: ssl.SSLContext, tls: ListenerTls, header: str
) -> None:
    """And the rest of the session in pieces."""
    edge = make(tls)
    async with edge.listening() as listeners, SocketClient(*listeners.addresses[0]) as client:
        octets = HEADERS[header]
        for position in range(len(octets)):
            await client.send(octets[position : position + 1])
            await asyncio.sleep(0)
        await client.begin(trusting, tls)
        assert await can_send(client)


@pytest.mark.parametrize(
    "header",
    [b"PROXY UNKNOWN\r\n", SIGNATURE + b"\x20\x00\x00\x00", SIGNATURE + b"\x21\x00\x00\x00"],
    ids=["UNKNOWN", "LOCAL", "no family"],
)
async def test_a_proxy_that_speaks_for_itself(make: Make, header: bytes) -> None:
    """Its checks are answered; what it may is what its own address may."""
    edge = make()
    async with edge.listening() as listeners, SocketClient(*listeners.addresses[0]) as client:
        await client.send(header)
        assert await client.reply() == GREETING
        assert not await can_send(client)


BAD = {
    "a command": b"EHLO c\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a bad header": b"PROXY TCP4 1.2.3 4.5.6 1 2\r\n",
    "a bad version": SIGNATURE + b"\x31\x11\x00\x0c" + bytes(12),
    "far too long": SIGNATURE + b"\x21\x11\xff\xff" + b"x" * 10_000,
    "endless": b"PROXY TCP4 " + b"1" * 5_000,
}


@pytest.mark.parametrize("tls", [ListenerTls.NONE, ListenerTls.IMPLICIT])
@pytest.mark.parametrize("octets", BAD.values(), ids=BAD)
async def test_a_listed_peer_without_a_header(make: Make, tls: ListenerTls, octets: bytes) -> None:
    """It is closed without a word: nobody can be served whose address is not known."""
    edge = make(tls)
    async with edge.listening() as listeners, SocketClient(*listeners.addresses[0]) as client:
        await client.send(octets)
        assert await client.rest() == b""
        await until_connections(listeners, 0)
    assert not edge.faults


@pytest.mark.parametrize("octets", [b"", b"PROXY ", SIGNATURE[:7], V2[:20]])
@pytest.mark.parametrize("how", ["half-close", "close", "reset"])
async def test_a_proxy_that_leaves(make: Make, octets: bytes, how: str) -> None:
    """Before its header is whole: the session is over."""
    edge = make()
    async with edge.listening() as listeners, SocketClient(*listeners.addresses[0]) as client:
        await client.send(octets)
        match how:
            case "half-close":
                client.end()
                assert await client.rest() == b""
            case "close":
                await client.close()
            case _:
                client.reset()
        await until_connections(listeners, 0)
    assert not edge.faults


async def test_a_header_that_never_comes(make: Make) -> None:
    """It has its time, however it trickles."""
    edge = make(limits=replace(LIMITS, proxy_seconds=0.05))
    async with edge.listening() as listeners, SocketClient(*listeners.addresses[0]) as client:
        await client.send(V1[:5])
        assert await client.rest() == b""


@pytest.mark.parametrize("header", HEADERS)
async def test_a_peer_that_is_not_listed(make: Make, header: str) -> None:
    """Its header is a bad command and changes nothing, or anybody could be anybody."""
    edge = make(proxies="198.51.100.0/24")
    async with edge.listening() as listeners, SocketClient(*listeners.addresses[0]) as client:
        assert await client.reply() == GREETING
        await client.send(HEADERS[header])
        assert (await client.reply()).startswith(b"500 5.5.2 ")
        await client.send(b"\r\nQUIT\r\n")
        heard = await client.rest()
        assert b"250 " not in heard
    assert not edge.upstream.begins


async def test_a_second_header(make: Make) -> None:
    """One is taken; the next is a command like any other, and a bad one."""
    edge = make()
    async with edge.listening() as listeners, SocketClient(*listeners.addresses[0]) as client:
        await client.send(V1 + b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n")
        assert await client.reply() == GREETING
        assert await client.reply() == b"500 5.5.2 Command not understood\r\n"
        assert await can_send(client)


async def test_clients_are_counted_each_under_its_own_address(make: Make) -> None:
    """The limit of one address is not the proxy's."""
    edge = make()

    def header(number: int) -> bytes:
        return V1.replace(b"192.0.2.1 ", b"192.0.2.%d " % number)

    async with (
        edge.listening(max_connections_per_address=1) as listeners,
        AsyncExitStack() as stack,
    ):
        clients = [SocketClient(*listeners.addresses[0]) for _ in range(6)]
        for client in clients:
            await stack.enter_async_context(client)
        for number, client in enumerate(clients[:4], start=1):
            await client.send(header(number))
            assert await client.reply() == GREETING
        await clients[4].send(header(2))
        assert await clients[4].rest() == b"421 4.7.0 Too many connections from this address\r\n"
        await clients[1].say(b"QUIT")
        await until_connections(listeners, 4)
        await clients[5].send(header(2))
        assert await clients[5].reply() == GREETING


async def test_a_network_of_one_host_counts_as_one_address(make: Make) -> None:
    """An IPv6 host has a whole /64: changing its address buys neither places nor guesses."""
    edge = make(
        passwords={"app": "secret"},
        rules=(ClientRule("app", login="app"),),
        login_limits=LoginLimits(max_failures=1),
    )

    async def come(stack: AsyncExitStack, address: bytes) -> SocketClient:
        client = SocketClient(*listeners.addresses[0])
        await stack.enter_async_context(client)
        await client.send(V1_6.replace(b"2001:db8::1", address))
        return client

    async with (
        edge.listening(max_connections_per_address=2) as listeners,
        AsyncExitStack() as stack,
    ):
        first = await come(stack, b"2001:db8:0:1::1")
        assert await first.reply() == GREETING
        assert (await first.say(b"EHLO c", b"AUTH PLAIN AGFwcAB4"))[1].startswith(b"535 ")
        second = await come(stack, b"2001:db8:0:1:ffff::2")
        assert await second.reply() == GREETING
        said = await second.say(b"EHLO c", b"AUTH PLAIN AGFwcABzZWNyZXQ=")
        assert said[1] == b"421 4.7.0 Too many failed logins, try again later\r\n"
        await first.rest()
        await second.rest()
        await until_connections(listeners, 0)
        for number in (b"1", b"2"):
            assert await (await come(stack, b"2001:db8:0:1::" + number)).reply() == GREETING
        third = await come(stack, b"2001:db8:0:1::3")
        assert await third.rest() == b"421 4.7.0 Too many connections from this address\r\n"
        other = await come(stack, b"2001:db8:0:2::1")
        assert await other.reply() == GREETING
        said = await other.say(b"EHLO c", b"AUTH PLAIN AGFwcABzZWNyZXQ=")
        assert said[1].startswith(b"235 ")


@pytest.mark.parametrize(
    ("prefix", "address", "is_one"),
    [
        (64, b"2001:db8:0:1:ffff::2", True),
        (64, b"2001:db8:0:2::1", False),
        (48, b"2001:db8:0:2::1", True),
        (48, b"2001:db8:1:1::1", False),
        (128, b"2001:db8:0:1::2", False),
    ],
)
async def test_how_much_of_an_address_counts(
    make: Make, prefix: int, address: bytes, is_one: bool
) -> None:
    """Clients whose addresses have so many bits in common are one, and others are not."""
    edge = make(limits=replace(LIMITS, ipv6_prefix=prefix))
    async with (
        edge.listening(max_connections_per_address=1) as listeners,
        SocketClient(*listeners.addresses[0]) as first,
        SocketClient(*listeners.addresses[0]) as second,
    ):
        await first.send(V1_6.replace(b"2001:db8::1", b"2001:db8:0:1::1"))
        assert await first.reply() == GREETING
        await second.send(V1_6.replace(b"2001:db8::1", address))
        assert ((await second.reply()) != GREETING) is is_one


async def test_failed_logins_count_for_the_client(make: Make) -> None:
    """One client's failures do not shut the others behind the same proxy out."""
    edge = make(
        passwords={"app": "secret"},
        rules=(ClientRule("app", login="app"),),
        login_limits=LoginLimits(max_failures=1),
    )
    said = {}
    async with edge.listening() as listeners:
        for name, number, word in (("bad", 1, b"AGFwcAB4"), ("good", 2, b"AGFwcABzZWNyZXQ=")):
            async with SocketClient(*listeners.addresses[0]) as client:
                await client.send(V1.replace(b"192.0.2.1 ", b"192.0.2.%d " % number))
                await client.reply()
                said[name] = (await client.say(b"EHLO c", b"AUTH PLAIN " + word))[1]
    assert said["bad"].startswith(b"535 ")
    assert said["good"].startswith(b"235 ")


async def test_the_header_is_kept_across_starttls(make: Make, trusting: ssl.SSLContext) -> None:
    """And cannot be given again within TLS."""
    edge = make(ListenerTls.STARTTLS)
    async with edge.listening() as listeners, SocketClient(*listeners.addresses[0]) as client:
        await client.send(V2)
        await client.begin(trusting, ListenerTls.STARTTLS)
        [said] = await client.say(b"PROXY TCP4 203.0.113.1 127.0.0.1 1 2")
        assert said.startswith(b"500 ")
        assert await can_send(client)


async def test_closing_while_a_header_is_awaited(make: Make) -> None:
    """There is nothing to wait for."""
    edge = make()
    async with edge.listening() as listeners, SocketClient(*listeners.addresses[0]) as client:
        await until_connections(listeners, 1)
        assert await listeners.close(PATIENCE_SECONDS) == 0
        assert await client.rest() == b""
    assert not edge.faults


async def test_ipv4_on_an_ipv6_socket(make: Make) -> None:
    """A socket passed in may take both: the proxy and its clients have their IPv4 addresses."""
    edge = make(rules=(BEHIND,))
    with socket.socket(socket.AF_INET6) as bound:
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        bound.bind(("::ffff:127.0.0.1", 0))
        port = bound.getsockname()[1]
        async with (
            edge.listening(f"fd:{bound.detach()}"),
            SocketClient("127.0.0.1", port) as client,
        ):
            await client.send(b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:127.0.0.1 1 2\r\n")
            assert await client.reply() == GREETING
            assert await can_send(client)
