"""What speaks against one more transaction, or one more connection, to an upstream. Pure.

Four reasons, each with a module or class of its own: the rate that is agreed (`rate`), what the
hop bears at once (`concurrency`), a pause after 421 or 454, and a hop that is left alone because
it cannot be reached (`breaker`). Connections that stand may be used in spite of the last two.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from relay.core.reply import Reply
from relay.upstream.breaker import Backoff, Breaker, Pause, State
from relay.upstream.command import CLOSING
from relay.upstream.concurrency import ALWAYS, Concurrency, is_throttling
from relay.upstream.events import Happened
from relay.upstream.rate import TokenBucket
from relay.upstream.rejections import Unusable
from relay.upstream.settings import UpstreamSettings

BREAKER_CAP_SECONDS = 60.0
PAUSE_CAP_SECONDS = 30.0


class Restraint:
    """See the module. `now` is the loop's clock throughout.

    Args:
        settings: of the upstream.
        tell: hears what happened, and why.
        jitter: see `Backoff`.

    Attributes:
        is_tended: whether somebody else than a waiting transaction makes the probes.
    """

    def __init__(
        self,
        settings: UpstreamSettings,
        *,
        tell: Callable[[Happened, str], None],
        jitter: Callable[[], float],
    ) -> None:
        rate = settings.rate_per_second
        self._settings = settings
        self._tell = tell
        self._bucket = TokenBucket(rate, burst=settings.rate_burst or max(1.0, rate))
        self._concurrency = Concurrency(settings.max_connections)
        pause = Backoff(settings.backoff_seconds, cap_seconds=PAUSE_CAP_SECONDS, jitter=jitter)
        self._pause = Pause(pause)
        self._breaker = Breaker(
            settings.hop,
            failures=settings.breaker_failures,
            backoff=Backoff(
                settings.breaker_seconds, cap_seconds=BREAKER_CAP_SECONDS, jitter=jitter
            ),
        )
        self.is_tended = False

    @property
    def state(self) -> State:
        """Of the breaker."""
        return self._breaker.state

    @property
    def allowed(self) -> int:
        """How many transactions may be in flight."""
        return self._concurrency.allowed

    # May one more?

    def permits(self, in_flight: int, now: float, *, is_begun: bool) -> bool:
        """Whether a transaction may begin.

        Args:
            in_flight: those that are under way.
            now: the loop's clock.
            is_begun: whether it has begun before; then its recipients are paid for.
        """
        return in_flight < self._concurrency.allowed and (is_begun or self._bucket.is_ready(now))

    def refusal(self, now: float) -> Unusable | None:
        """Why no connection may be opened before the hop is found to live again."""
        return self._breaker.refusal(now, may_probe=not self.is_tended)

    def may_open(self, now: float) -> bool:
        """Whether there is no pause."""
        return now >= self._pause.until

    def opening_at(self, now: float) -> float:
        """When somebody who tends connections may open one; infinite: not foreseen."""
        match self._breaker.state:
            case State.CLOSED:
                return max(now, self._pause.until)
            case State.OPEN:
                return self._breaker.probe_at
            case State.PROBING:
                return inf

    def changes_at(self, now: float, *, is_begun: bool) -> float:
        """When the answers of `permits` and `may_open` may differ by time alone, at the earliest.

        Args:
            now: the loop's clock.
            is_begun: see `permits`.
        """
        seconds = 0.0 if is_begun else self._bucket.seconds_until_ready(now)
        changes = (now + seconds, self._pause.until)
        return min((change for change in changes if change > now), default=inf)

    def hindrance(self, now: float) -> str:
        """What a transaction has been waiting for, for people."""
        if not self._bucket.is_ready(now):
            return f"the rate of {self._settings.rate_per_second:g} recipients/s was used up"
        if not self.may_open(now):
            return "all connections were busy, and after 421 or 454 no new one was opened"
        maximum = self._settings.max_connections
        if self.allowed < maximum:
            return f"all {self.allowed} connections that the hop bears now, of {maximum}, were busy"
        return f"all {maximum} connections were busy"

    # What happened.

    def begin(self, now: float) -> None:
        """A transaction begins."""
        self._bucket.begin(now)

    def refund(self) -> None:
        """It got no connection."""
        self._bucket.refund()

    def spend(self, recipients: int, now: float) -> None:
        """Recipients are sent."""
        self._bucket.spend(recipients, now)

    def ended(self, in_flight: int, *, is_taken: bool) -> None:
        """A transaction is over.

        Args:
            in_flight: those under way, this one included.
            is_taken: whether the hop has the message.
        """
        if is_taken:
            self._concurrency.taken(in_flight)
            self.succeeded()
        self._concurrency.ended()
        if self._settings.rate_per_second:
            self._bucket.ended(in_flight - 1)

    def observe(self, reply: Reply, in_flight: int, now: float) -> None:
        """The hop has replied to MAIL, DATA or the message, or has said 421 to anything.

        Args:
            reply: what it said.
            in_flight: transactions under way.
            now: the loop's clock.
        """
        if reply.code < 400 or not is_throttling(reply):
            return
        is_cut = self._concurrency.throttled(max(1, in_flight))
        if reply.code in ALWAYS:
            self._hold_back(now, f"{reply}; at most {self.allowed} transactions at once")
        elif is_cut:
            self._tell(Happened.THROTTLED, f"{reply}; at most {self.allowed} transactions at once")

    def attempt(self) -> bool:
        """A connection is going to be opened; whether that is a probe."""
        is_probe = self._breaker.attempt()
        if is_probe:
            self._tell(Happened.PROBING, "one connection is tried")
        return is_probe

    def succeeded(self) -> None:
        """A connection was opened, or has served."""
        if self._breaker.succeeded():
            self._tell(Happened.RESTORED, "the hop can be reached again")

    def failed(self, why: Unusable, now: float, *, is_probe: bool, has_others: bool) -> None:
        """A connection could not be opened.

        Args:
            why: what went wrong.
            now: the loop's clock.
            is_probe: what `attempt` said.
            has_others: whether there are connections, or some are on their way: then a hop that
                says 421 lives, and only takes no more of them.
        """
        is_full = why.refusal_code == CLOSING
        if is_full and has_others and not is_probe:
            self._hold_back(now, why.detail)
        elif self._breaker.failed(why, now, is_probe=is_probe, is_final=is_full):
            seconds = self._breaker.probe_at - now
            self._tell(Happened.TRIPPED, f"left alone for {seconds:.1f} s at first: {why.detail}")

    def given_up(self, now: float, *, is_probe: bool) -> None:
        """An attempt ended without a result."""
        if is_probe:
            self._breaker.given_up(now)

    def _hold_back(self, now: float, why: str) -> None:
        """Open no connection for a while."""
        is_new = self.may_open(now)
        seconds = self._pause.begin(now)
        if is_new:
            what = f"no new connection for {seconds:.1f} s: {why}"
            self._tell(Happened.THROTTLED, what)
