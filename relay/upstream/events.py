"""What happened to connections to an upstream: one fact each, for logs and metrics. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Happened(StrEnum):
    """What an event says; the value is the event's name in logs.

    Attributes:
        OPENED: a connection is ready for transactions.
        FAILED: a connection could not be opened.
        CLOSED: a connection is gone.
        REPLAYED: a kept connection was dead, and its transaction begins anew on another.
        DIVERTED: a transaction goes to this upstream, because those before it are of no use.
        TRIPPED: no connection can be opened; the hop is left alone.
        PROBING: it was left alone, and is tried.
        RESTORED: it can be reached again.
        THROTTLED: it asks for less: fewer transactions at once, or no new connections.
        RELOADED: a file with a secret or certificates has changed, and what it has is in use.
        OUTDATED: such a file cannot be used, and what was in it before stays in use.
    """

    OPENED = "upstream.opened"
    FAILED = "upstream.failed"
    CLOSED = "upstream.closed"
    REPLAYED = "upstream.replayed"
    DIVERTED = "upstream.diverted"
    TRIPPED = "upstream.tripped"
    PROBING = "upstream.probing"
    RESTORED = "upstream.restored"
    THROTTLED = "upstream.throttled"
    RELOADED = "upstream.reloaded"
    OUTDATED = "upstream.outdated"


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


class Tell(Protocol):
    """Hears what happened to one upstream; see `UpstreamEvent`."""

    def __call__(
        self, happened: Happened, detail: str, *, seconds: float = 0.0, transactions: int = 0
    ) -> None:
        """It happened."""


def teller(upstream: str, emit: Callable[[UpstreamEvent], None]) -> Tell:
    """What tells of one upstream."""

    def tell(
        happened: Happened, detail: str, *, seconds: float = 0.0, transactions: int = 0
    ) -> None:
        emit(
            UpstreamEvent(
                happened=happened,
                upstream=upstream,
                detail=detail,
                seconds=seconds,
                transactions=transactions,
            )
        )

    return tell


def file_teller(
    upstream: str, emit: Callable[[UpstreamEvent], None]
) -> Callable[[str, bool], None]:
    """What tells of changed files: a text, and whether what they have now is in use."""

    def told(text: str, is_taken: bool) -> None:
        happened = Happened.RELOADED if is_taken else Happened.OUTDATED
        emit(UpstreamEvent(happened=happened, upstream=upstream, detail=text))

    return told
