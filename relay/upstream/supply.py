"""New connections to one upstream: in places that are counted, and before they are needed. IO.

Who is granted a place opens a connection in it; what comes of that is told, and shapes what the
restraint permits. `tend` opens those that nobody waits for yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from math import inf

from relay.core.errors import Rejection
from relay.upstream import rejections
from relay.upstream.breaker import State
from relay.upstream.events import Happened, Tell
from relay.upstream.protocol import Connection
from relay.upstream.rejections import Unusable
from relay.upstream.restraint import Restraint
from relay.upstream.settings import UpstreamSettings
from relay.upstream.stock import Stock
from relay.upstream.waiting import Place


class Supply:
    """Where new connections come from.

    Args:
        stock: the connections there are.
        restraint: what speaks against one more.
        settings: of the upstream.
        tell: hears of connections that could not be opened.
        on_change: called when something may have become possible that was not.
    """

    def __init__(
        self,
        stock: Stock,
        restraint: Restraint,
        settings: UpstreamSettings,
        *,
        tell: Tell,
        on_change: Callable[[], None],
    ) -> None:
        self._stock = stock
        self._restraint = restraint
        self._settings = settings
        self._tell = tell
        self._on_change = on_change
        self._stirred = asyncio.Event()  # there may be something to tend

    def place(self) -> Place:
        """Count one more connection, for who is to `open` it; somebody has seen to its being so."""
        self._stock.opening += 1
        return Place(self._restraint.attempt())

    def take_back(self, place: Place) -> None:
        """Nobody opens a connection in this place."""
        self._stock.opening -= 1
        self._restraint.given_up(self._now(), is_probe=place.is_probe)
        self._on_change()

    async def open(self, place: Place) -> Connection:
        """Open a connection in a place that is counted already, and tell what comes of it.

        Raises:
            Unusable: 451 4.4.1, 4.4.2, 4.7.0, 4.7.4 or 4.7.5, it cannot be opened.
            Rejection: 451 4.3.2, the pool was closed meanwhile.
        """
        started = self._now()
        try:
            connection = await self._stock.open()
        except BaseException as exc:
            now = self._now()
            if isinstance(exc, Exception):
                why = exc.detail if isinstance(exc, Rejection) else f"a fault: {exc!r}"
                self._tell(Happened.FAILED, why, seconds=now - started)
            if isinstance(exc, Unusable):
                self._restraint.failed(
                    exc, now, is_probe=place.is_probe, has_others=self._stock.stands
                )
            else:
                self._restraint.given_up(now, is_probe=place.is_probe)
            self._on_change()
            raise
        self._restraint.succeeded()
        if self._stock.is_closed:
            self._stock.dismiss(connection)
            raise rejections.stopping(self._settings.hop)
        return connection

    def stir(self) -> None:
        """There may be something to tend."""
        self._stirred.set()

    async def tend(self, make_ready: Callable[[Connection], None]) -> None:
        """Keep idle connections in store, and probe a hop that is left alone; until cancelled.

        One connection is opened at a time; the first to ask the hop what it offers, unless that is
        known: clients are offered DSN and REQUIRETLS where it has them.

        Args:
            make_ready: takes each of them.
        """
        self._restraint.is_tended = True
        earliest = -inf
        is_asking = self._stock.capabilities is None
        try:
            while True:
                self._stirred.clear()
                opens_at = max(earliest, self._opens_ahead_at(is_asking=is_asking))
                if opens_at > self._now():
                    with suppress(TimeoutError):
                        async with asyncio.timeout_at(None if opens_at == inf else opens_at):
                            await self._stirred.wait()
                    continue
                # Not more often than a breaker would that has just tripped, whatever goes wrong.
                earliest = self._now() + self._settings.breaker_seconds / 2
                is_asking = False
                with suppress(Exception):  # told already, and no message's affair
                    make_ready(await self.open(self.place()))
                    earliest = -inf
        finally:
            self._restraint.is_tended = False

    def _opens_ahead_at(self, *, is_asking: bool) -> float:
        """When to open a connection that nobody waits for; infinite: when something stirs."""
        stock, restraint = self._stock, self._restraint
        is_wanted = (
            is_asking
            or restraint.state is not State.CLOSED
            or (
                len(stock.idle) < self._settings.min_idle_connections
                and stock.in_flight < restraint.allowed
            )
        )
        if stock.is_closed or not stock.has_room or not is_wanted:
            return inf
        return restraint.opening_at(self._now())

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
