"""What counts as throttling, and how the limit follows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.reply import Reply
from relay.upstream.concurrency import Concurrency, is_throttling


def said(line: str) -> Reply:
    """A reply of one line."""
    return Reply(int(line[:3]), (line[4:].encode(),))


@pytest.mark.parametrize(
    "line",
    [
        "454 Throttling failure: Maximum sending rate exceeded.",
        "454 4.7.0 Later",
        "421 4.7.0 Too many",
        "421 4.3.2 Going down",
        "421",
        "450 4.7.1 Error: too much mail from 192.0.2.1",
        "451 4.3.2 Please try again later",
        "452 4.4.5 Congestion",
        "450 4.7.28 Unusual",
        "451 4.7.500 Server busy. Please try again later",
        "452 4.3.1 Rate limit hit",
        "450 4.7.0 ratelimited? no: rate-limited",
        "450 you send too fast",
    ],
)
def test_throttling(line: str) -> None:
    """By code, by status, or by what it says."""
    assert is_throttling(said(line))


@pytest.mark.parametrize(
    "line",
    [
        "250 2.0.0 Your rate is fine",
        "354 go",
        "421 4.4.2 mx.test Idle for too long",
        "450 4.7.1 Greylisted, come back in 300 s",
        "450 4.2.1 The user receives mail at a rate that is too high",
        "452 4.2.2 Mailbox full",
        "452 4.5.3 Too many recipients",
        "452 4.3.1 Insufficient system storage",
        "451 4.3.0 Deliberate failure",
        "550 5.7.1 Too many messages, rate exceeded",
        "552 5.2.2 throttled for ever",
    ],
)
def test_not_throttling(line: str) -> None:
    """Patience of another kind, another matter, or final."""
    assert not is_throttling(said(line))


def test_throttling_halves_what_is_in_use() -> None:
    """Half of a limit that nobody reaches would change nothing."""
    limit = Concurrency(50)
    assert limit.throttled(8)
    assert limit.allowed == 4


def test_one_cut_in_a_round() -> None:
    """What was in flight at the cut does not cut again; what came after it does."""
    limit = Concurrency(16)
    assert limit.throttled(16)
    for left in range(16, 0, -1):
        assert not limit.throttled(left)
        limit.ended()
    assert limit.allowed == 8
    assert limit.throttled(8)
    assert limit.allowed == 4


@pytest.mark.parametrize(("maximum", "least"), [(4, 2), (2, 2), (1, 1)])
def test_never_below_two(maximum: int, least: int) -> None:
    """One that hangs must not hold up all others, unless no more than one is allowed anyway."""
    limit = Concurrency(maximum)
    for _ in range(10):
        assert limit.throttled(1)
        limit.ended()
    assert limit.allowed == least


def test_it_grows_by_one_when_as_many_messages_were_taken() -> None:
    """From 2: one more after 2, another after 3 more, and so on; up to the maximum."""
    limit = Concurrency(5)
    limit.throttled(1)
    limit.ended()
    taken, seen = 0, []
    while limit.allowed < 5:
        before = limit.allowed
        limit.taken(before)
        taken += 1
        if limit.allowed > before:
            seen.append(taken)
    assert seen == [2, 5, 9]
    limit.taken(5)
    assert limit.allowed == 5


def test_it_grows_only_when_it_is_reached() -> None:
    """A limit that is not in use is not shown to be too low."""
    limit = Concurrency(10)
    limit.throttled(8)
    for _ in range(100):
        limit.taken(3)
        limit.ended()
    assert limit.allowed == 4


@given(st.integers(1, 40), st.lists(st.sampled_from(["taken", "throttled", "ended"])))
def test_it_stays_between_one_and_the_maximum(maximum: int, happened: list[str]) -> None:
    """In whatever order things happen; growth is by at most one, cuts never raise it."""
    limit = Concurrency(maximum)
    for what in happened:
        before = limit.allowed
        if what == "taken":
            limit.taken(before)
            assert before <= limit.allowed <= before + 1
        elif what == "throttled":
            limit.throttled(before)
            assert limit.allowed <= before
        else:
            limit.ended()
        assert 1 <= limit.allowed <= maximum
