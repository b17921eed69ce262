"""The account of octets in memory, against a plain model of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hypothesis import given
from hypothesis import strategies as st

from relay.listener.memory import Memory

MAX = 100
OWNERS = "abc"
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.sampled_from(OWNERS), st.integers(0, 80)),
        st.tuples(st.just("wait"), st.sampled_from(OWNERS), st.just(0)),
        st.tuples(st.just("free"), st.sampled_from(OWNERS), st.just(0)),
    ),
    max_size=30,
)


@given(steps=STEPS)
def test_the_account_is_even(steps: Sequence[tuple[str, str, int]]) -> None:
    """What is held is what was taken and not freed; who waits is called once there is room."""
    memory = Memory(MAX)
    held = dict.fromkeys(OWNERS, 0)
    waiting: list[str] = []
    resumed: list[str] = []

    def resume_of(owner: str) -> Callable[[], None]:
        return lambda: resumed.append(owner)

    for step, owner, octets in steps:
        resumed.clear()
        match step:
            case "take":
                memory.take(owner, octets)
                held[owner] += octets
            case "wait":
                memory.wait(owner, resume_of(owner))
                if owner not in waiting:
                    waiting.append(owner)
            case _:
                memory.free(owner)
                held[owner] = 0
                waiting = [name for name in waiting if name != owner]
                if sum(held.values()) <= MAX:
                    assert resumed == waiting  # who waits longest goes first
                    waiting = []
        assert step == "free" or not resumed
        assert memory.octets == sum(held.values())
        assert memory.has_room is (sum(held.values()) <= MAX)
    for owner in OWNERS:
        memory.free(owner)
    assert memory.octets == 0


def test_who_is_called_may_take_at_once() -> None:
    """Then the next one waits on."""
    memory = Memory(MAX)
    called = []

    def resume_first() -> None:
        called.append("b")
        memory.take("b", MAX + 1)

    memory.take("a", MAX + 1)
    memory.wait("b", resume_first)
    memory.wait("c", lambda: called.append("c"))
    memory.free("a")
    assert called == ["b"]
    memory.free("b")
    assert called == ["b", "c"]
