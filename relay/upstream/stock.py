"""The connections there are: being opened, kept, on their way out. IO.

A connection counts among `max_connections` until it says QUIT; the reply to that delays nobody.
Idle ones need no NOOP: whatever the server does with one (closing, 421, garbage) is seen by the
loop at once, none is older than `idle_seconds`, and a transaction on one that was dead all the
same is replayed.

One sweep for all connections looks after idle time and reply timeouts; nothing else here has a
timer or a task of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from relay.core.capabilities import Capabilities
from relay.upstream.connect import Opener
from relay.upstream.events import Happened, Tell
from relay.upstream.protocol import Connection
from relay.upstream.settings import UpstreamSettings

SWEEP_SECONDS = 1.0  # how late a timeout may be noticed; shorter timeouts make it shorter


class Stock:
    """The connections to one upstream.

    Args:
        settings: of the upstream.
        tell: hears of connections that were opened or are gone.
        on_room: called when there may be room for one more.
        on_lost: called with each connection that is gone, before `on_room`.

    Attributes:
        idle: ready, unused; the one used last stands last.
        lent: those with a transaction on them.
        opening: how many are counted and not ready yet.
        capabilities: what the hop offered last.
        is_closed: whether no more are wanted.
    """

    def __init__(
        self,
        settings: UpstreamSettings,
        *,
        tell: Tell,
        on_room: Callable[[], None],
        on_lost: Callable[[Connection], None],
    ) -> None:
        self._settings = settings
        self._tell = tell
        self._on_room = on_room
        self._on_lost = on_lost
        self._opener = Opener(settings, tell=tell)
        self._staying: set[Connection] = set()
        self._leaving: set[Connection] = set()
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._emptied = asyncio.Event()
        self.idle: list[Connection] = []
        self.lent: set[Connection] = set()
        self.opening = 0
        self.capabilities: Capabilities | None = None
        self.is_closed = False

    @property
    def has_room(self) -> bool:
        """Whether one more may be opened."""
        return len(self._staying) + self.opening < self._settings.max_connections

    @property
    def makes_room(self) -> bool:
        """Whether one is on its way out that still counts; `on_room` is called when it is gone."""
        return any(connection.failure for connection in self._staying)

    @property
    def has_idle(self) -> bool:
        """Whether the last of `idle` may be used."""
        while self.idle and self.idle[-1].failure:
            self.idle.pop()
        return bool(self.idle)

    @property
    def in_flight(self) -> int:
        """How many transactions are under way, as far as connections tell."""
        return len(self.lent) + self.opening

    @property
    def stands(self) -> bool:
        """Whether there is any connection, or one is on its way."""
        return bool(self._staying or self.opening)

    @property
    def busy(self) -> int:
        """How many are neither idle nor opening."""
        return len(self._staying) + len(self._leaving) - len(self.idle)

    async def open(self) -> Connection:
        """Open a connection in a place that `opening` has counted, and count it no more.

        Raises:
            Rejection: why there is none.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            connection = await self._opener.open(self._closed)
        finally:
            self.opening -= 1
        self.capabilities = connection.capabilities
        self._staying.add(connection)
        self._emptied.clear()
        self._tell(Happened.OPENED, connection.security, seconds=loop.time() - started)
        if self._sweep_timer is None:
            self._schedule_sweep()
        return connection

    def keep(self, connection: Connection) -> None:
        """It is unused."""
        connection.idle_since = connection.loop.time()
        self.idle.append(connection)

    def dismiss(self, connection: Connection) -> None:
        """Say QUIT; from here on, it is in nobody's way."""
        self._staying.discard(connection)
        self._leaving.add(connection)
        connection.quit(self._settings.timeouts.quit_seconds)
        self._on_room()

    async def close(self) -> None:
        """Close them all: politely where nothing is under way, else at once."""
        self.is_closed = True
        while self.idle:
            self.dismiss(self.idle.pop())
        for connection in tuple(self._staying):
            connection.abort("the relay is stopping")
        if self._staying or self._leaving:
            await self._all_closed()
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
            self._sweep_timer = None

    async def _all_closed(self) -> None:
        """Wait for the connections to go, and help those that do not."""
        try:
            async with asyncio.timeout(self._settings.timeouts.quit_seconds):
                await self._emptied.wait()
        except TimeoutError:
            for connection in (*self._staying, *self._leaving):
                connection.abort("QUIT was not answered")
            await self._emptied.wait()

    def _closed(self, connection: Connection) -> None:
        """A connection is gone; called by it."""
        self._staying.discard(connection)
        self._leaving.discard(connection)
        if connection in self.idle:
            self.idle.remove(connection)
        if not (self._staying or self._leaving):
            self._emptied.set()
        self._tell(
            Happened.CLOSED,
            connection.failure,
            seconds=connection.loop.time() - connection.opened_at,
            transactions=connection.transactions,
        )
        self._on_lost(connection)
        self._on_room()

    def _schedule_sweep(self) -> None:
        settings = self._settings
        shortest = min(
            settings.idle_seconds, settings.keepalive_seconds, settings.timeouts.shortest
        )
        seconds = max(0.01, min(SWEEP_SECONDS, shortest / 4))
        self._sweep_timer = asyncio.get_running_loop().call_later(seconds, self._sweep)

    def _sweep(self) -> None:
        """Close what is idle for too long, and fail what waits for too long."""
        now = asyncio.get_running_loop().time()
        try:
            for connection in (*self._staying, *self._leaving):
                connection.check(now, keepalive_seconds=self._settings.keepalive_seconds)
            oldest_allowed = now - self._settings.idle_seconds
            while self.idle and self.idle[0].idle_since <= oldest_allowed:
                self.dismiss(self.idle.pop(0))
        finally:  # without the next one, nothing would have an end
            self._sweep_timer = None
            if self._staying or self._leaving:
                self._schedule_sweep()
