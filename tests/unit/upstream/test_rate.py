"""The bucket of tokens."""

from __future__ import annotations

import pytest

from relay.upstream.rate import TokenBucket


def test_it_begins_full_and_fills_no_further() -> None:
    """The burst is there at first, and after any time."""
    bucket = TokenBucket(2, burst=3)
    assert bucket.tokens(10.0) == 3
    assert bucket.tokens(1e9) == 3


def test_a_transaction_waits_for_a_whole_token() -> None:
    """And is told how long, to the moment."""
    bucket = TokenBucket(2, burst=1)
    bucket.begin(0.0)
    assert not bucket.is_ready(0.25)
    assert bucket.seconds_until_ready(0.25) == pytest.approx(0.25)
    assert bucket.is_ready(0.5)
    assert bucket.seconds_until_ready(0.5) == 0


def test_the_first_recipient_is_paid_for_at_the_begin() -> None:
    """So that two transactions do not count on the same token."""
    bucket = TokenBucket(1, burst=2)
    bucket.begin(0.0)
    bucket.begin(0.0)
    assert not bucket.is_ready(0.0)
    bucket.spend(1, 0.0)
    bucket.spend(1, 0.0)
    assert bucket.tokens(0.0) == 0
    bucket.spend(1, 0.0)
    assert bucket.tokens(0.0) == -1


def test_debt_is_paid_before_the_next_begins() -> None:
    """Ten recipients out of a bucket of two: eight in debt."""
    bucket = TokenBucket(4, burst=2)
    bucket.begin(0.0)
    bucket.spend(10, 0.0)
    assert bucket.tokens(0.0) == -8
    assert bucket.seconds_until_ready(0.0) == pytest.approx(9 / 4)


def test_a_begin_that_came_to_nothing_costs_nothing() -> None:
    """No connection was to be had; and there is nothing to take back twice."""
    bucket = TokenBucket(1, burst=1)
    bucket.begin(0.0)
    bucket.refund()
    bucket.refund()
    assert bucket.tokens(0.0) == 1


def test_what_was_paid_and_not_used_is_nobodys_credit() -> None:
    """A transaction ended without a recipient: later ones pay in full."""
    bucket = TokenBucket(1, burst=2)
    bucket.begin(0.0)
    bucket.ended(0)
    bucket.begin(1.0)
    bucket.spend(2, 1.0)
    assert bucket.tokens(1.0) == 0


def test_without_a_rate_there_is_no_limit() -> None:
    """Nothing is counted."""
    bucket = TokenBucket(0, burst=1)
    bucket.begin(0.0)
    bucket.spend(1000, 0.0)
    assert bucket.is_ready(0.0)
    assert bucket.seconds_until_ready(0.0) == 0
