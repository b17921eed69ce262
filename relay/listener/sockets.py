"""The listening sockets: bind, count, sweep, drain. TCP, UNIX, or passed in by a supervisor.

Our own sockets and `loop.create_server`, not aiosmtpd's Controller, whose stop cuts
transactions off without a reply.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from relay.core import reply as say
from relay.core.errors import ConfigError, Fault
from relay.core.events import Noted
from relay.core.policy import ClientRule
from relay.core.reply import Reply
from relay.listener.bind import Binding, bind
from relay.listener.conversation import limit_reached
from relay.listener.endpoint import Endpoint, counted_as
from relay.listener.logins import Logins
from relay.listener.memory import Memory
from relay.listener.session import Session, SessionLimits
from relay.listener.transit import Station

_BACKLOG: Final = 1024
_ACCEPT_TURNS: Final = 4  # of the event loop, from the kernel's queue to a session
_SWEEP_SECONDS: Final = 5.0
_SWEEPS_PER_IDLE_TIME: Final = 10
_GATEWAY_SESSIONS: Final = 200


@dataclass(slots=True)
class _Gateway:
    """Whether all clients seem to be one: container networks hide who they are."""

    address: str = ""
    sessions: int = 0
    is_settled: bool = False


class Listeners:
    """All sockets of the inbound edge and the sessions on them."""

    def __init__(
        self,
        station: Station,
        limits: SessionLimits,
        *,
        rules: tuple[ClientRule, ...],
        max_connections: int,
        max_connections_per_address: int = 0,
        logins: Logins | None = None,
        memory: Memory | None = None,
    ) -> None:
        """Make them; `open` binds.

        Args:
            station: what transactions share.
            limits: of one session.
            rules: who may submit.
            max_connections: sessions at a time; one more is told 421.
            max_connections_per_address: the same for one address; 0 for no limit.
            logins: who may log in.
            memory: the budget for messages.
        """
        self._station = station
        self._limits = limits
        self._rules = rules
        self._max_connections = max_connections
        self._max_per_address = max_connections_per_address
        self._logins = logins
        self.memory = memory
        self._servers: list[asyncio.Server] = []
        self._endpoints: list[Endpoint] = []
        self._paths: list[Path] = []
        self._sessions: dict[Session, str] = {}  # with the address it is counted under
        self._by_address: Counter[str] = Counter()
        self._gateway = _Gateway()
        self._is_closing = False
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Where clients can connect by TCP, ports resolved."""
        names = (s.getsockname() for server in self._servers for s in server.sockets)
        return tuple((name[0], name[1]) for name in names if isinstance(name, tuple))

    @property
    def names(self) -> list[str]:
        """Where clients can connect, for people."""
        tcp = [f"[{h}]:{p}" if ":" in h else f"{h}:{p}" for h, p in self.addresses]
        return [*tcp, *(f"unix:{path}" for path in self._paths)]

    @property
    def connections(self) -> int:
        """Sessions open now."""
        return len(self._sessions)

    async def open(self, bindings: Sequence[Binding]) -> None:
        """Bind and accept.

        Raises:
            ConfigError: an address cannot be bound, with the reason; then none is.
        """
        for binding in bindings:
            try:
                await self._open(binding)
            except (OSError, LookupError, ValueError) as exc:
                self._close_sockets()
                fix = "stop what listens there, or choose another address"
                what = f"cannot listen: {getattr(exc, 'strerror', None) or exc}"
                raise ConfigError((Fault(f"listener {binding.address}", what, fix),)) from exc

    async def _open(self, binding: Binding) -> None:
        loop = asyncio.get_running_loop()
        bound = bind(binding)
        if binding.address.startswith("unix:"):
            self._paths.append(Path(binding.address.removeprefix("unix:")))
        make = self._session_factory(binding.endpoint, loop)
        self._endpoints.append(binding.endpoint)
        create = loop.create_unix_server if bound.family == socket.AF_UNIX else loop.create_server
        try:
            self._servers.append(await create(make, sock=bound, backlog=_BACKLOG))
        except (OSError, ValueError):  # passed in, and nothing to listen on
            bound.close()
            raise

    def _close_sockets(self) -> None:
        for server in self._servers:
            server.close()  # not wait_closed(): from 3.12 on it waits for every client
        for path in self._paths:
            with contextlib.suppress(OSError):
                path.unlink()

    def _session_factory(
        self, endpoint: Endpoint, loop: asyncio.AbstractEventLoop
    ) -> Callable[[], Session]:
        def make() -> Session:
            return Session(
                self._station,
                self._limits,
                rules=self._rules,
                refusal=self._refusal,
                opened=self._add,
                closed=self._remove,
                loop=loop,
                endpoint=endpoint,
                logins=self._logins,
                memory=self.memory,
            )

        return make

    def _add(self, session: Session) -> None:
        """Count a connection from its first moment on: a handshake takes room too."""
        self._sessions[session] = ""
        self._empty.clear()

    def _refusal(self, session: Session) -> Reply | None:
        """What a session is told instead of a greeting, if anything, now that its address is known.

        Clients of a UNIX socket have none, and only the limit for all.
        """
        address = session.address
        counted = self._sessions[session] = counted_as(address)
        self._by_address[counted] += 1
        self._watch_for_gateway(address)
        if self._is_closing:  # accepted by the kernel just before the sockets closed
            return say.SHUTTING_DOWN
        if len(self._sessions) > self._max_connections:
            self._station.emit(limit_reached("max_connections", address, session.session_id))
            return say.TOO_MANY_CONNECTIONS
        if address and 0 < self._max_per_address < self._by_address[counted]:
            limit = "max_connections_per_address"
            self._station.emit(limit_reached(limit, address, session.session_id))
            return say.TOO_MANY_FROM_ADDRESS
        return None

    def _remove(self, session: Session) -> None:
        address = self._sessions.pop(session, "")
        self._by_address[address] -= 1
        if self._by_address[address] <= 0:
            del self._by_address[address]
        if not self._sessions:
            self._empty.set()

    def _watch_for_gateway(self, address: str) -> None:
        """Warn once when many clients have one private address that is not this machine's."""
        seen = self._gateway
        if seen.is_settled or not address or ip_address(address).is_loopback:
            return
        seen.address = seen.address or address
        seen.sessions += 1
        if address != seen.address or not ip_address(address).is_private:
            seen.is_settled = True
        elif seen.sessions >= _GATEWAY_SESSIONS:
            seen.is_settled = True
            detail = (
                f"all {seen.sessions} sessions from elsewhere came from {address}: behind the "
                "gateway of a container network every client looks alike, and networks of "
                "[[clients]] cannot tell them apart; use a login, or the host's network"
            )
            self._station.emit(Noted("clients.alike", "warning", (("detail", detail),)))

    async def sweep(self) -> None:
        """Look after time and certificates for ever: one timer for all sessions."""
        limits = self._limits
        shortest = min(limits.idle_seconds, limits.command_seconds, limits.memory_seconds)
        while True:
            await asyncio.sleep(min(_SWEEP_SECONDS, shortest / _SWEEPS_PER_IDLE_TIME))
            now = asyncio.get_running_loop().time()
            for session in tuple(self._sessions):
                session.sweep(now)
            for endpoint in self._endpoints:
                if endpoint.certificates is not None:
                    endpoint.certificates.refresh(self._tell_certificates)

    def _tell_certificates(self, fault: Fault | None) -> None:
        if fault is None:
            self._station.emit(Noted("certificates.loaded"))
        else:
            fields = (("where", fault.where), ("detail", fault.what), ("fix", fault.fix))
            self._station.emit(Noted("certificates.failed", "error", fields))

    async def close(self, drain_seconds: float) -> int:
        """Stop accepting, let messages in flight finish, then close.

        Returns:
            How many sessions were cut off because the time was up.
        """
        self._is_closing = True
        for _ in range(_ACCEPT_TURNS):  # asyncio forgets a client whose accepting is under way
            await asyncio.sleep(0)
        self._close_sockets()
        for session in tuple(self._sessions):
            session.drain()
        try:
            async with asyncio.timeout(drain_seconds):
                await self._empty.wait()
        except TimeoutError:
            left = tuple(self._sessions)
            for session in left:
                session.abort()
            return len(left)
        return 0
