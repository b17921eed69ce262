"""A hop that cannot be reached, and connections that are opened before they are needed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf

import pytest

from relay.core.errors import Rejection
from relay.upstream.breaker import State
from relay.upstream.events import Happened, UpstreamEvent
from relay.upstream.pool import Pool
from relay.upstream.rejections import Unusable
from relay.upstream.waiting import Place, Wish
from tests.fakes.pools import BODY, HEADER, accepted_transaction, mail_from, pool_to, relay, settled
from tests.fakes.processes import free_port
from tests.fakes.smarthost import Fault, Smarthost, reply

LONG_SECONDS = 3600.0


class Log:
    """Events, and a way to wait for them."""

    def __init__(self) -> None:
        self.events: list[UpstreamEvent] = []
        self._changed = asyncio.Event()

    def __call__(self, event: UpstreamEvent) -> None:
        """Take one."""
        self.events.append(event)
        self._changed.set()

    def count(self, happened: Happened) -> int:
        """How often it happened."""
        return sum(event.happened is happened for event in self.events)

    async def until(self, happened: Happened, times: int = 1) -> None:
        """Wait until it has happened so often."""
        async with asyncio.timeout(20):
            while self.count(happened) < times:
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def tended(pool: Pool) -> AsyncIterator[None]:
    """Somebody tends the pool, and leaves no task behind."""
    before = asyncio.all_tasks()
    async with asyncio.TaskGroup() as tasks:
        tending = tasks.create_task(pool.tend())
        await asyncio.sleep(0)
        yield
        tending.cancel()
    left = asyncio.all_tasks() - before
    assert [task for task in left if "Smarthost" not in repr(task.get_coro())] == []


async def fail(pool: Pool, times: int = 1) -> Unusable:
    """So many messages that find no connection; what the last one heard."""
    for _ in range(times):
        with pytest.raises(Unusable) as caught:
            await pool.take()
    return caught.value


async def test_after_failures_in_a_row_nothing_is_tried() -> None:
    """The answer comes without a connection, and its detail names the last error."""
    log = Log()
    async with (
        Smarthost() as host,
        pool_to(host, emit=log, breaker_failures=2, breaker_seconds=LONG_SECONDS) as pool,
    ):
        host.on("banner", reply("554 5.7.1 Go away"), Fault.CLOSE)
        await fail(pool, 2)
        rejection = await fail(pool, 3)
        assert len(host.sessions) == 2
        assert rejection.reply.enhanced == "4.4.1"
        assert "Go away" in rejection.detail
        assert "tried again in" in rejection.detail
        assert pool.snapshot().breaker is State.OPEN
        assert (log.count(Happened.FAILED), log.count(Happened.TRIPPED)) == (2, 1)


async def test_a_refused_login_does_not_hammer() -> None:
    """It is left alone like a host that is down."""
    async with (
        Smarthost(users={"app": "right"}) as host,
        pool_to(
            host,
            username="app",
            password="wrong",
            insecure_auth=True,
            breaker_failures=1,
            breaker_seconds=LONG_SECONDS,
        ) as pool,
    ):
        rejection = await fail(pool, 5)
        assert rejection.reply.enhanced == "4.7.0"
        assert len(host.sessions) == 1


async def test_421_as_a_greeting_trips_at_once() -> None:
    """Nothing else stands, and the hop itself asks to be left alone."""
    async with Smarthost() as host, pool_to(host, breaker_seconds=LONG_SECONDS) as pool:
        host.on("banner", reply("421 4.7.0 Too many connections"), Fault.CLOSE)
        await fail(pool, 3)
        assert len(host.sessions) == 1


async def test_those_who_wait_fail_at_once_when_it_trips() -> None:
    """They do not sit out `acquire_seconds`: they may go to another upstream."""
    async with (
        Smarthost() as host,
        pool_to(
            host,
            max_connections=1,
            breaker_failures=1,
            breaker_seconds=LONG_SECONDS,
            acquire_seconds=LONG_SECONDS,
        ) as pool,
    ):
        host.on("ehlo", Fault.CLOSE)
        results = await asyncio.gather(*(pool.take() for _ in range(5)), return_exceptions=True)
        assert [type(result) for result in results] == [Unusable] * 5
        assert len(host.sessions) == 1
        assert pool.snapshot().waiting == 0


async def test_idle_connections_are_used_while_it_is_open() -> None:
    """A transaction that succeeds on one closes it."""
    log = Log()
    async with (
        Smarthost() as host,
        pool_to(host, emit=log, breaker_failures=1, breaker_seconds=LONG_SECONDS) as pool,
    ):
        held = await accepted_transaction(pool)
        host.stop_listening()
        await fail(pool)
        assert pool.snapshot().breaker is State.OPEN
        await held.abandon()
        await settled(pool, idle=1)
        assert (await relay(pool)).code == 250
        assert pool.snapshot().breaker is State.CLOSED
        assert log.count(Happened.RESTORED) == 1


async def test_untended_the_first_message_is_the_probe() -> None:
    """The others fail at once as long as that lasts; its success lets all through."""
    log = Log()
    async with (
        Smarthost() as host,
        pool_to(host, emit=log, breaker_failures=1, breaker_seconds=0.01) as pool,
    ):
        host.on("ehlo", Fault.CLOSE, session=1)
        await fail(pool)
        host.on("ehlo", Fault.BLACK_HOLE, session=2)
        probing = await until_probing(pool)
        await fail(pool, 3)
        await host.until(lambda: len(host.sessions) >= 2)  # the probe may be on its way
        assert len(host.sessions) == 2
        probing.cancel()  # the client leaves: the next one is the probe
        await asyncio.wait([probing])
        assert (await relay(pool)).code == 250
        assert (log.count(Happened.TRIPPED), log.count(Happened.RESTORED)) == (1, 1)
        assert pool.snapshot().opening == 0


async def until_probing(pool: Pool) -> asyncio.Task[object]:
    """Try until one is let through as the probe; that one, still under way."""
    async with asyncio.timeout(20):
        while True:
            attempt: asyncio.Task[object] = asyncio.ensure_future(pool.take())
            while not attempt.done():
                if pool.snapshot().breaker is State.PROBING:
                    return attempt
                await asyncio.sleep(0)
            with pytest.raises(Unusable):
                await attempt


async def test_tended_no_message_is_the_probe() -> None:
    """It is made in the background, again and again; then a connection is ready."""
    log = Log()
    port = free_port()
    async with (
        pool_to(
            port, emit=log, breaker_failures=1, breaker_seconds=0.01, idle_seconds=LONG_SECONDS
        ) as pool,
        tended(pool),
    ):
        await fail(pool)
        await log.until(Happened.PROBING, 2)
        await fail(pool)
        async with Smarthost(port=port) as host:
            await log.until(Happened.RESTORED)
            assert pool.snapshot().idle == 1
            assert (await relay(pool)).code == 250
            assert len(host.sessions) == 1
            await pool.close()
        assert log.count(Happened.TRIPPED) == 1


async def test_idle_connections_are_kept_in_store() -> None:
    """As many as wished, before the first message; renewed when the server closes them."""
    log = Log()
    async with (
        Smarthost() as host,
        pool_to(host, emit=log, min_idle_connections=2) as pool,
        tended(pool),
    ):
        await log.until(Happened.OPENED, 2)
        assert pool.snapshot().idle == 2
        await host.drop_sessions()
        await log.until(Happened.OPENED, 4)
        held = [await accepted_transaction(pool) for _ in range(2)]
        await log.until(Happened.OPENED, 6)
        for transaction in held:
            await transaction.send(HEADER, [BODY])


async def test_the_store_never_exceeds_the_connections() -> None:
    """All places are taken: nothing more is opened."""
    log = Log()
    async with (
        Smarthost() as host,
        pool_to(host, emit=log, min_idle_connections=2, max_connections=2) as pool,
        tended(pool),
    ):
        await log.until(Happened.OPENED, 2)
        held = [await accepted_transaction(pool) for _ in range(2)]
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(host.sessions) == 2
        for transaction in held:
            await transaction.abandon()


async def test_the_store_does_not_hammer_a_hop_that_is_down() -> None:
    """After the first failure it waits as a breaker would."""
    log = Log()
    async with (
        Smarthost() as host,
        pool_to(host, emit=log, min_idle_connections=5, breaker_seconds=LONG_SECONDS) as pool,
        tended(pool),
    ):
        host.on("banner", reply("554 no"), Fault.CLOSE)
        await log.until(Happened.FAILED)
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(host.sessions) == 1


async def test_tending_ends_in_the_middle_of_a_probe() -> None:
    """Cancelled while the hop says nothing: no connection and no task is left."""
    log = Log()
    async with (
        Smarthost() as host,
        pool_to(host, emit=log, breaker_failures=1, breaker_seconds=0.01) as pool,
    ):
        host.on("ehlo", Fault.CLOSE, session=1)
        host.on("ehlo", Fault.BLACK_HOLE)
        async with tended(pool):  # which asks what is offered, and trips
            await host.until(lambda: len(host.sessions) == 2 and bool(host.sessions[1].lines))
        await host.until(lambda: host.open_sessions == 0)
        assert pool.snapshot().opening == 0


async def test_closing_while_tended() -> None:
    """Nothing is opened any more, and whoever waits is sent away."""
    log = Log()
    async with (
        Smarthost() as host,
        pool_to(host, emit=log, min_idle_connections=1) as pool,
        tended(pool),
    ):
        await log.until(Happened.OPENED)
        await pool.close()
        with pytest.raises(Rejection):
            await pool.begin(mail_from())
        await host.until(lambda: host.open_sessions == 0)
        assert len(host.sessions) == 1


async def test_a_probe_that_is_not_wanted_any_more_is_the_next_ones() -> None:
    """Granted in the moment in which the client left."""
    async with Smarthost() as host, pool_to(host, breaker_failures=1) as pool:
        host.on("ehlo", Fault.CLOSE, session=1)
        await fail(pool)
        wish = Wish(inf)
        place = pool.grant(wish)
        assert place == Place(is_probe=True)
        await fail(pool)
        pool.take_back(place, wish)
        assert (await relay(pool)).code == 250
        assert pool.snapshot().opening == 0
