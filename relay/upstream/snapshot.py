"""How a pool stands at one moment, for logs and metrics. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from relay.upstream.breaker import State


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSnapshot:
    """How many connections are in which state, and how many transactions wait for one.

    Attributes:
        idle: ready, unused.
        busy: in a transaction, or in an RSET or QUIT after one.
        opening: not ready yet.
        waiting: transactions in the queue.
        allowed: transactions at the same time, as far as the hop bears them now.
        breaker: whether the hop is left alone because no connection could be opened.
    """

    idle: int
    busy: int
    opening: int
    waiting: int
    allowed: int = field(default=0, compare=False)  # what the hop bears, not what the pool holds
    breaker: State = field(default=State.CLOSED, compare=False)
