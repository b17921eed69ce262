"""Several upstreams in order: each takes what those before it cannot. IO.

RFC 5321 §5.1 has a client try further hosts when one cannot be reached. Here too: when no
connection can be opened (connect, TLS, EHLO, AUTH, or the breaker says so), when the connection
is lost or 421 is said on it before a recipient was accepted. Once one was accepted a transaction
stays where it is, so nothing is ever given to two of them. A hop that is busy, or says no, is no
reason to go to another one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from relay.core.envelope import MailCommand
from relay.core.errors import Rejection
from relay.upstream.events import Happened, UpstreamEvent
from relay.upstream.pool import Pool
from relay.upstream.protocol import Connection
from relay.upstream.rejections import Unusable
from relay.upstream.source import Source
from relay.upstream.transaction import Transaction


class Route:
    """One upstream, or several in order.

    Args:
        pools: of the upstreams, the preferred one first.
        emit: told of transactions that go to another upstream than the first; must not raise.
    """

    def __init__(self, pools: Sequence[Pool], *, emit: Callable[[UpstreamEvent], None]) -> None:
        self._pools = tuple(pools)
        self._emit = emit

    @property
    def is_secured(self) -> bool:
        """Whether every connection is TLS with the hop's name and certificate verified."""
        return all(pool.is_secured for pool in self._pools)

    def offers(self, keyword: str) -> bool:
        """Whether every upstream offered this extension when it was asked last.

        One that nobody asked yet, as a fallback that was never needed, does not count, unless
        there is no other.
        """
        asked = [p.capabilities for p in self._pools if p.capabilities is not None]
        return bool(asked) and all(keyword in capabilities for capabilities in asked)

    async def begin(self, mail: MailCommand) -> Transaction:
        """Take a connection for one transaction; nothing is written yet.

        Raises:
            Rejection: see `Pool.begin`; of the last upstream that was tried.
        """
        first = self._pools[0]
        try:
            return await first.begin(mail, detour=self)
        except Unusable as exc:
            if len(self._pools) == 1:
                raise
            preferred = exc
        source, connection = await self.onward(first, preferred.detail)
        try:
            return Transaction(mail, connection, source=source, detour=self)
        except Rejection as exc:
            # What a fallback cannot carry, the upstream it stands in for may: later, not never.
            source.give_back(connection, reset=False)
            raise preferred from exc
        except BaseException:
            source.give_back(connection, reset=False)
            raise

    # What a transaction asks.

    def leads_on(self, source: Source) -> bool:
        """See `relay.upstream.source.Detour`."""
        return source is not self._pools[-1]

    async def onward(self, source: Source, why: str) -> tuple[Pool, Connection]:
        """See `relay.upstream.source.Detour`."""
        tried = [why]
        start = next(i for i, pool in enumerate(self._pools) if pool is source) + 1
        for pool in self._pools[start:]:
            try:
                connection = await pool.take()
            except Unusable as exc:
                tried.append(exc.detail)
                if pool is self._pools[-1]:
                    raise Unusable(exc.reply, "; ".join(tried)) from exc
            else:
                self._tell(pool, "; ".join(tried))
                return pool, connection
        raise RuntimeError("there is no upstream behind the last one")

    def _tell(self, pool: Pool, why: str) -> None:
        name = pool.settings.name
        self._emit(UpstreamEvent(happened=Happened.DIVERTED, upstream=name, detail=why))
