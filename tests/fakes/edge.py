"""The inbound edge with everything around it in memory: sessions, a key, events, an upstream."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_network
from typing import Any

from argon2 import PasswordHasher
from cryptography.hazmat.primitives.asymmetric import ed25519

from relay.core.dkim.algorithm import Algorithm, PublicKey, SigningKey, sign_digest
from relay.core.errors import key_unavailable
from relay.core.events import Event, Noted, TransactionEnded
from relay.core.policy import ClientRule, SigningDomains
from relay.core.reader import ReadLimits
from relay.core.reply import TOO_MANY_CONNECTIONS
from relay.core.routing import RouteRule, SigningPolicy
from relay.flow import Terms
from relay.listener.bind import Binding
from relay.listener.endpoint import PLAIN, Endpoint
from relay.listener.limits import SessionLimits
from relay.listener.logins import LoginLimits, Logins
from relay.listener.memory import Memory
from relay.listener.session import Session
from relay.listener.sockets import Listeners
from relay.listener.station import Station, Upstream, Way
from relay.upstream.pool import Pool
from relay.upstream.route import Route
from tests.fakes.smtp_client import MemoryClient
from tests.fakes.upstream import FakeUpstream

LOCAL = ClientRule("local", (ip_network("127.0.0.0/8"), ip_network("::1/128")))
LIMITS = SessionLimits(
    max_recipients=4,
    max_command_octets=512,
    max_bad_commands=3,
    idle_seconds=300.0,
    command_seconds=300.0,
)
READ_LIMITS = ReadLimits(max_message_octets=100_000, max_header_octets=20_000)
BUDGET_OCTETS = 64 * 1024 * 1024
# argon2 like any other, done in microseconds.
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
MESSAGE = b"From: a@example.com\r\nSubject: hello\r\n\r\nHello.\r\n"


@dataclass(frozen=True)
class MemoryKey:
    """An Ed25519 key: made and used in microseconds."""

    domain: str
    private: ed25519.Ed25519PrivateKey
    selector: str = "s1"

    @property
    def public(self) -> PublicKey:
        """The public half."""
        return PublicKey(Algorithm.ED25519_SHA256, self.private.public_key())

    async def sign(self, digest: bytes) -> bytes:
        """The signature over a digest."""
        return sign_digest(self.private, digest)


class MemoryKeys:
    """Keys for some domains; those in `closed` cannot sign now.

    Attributes:
        fault: raised instead, when there is one.
    """

    def __init__(self, *domains: str) -> None:
        private = ed25519.Ed25519PrivateKey.generate()
        self.closed: set[str] = set()
        self.fault: Exception | None = None
        self._keys = {domain: MemoryKey(domain, private) for domain in domains}

    @property
    def domains(self) -> list[str]:
        """The domains there are keys for."""
        return list(self._keys)

    async def signers(self, domain: str) -> Sequence[SigningKey]:
        """The key of a domain."""
        if self.fault is not None:
            raise self.fault
        if domain in self.closed:
            raise key_unavailable(domain, "its record is not published")
        return (self._keys[domain],)


class Edge:
    """Make it within a running loop.

    Attributes:
        upstream, keys: behind the sessions.
        endpoint: the listener that sessions come to.
        logins: who may log in.
        memory: the budget of all sessions.
        seconds: the clock of logins; `waits` has what they slept, which takes no time.
        events: everything that was emitted.
        emit_fault: raised by `emit`, when there is one.
        sessions: those that are open.
    """

    hostname = "relay.example"

    def __init__(
        self,
        *,
        limits: SessionLimits = LIMITS,
        read_limits: ReadLimits = READ_LIMITS,
        rules: tuple[ClientRule, ...] = (LOCAL,),
        received: str = "off",
        has_room: bool = True,
        endpoint: Endpoint = PLAIN,
        passwords: Mapping[str, str] | None = None,
        login_limits: LoginLimits | None = None,
        budget_octets: int = BUDGET_OCTETS,
    ) -> None:
        """Make it.

        Args:
            limits: of a session.
            read_limits: of a message.
            rules: who may submit.
            received: as in the settings.
            has_room: whether sessions are let in.
            endpoint: the listener.
            passwords: login → password; None when nobody can log in.
            login_limits: how failures are met.
            budget_octets: for the messages of all sessions.
        """
        self.limits = limits
        self.rules = rules
        self.endpoint = endpoint
        self.seconds = 1000.0
        self.waits: list[float] = []
        self.memory = Memory(budget_octets)
        self.logins: Logins | None = None
        if passwords is not None:
            self.logins = Logins(
                {login: CHEAP.hash(password) for login, password in passwords.items()},
                login_limits or LoginLimits(),
                monotonic=lambda: self.seconds,
                sleep=self._sleep,
            )
        self.upstream = FakeUpstream()
        self.keys = MemoryKeys("example.com", "closed.example")
        self.keys.closed = {"closed.example"}
        self.events: list[Event] = []
        self.emit_fault: Exception | None = None
        self.sessions: set[Session] = set()
        self._has_room = has_room
        self._over = asyncio.Event()
        self._event = asyncio.Event()
        numbers = itertools.count(1)
        seconds = itertools.count(100)
        self.station = Station(
            ways=(self.way("default", self.upstream),),
            keys=self.keys,
            read_limits=read_limits,
            hostname=self.hostname,
            received=received,
            now=lambda: 1_700_000_000.0,
            monotonic=lambda: float(next(seconds)),
            unique=lambda: f"id{next(numbers)}",
            emit=self._emit,
        )

    def use_upstream(self, *pools: Pool) -> None:
        """Put other upstreams behind the sessions to come: real pools, in order."""
        route = Route(pools, emit=lambda event: None)
        self.station = replace(self.station, ways=(self.way("default", route),))

    def client(self, address: str = "127.0.0.1") -> MemoryClient:
        """A client of a new session; both are in memory."""
        session = self.session()
        self.sessions.add(session)
        return MemoryClient(session, address=address)

    def session(self) -> Session:
        """A session whose connection is to come."""
        return Session(
            self.station,
            self.limits,
            rules=self.rules,
            refusal=lambda _: None if self._has_room else TOO_MANY_CONNECTIONS,
            closed=self._closed,
            loop=asyncio.get_running_loop(),
            endpoint=self.endpoint,
            logins=self.logins,
            memory=self.memory,
        )

    def listeners(
        self, *, max_connections: int = 10, max_connections_per_address: int = 0
    ) -> Listeners:
        """Real sockets in front of the same sessions."""
        return Listeners(
            self.station,
            self.limits,
            rules=self.rules,
            max_connections=max_connections,
            max_connections_per_address=max_connections_per_address,
            logins=self.logins,
            memory=self.memory,
        )

    @asynccontextmanager
    async def listening(
        self,
        *addresses: str,
        max_connections: int = 100,
        max_connections_per_address: int = 0,
    ) -> AsyncIterator[Listeners]:
        """Real sockets, closed at the end; a free port of 127.0.0.1 without any address."""
        listeners = self.listeners(
            max_connections=max_connections,
            max_connections_per_address=max_connections_per_address,
        )
        await listeners.open(
            [
                Binding(address=address, endpoint=self.endpoint)
                for address in addresses or ("127.0.0.1:0",)
            ]
        )
        try:
            yield listeners
        finally:
            self.upstream.final_gate.set()
            self.upstream.release()
            await listeners.close(5.0)

    def way(
        self,
        name: str,
        upstream: Upstream,
        signing: SigningPolicy = SigningPolicy.SIGN,
        **criteria: Any,
    ) -> Way:
        """A way to an upstream; put several in `station` with `replace`."""
        domains = SigningDomains(
            dict.fromkeys(self.keys.domains, False), organizational=lambda _: None
        )
        return Way(
            rule=RouteRule(name=name, **criteria),
            upstream=upstream,
            terms=Terms(domains=domains, signing=signing),
        )

    @property
    def endings(self) -> list[TransactionEnded]:
        """How the transactions ended."""
        return [event for event in self.events if isinstance(event, TransactionEnded)]

    @property
    def ending(self) -> TransactionEnded:
        """How the only transaction ended."""
        [ending] = self.endings
        return ending

    @property
    def faults(self) -> list[Noted]:
        """What was noted as an error."""
        return [e for e in self.events if isinstance(e, Noted) and e.level == "error"]

    async def emitted(self) -> None:
        """Wait until something is emitted."""
        self._event.clear()
        await self._event.wait()

    async def until_over(self) -> None:
        """Wait until every session has ended."""
        async with asyncio.timeout(5):
            while self.sessions:
                self._over.clear()
                await self._over.wait()

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        await asyncio.sleep(0)

    def _closed(self, session: Session) -> None:
        self.sessions.discard(session)
        self._over.set()

    def _emit(self, event: Event) -> None:
        self.events.append(event)
        self._event.set()
        if self.emit_fault is not None:
            raise self.emit_fault


async def until_connections(listeners: Listeners, count: int) -> None:
    """Wait until so many sessions are open."""
    async with asyncio.timeout(5):
        for _ in itertools.count():
            if listeners.connections == count:
                return
            await asyncio.sleep(0)
