"""The connections to one upstream, and who may use one next. IO.

A transaction gets an idle connection, the one used last first, so that the others grow old and
are closed; else a new one is opened; else it waits its turn. A connection keeps its place among
`max_connections` until it is gone, also while it says RSET or QUIT.

One sweep for all connections looks after idle time and reply timeouts; nothing else here has a
timer or a task of its own.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from relay.core.capabilities import Capabilities
from relay.core.envelope import MailCommand
from relay.core.errors import Rejection
from relay.core.reply import Reply
from relay.upstream import rejections
from relay.upstream.connect import Opener
from relay.upstream.events import Happened, UpstreamEvent
from relay.upstream.protocol import Command, Connection
from relay.upstream.settings import UpstreamSettings
from relay.upstream.transaction import Transaction

SWEEP_SECONDS = 1.0  # how late a timeout may be noticed; shorter timeouts make it shorter


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSnapshot:
    """How many connections are in which state, and how many transactions wait for one.

    Attributes:
        idle: ready, unused.
        busy: in a transaction, or in an RSET or QUIT after one.
        opening: not ready yet.
        waiting: transactions in the queue.
    """

    idle: int
    busy: int
    opening: int
    waiting: int


class Pool:
    """Connections to one upstream.

    Args:
        settings: of the upstream.
        emit: told of connections that are opened, lost or not to be had; must not raise.
    """

    def __init__(
        self, settings: UpstreamSettings, *, emit: Callable[[UpstreamEvent], None]
    ) -> None:
        self._settings = settings
        self._emit = emit
        self._opener = Opener(settings)
        self._connections: set[Connection] = set()
        self._idle: list[Connection] = []  # the one used last stands last
        self._opening = 0
        # A waiter gets a connection, or None for a place in which it opens one itself.
        self._waiters: deque[asyncio.Future[Connection | None]] = deque()
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._emptied = asyncio.Event()
        self._capabilities: Capabilities | None = None

    @property
    def capabilities(self) -> Capabilities | None:
        """What the hop offered when a connection was opened last; None before the first."""
        return self._capabilities

    @property
    def is_secured(self) -> bool:
        """Whether every connection is TLS with the hop's name and certificate verified."""
        return self._settings.tls.is_verified

    async def begin(self, mail: MailCommand) -> Transaction:
        """Take a connection for one transaction; nothing is written yet.

        Raises:
            Rejection: 451 4.4.1, 4.4.2, 4.7.0, 4.7.4 or 4.7.5, no connection can be opened;
                451 4.3.2, none became free within `acquire_seconds`, or the pool is closed;
                550 5.6.7, SMTPUTF8 is asked for and not offered; 550 5.7.30, REQUIRETLS is
                asked for and cannot be kept.
        """
        connection = self._unused() or await self._take()
        try:
            return Transaction(mail, connection, source=self, settings=self._settings)
        except BaseException:
            self.give_back(connection, reset=False)
            raise

    async def close(self) -> None:
        """Close every connection: politely where nothing is under way, else at once."""
        self._is_closed = True
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(self._stopping())
        self._waiters.clear()
        for connection in self._idle:
            self._dismiss(connection)
        for connection in self._connections.difference(self._idle):
            connection.abort("the relay is stopping")
        self._idle.clear()
        if self._connections:
            await self._all_closed()
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
            self._sweep_timer = None

    def snapshot(self) -> PoolSnapshot:
        """The state of the pool, for logs and metrics."""
        return PoolSnapshot(
            idle=len(self._idle),
            busy=len(self._connections) - len(self._idle),
            opening=self._opening,
            waiting=len(self._waiters),
        )

    # What a transaction asks.

    async def replace(self, why: str) -> Connection:
        """See `relay.upstream.transaction.Source`."""
        self._tell(Happened.REPLAYED, why)
        return await self._take(fresh=True)

    def give_back(self, connection: Connection, *, reset: bool) -> None:
        """See `relay.upstream.transaction.Source`."""
        connection.occupant = None
        if connection.failure:
            return
        settings = self._settings
        if self._is_closed or connection.transactions >= settings.max_messages_per_connection:
            self._dismiss(connection)
        elif reset:
            self._reset(connection)
        else:
            self._make_ready(connection)

    def _reset(self, connection: Connection) -> None:
        """Say RSET; ready when it is answered.

        MAIL does not travel behind RSET: of two replies to RSET, the second would answer MAIL.
        """

        def answered(reply: Reply) -> None:
            if reply.is_positive:
                self._make_ready(connection)
            else:
                connection.abort(f"the server answered RSET with {reply}")

        seconds = self._settings.timeouts.reset_seconds
        connection.command(Command(b"RSET\r\n", answered, seconds))

    # Who gets what.

    async def _take(self, *, fresh: bool = False) -> Connection:
        """A live connection with nobody on it.

        Args:
            fresh: pass over the idle ones, and stand first in the queue.
        """
        while not self._is_closed:
            if not fresh and (kept := self._unused()) is not None:
                return kept
            if self._has_room:
                self._opening += 1
                return await self._open()
            granted = await self._wait(is_first=fresh)
            if granted is None:
                return await self._open()
            if not granted.failure:
                return granted
            fresh = True  # it was lost on the way to us: its place is, or will be, free
        raise self._stopping()

    def _unused(self) -> Connection | None:
        """The idle connection that was used last, if there is any."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.failure:
                return connection
        return None

    @property
    def _has_room(self) -> bool:
        return len(self._connections) + self._opening < self._settings.max_connections

    async def _open(self) -> Connection:
        """Open a connection in a place that is already counted."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            connection = await self._opener.open(self._closed)
            self._capabilities = connection.capabilities
        except BaseException as exc:
            self._opening -= 1
            self._grant_places()
            if isinstance(exc, Rejection):
                self._tell(Happened.FAILED, exc.detail, seconds=loop.time() - started)
            raise
        self._opening -= 1
        self._capabilities = connection.capabilities
        self._connections.add(connection)
        self._emptied.clear()
        self._tell(Happened.OPENED, connection.security, seconds=loop.time() - started)
        if self._sweep_timer is None:
            self._schedule_sweep()
        if self._is_closed:
            self._dismiss(connection)
            raise self._stopping()
        return connection

    async def _wait(self, *, is_first: bool) -> Connection | None:
        """Stand in the queue; a connection, or None for a counted place to open one in."""
        waiter: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        if is_first:
            self._waiters.appendleft(waiter)
        else:
            self._waiters.append(waiter)
        try:
            async with asyncio.timeout(self._settings.acquire_seconds):
                return await waiter
        except TimeoutError as exc:
            self._give_up(waiter)
            raise rejections.exhausted(
                f"{self._settings.hop}: all {self._settings.max_connections} connections were "
                f"busy for {self._settings.acquire_seconds:g} s"
            ) from exc
        except asyncio.CancelledError:
            self._give_up(waiter)
            raise

    def _give_up(self, waiter: asyncio.Future[Connection | None]) -> None:
        """Leave the queue; what was granted at the last moment goes to the next one."""
        if waiter.cancelled():
            if waiter in self._waiters:
                self._waiters.remove(waiter)
        elif waiter.exception() is not None:
            return  # the pool was closed
        elif (granted := waiter.result()) is not None:
            self._make_ready(granted)
        else:
            self._opening -= 1
            self._grant_places()

    def _make_ready(self, connection: Connection) -> None:
        """Hand a connection to the first waiter, or keep it."""
        if connection.failure:
            return
        if self._is_closed:
            self._dismiss(connection)
            return
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        connection.idle_since = connection.loop.time()
        self._idle.append(connection)

    def _grant_places(self) -> None:
        """Let waiters open connections where there is room now."""
        while self._waiters and self._has_room:
            waiter = self._waiters.popleft()
            if not waiter.done():
                self._opening += 1
                waiter.set_result(None)

    # Ends.

    def _stopping(self) -> Rejection:
        return rejections.exhausted(f"{self._settings.hop}: the relay is stopping")

    async def _all_closed(self) -> None:
        """Wait for the connections to go, and help those that do not."""
        try:
            async with asyncio.timeout(self._settings.timeouts.quit_seconds):
                await self._emptied.wait()
        except TimeoutError:
            for connection in tuple(self._connections):
                connection.abort("QUIT was not answered")
            await self._emptied.wait()

    def _dismiss(self, connection: Connection) -> None:
        connection.quit(self._settings.timeouts.quit_seconds)

    def _closed(self, connection: Connection) -> None:
        """A connection is gone; called by it."""
        self._connections.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if not self._connections:
            self._emptied.set()
        self._tell(
            Happened.CLOSED,
            connection.failure,
            seconds=connection.loop.time() - connection.opened_at,
            transactions=connection.transactions,
        )
        self._grant_places()

    def _schedule_sweep(self) -> None:
        shortest = min(self._settings.idle_seconds, self._settings.timeouts.shortest)
        seconds = max(0.01, min(SWEEP_SECONDS, shortest / 4))
        self._sweep_timer = asyncio.get_running_loop().call_later(seconds, self._sweep)

    def _sweep(self) -> None:
        """Close what is idle for too long, and fail what waits for too long."""
        now = asyncio.get_running_loop().time()
        for connection in tuple(self._connections):
            connection.check(now)
        oldest_allowed = now - self._settings.idle_seconds
        while self._idle and self._idle[0].idle_since <= oldest_allowed:
            self._dismiss(self._idle.pop(0))
        self._sweep_timer = None
        if self._connections:
            self._schedule_sweep()

    def _tell(
        self, happened: Happened, detail: str, *, seconds: float = 0.0, transactions: int = 0
    ) -> None:
        self._emit(
            UpstreamEvent(
                happened=happened,
                upstream=self._settings.name,
                detail=detail,
                seconds=seconds,
                transactions=transactions,
            )
        )
