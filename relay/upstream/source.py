"""What a transaction asks of those that lend it connections. Pure."""

from __future__ import annotations

from typing import Protocol

from relay.core.reply import Reply
from relay.upstream.protocol import Connection
from relay.upstream.settings import UpstreamSettings


class Source(Protocol):
    """Where connections come from and go back to: the pool."""

    @property
    def settings(self) -> UpstreamSettings:
        """Of the upstream."""

    async def replace(self, why: str) -> Connection:
        """A connection in the place of a kept one that was dead.

        Args:
            why: what happened to the dead one.

        Raises:
            Rejection: there is none.
        """

    def give_back(self, connection: Connection, *, reset: bool) -> None:
        """Take back a connection, in whatever state it is.

        Args:
            connection: all its replies have come, or are awaited and of no interest.
            reset: whether it needs an RSET before the next transaction.
        """

    def observe(self, reply: Reply) -> None:
        """Hear what the hop said to MAIL, to DATA if it refused, or to a message; and any 421."""

    def spend(self, recipients: int) -> None:
        """Count recipients that are given to the hop."""


class Detour(Protocol):
    """Other upstreams, for when the one that a transaction began with is of no use."""

    def leads_on(self, source: Source) -> bool:
        """Whether there is another one behind this."""

    async def onward(self, source: Source, why: str) -> tuple[Source, Connection]:
        """A connection to the next one that can be had.

        Args:
            source: the upstream that is of no use.
            why: what happened there.

        Raises:
            Rejection: there is none.
        """
