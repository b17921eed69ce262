"""What is kept of DNS: for how long, how much of it, and who asks."""

from __future__ import annotations

import asyncio

import pytest

from relay.dns.cache import Cache


class Clock:
    """Time that only a test moves."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        """The time."""
        return self.seconds


class Source:
    """Answers with a number that grows, when it is let.

    Attributes:
        ttl: of the answers.
        asked: how often it was asked.
        lets: answers wait for it.
    """

    def __init__(self, ttl: float = 60.0) -> None:
        self.ttl = ttl
        self.asked = 0
        self.lets = asyncio.Event()
        self.lets.set()

    async def __call__(self) -> tuple[int, float]:
        """An answer, and for how long it may be kept."""
        self.asked += 1
        number = self.asked
        await self.lets.wait()
        return number, self.ttl


def make(clock: Clock | None = None, *, max_entries: int = 10) -> Cache[int]:
    """A cache."""
    return Cache(max_entries, 3600.0, clock or Clock())


async def test_kept_until_its_time_is_over() -> None:
    """Not a moment longer."""
    clock, source = Clock(), Source(ttl=60.0)
    cache = make(clock)
    assert [await cache.get("a", source), await cache.get("a", source)] == [1, 1]
    clock.seconds += 59.9
    assert await cache.get("a", source) == 1
    clock.seconds += 0.1
    assert await cache.get("a", source) == 2


async def test_nothing_is_kept_for_longer_than_the_limit() -> None:
    """However long its TTL is."""
    clock, source = Clock(), Source(ttl=1e9)
    cache = make(clock)
    await cache.get("a", source)
    clock.seconds += 3600.0
    assert await cache.get("a", source) == 2


async def test_what_may_not_be_kept_is_not() -> None:
    """A TTL of 0: a failure, for example. What was kept before is gone then."""
    clock, source = Clock(), Source()
    cache = make(clock)
    await cache.get("a", source)
    clock.seconds += 61.0
    source.ttl = 0.0
    assert [await cache.get("a", source), await cache.get("a", source)] == [2, 3]
    assert len(cache) == 0


async def test_the_oldest_goes_when_it_is_full() -> None:
    """So much and no more is kept; the newest always is."""
    source, cache = Source(), make(max_entries=3)
    for name in "abcd":
        await cache.get(name, source)
    assert len(cache) == 3
    assert await cache.get("d", source) == 4
    assert await cache.get("a", source) == 5


@pytest.mark.parametrize("ttl", [60.0, 0.0])
async def test_many_ask_once(ttl: float) -> None:
    """Who comes while it is asked for waits for that answer, even if it may not be kept."""
    source, cache = Source(ttl), make()
    source.lets.clear()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(cache.get("a", source)) for _ in range(50)]
        await asyncio.sleep(0)
        source.lets.set()
    assert {task.result() for task in tasks} == {1}
    assert source.asked == 1


async def test_whoever_asked_is_cancelled() -> None:
    """Then one of those who wait asks, and the others wait for that."""
    source, cache = Source(), make()
    source.lets.clear()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(cache.get("a", source))
        await asyncio.sleep(0)
        others = [group.create_task(cache.get("a", source)) for _ in range(5)]
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        source.lets.set()
    assert {task.result() for task in others} == {2}
    assert source.asked == 2
