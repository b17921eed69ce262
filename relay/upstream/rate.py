"""How many recipients an upstream is given per second: a bucket of tokens. Pure.

A recipient costs a token, since that is what providers count (SES). Recipients come one by one
and are not made to wait, so the bucket may fall below zero; a transaction is begun only when
there is a whole token, and one that finds debt waits until it is paid. At each begin therefore:
recipients so far, this one included ≤ burst + rate · time.
"""

from __future__ import annotations

from math import inf

ALMOST_ONE = 1 - 1e-9  # floating point must not make a waiter wake up a moment too early, twice


class TokenBucket:
    """Tokens that come at a rate and are kept up to a number.

    Args:
        rate_per_second: tokens a second; 0: there is no limit.
        burst: tokens at most, and at first; at least 1.

    `now` is in seconds, by any clock that does not go back.
    """

    __slots__ = ("_burst", "_paid", "_rate", "_tokens", "_updated_at")

    def __init__(self, rate_per_second: float, *, burst: float) -> None:
        self._rate = rate_per_second
        self._burst = burst
        self._tokens = burst
        self._paid = 0  # tokens of transactions that have not given a recipient yet
        self._updated_at = -inf

    def is_ready(self, now: float) -> bool:
        """Whether a transaction may begin."""
        return not self._rate or self.tokens(now) >= ALMOST_ONE

    def seconds_until_ready(self, now: float) -> float:
        """How long until a transaction may begin, if none does meanwhile; 0: now."""
        return 0.0 if self.is_ready(now) else (1 - self._tokens) / self._rate

    def tokens(self, now: float) -> float:
        """What is in the bucket; below 0: the debt."""
        grown = self._tokens + (now - self._updated_at) * self._rate
        self._tokens = min(self._burst, grown)
        self._updated_at = now
        return self._tokens

    def begin(self, now: float) -> None:
        """Pay for the first recipient of a transaction, so that no other one counts on it."""
        if self._rate:
            self._tokens = self.tokens(now) - 1
            self._paid += 1

    def spend(self, recipients: int, now: float) -> None:
        """Pay for recipients, the first of each transaction included."""
        if self._rate:
            paid = min(recipients, self._paid)
            self._paid -= paid
            self._tokens = self.tokens(now) - (recipients - paid)

    def refund(self) -> None:
        """Take back a `begin` that came to nothing."""
        if self._paid:
            self._paid -= 1
            self._tokens = min(self._burst, self._tokens + 1)

    def ended(self, still_begun: int) -> None:
        """A transaction is over; what it had paid for and not used is lost.

        Args:
            still_begun: transactions that are not over.
        """
        self._paid = min(self._paid, still_begun)
