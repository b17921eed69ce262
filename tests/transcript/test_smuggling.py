"""SMTP smuggling: a message that another server would take for two (CVE-2023-51764 and its kin).

Whatever a client puts where the end of data might be, one message or none leaves; and what
stands behind it is content, never a command.
"""

from __future__ import annotations

import pytest

from relay.core.reader import ReadLimits
from relay.core.reply import GO_AHEAD
from relay.upstream.events import UpstreamEvent
from relay.upstream.pool import Pool
from relay.upstream.settings import Tls, UpstreamSettings
from tests.fakes.edge import Edge
from tests.fakes.smarthost import ALL_EXTENSIONS, EXTENSIONS, Smarthost
from tests.fakes.smtp_client import MemoryClient

# What is not CRLF.CRLF, and which some server has taken for it.
ENDINGS = [
    b"\n.\n",
    b"\n.\r\n",
    b"\n.\r",
    b"\r.\r",
    b"\r.\n",
    b"\r.\r\n",
    b"\r\n.\n",
    b"\r\n.\r",
    b"\r\n.\r\r\n",
    b"\r\n\r.\r\n",
    b"\r\n.\n\r\n",
    b"\r\r\n.\r\r\n",
    b"\n\n.\r\n",
    b"\r\n\n.\r\n",
    b"\n\r\n.\n",
    b"\r\n\x00.\r\n",
    b"\r\n.\x00\r\n",
    b"\r\n\x00.\x00\r\n",
    b"\x00\r\n.\n",
    b"\r\n.\r\x00\n",
    b"\r\n.\x0b\r\n",
    b"\r\n.\x85\r\n",
    b"\r\n.\xe2\x80\xa8",
    b"\xe2\x80\xa8.\xe2\x80\xa8",
]
CLEAN = [b"\r\n..\r\n", b"\r\n. \r\n", b"\r\n .\r\n", b"\r\n.\t\r\n", b"\r\n.a\r\n"]


def _has_bare_line_ends(octets: bytes) -> bool:
    rest = octets.replace(b"\r\n", b"")
    return b"\0" not in octets and (b"\r" in rest or b"\n" in rest)


OPENING = b"EHLO c\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n"
FIRST = b"From: a@example.com\r\nSubject: first\r\n\r\nbody"
SECOND = (
    b"MAIL FROM:<evil@example.com>\r\nRCPT TO:<victim@example.net>\r\nDATA\r\n"
    b"From: a@example.com\r\nSubject: smuggled\r\n\r\nsmuggled"
)
END = b"\r\n.\r\n"


def edge_with(newlines: str) -> Edge:
    """An edge that refuses bare line ends, or makes them CRLF."""
    return Edge(read_limits=ReadLimits(normalize_newlines=newlines == "normalize"))


async def _hold(client: MemoryClient, octets: bytes, segment_octets: int) -> bytes:
    for position in range(0, len(octets), segment_octets):
        client.send(octets[position : position + segment_octets])
    client.send(b"QUIT\r\n")
    return await client.rest()


@pytest.mark.parametrize("segment_octets", [1, 3, 100_000])
@pytest.mark.parametrize("newlines", ["refuse", "normalize"])
@pytest.mark.parametrize("ending", ENDINGS + CLEAN, ids=repr)
async def test_one_message_or_none(ending: bytes, newlines: str, segment_octets: int) -> None:
    """The commands behind a false end are not obeyed, whatever it is made of."""
    edge = edge_with(newlines)
    heard = await _hold(edge.client(), OPENING + FIRST + ending + SECOND + END, segment_octets)
    assert heard.count(GO_AHEAD.wire()) == 1
    [transaction] = edge.upstream.transactions
    assert [str(r.forward_path) for r in transaction.recipients] == ["b@example.net"]
    assert heard.endswith(b"\r\n221 2.0.0 Goodbye\r\n")
    if transaction.message is not None:
        # What leaves has no line end but CRLF, so that nobody behind us can see two.
        assert b"\r" not in transaction.message.replace(b"\r\n", b"")
        assert b"\n" not in transaction.message.replace(b"\r\n", b"")
        assert b"\0" not in transaction.message


@pytest.mark.parametrize("ending", [e for e in ENDINGS if _has_bare_line_ends(e)], ids=repr)
async def test_bare_line_ends_are_refused(ending: bytes) -> None:
    """By default no such message leaves; the client hears 554 5.6.0."""
    edge = edge_with("refuse")
    heard = await _hold(edge.client(), OPENING + FIRST + ending + SECOND + END, 100_000)
    assert b"\r\n554 5.6.0 Bare CR or LF in the message\r\n" in heard
    assert not edge.upstream.messages


@pytest.mark.parametrize("newlines", ["refuse", "normalize"])
@pytest.mark.parametrize("position", [b"Subject: a\0b\r\n\r\n", b"\r\nbody\0"])
async def test_nul_is_refused(newlines: str, position: bytes) -> None:
    """NUL is refused, in the header section and in the body."""
    edge = edge_with(newlines)
    octets = OPENING + b"From: a@example.com\r\n" + position + END
    heard = await _hold(edge.client(), octets, 100_000)
    assert b"\r\n554 5.6.0 NUL in the message\r\n" in heard
    assert not edge.upstream.messages


@pytest.mark.parametrize("extensions", [EXTENSIONS, ALL_EXTENSIONS, ()], ids=["data", "bdat", "-"])
@pytest.mark.parametrize("newlines", ["refuse", "normalize"])
async def test_what_a_smarthost_counts(newlines: str, extensions: tuple[str, ...]) -> None:
    """Through the real pool to a real socket: one message at most for each session held."""
    edge = edge_with(newlines)
    events: list[UpstreamEvent] = []
    async with Smarthost(extensions=extensions) as smarthost:
        settings = UpstreamSettings(name="t", host="127.0.0.1", port=smarthost.port, tls=Tls.NONE)
        pool = Pool(settings, emit=events.append)
        edge.use_upstream(pool)
        refused = 0
        for ending in ENDINGS + CLEAN:
            octets = OPENING + FIRST + ending + SECOND + END
            heard = await _hold(edge.client(), octets, 100_000)
            refused += b"\r\n554 5.6." in heard
        await pool.close()
        assert not smarthost.violations
        assert len(smarthost.received) == len(ENDINGS + CLEAN) - refused
        assert all(r.recipients == [b"RCPT TO:<b@example.net>"] for r in smarthost.received)


async def test_the_right_end_ends() -> None:
    """The control: with CRLF.CRLF between them these are two messages."""
    edge = edge_with("refuse")
    heard = await _hold(edge.client(), OPENING + FIRST + END + SECOND + END, 100_000)
    assert heard.count(GO_AHEAD.wire()) == 2
    assert len(edge.upstream.messages) == 2
