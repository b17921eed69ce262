"""What transactions stand on: ways to upstreams, keys, clocks; and who the client is. No IO."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from relay.core.envelope import MailCommand, RcptCommand
from relay.core.events import Event
from relay.core.immutable import immutable_by_name
from relay.core.policy import ClientRule
from relay.core.reader import ReadLimits
from relay.core.reply import Reply
from relay.core.routing import RouteRule
from relay.flow import Hop, Keys, Terms


class Transaction(Hop, Protocol):
    """A transaction with the upstream from its first recipient on; `relay.upstream` has one."""

    @property
    def upstream(self) -> str:
        """The upstream's name, for the log."""

    def recipient(self, rcpt: RcptCommand) -> Awaitable[Reply]:
        """Send RCPT at once; the reply may be awaited later, replies come in order."""

    async def abandon(self) -> None:
        """End without sending a message."""


class Upstream(Protocol):
    """Where transactions are begun: one upstream, or several of which one will take it."""

    @property
    def is_secured(self) -> bool:
        """Whether every connection to it is verified TLS."""

    def offers(self, keyword: str) -> bool:
        """Whether it offered this extension when it was asked last; not, before anybody asked."""

    async def begin(self, mail: MailCommand) -> Transaction:
        """Take a connection.

        Raises:
            Rejection: none can be had.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Where the transactions of one rule go, and on which terms."""

    rule: RouteRule
    upstream: Upstream
    terms: Terms


class UnderWay:
    """The transactions that have begun and not ended."""

    def __init__(self) -> None:
        """There is none."""
        self._transactions: set[object] = set()
        self._none = asyncio.Event()
        self._none.set()

    def __len__(self) -> int:
        """How many there are."""
        return len(self._transactions)

    def add(self, transaction: object) -> None:
        """One begins."""
        self._transactions.add(transaction)
        self._none.clear()

    def discard(self, transaction: object) -> None:
        """One has ended, if it had begun."""
        self._transactions.discard(transaction)
        if not self._transactions:
            self._none.set()

    async def until_none(self) -> None:
        """Wait for the end of the last one."""
        await self._none.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """What every transaction shares; built once.

    Attributes:
        ways: the first whose rule matches is taken.
        now, monotonic: the wall clock and one that never goes back, in seconds.
        unique: a new identifier, unique for ever.
        received: "full", "anonymous" or "off".
        under_way: the transactions that stand on it.
        is_traced: dialogues are told, for a search for faults.
    """

    ways: tuple[Way, ...]
    keys: Keys
    read_limits: ReadLimits
    hostname: str
    received: str
    now: Callable[[], float]
    monotonic: Callable[[], float]
    unique: Callable[[], str]
    emit: Callable[[Event], None]
    is_traced: bool = False
    under_way: UnderWay = field(default_factory=UnderWay, compare=False, repr=False)

    def offers(self, keyword: str) -> bool:
        """Whether an extension is offered wherever a message may go."""
        return all(way.upstream.offers(keyword) for way in self.ways)

    @property
    def is_secured(self) -> bool:
        """Whether every connection that a message may take is verified TLS."""
        return all(way.upstream.is_secured for way in self.ways)


@immutable_by_name
class Peer:
    """The client of a session, as far as a transaction needs to know it."""

    session_id: str
    address: str
    listener: str
    helo: bytes
    protocol: str
    rule: ClientRule
