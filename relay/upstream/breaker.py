"""When to leave a hop alone that cannot be reached: a circuit breaker. Pure.

It is closed while connections can be opened, and trips after a number of failures in a row;
then every message fails at once, which lets it go to another upstream. After a time it is half
open: one attempt is made. Success closes it, failure doubles the time. A refused login counts
like an unreachable host, so that a wrong password does not hammer the server either.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from relay.upstream.rejections import Unusable


class Backoff:
    """Times that double, up to a cap, and are scattered so that peers do not come together.

    Args:
        first_seconds: the first one, before it is scattered.
        cap_seconds: the longest one.
        jitter: a number from 0 to 1, each time another; 1 gives the whole time, 0 half of it.
    """

    __slots__ = ("_cap", "_first", "_jitter", "_next")

    def __init__(
        self, first_seconds: float, *, cap_seconds: float, jitter: Callable[[], float]
    ) -> None:
        self._first = self._next = min(first_seconds, cap_seconds)
        self._cap = cap_seconds
        self._jitter = jitter

    def next_seconds(self) -> float:
        """The time to wait now; the next one is twice as long."""
        seconds, self._next = self._next, min(self._cap, 2 * self._next)
        return seconds * (0.5 + 0.5 * self._jitter())

    def reset(self) -> None:
        """Begin with the first one again."""
        self._next = self._first


class Pause:
    """A time without something, longer when it is asked for again soon.

    Args:
        backoff: how long.

    Attributes:
        until: when it is over; in the past: there is none.
    """

    __slots__ = ("_backoff", "_forget_at", "until")

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self._forget_at = float("-inf")
        self.until = float("-inf")

    def begin(self, now: float) -> float:
        """Pause, unless it does already.

        Returns:
            How long from now it lasts, in seconds.
        """
        if now < self.until:
            return self.until - now
        if now > self._forget_at:
            self._backoff.reset()
        seconds = self._backoff.next_seconds()
        self.until = now + seconds
        # Once as much time has passed again, it is another story.
        self._forget_at = self.until + seconds
        return seconds


class State(StrEnum):
    """What a breaker lets through."""

    CLOSED = "closed"  # everything
    OPEN = "open"  # nothing
    PROBING = "probing"  # one attempt is under way: half open


class Breaker:
    """See the module.

    Args:
        hop: for people.
        failures: in a row, after which it trips.
        backoff: how long it stays open.

    Attributes:
        state: what is let through.
        probe_at: when an attempt may be made, while it is open.
    """

    __slots__ = ("_backoff", "_failures", "_hop", "_last", "_tolerated", "probe_at", "state")

    def __init__(self, hop: str, *, failures: int, backoff: Backoff) -> None:
        self._hop = hop
        self._tolerated = failures
        self._backoff = backoff
        self._failures = 0
        self._last: Unusable | None = None
        self.state = State.CLOSED
        self.probe_at = float("-inf")

    def refusal(self, now: float, *, may_probe: bool) -> Unusable | None:
        """Why no connection may be opened; None: one may.

        Args:
            now: by the same clock as ever.
            may_probe: whether the caller would make the attempt itself, when it is time.
        """
        if self.state is State.CLOSED or self._last is None:
            return None
        is_time = self.state is State.OPEN and now >= self.probe_at
        if is_time and may_probe:
            return None
        is_due = is_time or self.state is State.PROBING
        when = "now" if is_due else f"in {self.probe_at - now:.1f} s"
        detail = f"{self._hop}: left alone, tried again {when}; at last: {self._last.detail}"
        return Unusable(self._last.reply, detail)

    def attempt(self) -> bool:
        """A connection is being opened.

        Returns:
            Whether that is the probe.
        """
        if self.state is not State.OPEN:
            return False
        self.state = State.PROBING
        return True

    def failed(
        self, rejection: Unusable, now: float, *, is_probe: bool, is_final: bool = False
    ) -> bool:
        """An attempt has failed.

        Args:
            rejection: why.
            now: by the same clock as ever.
            is_probe: what `attempt` said.
            is_final: whether one failure is enough, because the hop asks to be left alone.

        Returns:
            Whether it has tripped by that; not when a probe failed.
        """
        if self.state is not State.CLOSED and not is_probe:
            return False  # an attempt from before: nothing new
        self._last = rejection
        self._failures += 1
        was_probing = self.state is State.PROBING
        if not (was_probing or is_final or self._failures >= self._tolerated):
            return False
        self.state = State.OPEN
        self.probe_at = now + self._backoff.next_seconds()
        return not was_probing

    def given_up(self, now: float) -> None:
        """The probe ended without a result; the next one may be made at once."""
        if self.state is State.PROBING:
            self.state = State.OPEN
            self.probe_at = now

    def succeeded(self) -> bool:
        """A connection was opened, or one that stands has done its work.

        Returns:
            Whether the breaker was not closed before.
        """
        if not self._failures:
            return False
        was_tripped = self.state is not State.CLOSED
        self.state = State.CLOSED
        self._failures = 0
        self._last = None
        self._backoff.reset()
        return was_tripped
