"""What is known about the record of one key, and what an answer makes of it. Pure.

When a key may sign, and for how long nobody asks again: the rules that `gate` describes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from relay.core.dkim.algorithm import PublicKey
from relay.dns.everywhere import Finding
from relay.dns.judge import RecordState
from relay.dns.memory import Seen, fingerprint


@dataclass(frozen=True, slots=True)
class Pace:
    """How often records are asked for, and how long what was seen counts.

    Attributes:
        first_seconds: after the first answer that does not match; doubled each time.
        longest_seconds: the longest wait while a record does not match.
        settled_seconds: the wait once it matches.
        notice_seconds: a key that was added is noticed within this time.
        max_at_once: records asked for at the same time.
        max_per_second: records asked for again in one second; with so many keys that this does
            not suffice, the waits grow.
        grace_seconds: a match that was seen within this time counts at once after a start.
        silent_seconds: a server that does not answer holds a new key up for so long.
    """

    first_seconds: float = 2.0
    longest_seconds: float = 60.0
    settled_seconds: float = 300.0
    notice_seconds: float = 5.0
    max_at_once: int = 50
    max_per_second: int = 20
    grace_seconds: float = 7 * 86400.0
    silent_seconds: float = 3600.0

    def after(self, state: RecordState, previous_seconds: float) -> float:
        """The wait after an answer.

        Args:
            state: what the answer means.
            previous_seconds: the wait before it while nothing changed; 0 after a change.
        """
        if state is RecordState.MATCHES:
            return self.settled_seconds
        return min(max(self.first_seconds, 2 * previous_seconds), self.longest_seconds)


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known about the record of one key.

    Attributes:
        public: the key that the record was compared with.
        state: how the record stands.
        detail: symptom, cause and fix.
        is_open: whether the key may sign.
        wait_seconds: until the next question.
        remembered: the last sighting, of a time before this one was asked for.
        silent_since: when only servers that do not answer began to hold the key up.
    """

    public: PublicKey
    state: RecordState = RecordState.UNCHECKED
    detail: str = ""
    is_open: bool = False
    wait_seconds: float = 0.0
    remembered: Seen | None = None
    silent_since: float | None = None

    @classmethod
    def remembered_of(
        cls, public: PublicKey, seen: Seen | None, *, pace: Pace, now: float
    ) -> Standing:
        """What is known of a key before its record is asked for.

        Args:
            public: the key.
            seen: what was seen at the name of its record before; None for nothing.
            pace: how long that counts.
            now: seconds since 1970.
        """
        if seen is None or not seen.matches or seen.fingerprint != fingerprint(public):
            return cls(public)
        at = datetime.fromtimestamp(seen.at_seconds, UTC)
        detail = f"it matched when it was last seen, at {at:%Y-%m-%dT%H:%M:%SZ}"
        is_open = now - seen.at_seconds <= pace.grace_seconds
        return cls(public, detail=detail, is_open=is_open, remembered=seen)

    def after(self, finding: Finding, *, pace: Pace, now: float) -> Standing:
        """What is known once the record was asked for.

        Args:
            finding: what the servers say.
            pace: how long silent servers count.
            now: seconds since 1970.
        """
        state, detail, silent_since = finding.state, finding.detail, None
        if state is RecordState.MATCHES:
            is_open = True
            if finding.silent and not self.is_open:
                silent_since = now if self.silent_since is None else self.silent_since
                if now - silent_since < pace.silent_seconds:
                    state, is_open = RecordState.TEMPERROR, False
        else:
            is_open = self._stays_open(finding)
            if is_open and state is RecordState.TEMPERROR:
                detail += "; it matched when it was last seen, so the key goes on signing"
            elif is_open:
                detail += "; the key goes on signing"
        is_news = (state, is_open) != (self.state, self.is_open)
        wait = pace.after(state, 0.0 if is_news else self.wait_seconds)
        return Standing(self.public, state, detail, is_open, wait, self.remembered, silent_since)

    def differs_from(self, other: Standing) -> bool:
        """Whether there is something to say."""
        return (self.state, self.is_open) != (other.state, other.is_open)

    def sighting(self, finding: Finding, now: float) -> Seen | None:
        """What to remember of a finding after which things stand so; None where it says too little.

        Args:
            finding: what the servers said.
            now: seconds since 1970.
        """
        if finding.state is RecordState.TEMPERROR:
            return None
        matches = finding.state is RecordState.MATCHES and self.is_open
        if matches or not self.is_open:
            return Seen(fingerprint(self.public), matches, now)
        return None

    def _stays_open(self, finding: Finding) -> bool:
        """Whether a key that was verified before may go on although not all is well."""
        if finding.state is RecordState.TEMPERROR:
            # No answer says nothing about the record: what was true before stays true.
            return self.is_open or self.remembered is not None
        return self.is_open and finding.is_somewhere
