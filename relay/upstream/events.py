"""What happened to connections to an upstream: one fact each, for logs and metrics. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Happened(StrEnum):
    """What an event says; the value is the event's name in logs.

    Attributes:
        OPENED: a connection is ready for transactions.
        FAILED: a connection could not be opened.
        CLOSED: a connection is gone.
        REPLAYED: a kept connection was dead, and its transaction begins anew on another.
    """

    OPENED = "upstream.opened"
    FAILED = "upstream.failed"
    CLOSED = "upstream.closed"
    REPLAYED = "upstream.replayed"


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamEvent:
    """One fact about one connection.

    Attributes:
        happened: what.
        upstream: the upstream's name.
        detail: how it is secured (opened), or why (all others); free of secrets.
        seconds: how long opening took (opened, failed), or how long it was open (closed).
        transactions: how many the connection carried (closed).
    """

    happened: Happened
    upstream: str
    detail: str
    seconds: float = 0.0
    transactions: int = 0
