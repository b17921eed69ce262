"""Each limit that a session comes to is an event with its name, for the log and the counters."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from relay.core.errors import Reason
from relay.core.events import Noted
from relay.core.reply import Reply
from relay.listener.endpoint import Endpoint
from relay.listener.logins import LoginLimits
from tests.fakes.edge import LIMITS, MESSAGE, READ_LIMITS, Edge
from tests.fakes.smtp_client import MemoryClient
from tests.fakes.upstream import reply

EHLO = b"EHLO c\r\n"
MAIL = b"MAIL FROM:<a@example.com>\r\n"
RCPT = b"RCPT TO:<b@example.net>\r\n"
WRONG = b"AUTH PLAIN AGFwcAB4\r\n"
LIMITED = replace(LIMITS, max_messages=1, command_seconds=60.0, min_data_rate=100)


def limited() -> Edge:
    """An edge with little of everything."""
    return Edge(
        limits=LIMITED,
        endpoint=Endpoint(may_auth_in_clear=True),
        passwords={"app": "secret"},
        login_limits=LoginLimits(max_failures=2),
    )


def told(edge: Edge) -> list[tuple[str, str]]:
    """The limits that were told, each with its level."""
    reached = [e for e in edge.events if isinstance(e, Noted) and e.name == "limit.reached"]
    return [(str(dict(e.fields)["limit"]), e.level) for e in reached]


async def run(edge: Edge, octets: bytes) -> MemoryClient:
    """A client that says this, and nothing more."""
    client = edge.client()
    client.send(octets)
    for _ in range(50):
        await asyncio.sleep(0)
    return client


async def over(edge: Edge, client: MemoryClient) -> None:
    """It leaves."""
    client.end()
    await client.rest()
    await edge.until_over()


@pytest.mark.parametrize(
    ("limit", "octets"),
    [
        ("max_recipients", EHLO + MAIL + RCPT * 6 + b"RSET\r\n"),
        ("max_messages_per_session", EHLO + (MAIL + b"RSET\r\n") * 2),
        ("max_bad_commands", b"X\r\n" * 5),
        ("max_command_bytes", b"NOOP " + b"x" * 600 + b"\r\n"),
        ("auth_line", EHLO + b"AUTH PLAIN " + b"A" * 12_400 + b"\r\n"),
    ],
)
async def test_a_limit_in_what_is_said(limit: str, octets: bytes) -> None:
    """Once in a session, however often it is come to, with the client that did."""
    edge = limited()
    await over(edge, await run(edge, octets))
    assert told(edge) == [(limit, "warning")]
    [event] = [e for e in edge.events if isinstance(e, Noted)]
    assert dict(event.fields) == {"limit": limit, "client": "127.0.0.1", "session_id": "id1"}


async def test_the_limit_of_failed_logins() -> None:
    """Beside the failures themselves."""
    edge = limited()
    for _ in range(2):
        client = await run(edge, EHLO + WRONG)
        await client.until(lambda client=client: b"535 " in client.heard)  # type: ignore[misc]  # bound
        await over(edge, client)
    assert told(edge) == [("max_failed_logins", "warning")]


@pytest.mark.parametrize(
    ("limit", "level", "octets", "seconds"),
    [
        ("idle_seconds", "info", EHLO, 301),
        ("idle_seconds", "info", EHLO + MAIL + RCPT + b"DATA\r\n", 301),
        ("command_seconds", "warning", EHLO + b"NOO", 61),
        ("min_data_bytes_per_second", "warning", EHLO + MAIL + RCPT + b"DATA\r\nx", 61),
        ("min_data_bytes_per_second", "warning", EHLO + b"BDAT 90\r\nx", 61),
    ],
)
async def test_a_limit_of_time(limit: str, level: str, octets: bytes, seconds: int) -> None:
    """Silence is ordinary, slowness is not."""
    edge = limited()
    client = await run(edge, octets)
    for session in tuple(edge.sessions):
        for _ in range(2):
            session.sweep(asyncio.get_running_loop().time() + seconds)
    await over(edge, client)
    assert told(edge) == [(limit, level)]


@pytest.mark.parametrize(
    ("reason", "octets"),
    [
        (Reason.MESSAGE_SIZE, EHLO + b"MAIL FROM:<a@example.com> SIZE=100001\r\n"),
        (
            Reason.MESSAGE_SIZE,
            EHLO + MAIL + RCPT + b"DATA\r\n" + MESSAGE + b"x" * 100_000 + b"\r\n.\r\n",
        ),
        (
            Reason.MESSAGE_SIZE,
            EHLO + MAIL + RCPT + b"DATA\r\nX: " + b"x" * 20_000 + b"\r\n\r\n.\r\n",
        ),
    ],
)
async def test_a_limit_of_a_message(reason: Reason, octets: bytes) -> None:
    """It is the reason of the transaction."""
    edge = Edge(read_limits=replace(READ_LIMITS, max_field_octets=50_000))
    await over(edge, await run(edge, octets))
    assert edge.ending.reason is reason
    assert "is over the" in (edge.ending.detail + edge.ending.reply)
    assert not told(edge)


async def test_no_memory() -> None:
    """It is the reason of the transaction, too."""
    edge = Edge(budget_octets=1_000)
    client = await run(edge, EHLO + MAIL + RCPT + b"DATA\r\n" + b"x" * 2_000)
    for session in tuple(edge.sessions):
        session.sweep(asyncio.get_running_loop().time() + 11)
    client.send(b"\r\n.\r\n")
    await over(edge, client)
    assert edge.ending.reason is Reason.NO_MEMORY


async def test_the_same_words_of_an_upstream() -> None:
    """Its limit is none of ours."""
    edge = limited()
    words: Reply = reply(b"452 4.5.3 Too many recipients")
    edge.upstream.answers = {b"b@example.net": words}
    client = await run(edge, EHLO + MAIL + RCPT)
    await over(edge, client)
    assert client.heard.endswith(words.wire())
    assert not told(edge)
