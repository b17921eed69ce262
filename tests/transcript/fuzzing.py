"""Clients that say anything at all, several at a time, to listeners of every kind.

Whatever they do: every session ends, every line has a code, nothing breaks, nothing is kept, and
what leaves is signed and was answered. `test_fuzz.py` tries it for a moment, `fuzz_long.py` for
as long as one likes.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from relay.core.capabilities import Capabilities
from relay.core.events import Noted, Outcome
from relay.core.policy import ClientRule
from relay.core.reply import GO_AHEAD
from relay.listener.certificates import Certificates as ListenerCertificates
from relay.listener.endpoint import Endpoint, ListenerTls
from relay.listener.logins import LoginLimits
from tests.fakes.certificates import Certificates
from tests.fakes.edge import LIMITS, LOCAL, READ_LIMITS, Edge
from tests.fakes.smtp_client import MemoryClient
from tests.fakes.upstream import EVERYTHING, lost, reply, unavailable
from tests.transcript.fuzz_words import PROXY_HEADER, Act

# What every reply line looks like, and which need no enhanced code: greeting, EHLO, HELO, 3yz.
LINE = re.compile(rb"[245][0-9]{2}[ -][245]\.[0-9]{1,3}\.[0-9]{1,3} [ -~]+")
PLAIN = re.compile(
    rb"220 relay\.example ESMTP dkim-relay|354 End data with <CR><LF>\.<CR><LF>"
    rb"|334 (VXNlcm5hbWU6|UGFzc3dvcmQ6)?"
    rb"|250[ -](relay\.example|SIZE 20000|PIPELINING|8BITMIME|SMTPUTF8|ENHANCEDSTATUSCODES"
    rb"|CHUNKING|STARTTLS|AUTH PLAIN LOGIN|LIMITS MAILMAX=5 RCPTMAX=4|DSN|REQUIRETLS)"
)
READY = b"220 2.0.0 Ready to start TLS\r\n"


@dataclass(frozen=True)
class Setting:
    """Where clients come to.

    Attributes:
        tls, requires_tls, may_auth_in_clear, has_logins, is_proxied: of the listener.
        budget_octets: for all messages.
        hop: what the upstream offers besides.
    """

    tls: ListenerTls = ListenerTls.NONE
    requires_tls: bool = False
    may_auth_in_clear: bool = False
    has_logins: bool = False
    is_proxied: bool = False
    budget_octets: int = 1 << 30
    hop: tuple[str, ...] = ()


SETTINGS = st.builds(
    Setting,
    tls=st.sampled_from(ListenerTls),
    requires_tls=st.booleans(),
    may_auth_in_clear=st.booleans(),
    has_logins=st.booleans(),
    is_proxied=st.integers(0, 4).map(lambda chance: chance == 0),
    budget_octets=st.sampled_from([1 << 30, 20_000, 3_000]),
    hop=st.sampled_from([(), ("DSN", "REQUIRETLS")]),
)


@cache
def _tls() -> tuple[Certificates, ListenerCertificates]:
    with tempfile.TemporaryDirectory() as folder:
        certificates = Certificates(Path(folder))
        return certificates, certificates.listener()


def make_edge(setting: Setting) -> Edge:
    """An edge of this kind, with small limits."""
    presented = _tls()[1] if setting.tls is not ListenerTls.NONE else None
    login = ClientRule("login", login="app")
    edge = Edge(
        limits=replace(LIMITS, max_messages=5, max_bad_commands=6, min_data_rate=10),
        read_limits=replace(READ_LIMITS, max_message_octets=20_000),
        rules=(login, LOCAL) if setting.requires_tls else (LOCAL, login),
        endpoint=Endpoint(
            tls=setting.tls,
            certificates=presented,
            requires_tls=setting.requires_tls and setting.tls is ListenerTls.STARTTLS,
            may_auth_in_clear=setting.may_auth_in_clear,
            proxies=(ip_network("127.0.0.0/8"),) if setting.is_proxied else (),
        ),
        passwords={"app": "secret"} if setting.has_logins else None,
        login_limits=LoginLimits(max_failures=4),
        budget_octets=setting.budget_octets,
    )
    edge.upstream.answers = {b"no@example.net": reply(b"550 5.1.1 No"), b"boom@example.net": lost()}
    offered = {**EVERYTHING.keywords, **dict.fromkeys(setting.hop, ())}
    edge.upstream.capabilities = Capabilities(offered)
    edge.upstream.is_secured = bool(setting.hop)
    return edge


class Fuzzed:
    """One run: an edge, three clients of it, and what they did."""

    def __init__(self, setting: Setting, cut: int) -> None:
        self._setting = setting
        self._cut = cut
        self.edge = make_edge(setting)
        self.clients = [self.edge.client() for _ in range(3)]
        self._sent = bytearray()
        self._has_left = False

    async def begin(self) -> None:
        """Two of three clients know what comes first here: a PROXY header, a handshake."""
        for client in self.clients[:2]:
            if self._setting.is_proxied:
                self._send(client, PROXY_HEADER)
            if self._setting.tls is ListenerTls.IMPLICIT:
                await turn()
                await self._secure(client)

    async def do(self, who: int, act: Act) -> None:
        """Let one client do something, or something happen to all."""
        client = self.clients[who]
        match act:
            case bytes():
                self._send(client, act)
            case "turn":
                await turn()
            case "end":
                self._has_left = True
                client.end()
            case "vanish":
                self._has_left = True
                client.vanish()
            case "secure":
                await turn()
                await self._secure(client)
            case _:
                self._happen(act)

    def _send(self, client: MemoryClient, octets: bytes) -> None:
        if client.tls is not None and (client.tls.is_ended or not client.tls.is_secured):
            return
        self._sent += octets
        for position in range(0, len(octets), self._cut):
            client.send(octets[position : position + self._cut])

    async def _secure(self, client: MemoryClient) -> None:
        """Let a client shake hands, where it is time for that or STARTTLS makes it so."""
        if self._setting.tls is ListenerTls.STARTTLS and client.tls is None:
            self._send(client, b"STARTTLS\r\n")
            await turn()
        is_awaited = client.heard.endswith(READY) or self._setting.tls is ListenerTls.IMPLICIT
        if client.tls is None and is_awaited and not client.is_closed:
            client.start_tls(_tls()[0].trusting())
            for _ in range(20):
                await asyncio.sleep(0)

    def _happen(self, what: str) -> None:
        edge, upstream = self.edge, self.edge.upstream
        match what:
            case "hold":
                upstream.holds_recipients = True
                upstream.final_gate.clear()
            case "release":
                upstream.release()
                upstream.final_gate.set()
            case "lose upstream":
                upstream.begin_fault = unavailable()
            case "find upstream":
                upstream.begin_fault = None
            case _:
                seconds = {"a minute": 61, "five minutes": 301, "memory is short": 11}.get(what)
                for session in tuple(edge.sessions):
                    if seconds is None:
                        session.drain()
                    else:
                        session.sweep(asyncio.get_running_loop().time() + seconds)

    async def finish(self) -> None:
        """Everybody leaves; then look at what there is.

        Raises:
            AssertionError: something is not as it must be.
            TimeoutError: a session did not end.
        """
        edge = self.edge
        edge.upstream.release()
        edge.upstream.final_gate.set()
        for client in self.clients:
            self._has_left |= client.tls is not None  # TLS cannot be half open: replies are lost
            client.end()
        await turn()
        for session in tuple(edge.sessions):  # messages that are held back for ever
            session.sweep(asyncio.get_running_loop().time() + 11)
        for client in self.clients:
            await client.rest()
        await edge.until_over()
        for client in self.clients:
            self._look_at(client)
        assert edge.memory.octets == 0
        assert edge.upstream.open_transactions == 0
        assert not [e for e in edge.events if isinstance(e, Noted) and e.level == "error"]
        relayed = [e for e in edge.endings if e.outcome is Outcome.RELAYED]
        assert len(relayed) == len(edge.upstream.messages)
        assert all(m.startswith(b"DKIM-Signature: ") for m in edge.upstream.messages)
        heard = b"".join(client.heard for client in self.clients)
        assert heard.count(b"queued as 4F") <= len(relayed)
        asked = heard.count(GO_AHEAD.wire()) + bytes(self._sent).upper().count(b"LAST\r\n")
        assert len(relayed) <= asked or self._has_left
        assert "secret" not in repr(edge.events)

    def _look_at(self, client: MemoryClient) -> None:
        heard = client.heard
        if client.tls is None:  # what comes where TLS should be is an alert
            if self._setting.tls is ListenerTls.IMPLICIT:
                return
            before, ready, _ = heard.partition(READY)
            heard = before + ready
        elif client.tls.has_failed:
            return
        *lines, last = heard.split(b"\r\n")
        assert last == b"", last
        for line in lines:
            assert LINE.fullmatch(line) or PLAIN.fullmatch(line), line


async def turn() -> None:
    """Let every session do what it has to do."""
    for _ in range(5):
        await asyncio.sleep(0)


async def survives(setting: Setting, acts: Sequence[tuple[int, Act]], cut: int = 1 << 20) -> None:
    """Hold all sessions to their end.

    Raises:
        AssertionError: something is not as it must be, or the event loop complained.
    """
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))
    fuzzed = Fuzzed(setting, cut)
    await fuzzed.begin()
    for who, act in acts:
        await fuzzed.do(who, act)
    await fuzzed.finish()
    assert not complaints
