"""What happened lately: the last transactions, and how those of the last hour ended. No IO."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from typing import Final

from relay.core.events import Event, Outcome, TransactionEnded
from relay.core.status import Minute, TransactionStatus

MINUTES: Final = 60
_MINUTE_SECONDS: Final = 60
_KINDS: Final = tuple(name for name in Minute.__dataclass_fields__ if name != "at")


class Recent:
    """The last transactions and minutes of one process."""

    def __init__(self, max_transactions: int, *, now: Callable[[], float]) -> None:
        """Nothing happened yet.

        Args:
            max_transactions: how many are kept.
            now: seconds since 1970.
        """
        self._now = now
        self._ended: deque[tuple[float, TransactionEnded]] = deque(maxlen=max_transactions)
        self._minutes: dict[int, dict[str, int]] = {}  # by the minute's number since 1970

    def emit(self, event: Event) -> None:
        """Take note of a transaction that has ended; other events pass by."""
        if not isinstance(event, TransactionEnded):
            return
        now = self._now()
        self._ended.append((now, event))
        minute = int(now // _MINUTE_SECONDS)
        counts = self._minutes.get(minute)
        if counts is None:
            counts = self._minutes[minute] = dict.fromkeys(_KINDS, 0)
            for old in [m for m in self._minutes if m <= minute - MINUTES]:
                del self._minutes[old]
        counts[_kind(event)] += 1

    def minutes(self) -> tuple[Minute, ...]:
        """The last hour, the oldest minute first, without gaps."""
        this = int(self._now() // _MINUTE_SECONDS)
        numbers = range(this - MINUTES + 1, this + 1)
        return tuple(Minute(at=n * _MINUTE_SECONDS, **self._minutes.get(n, {})) for n in numbers)

    def transactions(self) -> tuple[TransactionStatus, ...]:
        """The last ones, the newest first."""
        return tuple(_transaction(at, ended) for at, ended in reversed(self._ended))


def _kind(ended: TransactionEnded) -> str:
    match ended.outcome:
        case Outcome.RELAYED:
            return "signed" if ended.signatures else "unsigned"
        case Outcome.REJECTED:
            return "refused"
        case Outcome.DEFERRED | Outcome.ABANDONED:
            return "deferred"
        case Outcome.UNKNOWN:
            return "unknown"


def _transaction(at: float, ended: TransactionEnded) -> TransactionStatus:
    return TransactionStatus(
        at=at,
        outcome=ended.outcome.value,
        queue_id=ended.queue_id,
        client=ended.client,
        mail_from=ended.mail_from,
        from_address=ended.from_address,
        rcpt_to=ended.rcpt_to,
        signatures=ended.signatures,
        upstream=ended.upstream,
        reply=ended.reply,
        reason=ended.reason.value if ended.reason else "",
        size_octets=ended.size_octets,
        total_seconds=ended.total_seconds,
    )


def counted(minute: Minute) -> dict[str, int]:
    """The counts of a minute by their names."""
    return {name: count for name, count in asdict(minute).items() if name != "at"}
