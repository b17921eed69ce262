"""Anything at all from a client: every session ends, every line has a code, nothing breaks."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core.events import Noted, Outcome
from relay.core.reply import GO_AHEAD
from tests.fakes.edge import Edge
from tests.fakes.upstream import lost, reply, unavailable

# What every reply line looks like, and which need no enhanced code: greeting, EHLO, HELO, 354.
LINE = re.compile(rb"[245][0-9]{2}[ -][245]\.[0-9]{1,3}\.[0-9]{1,3} [ -~]+")
PLAIN = re.compile(
    rb"220 relay\.example ESMTP dkim-relay|354 End data with <CR><LF>\.<CR><LF>"
    rb"|250[ -](relay\.example|SIZE 100000|PIPELINING|8BITMIME|SMTPUTF8|ENHANCEDSTATUSCODES"
    rb"|CHUNKING|LIMITS MAILMAX=10000 RCPTMAX=4)"
)
WORDS = [
    b"EHLO c\r\n",
    b"HELO c\r\n",
    b"MAIL FROM:<a@example.com>\r\n",
    b"MAIL FROM:<> SIZE=99999999\r\n",
    b"RCPT TO:<b@example.net>\r\n",
    b"RCPT TO:<no@example.net>\r\n",
    b"RCPT TO:<boom@example.net>\r\n",
    b"RCPT TO:<\x00@example.net>\r\n",
    b"RCPT TO:<>\r\n",
    b"DATA\r\n",
    b"From: a@example.com\r\n",
    b"From: a@closed.example\r\n",
    b"Subject: x\r\n",
    b"\r\n",
    b"body\r\n",
    b".\r\n",
    b".",
    b"\r",
    b"\n",
    b"\0",
    b"..\r\n",
    b"RSET\r\n",
    b"NOOP\r\n",
    b"VRFY x\r\n",
    b"QUIT\r\n",
    b"BDAT 3 LAST\r\nabc",
    b"AUTH PLAIN AGEAYg==\r\n",
    b"STARTTLS\r\n\x16\x03\x01",
    b"x" * 600,
    b"\xff\xfe\r\n",
]
GOOD = b"EHLO c\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\n"
WHOLE = b"DATA\r\nFrom: a@example.com\r\n\r\nbody\r\n.\r\n"
SIGNALS = ["turn", "expire", "drain", "end", "vanish", "hold", "release", "lose upstream"]
ACTS = st.lists(
    st.one_of(
        st.sampled_from(WORDS),
        st.sampled_from([GOOD, WHOLE, GOOD + WHOLE]),
        st.binary(max_size=20),
        st.sampled_from(SIGNALS),
    ),
    max_size=25,
)


@settings(max_examples=200)
@given(acts=ACTS, cut=st.integers(1, 40))
def test_a_session_survives_its_client(acts: Sequence[bytes | str], cut: int) -> None:
    """No fault, no silence, no line without a code, no transaction left open, one end each."""
    asyncio.run(_survives(acts, cut))


async def _survives(acts: Sequence[bytes | str], cut: int) -> None:
    edge = Edge()
    edge.upstream.answers = {b"no@example.net": reply(b"550 5.1.1 No"), b"boom@example.net": lost()}
    client = edge.client()
    has_left = False
    for act in acts:
        if isinstance(act, bytes):
            for position in range(0, len(act), cut):
                client.send(act[position : position + cut])
            continue
        has_left |= act in ("end", "vanish")
        if act == "end":
            client.end()
        elif act == "vanish":
            client.vanish()
        elif act == "turn":
            await _turn()
        else:
            _signal(edge, act)
    edge.upstream.release()
    edge.upstream.final_gate.set()
    client.end()
    await client.rest()
    await edge.until_over()

    *lines, last = client.heard.split(b"\r\n")
    assert last == b""
    for line in lines:
        assert LINE.fullmatch(line) or PLAIN.fullmatch(line), line
    assert edge.upstream.open_transactions == 0
    assert not [e for e in edge.events if isinstance(e, Noted) and e.level == "error"]
    relayed = [e for e in edge.endings if e.outcome is Outcome.RELAYED]
    assert len(relayed) == len(edge.upstream.messages)
    assert client.heard.count(b"queued as 4F") <= len(relayed)
    assert len(relayed) <= client.heard.count(GO_AHEAD.wire()) or has_left
    assert all(m.startswith(b"DKIM-Signature: ") for m in edge.upstream.messages)


async def _turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def _signal(edge: Edge, act: str) -> None:
    if act == "lose upstream":
        edge.upstream.begin_fault = unavailable()
    elif act == "hold":
        edge.upstream.holds_recipients = True
        edge.upstream.final_gate.clear()
    elif act == "release":
        edge.upstream.release()
        edge.upstream.final_gate.set()
    for session in tuple(edge.sessions):
        if act == "expire":
            session.sweep(asyncio.get_running_loop().time() + 301)
        elif act == "drain":
            session.drain()


@settings(max_examples=100)
@given(octets=st.binary(max_size=400), cut=st.integers(1, 50))
def test_random_octets(octets: bytes, cut: int) -> None:
    """The same for noise."""
    asyncio.run(_survives([octets], cut))


@settings(max_examples=100)
@given(octets=st.binary(max_size=300), cut=st.integers(1, 50))
def test_random_octets_within_data(octets: bytes, cut: int) -> None:
    """The same for noise where a message should be."""
    asyncio.run(_survives([GOOD, b"DATA\r\n", octets, b"\r\n.\r\nQUIT\r\n"], cut))
