"""The listening sockets: bind, count, sweep the idle, drain.

Our own sockets and `loop.create_server`, not aiosmtpd's Controller, whose stop cuts
transactions off without a reply.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Final

from relay.core.errors import ConfigError, Fault
from relay.core.policy import ClientRule
from relay.listener.session import Session, SessionLimits
from relay.listener.transit import Station

_BACKLOG: Final = 1024
_ACCEPT_TURNS: Final = 4  # of the event loop, from the kernel's queue to a session
_SWEEPS_PER_IDLE_TIME: Final = 10


class Listeners:
    """All sockets of the inbound edge and the sessions on them."""

    def __init__(
        self,
        station: Station,
        limits: SessionLimits,
        *,
        rules: tuple[ClientRule, ...],
        max_connections: int,
    ) -> None:
        """Make them; `open` binds.

        Args:
            station: what transactions share.
            limits: of one session.
            rules: who may submit.
            max_connections: sessions at a time; one more is told 421.
        """
        self._station = station
        self._limits = limits
        self._rules = rules
        self._max_connections = max_connections
        self._servers: list[asyncio.Server] = []
        self._sessions: set[Session] = set()
        self._is_closing = False
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Where clients can connect, ports resolved."""
        names = (s.getsockname() for server in self._servers for s in server.sockets)
        return tuple((name[0], name[1]) for name in names)

    @property
    def connections(self) -> int:
        """Sessions open now."""
        return len(self._sessions)

    async def open(self, addresses: Sequence[tuple[str, int]]) -> None:
        """Bind and accept.

        Raises:
            ConfigError: an address cannot be bound, with the reason.
        """
        loop = asyncio.get_running_loop()
        for host, port in addresses:
            try:
                bound = _bind(host, port)
            except OSError as exc:
                for server in self._servers:
                    server.close()
                fix = "stop what listens there, or choose another address"
                what = f"cannot listen: {exc.strerror or exc}"
                raise ConfigError((Fault(f"listener {host}:{port}", what, fix),)) from exc
            make = self._session_factory(loop)
            self._servers.append(await loop.create_server(make, sock=bound, backlog=_BACKLOG))

    def _session_factory(self, loop: asyncio.AbstractEventLoop) -> Callable[[], Session]:
        def make() -> Session:
            return Session(
                self._station,
                self._limits,
                rules=self._rules,
                has_room=self._add,
                closed=self._remove,
                loop=loop,
            )

        return make

    def _add(self, session: Session) -> bool:
        self._sessions.add(session)
        self._empty.clear()
        if self._is_closing:  # accepted by the kernel just before the sockets closed
            session.drain()
        return len(self._sessions) <= self._max_connections

    def _remove(self, session: Session) -> None:
        self._sessions.discard(session)
        if not self._sessions:
            self._empty.set()

    async def sweep(self) -> None:
        """Look for idle sessions for ever: one timer for all of them."""
        while True:
            await asyncio.sleep(self._limits.idle_seconds / _SWEEPS_PER_IDLE_TIME)
            now = asyncio.get_running_loop().time()
            for session in tuple(self._sessions):
                session.expire(now)

    async def close(self, drain_seconds: float) -> int:
        """Stop accepting, let messages in flight finish, then close.

        Returns:
            How many sessions were cut off because the time was up.
        """
        self._is_closing = True
        for _ in range(_ACCEPT_TURNS):  # asyncio forgets a client whose accepting is under way
            await asyncio.sleep(0)
        for server in self._servers:
            server.close()  # not wait_closed(): from 3.12 on it waits for every client
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


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound
