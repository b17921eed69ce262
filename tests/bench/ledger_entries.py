"""Each message of a ledger, what its client was told, and what was stored. See `ledger`. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from relay.upstream import rejections

UNKNOWN = rejections.outcome_unknown("").reply.wire().removesuffix(b"\r\n")


@dataclass
class Entry:
    """One message.

    Attributes:
        replies: the last word on each attempt: a reply, or nothing where the connection ended.
        copies: how many the smarthost has stored.
    """

    replies: list[bytes] = field(default_factory=list)
    copies: int = 0

    @property
    def was_accepted(self) -> bool:
        """Whether the client heard 250."""
        return self.replies[-1].startswith(b"2")

    @property
    def unknown(self) -> int:
        """How often the client heard that the outcome is not known."""
        return self.replies.count(UNKNOWN)

    @property
    def is_lost(self) -> bool:
        """Whether the client heard 250, and nothing is stored."""
        return self.was_accepted and not self.copies

    @property
    def unexplained(self) -> int:
        """How many copies there are that no reply accounts for."""
        return max(0, self.copies - self.was_accepted - self.unknown)


@dataclass
class Ledger:
    """All messages, and what happened on the way.

    Attributes:
        entries: by number.
        faults: (stage, fault) → how often.
        endings: reasons why the relay did not relay.
        unsigned: messages stored without a signature of ours, or with a bad one.
        unclosed: sessions at the smarthost that outlived the relay.
        unfinished: tasks that did.
    """

    entries: list[Entry]
    faults: Counter[tuple[str, str]] = field(default_factory=Counter)
    endings: Counter[str] = field(default_factory=Counter)
    unsigned: int = 0
    unclosed: int = 0
    unfinished: int = 0

    @property
    def lost(self) -> int:
        """Messages answered 250 and not stored."""
        return sum(entry.is_lost for entry in self.entries)

    @property
    def unexplained(self) -> int:
        """Copies that no reply accounts for."""
        return sum(entry.unexplained for entry in self.entries)

    @property
    def duplicates(self) -> int:
        """Copies beyond the first."""
        return sum(max(0, entry.copies - 1) for entry in self.entries)

    @property
    def is_right(self) -> bool:
        """Whether everything is as it has to be."""
        return not (
            self.lost or self.unexplained or self.unsigned or self.unclosed or self.unfinished
        )

    def table(self) -> str:
        """For people."""
        entries = self.entries
        replies = Counter(_label(reply) for entry in entries for reply in entry.replies)
        rows: list[tuple[str, int]] = [
            ("messages", len(entries)),
            ("  accepted in the end", sum(entry.was_accepted for entry in entries)),
            ("  refused for good", sum(not entry.was_accepted for entry in entries)),
            ("attempts", sum(replies.values())),
            *((f"  {label}", count) for label, count in replies.most_common()),
            ("faults of the smarthost", self.faults.total()),
            *((f"  {stage}: {fault}", n) for (stage, fault), n in sorted(self.faults.items())),
            *((f"relay: {reason}", n) for reason, n in self.endings.most_common()),
            ("copies stored", sum(entry.copies for entry in entries)),
            ("duplicates", self.duplicates),
            ("  of messages with an unknown outcome", self.duplicates - self.unexplained),
            ("UNEXPLAINED COPIES", self.unexplained),
            ("LOST", self.lost),
            ("UNSIGNED", self.unsigned),
            ("CONNECTIONS LEFT", self.unclosed),
            ("TASKS LEFT", self.unfinished),
        ]
        return "\n".join(f"{label:44}{count:8}" for label, count in rows)


def _label(reply: bytes) -> str:
    if reply.startswith(b"2"):
        return reply[:3].decode("ascii")
    return reply.decode("utf-8", "replace")[:40] or "the connection ended"
