"""What a hop offers is asked before the first message, where somebody tends its pool."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from relay.upstream.events import Happened, UpstreamEvent
from relay.upstream.pool import Pool
from tests.fakes.pools import pool_to, relay
from tests.fakes.smarthost import Fault, Smarthost, reply


@asynccontextmanager
async def tended(pool: Pool) -> AsyncIterator[None]:
    """Somebody tends the pool."""
    async with asyncio.TaskGroup() as tasks:
        tending = tasks.create_task(pool.tend())
        yield
        tending.cancel()


async def turns(count: int) -> None:
    """Let others do what they have to do."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_it_is_known_before_the_first_message() -> None:
    """One connection is opened to ask, and kept for whoever comes first."""
    events: asyncio.Queue[UpstreamEvent] = asyncio.Queue()
    async with Smarthost() as host, pool_to(host, emit=events.put_nowait) as pool:
        async with tended(pool):
            assert (await events.get()).happened is Happened.OPENED
            assert pool.capabilities is not None
            assert "PIPELINING" in pool.capabilities
            assert (await relay(pool)).code == 250
        async with tended(pool):  # now it is known, and not asked again
            await turns(50)
        assert len(host.sessions) == 1


async def test_a_hop_that_is_down() -> None:
    """It is tried once, and told; the first message tries again."""
    events: asyncio.Queue[UpstreamEvent] = asyncio.Queue()
    async with (
        Smarthost() as host,
        pool_to(host, emit=events.put_nowait) as pool,
        tended(pool),
    ):
        host.on("banner", reply("554 no"), Fault.CLOSE, session=1)
        assert (await events.get()).happened is Happened.FAILED
        await turns(50)
        assert events.empty()
        assert len(host.sessions) == 1
        assert pool.capabilities is None
        assert (await relay(pool)).code == 250
        assert pool.capabilities is not None


async def test_an_upstream_without_connections() -> None:
    """There is nothing to ask with."""
    async with Smarthost() as host, pool_to(host, max_connections=0) as pool, tended(pool):
        await turns(50)
        assert not host.sessions


async def test_it_ends_whenever_it_is_told_to() -> None:
    """At each step of opening a connection, also in the turn in which the hop has answered."""
    async with Smarthost() as host:
        for count in range(100):
            async with pool_to(host) as pool, asyncio.TaskGroup() as tasks:
                tending = tasks.create_task(pool.tend())
                await turns(count)
                tending.cancel()
                await asyncio.wait([tending], timeout=10)
                tending.cancel()
                assert tending.cancelled(), f"not after {count} turns"
        assert pool.capabilities is not None, "every attempt was cancelled before its end"
        await host.until(lambda: host.open_sessions == 0)
