"""The connections to one upstream, and who may use one next. IO.

A transaction gets an idle connection, the one used last first, so that the others grow old and
are closed; else a new one is opened; else it waits its turn (`waiting`). `stock` has the
connections; what speaks against one more although there is room is told by `restraint`.

Nothing here has a task of its own. `tend` is for whoever has one to spare: then connections are
opened before they are needed (`supply`).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from relay.core.capabilities import Capabilities
from relay.core.envelope import MailCommand
from relay.core.errors import Rejection
from relay.core.reply import Reply
from relay.upstream import rejections
from relay.upstream.command import CLOSING, Command
from relay.upstream.events import Happened, UpstreamEvent, teller
from relay.upstream.protocol import Connection
from relay.upstream.rejections import Unusable
from relay.upstream.restraint import Restraint
from relay.upstream.settings import UpstreamSettings
from relay.upstream.snapshot import PoolSnapshot
from relay.upstream.source import Detour
from relay.upstream.stock import Stock
from relay.upstream.supply import Supply
from relay.upstream.transaction import Transaction
from relay.upstream.waiting import Grant, Queue, Wish


class Pool:
    """Connections to one upstream.

    Args:
        settings: of the upstream.
        emit: told of connections that are opened, lost or not to be had; must not raise.
        jitter: a number from 0 to 1, each time another, to scatter attempts with.
    """

    def __init__(
        self,
        settings: UpstreamSettings,
        *,
        emit: Callable[[UpstreamEvent], None],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._settings = settings
        self._tell = tell = teller(settings.name, emit)
        self._restraint = Restraint(settings, tell=tell, jitter=jitter)
        self._stock = Stock(settings, tell=tell, on_room=self._serve, on_lost=self._end)
        self._supply = Supply(
            self._stock, self._restraint, settings, tell=tell, on_change=self._serve
        )
        self._queue = Queue(self)

    @property
    def settings(self) -> UpstreamSettings:
        """Of the upstream."""
        return self._settings

    @property
    def capabilities(self) -> Capabilities | None:
        """What the hop offered when a connection was opened last; None before the first."""
        return self._stock.capabilities

    @property
    def is_secured(self) -> bool:
        """Whether every connection is TLS with the hop's name and certificate verified."""
        return self._settings.tls.is_verified

    async def begin(self, mail: MailCommand, *, detour: Detour | None = None) -> Transaction:
        """Take a connection for one transaction; nothing is written yet.

        Args:
            mail: of the transaction.
            detour: where it may go when this upstream is of no use after all.

        Raises:
            Rejection: see `take`; 550 5.6.7, SMTPUTF8 is asked for and not offered;
                550 5.7.30, REQUIRETLS is asked for and cannot be kept.
        """
        connection = await self.take()
        try:
            return Transaction(mail, connection, source=self, detour=detour)
        except BaseException:
            self.give_back(connection, reset=False)
            raise

    async def take(self, *, fresh: bool = False) -> Connection:
        """A live connection with nobody on it; it has to be given back.

        Args:
            fresh: for a transaction that begins anew because its connection was dead: pass over
                those that were kept, and stand first in the queue.

        Raises:
            Unusable: 451 4.4.1, 4.4.2, 4.7.0, 4.7.4 or 4.7.5, none can be opened.
            Rejection: 451 4.3.2, there was none within `acquire_seconds`, or the rate was used
                up, or the pool is closed.
        """
        if not fresh and (connection := self._at_hand()) is not None:
            return connection
        deadline = self._now() + self._settings.acquire_seconds
        wish = Wish(deadline, prefers_new=fresh, is_begun=fresh)
        grant = await self._obtain(wish)
        try:
            return await self._connect(grant, deadline)
        except BaseException:
            if not fresh:
                self._restraint.refund()
            raise

    async def _obtain(self, wish: Wish) -> Grant:
        """What is wished for: at once when nobody stands before, or in turn."""
        if not self._queue.has_before(wish) and (grant := self.grant(wish)) is not None:
            return grant
        return await self._queue.wait(wish)

    async def _connect(self, grant: Grant, deadline: float) -> Connection:
        """Make a live connection of what was granted; it may take another round or two."""
        while True:
            if isinstance(grant, Connection):
                if not grant.failure:
                    return grant
                # It was lost on the way to us: its place is, or will be, free.
                self._end(grant)
                grant = await self._obtain(Wish(deadline, prefers_new=True, is_begun=True))
                continue
            try:
                connection = await self._supply.open(grant)
            except Unusable as exc:
                if exc.refusal_code != CLOSING or not self._stock.stands or self._stock.is_closed:
                    raise
            else:
                self._stock.lent.add(connection)
                return connection
            # The hop takes no more connections, but lives: wait for one of those it has, or of
            # those on their way, like the one that asks at the start what it offers.
            grant = await self._obtain(Wish(deadline, is_begun=True))

    async def close(self) -> None:
        """Close every connection: politely where nothing is under way, else at once."""
        self._stock.is_closed = True
        self._queue.dismiss(lambda: rejections.stopping(self._settings.hop))
        await self._stock.close()

    def snapshot(self) -> PoolSnapshot:
        """The state of the pool, for logs and metrics."""
        return PoolSnapshot(
            idle=len(self._stock.idle),
            busy=self._stock.busy,
            opening=self._stock.opening,
            waiting=len(self._queue),
            allowed=self._restraint.allowed,
            breaker=self._restraint.state,
        )

    # What a transaction asks.

    async def replace(self, why: str) -> Connection:
        """See `relay.upstream.source.Source`."""
        self._tell(Happened.REPLAYED, why)
        return await self.take(fresh=True)

    def spend(self, recipients: int) -> None:
        """So many recipients are sent; they count towards the rate."""
        if self._settings.rate_per_second:
            self._restraint.spend(recipients, self._now())

    def observe(self, reply: Reply) -> None:
        """The hop has replied to MAIL, DATA or the message, or has said 421 to anything."""
        if reply.code >= 400:
            self._restraint.observe(reply, self._stock.in_flight, self._now())

    def give_back(self, connection: Connection, *, reset: bool) -> None:
        """See `relay.upstream.source.Source`.

        What needs no reset was taken by the hop, with rare exceptions where nothing was written.
        """
        connection.occupant = None
        self._end(connection, is_taken=not reset)
        if connection.failure:
            return
        is_used_up = connection.transactions >= self._settings.max_messages_per_connection
        if self._stock.is_closed or is_used_up:
            self._stock.dismiss(connection)
        elif reset:
            self._reset(connection)
        else:
            self._make_ready(connection)

    def _end(self, connection: Connection, *, is_taken: bool = False) -> None:
        """A transaction is over, if there was one."""
        if connection in self._stock.lent:
            self._restraint.ended(self._stock.in_flight, is_taken=is_taken)
            self._stock.lent.remove(connection)

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

    async def tend(self) -> None:
        """Keep idle connections in store, and probe a hop that is left alone; until cancelled.

        Without this, the first transaction after the time of a breaker is the probe, and no
        connection is opened before it is needed.
        """
        await self._supply.tend(self._make_ready)

    # What the queue asks.

    def grant(self, wish: Wish) -> Grant | None:
        """A connection, or a place to open one in, for the transaction that is next.

        Returns:
            None: it has to wait.

        Raises:
            Rejection: it need not wait: the hop is left alone, or the pool is closed.
        """
        stock, restraint, now = self._stock, self._restraint, self._now()
        if stock.is_closed:
            raise rejections.stopping(self._settings.hop)
        has_idle = stock.has_idle
        refusal = restraint.refusal(now) if wish.prefers_new or not has_idle else None
        if refusal is not None and not has_idle:
            raise refusal
        if not restraint.permits(stock.in_flight, now, is_begun=wish.is_begun):
            return None
        may_open = refusal is None and restraint.may_open(now)
        grant: Grant
        if may_open and stock.has_room and (wish.prefers_new or not has_idle):
            grant = self._supply.place()
        elif has_idle and not (wish.prefers_new and may_open and stock.makes_room):
            grant = stock.idle.pop()
            stock.lent.add(grant)
            if len(stock.idle) < self._settings.min_idle_connections:
                self._supply.stir()
        else:
            return None
        if not wish.is_begun:
            restraint.begin(now)
        return grant

    def take_back(self, grant: Grant, wish: Wish) -> None:
        """See `relay.upstream.waiting.Granter`."""
        if not wish.is_begun:
            self._restraint.refund()
        if isinstance(grant, Connection):
            self._stock.lent.discard(grant)
            self._make_ready(grant)
        else:
            self._supply.take_back(grant)

    def changes_at(self, wish: Wish) -> float:
        """See `relay.upstream.waiting.Granter`."""
        return self._restraint.changes_at(self._now(), is_begun=wish.is_begun)

    def too_late(self) -> Rejection:
        """See `relay.upstream.waiting.Granter`."""
        why = self._restraint.hindrance(self._now())
        seconds = self._settings.acquire_seconds
        return rejections.exhausted(f"{self._settings.hop}: {why} for {seconds:g} s")

    def _at_hand(self) -> Connection | None:
        """What `grant` comes to nearly always, in a few steps: an idle one, and no reason not."""
        idle, settings = self._stock.idle, self._settings
        if not idle or self._queue or settings.rate_per_second or settings.min_idle_connections:
            return None
        if idle[-1].failure or self._stock.in_flight >= self._restraint.allowed:
            return None
        connection = idle.pop()
        self._stock.lent.add(connection)
        return connection

    def _make_ready(self, connection: Connection) -> None:
        """Keep a connection, or hand it to the first waiter."""
        if connection.failure:
            return
        if self._stock.is_closed:
            self._stock.dismiss(connection)
            return
        self._stock.keep(connection)
        self._serve()

    def _serve(self) -> None:
        """Something may have become possible."""
        self._supply.stir()
        if self._queue:
            self._queue.serve()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
