"""The rotation of domains as points in time, from their journals and what is due. IO."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from relay.core.status import Milestone
from relay.keyring.folder import folders_by_domain
from relay.rotation.journal import JOURNAL, Journal, read_journal
from relay.rotation.plan import Facts, Policy, State, Waits, dues, entry_of

NO_JOURNAL = Journal()
_TO_COME = {
    Waits.PUBLISH: "its record is to be published",
    Waits.DNS: "its record is not seen everywhere yet",
    Waits.RETIRE: "can be ended",
    Waits.ROTATE: "is to be replaced",
}
# Whoever waits for DNS has nothing to do but to look there.
_FOR_SOMEBODY = (Waits.PUBLISH, Waits.RETIRE, Waits.ROTATE)


class Journals:
    """The journals of domains, read again when they change."""

    def __init__(self) -> None:
        """None is read yet."""
        self._read: dict[str, tuple[tuple[int, ...], Journal]] = {}

    def read(self, keys_dir: Path, domains: Iterable[str]) -> dict[str, Journal]:
        """The journals of those domains that have one; for a thread.

        Args:
            keys_dir: the folder with DOMAIN/.
            domains: in A-labels; what is known of others is forgotten.
        """
        read = {}
        for domain, folder in folders_by_domain(keys_dir, domains).items():
            if (found := self._one(domain, folder)) is not None:
                read[domain] = found
        self._read = read
        return {domain: journal for domain, (_, journal) in read.items()}

    def _one(self, domain: str, folder: Path) -> tuple[tuple[int, ...], Journal] | None:
        try:
            status = os.stat(folder / JOURNAL)
        except OSError:
            return None
        seen = (status.st_ino, status.st_mtime_ns)
        known = self._read.get(domain)
        return known if known is not None and known[0] == seen else (seen, read_journal(folder)[0])


@dataclass(frozen=True, slots=True)
class Course:
    """The course of a domain's rotation.

    Attributes:
        milestones: the earliest first.
        rotate_at: when a key is due to be replaced, by selector.
        made_at: when a key was made, by selector.
    """

    milestones: tuple[Milestone, ...]
    rotate_at: Mapping[str, float]
    made_at: Mapping[str, float]


def course_of(facts: Facts, journal: Journal, policy: Policy, now: float) -> Course:
    """What was and what is to come. Pure.

    Args:
        facts: the keys of a domain, the preferred first.
        journal: what is remembered of it.
        policy: what the settings say about it.
        now: seconds since 1970.
    """
    state = State(facts, frozenset(key.selector for key in facts), journal)
    to_come = dues(state, policy)
    milestones = [
        *_past(facts, journal),
        *(
            Milestone(
                at=due.at_seconds,
                selector=due.selector,
                what=_TO_COME[due.waits],
                is_due=due.waits in _FOR_SOMEBODY and due.at_seconds <= now,
            )
            for due in to_come
        ),
    ]
    return Course(
        tuple(sorted(milestones, key=lambda m: m.at)),
        {due.selector: due.at_seconds for due in to_come if due.waits is Waits.ROTATE},
        {key.selector: entry_of(key, journal).made_at or key.made_at for key in facts},
    )


def _past(facts: Facts, journal: Journal) -> Iterator[Milestone]:
    for key in facts:
        entry = entry_of(key, journal)
        stamps = (
            (entry.made_at, "made"),
            (entry.published_at, "its record was published"),
            (entry.in_use_at, "in use since"),
            (entry.superseded_at, "superseded"),
        )
        for at, what in stamps:
            if at is not None:
                yield Milestone(at=at, selector=key.selector, what=what)
    for entry in journal.past:
        if entry.retired_at is not None:
            yield Milestone(at=entry.retired_at, selector=entry.selector, what="ended")
