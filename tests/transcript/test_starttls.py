"""STARTTLS and what an attacker puts behind it (RFC 3207 §4.2, CVE-2011-0411)."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Iterator

import pytest

from relay.listener.endpoint import Endpoint, ListenerTls
from tests.fakes.certificates import Certificates
from tests.fakes.edge import Edge
from tests.fakes.smtp_client import MemoryClient
from tests.fakes.tls_engine import TlsEngine

READY = b"220 2.0.0 Ready to start TLS\r\n"
GREETING = b"220 relay.example ESMTP dkim-relay\r\n"
BEFORE = b"EHLO c\r\nMAIL FROM:<a@example.com>\r\nSTARTTLS\r\n"
INJECTED = b"NOOP\r\nEHLO evil\r\nMAIL FROM:<evil@example.com>\r\nRCPT TO:<victim@example.net>\r\n"


@pytest.fixture
async def edge(certificates: Certificates) -> Edge:
    """An edge that offers STARTTLS."""
    endpoint = Endpoint(tls=ListenerTls.STARTTLS, certificates=certificates.listener())
    return Edge(endpoint=endpoint)


async def turn() -> None:
    """Let the session do what it has to do."""
    for _ in range(5):
        await asyncio.sleep(0)


def cuts() -> Iterator[int]:
    """Every place from just before the end of STARTTLS to the end of what is injected."""
    return iter(range(len(BEFORE) - 3, len(BEFORE + INJECTED) + 1))


async def reaches(client: MemoryClient, count: int) -> None:
    """Wait until so many octets were heard in all."""
    await client.until(lambda: len(client.heard) >= count or client.is_closed)


async def speaks_cleanly(client: MemoryClient) -> None:
    """Within TLS nothing is answered that was not asked there, and nothing was said before."""
    expected = client.heard
    for command, reply in (
        (b"VRFY x\r\n", b"252 2.5.0 Cannot verify, but will take mail for it\r\n"),
        (b"RCPT TO:<b@example.net>\r\n", b"503 5.5.1 Bad sequence of commands\r\n"),
        (b"MAIL FROM:<>\r\n", b"503 5.5.1 Bad sequence of commands\r\n"),
        (b"QUIT\r\n", b"221 2.0.0 Goodbye\r\n"),
    ):
        client.send(command)
        expected += reply
        await reaches(client, len(expected))
        assert client.heard == expected


async def test_what_is_injected_in_two_segments(edge: Edge, certificates: Certificates) -> None:
    """What is there when STARTTLS is read is thrown away, what comes later is no handshake."""
    trusting = certificates.trusting()
    outcomes = set()
    for cut in cuts():
        client = edge.client()
        stream = BEFORE + INJECTED
        client.send(stream[:cut])
        await turn()
        client.send(stream[cut:])
        await turn()
        assert client.heard.endswith(READY)
        assert client.heard.count(b"\r\n250 2.0.0 OK") == 0  # the reply to NOOP
        is_clean = cut in (*range(len(BEFORE)), len(stream))
        if is_clean:
            await client.secure(trusting)
            assert client.tls is not None
            assert client.tls.is_secured
            await speaks_cleanly(client)
        client.end()  # less than the head of a record would be waited for
        await client.rest()
        outcomes.add(is_clean)
        if not is_clean:
            assert b"250" not in client.heard.partition(READY)[2]
    await edge.until_over()
    assert outcomes == {True, False}
    assert not edge.faults
    assert not edge.upstream.begins


async def test_what_is_injected_octet_by_octet(edge: Edge) -> None:
    """Each in a segment of its own: none of it is a ClientHello."""
    client = edge.client()
    for octet in BEFORE + INJECTED:
        client.send(bytes([octet]))
        await asyncio.sleep(0)
    await client.rest()
    after = client.heard.partition(READY)[2]
    assert b"250" not in after
    assert b"50" not in after
    await edge.until_over()
    assert not edge.faults


async def test_a_hello_in_the_segment_of_starttls(edge: Edge, certificates: Certificates) -> None:
    """Whoever does not wait for 220 has not understood: it is thrown away, not taken for TLS."""
    client = edge.client()
    await client.reply()
    tls = TlsEngine(certificates.trusting())
    client.send(BEFORE + tls.start())
    await client.until(lambda: client.heard.endswith(READY))
    await client.secure(certificates.trusting())
    assert client.tls is not None
    assert client.tls.is_secured
    await speaks_cleanly(client)


async def test_a_flood_behind_starttls(edge: Edge, certificates: Certificates) -> None:
    """More than is read ahead: what was not read yet is not obeyed later."""
    client = edge.client()
    client.send(BEFORE + b"NOOP\r\n" * 50_000)
    client.end()
    await client.rest()
    assert b"250 2.0.0 OK" not in client.heard
    await edge.until_over()
    assert not edge.faults


async def test_sessions_that_were_secured_are_forgotten(
    edge: Edge, certificates: Certificates
) -> None:
    """Many of them, one after the other, of every end."""
    trusting = certificates.trusting()
    for number in range(12):
        client = edge.client()
        client.send(b"STARTTLS\r\n")
        await reaches(client, len(GREETING + READY))
        if number % 4:
            await client.secure(trusting)
            client.send(b"EHLO c\r\n")
        match number % 4:
            case 1:
                client.send(b"QUIT\r\n")
            case 2:
                client.end()
            case _:
                client.vanish()
        await client.rest()
    await edge.until_over()
    assert not edge.faults


@pytest.mark.parametrize("tls", [ListenerTls.STARTTLS, ListenerTls.IMPLICIT])
async def test_a_connection_that_is_idle_is_small(
    certificates: Certificates, tls: ListenerTls
) -> None:
    """Not the 256 KiB that asyncio takes for each: a crowd that says nothing stays cheap."""
    edge = Edge(endpoint=Endpoint(tls=tls, certificates=certificates.listener()))
    trusting = certificates.trusting()
    clients = []
    tracemalloc.start()
    try:
        for _ in range(8):
            client = edge.client()
            clients.append(client)
            if tls is ListenerTls.STARTTLS:
                client.send(b"STARTTLS\r\n")
                await reaches(client, len(GREETING + READY))
            await client.secure(trusting)
        octets, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert octets < len(clients) * 64 * 1024
    for client in clients:
        client.end()
        await client.rest()
    await edge.until_over()
