"""Handshakes that fail, come early or never, and TLS at the end of the service. RFC 8314 §3.3."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from relay.listener.endpoint import ListenerTls
from tests.fakes.certificates import Certificates
from tests.fakes.edge import LIMITS, MESSAGE, Edge, until_connections
from tests.fakes.smtp_client import PATIENCE_SECONDS, SocketClient
from tests.fakes.tls_engine import TlsEngine

pytestmark = pytest.mark.usefixtures("quiet")

GREETING = b"220 relay.example ESMTP dkim-relay\r\n"
READY = b"220 2.0.0 Ready to start TLS\r\n"
SHUTTING_DOWN = b"421 4.3.2 The service is shutting down\r\n"
BOTH = (ListenerTls.STARTTLS, ListenerTls.IMPLICIT)

Make = Callable[..., Edge]


# ---- handshakes that fail ----------------------------------------------------------------------


async def _reset(client: SocketClient, _: Certificates) -> None:
    client.reset()


async def _close(client: SocketClient, _: Certificates) -> None:
    await client.close()


async def _half_close(client: SocketClient, _: Certificates) -> None:
    client.end()
    await client.rest()


async def _part_of_a_hello(client: SocketClient, certificates: Certificates) -> None:
    await client.send(TlsEngine(certificates.trusting()).start()[:50])
    client.reset()


async def _hello_and_reset(client: SocketClient, certificates: Certificates) -> None:
    await client.send(TlsEngine(certificates.trusting()).start())
    client.reset()


async def _hello_and_close(client: SocketClient, certificates: Certificates) -> None:
    await client.send(TlsEngine(certificates.trusting()).start())
    await client.close()


async def _noise(client: SocketClient, _: Certificates) -> None:
    await client.send(b"\x16\x03\x01\x00\x05hello" * 10)
    await client.rest()


async def _web(client: SocketClient, _: Certificates) -> None:
    await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await client.rest()


async def _distrust(client: SocketClient, _: Certificates) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        await client.secure(ssl.create_default_context())


FAILURES = [
    *(_reset, _close, _half_close, _part_of_a_hello, _hello_and_reset, _hello_and_close),
    *(_noise, _web, _distrust),
]


@pytest.mark.parametrize("tls", BOTH)
@pytest.mark.parametrize("fail", FAILURES, ids=lambda fail: fail.__name__)
async def test_a_handshake_that_fails(
    make: Make, certificates: Certificates, tls: ListenerTls, fail: Callable[..., object]
) -> None:
    """The session is over and forgotten, without a word to the log or from the loop."""
    edge = make(tls)
    async with edge.listening(max_connections=3) as listeners:
        for _ in range(5):  # as many would fill all places, if they were kept
            async with SocketClient(*listeners.addresses[0]) as client:
                if tls is ListenerTls.STARTTLS:
                    assert await client.reply() == GREETING
                    assert await client.say(b"STARTTLS") == [READY]
                await fail(client, certificates)  # type: ignore[misc]  # they are all coroutines
                await until_connections(listeners, 0)
    assert not edge.faults


@pytest.mark.parametrize("turns", range(6))
async def test_a_client_that_vanishes_behind_starttls(make: Make, turns: int) -> None:
    """However far the relay has got with it."""
    edge = make()
    async with edge.listening() as listeners:
        async with SocketClient(*listeners.addresses[0]) as client:
            await client.reply()
            await client.send(b"STARTTLS\r\n")
            for _ in range(turns):
                await asyncio.sleep(0)
            client.reset()
        await until_connections(listeners, 0)
    assert not edge.faults


async def test_a_handshake_that_is_never_made(make: Make) -> None:
    """It has its time; then the connection is closed."""
    edge = make(ListenerTls.IMPLICIT, limits=replace(LIMITS, handshake_seconds=0.05))
    async with edge.listening() as listeners, SocketClient(*listeners.addresses[0]) as client:
        assert await client.rest() == b""
        await until_connections(listeners, 0)
    assert not edge.faults


# ---- implicit ----------------------------------------------------------------------------------


async def test_a_hello_that_is_there_first(make: Make, trusting: ssl.SSLContext) -> None:
    """Clients do not wait: their ClientHello is often there before the connection is accepted.

    uvloop has then read it before anybody could say that it is not to be read.
    """
    edge = make(ListenerTls.IMPLICIT)
    async with edge.listening() as listeners, AsyncExitStack() as stack:
        clients = [SocketClient(*listeners.addresses[0]) for _ in range(20)]
        for client in clients:
            client.tls = TlsEngine(trusting)
            client.be_early(client.tls.start())
        for client in clients:
            await stack.enter_async_context(client)
            assert await client.reply() == GREETING


async def test_a_hello_in_single_octets(make: Make, trusting: ssl.SSLContext) -> None:
    """However it comes."""
    edge = make(ListenerTls.IMPLICIT)
    async with edge.listening() as listeners, SocketClient(*listeners.addresses[0]) as client:
        tls = TlsEngine(trusting)
        hello = tls.start()
        for position in range(100):
            await client.send(hello[position : position + 1])
            await asyncio.sleep(0)
        await client.send(hello[100:])
        client.tls = tls
        assert await client.reply() == GREETING


async def test_a_client_that_speaks_smtp_first(make: Make) -> None:
    """EHLO to a listener that begins with TLS: there is no reply to it, and it ends at once."""
    edge = make(ListenerTls.IMPLICIT)
    async with edge.listening() as listeners, SocketClient(*listeners.addresses[0]) as client:
        await client.send(b"EHLO c\r\n")
        assert b"250" not in await client.rest()
        await until_connections(listeners, 0)


async def test_a_whole_session_behind_the_handshake(make: Make, trusting: ssl.SSLContext) -> None:
    """Everything pipelined before the greeting is heard: answered in order."""
    edge = make(ListenerTls.IMPLICIT)
    async with edge.listening() as listeners, SocketClient(*listeners.addresses[0]) as client:
        await client.secure(trusting)
        await client.send(b"HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n")
        await client.send(MESSAGE + b".\r\nQUIT\r\n")
        assert [line[:3] for line in (await client.rest()).splitlines()] == [
            *(b"220", b"250", b"250", b"250", b"354", b"250", b"221")
        ]


async def test_a_client_that_ends_tls_behind_its_message(
    make: Make, trusting: ssl.SSLContext
) -> None:
    """TLS cannot be half open: no reply can be said, but the message was complete, so it goes."""
    edge = make(ListenerTls.IMPLICIT)
    edge.upstream.final_gate.clear()
    async with edge.listening() as listeners:
        async with SocketClient(*listeners.addresses[0]) as client:
            await client.secure(trusting)
            await client.send(b"HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n")
            await client.send(MESSAGE + b".\r\n")
            await edge.upstream.until_sent()
            await client.close()
        # The relay must have noticed before the upstream answers; its next client tells.
        async with SocketClient(*listeners.addresses[0]) as other:
            await other.begin(trusting, ListenerTls.IMPLICIT)
        edge.upstream.final_gate.set()
        await until_connections(listeners, 0)
    assert not edge.upstream.transactions[0].is_abandoned
    assert len(edge.upstream.messages) == 1
    assert edge.ending.client_left


# ---- limits and the end ------------------------------------------------------------------------


async def test_handshakes_take_places_too(make: Make, trusting: ssl.SSLContext) -> None:
    """A connection counts from its first moment; one too many gets no handshake and no word."""
    edge = make(ListenerTls.IMPLICIT)
    async with (
        edge.listening(max_connections=2) as listeners,
        SocketClient(*listeners.addresses[0]) as first,
        SocketClient(*listeners.addresses[0]) as second,
    ):
        await until_connections(listeners, 2)
        async with SocketClient(*listeners.addresses[0]) as third:
            assert await third.rest() == b""
        first.reset()
        await until_connections(listeners, 1)
        await second.secure(trusting)
        assert await second.reply() == GREETING
        async with SocketClient(*listeners.addresses[0]) as fourth:
            await fourth.secure(trusting)
            assert await fourth.reply() == GREETING


async def test_handshakes_count_for_their_address(make: Make) -> None:
    """The limit of one address holds before TLS as well."""
    edge = make(ListenerTls.IMPLICIT)
    async with (
        edge.listening(max_connections_per_address=1) as listeners,
        SocketClient(*listeners.addresses[0]),
    ):
        await until_connections(listeners, 1)
        async with SocketClient(*listeners.addresses[0]) as second:
            assert await second.rest() == b""


@pytest.mark.parametrize("tls", BOTH)
async def test_closing_says_goodbye(make: Make, trusting: ssl.SSLContext, tls: ListenerTls) -> None:
    """421 within TLS, and a proper end of it."""
    edge = make(tls)
    async with edge.listening() as listeners, SocketClient(*listeners.addresses[0]) as client:
        await client.begin(trusting, tls)
        async with asyncio.TaskGroup() as tasks:
            closing = tasks.create_task(listeners.close(5.0))
            assert await client.rest() == SHUTTING_DOWN
        assert closing.result() == 0
        assert client.tls is not None
        assert client.tls.is_ended


async def test_closing_does_not_wait_for_a_client_that_does_not_listen(
    make: Make, trusting: ssl.SSLContext
) -> None:
    """Idle clients of a pool do not read: without their close_notify it must end as well."""
    edge = make(ListenerTls.IMPLICIT, limits=replace(LIMITS, goodbye_seconds=0.05))
    async with edge.listening() as listeners, SocketClient(*listeners.addresses[0]) as client:
        await client.begin(trusting, ListenerTls.IMPLICIT)
        assert await listeners.close(PATIENCE_SECONDS) == 0
        assert listeners.connections == 0


@pytest.mark.parametrize("tls", BOTH)
async def test_closing_within_a_handshake(make: Make, tls: ListenerTls) -> None:
    """There is nothing to lose yet: it is cut, and not waited for."""
    edge = make(tls)
    async with edge.listening() as listeners, SocketClient(*listeners.addresses[0]) as client:
        if tls is ListenerTls.STARTTLS:
            await client.reply()
            await client.say(b"STARTTLS")
        await until_connections(listeners, 1)
        assert await listeners.close(PATIENCE_SECONDS) == 0
        assert await client.rest() == b""
        assert listeners.connections == 0
    assert not edge.faults


@pytest.mark.parametrize("tls", [*BOTH, ListenerTls.NONE])
async def test_closing_waits_for_a_message(
    make: Make, trusting: ssl.SSLContext, tls: ListenerTls
) -> None:
    """One that has begun to come is taken to its end, relayed and answered."""
    edge = make(tls)
    async with edge.listening() as listeners, SocketClient(*listeners.addresses[0]) as client:
        await client.begin(trusting, tls)
        await client.say(b"HELO c", b"MAIL FROM:<>", b"RCPT TO:<b@example.net>", b"DATA")
        async with asyncio.TaskGroup() as tasks:
            closing = tasks.create_task(listeners.close(5.0))
            await asyncio.sleep(0)
            await client.send(MESSAGE + b".\r\n")
            assert await client.rest() == b"250 2.0.0 Ok: queued as 4F\r\n" + SHUTTING_DOWN
        assert closing.result() == 0


# ---- pauses ------------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", [*BOTH, ListenerTls.NONE])
async def test_a_message_that_is_held_back(
    make: Make, trusting: ssl.SSLContext, tls: ListenerTls
) -> None:
    """Reading pauses while there is no memory, over TLS too; then nothing is missing."""
    edge = make(tls, budget_octets=200_000)
    body = (b"x" * 62 + b"\r\n") * 1500
    edge.upstream.final_gate.clear()
    async with (
        edge.listening() as listeners,
        SocketClient(*listeners.addresses[0]) as first,
        SocketClient(*listeners.addresses[0]) as second,
        SocketClient(*listeners.addresses[0]) as third,
        asyncio.TaskGroup() as tasks,
    ):
        for number, client in enumerate((first, second, third), start=1):
            await client.begin(trusting, tls)
            await client.say(b"HELO c", b"MAIL FROM:<>", b"RCPT TO:<b@example.net>", b"DATA")
            tasks.create_task(client.send(MESSAGE + body + b".\r\nQUIT\r\n"))
            if number < 3:
                await edge.upstream.until_sent(number)
        edge.upstream.final_gate.set()
        for client in (first, second, third):
            assert await client.rest() == (b"250 2.0.0 Ok: queued as 4F\r\n221 2.0.0 Goodbye\r\n")
    assert all(m.endswith(MESSAGE[-8:] + body) for m in edge.upstream.messages)
    assert edge.memory.octets == 0
