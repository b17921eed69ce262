"""The listening sockets and their sessions: open, count, sweep, change, drain.

Not aiosmtpd's Controller, whose stop cuts transactions off without a reply.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from relay.core import reply as say
from relay.core.errors import Fault
from relay.core.events import Noted
from relay.core.policy import ClientRule
from relay.core.reply import Reply
from relay.listener.bind import Binding, bind_all
from relay.listener.door import Door
from relay.listener.endpoint import Endpoint
from relay.listener.gateway import Gateway
from relay.listener.limits import SessionLimits, limit_reached
from relay.listener.logins import Logins
from relay.listener.memory import Memory
from relay.listener.session import Session
from relay.listener.shares import ABSENT, Shares
from relay.listener.station import Station
from relay.listener.traced import TracedSession

_LAST_TURNS: Final = 4
_SWEEP_SECONDS: Final = 5.0
_SWEEPS_PER_IDLE_TIME: Final = 10
_SESSION_OPENED: Final = Noted("session.opened", "debug")


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
        backlog: int = 1024,
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
            backlog: connections that the system holds until they are taken up.
            logins: who may log in.
            memory: the budget for messages.
        """
        self._station = station
        self._limits = limits
        self._rules = rules
        self._max_connections = max_connections
        self._max_per_address = max_connections_per_address
        self._backlog = backlog
        self.logins = logins
        self.memory = memory
        self._shares: Shares | None = None
        self._doors: dict[str, list[Door]] = {}  # by the address of the settings
        self._sessions: dict[Session, str] = {}  # with the address it is counted under
        self._by_address: Counter[str] = Counter()
        self._gateway = Gateway()
        self._is_closing = False
        self._empty = asyncio.Event()
        self._empty.set()
        self._drain_until: asyncio.Timeout | None = None

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Where clients can connect by TCP, ports resolved."""
        names = (door.sockname for door in self._all_doors)
        return tuple((name[0], name[1]) for name in names if isinstance(name, tuple))

    @property
    def names(self) -> list[str]:
        """Where clients can connect, for people."""
        return [door.name for door in self._all_doors]

    @property
    def _all_doors(self) -> list[Door]:
        return [door for doors in self._doors.values() for door in doors]

    @property
    def station(self) -> Station:
        """What new transactions stand on."""
        return self._station

    @property
    def connections(self) -> int:
        """Sessions open now."""
        return len(self._sessions)

    async def open(
        self,
        bindings: Sequence[Binding],
        *,
        bound: Sequence[socket.socket] | None = None,
        shares: Shares | None = None,
    ) -> None:
        """Bind, and let clients in.

        Args:
            bindings: where.
            bound: the socket of each, when another process has bound them.
            shares: how many sessions other processes on the same sockets have.

        Raises:
            ConfigError: some address cannot be bound, with the reason; then none is.
        """
        self._shares = shares
        self._tell_shares()
        self._open(bindings, bind_all(bindings) if bound is None else bound, is_ours=bound is None)

    def _open(
        self, bindings: Sequence[Binding], bound: Sequence[socket.socket], *, is_ours: bool
    ) -> None:
        for binding, one in zip(bindings, bound, strict=True):
            door = Door(
                one,
                binding.endpoint,
                path=binding.path if is_ours else None,
                session=self._make_session,
                leaves_next=self._leaves_next,
                failed=self._tell_failed,
            )
            self._doors.setdefault(binding.address, []).append(door)
            door.open(self._backlog)

    def bind_new(self, bindings: Sequence[Binding]) -> dict[str, socket.socket]:
        """Sockets for those addresses that there is none for yet; nobody is let in there.

        Raises:
            ConfigError: some cannot be bound; then none is.
        """
        new = [binding for binding in bindings if binding.address not in self._doors]
        return dict(zip((binding.address for binding in new), bind_all(new), strict=True))

    async def change(
        self, other: Listeners, bindings: Sequence[Binding], bound: Mapping[str, socket.socket]
    ) -> None:
        """From now on go by what another one was made with, which was never opened.

        Transactions under way end as they began; sessions go by the new settings from their
        next command on. Addresses that are listened on no more are closed, and their sessions
        drained.

        Args:
            other: the new settings.
            bindings: all of them.
            bound: the sockets of those that are new, from `bind_new`.
        """
        self._station, self._limits, self._rules = other._station, other._limits, other._rules
        self._max_connections, self._max_per_address = (
            other._max_connections,
            other._max_per_address,
        )
        self._backlog, self.logins = other._backlog, other.logins
        if self.memory is not None and other.memory is not None:
            self.memory.resize(other.memory.max_octets)
        new = [binding for binding in bindings if binding.address in bound]
        self._open(new, [bound[binding.address] for binding in new], is_ours=True)
        endpoints = {binding.address: binding.endpoint for binding in bindings}
        gone = [self._doors.pop(address) for address in self._doors.keys() - endpoints.keys()]
        for address, doors in self._doors.items():
            for door in doors:
                door.endpoint = endpoints[address]
                door.set_backlog(self._backlog)
        for session in tuple(self._sessions):
            endpoint = endpoints.get(session.endpoint.address)
            if endpoint is None:
                session.drain()
            else:
                session.change(
                    self._station, self._limits, self._rules, endpoint=endpoint, logins=self.logins
                )
        for doors in gone:
            for door in doors:
                await door.close()

    def _make_session(self, endpoint: Endpoint) -> Session:
        make = TracedSession if self._station.is_traced else Session
        return make(
            self._station,
            self._limits,
            rules=self._rules,
            refusal=self._refusal,
            opened=self._add,
            closed=self._remove,
            loop=asyncio.get_running_loop(),
            endpoint=endpoint,
            logins=self.logins,
            memory=self.memory,
        )

    def _leaves_next(self) -> bool:
        return self._shares is not None and self._shares.leaves_next(len(self._sessions))

    def _tell_shares(self) -> None:
        if self._shares is not None:
            self._shares.tell(ABSENT if self._is_closing else len(self._sessions))

    def _tell_failed(self, name: str, error: Exception) -> None:
        if not isinstance(error, OSError):
            self._station.emit(Noted("internal.failed", "error", (("exception", error),)))
            return
        fix = "raise the limit of open files (LimitNOFILE=, ulimit -n), or lower max_connections"
        fields = (("listener", name), ("detail", error.strerror or str(error)), ("fix", fix))
        self._station.emit(Noted("listener.exhausted", "error", fields))

    def _add(self, session: Session) -> None:
        """Count a connection from its first moment on: a handshake takes room too."""
        self._sessions[session] = ""
        self._empty.clear()
        self._tell_shares()
        self._station.emit(_SESSION_OPENED)

    def _refusal(self, session: Session) -> Reply | None:
        """What a session is told instead of a greeting, if anything, now that its address is known.

        Clients of a UNIX socket have none, and only the limit for all.
        """
        address = session.address
        counted = self._sessions[session] = self._limits.counted_as(address)
        self._by_address[counted] += 1
        if (alike := self._gateway.notice(address)) is not None:
            self._station.emit(alike)
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
        self._tell_shares()
        if not self._sessions:
            self._empty.set()

    async def sweep(self) -> None:
        """Look after time and certificates for ever: one timer for all sessions."""
        while True:
            limits = self._limits
            shortest = min(
                limits.idle_seconds,
                limits.command_seconds,
                limits.memory_seconds,
                limits.data_grace_seconds,
            )
            await asyncio.sleep(min(_SWEEP_SECONDS, shortest / _SWEEPS_PER_IDLE_TIME))
            now = asyncio.get_running_loop().time()
            for session in tuple(self._sessions):
                session.sweep(now)
            for door in self._all_doors:
                if door.endpoint.certificates is not None:
                    door.endpoint.certificates.refresh(self._tell_certificates)

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
        self._tell_shares()
        for door in self._all_doors:
            await door.close()
        for _ in range(_LAST_TURNS):  # a handshake that is over for the client is not cut off
            await asyncio.sleep(0)
        for session in tuple(self._sessions):
            session.drain()
        try:
            async with asyncio.timeout(drain_seconds) as self._drain_until:
                await self._empty.wait()
        except TimeoutError:
            left = tuple(self._sessions)
            for session in left:
                session.abort()
            return len(left)
        return 0

    def hurry(self) -> None:
        """Have `close` wait no longer for messages in flight."""
        if self._drain_until is not None:
            self._drain_until.reschedule(asyncio.get_running_loop().time())
