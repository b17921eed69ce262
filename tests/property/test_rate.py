"""Laws of the rate: whatever is sent when, never more recipients than agreed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relay.upstream.rate import TokenBucket

RATES = st.sampled_from([0.1, 1.0, 14.0, 333.3])
# After so many seconds, a transaction of so many recipients; 0: it ends without any.
ARRIVALS = st.lists(
    st.tuples(st.floats(0, 20, allow_nan=False), st.integers(0, 20)), min_size=1, max_size=60
)


@given(rate=RATES, burst=st.integers(1, 20), arrivals=ARRIVALS)
def test_a_transaction_begins_only_within_the_rate(
    rate: float, burst: int, arrivals: list[tuple[float, int]]
) -> None:
    """At each begin: recipients so far, this one included ≤ burst + rate · time."""
    bucket = TokenBucket(rate, burst=burst)
    now, sent, first_at = 0.0, 0, None
    for pause, recipients in arrivals:
        now += pause
        now += bucket.seconds_until_ready(now)
        first_at = now if first_at is None else first_at
        assert bucket.is_ready(now)
        assert sent + 1 <= burst + rate * (now - first_at) + 1e-6
        bucket.begin(now)
        bucket.spend(recipients, now)
        bucket.ended(0)
        sent += recipients


@given(rate=RATES, burst=st.integers(1, 20), arrivals=ARRIVALS)
def test_the_debt_is_exact(rate: float, burst: int, arrivals: list[tuple[float, int]]) -> None:
    """What is in the bucket is what came in, less each recipient once; never over the burst."""
    bucket = TokenBucket(rate, burst=burst)
    now, expected = 0.0, float(burst)
    for pause, recipients in arrivals:
        now += pause
        expected = min(float(burst), expected + pause * rate)
        bucket.begin(now)
        bucket.spend(recipients + 1, now)
        expected -= recipients + 1
        assert abs(bucket.tokens(now) - expected) < 1e-6


@given(burst=st.integers(1, 10), together=st.integers(1, 30), rate=RATES, later=st.floats(0, 5))
def test_those_who_come_together_do_not_count_on_the_same_tokens(
    burst: int, together: int, rate: float, later: float
) -> None:
    """Begun before any recipient is sent: no more than the bucket holds, one each."""
    bucket = TokenBucket(rate, burst=burst)
    begun = 0
    while begun < together and bucket.is_ready(0.0):
        bucket.begin(0.0)
        begun += 1
    assert begun == min(burst, together)
    bucket.spend(begun, later)
    assert bucket.tokens(later) <= min(burst, burst - begun + rate * later) + 1e-6
