"""The states of the breaker, and the times that double."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relay.upstream.breaker import Backoff, Breaker, Pause, State
from relay.upstream.rejections import auth_failed, unreachable

REFUSED = unreachable("esp (127.0.0.1:25): refused")


def breaker(failures: int = 3, first_seconds: float = 1.0) -> Breaker:
    """A breaker without jitter, for at most 60 s."""
    backoff = Backoff(first_seconds, cap_seconds=60, jitter=lambda: 1.0)
    return Breaker("esp (127.0.0.1:25)", failures=failures, backoff=backoff)


def tripped(now: float = 100.0) -> Breaker:
    """One that has just tripped."""
    broken = breaker(failures=1)
    assert broken.failed(REFUSED, now, is_probe=False)
    return broken


def test_it_trips_after_failures_in_a_row() -> None:
    """A success in between begins the count anew."""
    one = breaker()
    assert [one.failed(REFUSED, 0, is_probe=False) for _ in range(2)] == [False, False]
    assert not one.succeeded()
    assert [one.failed(REFUSED, 0, is_probe=False) for _ in range(3)] == [False, False, True]
    assert one.state is State.OPEN


def test_what_is_said_while_it_is_open() -> None:
    """The reply of the last failure; its detail, and when it is tried again, for the log."""
    one = tripped(100.0)
    refusal = one.refusal(100.4, may_probe=True)
    assert refusal is not None
    assert refusal.reply == REFUSED.reply
    assert "tried again in 0.6 s" in refusal.detail
    assert REFUSED.detail in refusal.detail


def test_when_it_is_time_one_may_probe() -> None:
    """Only those who do it themselves; then only the first; a tended pool lets nobody."""
    one = tripped(100.0)
    assert one.refusal(101.0, may_probe=False) is not None
    assert one.refusal(101.0, may_probe=True) is None
    assert one.attempt()
    assert one.state is State.PROBING
    assert one.refusal(101.0, may_probe=True) is not None
    assert not one.attempt()


def test_a_probe_that_succeeds_closes_it() -> None:
    """And the times begin anew."""
    one = tripped(100.0)
    one.attempt()
    one.failed(REFUSED, 101.0, is_probe=True)
    assert one.probe_at == 103.0
    one.attempt()
    assert one.succeeded()
    assert (one.state, one.refusal(103.0, may_probe=True)) == (State.CLOSED, None)
    one.failed(REFUSED, 200.0, is_probe=False)
    assert one.probe_at == 201.0


def test_the_time_doubles_up_to_a_minute() -> None:
    """Each probe that fails; for a refused login as well, so that it does not hammer."""
    one, now, waits = breaker(failures=1), 0.0, []
    one.failed(auth_failed("535"), now, is_probe=False)
    for _ in range(8):
        waits.append(one.probe_at - now)
        now = one.probe_at
        assert one.attempt()
        assert not one.failed(auth_failed("535"), now, is_probe=True)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


def test_attempts_from_before_change_nothing() -> None:
    """They fail while it is open or probing: the time stays as it is."""
    one = tripped(100.0)
    assert not one.failed(REFUSED, 100.9, is_probe=False)
    assert one.probe_at == 101.0
    one.attempt()
    assert not one.failed(REFUSED, 101.0, is_probe=False)
    assert one.state is State.PROBING


def test_one_failure_is_enough_when_the_hop_asks_for_it() -> None:
    """421 as a greeting."""
    one = breaker(failures=3)
    assert one.failed(REFUSED, 0.0, is_probe=False, is_final=True)
    assert one.state is State.OPEN


def test_a_probe_without_a_result_may_be_repeated_at_once() -> None:
    """The client that made it went away."""
    one = tripped(100.0)
    one.attempt()
    one.given_up(101.0)
    assert one.refusal(101.0, may_probe=True) is None
    assert one.attempt()


@given(st.lists(st.sampled_from(["attempt", "failed", "succeeded", "given_up", "wait"])))
def test_it_never_gets_stuck(happened: list[str]) -> None:
    """Whatever happens in whatever order: after its time, an open one lets a probe through."""
    one, now, is_probe = breaker(failures=2), 0.0, False
    for what in happened:
        match what:
            case "attempt":
                is_probe = one.refusal(now, may_probe=True) is None and one.attempt()
            case "failed":
                one.failed(REFUSED, now, is_probe=is_probe)
                is_probe = False
            case "succeeded":
                one.succeeded()
            case "given_up":
                one.given_up(now)
            case _:
                now += 1
        if one.state is State.OPEN:
            assert one.probe_at <= now + 60
            assert one.refusal(one.probe_at, may_probe=True) is None
        assert (one.state is State.CLOSED) == (one.refusal(now - 1, may_probe=False) is None)


@given(st.floats(0, 1), st.floats(0.01, 10))
def test_jitter_takes_at_most_half(jitter: float, first_seconds: float) -> None:
    """Never longer than announced, never shorter than half of it."""
    backoff = Backoff(first_seconds, cap_seconds=30, jitter=lambda: jitter)
    for whole in (first_seconds, 2 * first_seconds):
        assert min(30, whole) / 2 <= backoff.next_seconds() <= min(30, whole)


def test_a_pause_is_not_prolonged_while_it_lasts() -> None:
    """All that was in flight says the same."""
    pause = Pause(Backoff(1, cap_seconds=30, jitter=lambda: 1.0))
    assert pause.begin(10.0) == 1
    assert pause.begin(10.5) == 0.5
    assert pause.until == 11.0


def test_a_pause_doubles_when_the_next_follows_soon() -> None:
    """Up to the cap; after as much time without, it begins with the first again."""
    pause = Pause(Backoff(1, cap_seconds=4, jitter=lambda: 1.0))
    lengths = []
    for _ in range(4):
        lengths.append(pause.begin(max(0.0, pause.until)))
    assert lengths == [1, 2, 4, 4]
    assert pause.begin(pause.until + 4.1) == 1
