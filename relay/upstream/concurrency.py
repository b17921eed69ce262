"""How many transactions an upstream bears at once: it says so by throttling. Pure.

Additive increase, multiplicative decrease, as TCP finds its window: a throttling reply halves
the limit, and it grows by one when as many messages as it permits were taken while all of it was
in use.

A cut shows only in messages that are begun after it. So there is one cut per round: until as
many transactions have ended as were in flight, throttling replies are what the first one said.

What counts as throttling is strict, because greylisting or a full mailbox does not pass by
sending more slowly:

* 421 and 454, whatever they say; but not 421 4.4.2, by which a server closes what was idle
* 450, 451 and 452 with the status 4.3.2 (system not accepting messages), 4.4.5 (system
  congestion) or 4.7.28 (mail flood detected); RFC 3463 §3.4 and §3.5, RFC 7372's registry
* 450, 451 and 452 whose text speaks of a rate, of throttling, of too many or too fast, or of a
  busy server; but not 4.2.z, which is about one mailbox, nor 4.5.3, too many recipients
"""

from __future__ import annotations

import re

from relay.core.reply import Reply

ALWAYS = frozenset({421, 454})
PERHAPS = frozenset({450, 451, 452})
IDLE_TOO_LONG = "4.4.2"
LEAST = 2  # the limit is not cut below: one transaction that hangs must not hold up all others
STATUSES = frozenset({"4.3.2", "4.4.5", "4.7.28"})
ABOUT_RECIPIENTS = re.compile(r"4\.2\.|4\.5\.3\Z")
WORDS = re.compile(
    r"\brates?\b|\brate-?limit|\bthrottl|\btoo (?:many|much|fast|frequent)|\bslow down\b"
    r"|\bserver (?:is )?(?:too )?busy\b",
    re.IGNORECASE,
)


def is_throttling(reply: Reply) -> bool:
    """Whether a reply says that fewer or slower messages would be taken; see the module."""
    if reply.code in ALWAYS:
        return not (reply.code == 421 and reply.enhanced == IDLE_TOO_LONG)
    if reply.code not in PERHAPS:
        return False
    status = reply.enhanced
    if status in STATUSES:
        return True
    return not ABOUT_RECIPIENTS.match(status) and WORDS.search(reply.text) is not None


class Concurrency:
    """The limit on transactions at the same time.

    Args:
        maximum: never more than this; the limit at first.

    Attributes:
        allowed: how many may be in flight now, from `LEAST` to the maximum.
    """

    __slots__ = ("_least", "_left_in_round", "_maximum", "_taken", "allowed")

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._least = min(LEAST, maximum)
        self._taken = 0  # since the last change
        self._left_in_round = 0
        self.allowed = maximum

    def throttled(self, in_flight: int) -> bool:
        """The hop throttles.

        Args:
            in_flight: transactions under way, the one that heard it included.

        Returns:
            Whether the limit was cut for it; else it was already in this round.
        """
        if self._left_in_round:
            return False
        self._left_in_round = in_flight
        # What is not in use was not shown to be borne: half of that would change nothing.
        self.allowed = max(self._least, min(self.allowed, in_flight) // 2)
        self._taken = 0
        return True

    def taken(self, in_flight: int) -> None:
        """The hop has taken a message; call it before `ended`.

        Args:
            in_flight: transactions under way, this one included.
        """
        if self.allowed < self._maximum and in_flight >= self.allowed:
            self._taken += 1
            if self._taken >= self.allowed:
                self.allowed += 1
                self._taken = 0

    def ended(self) -> None:
        """A transaction is over, whatever came of it."""
        if self._left_in_round:
            self._left_in_round -= 1
