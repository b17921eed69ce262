"""Rate, queue and concurrency of a pool, at a scripted smarthost."""

from __future__ import annotations

import asyncio

import pytest

from relay.core.errors import Rejection
from relay.core.reply import Reply
from relay.upstream.events import Happened, UpstreamEvent
from relay.upstream.protocol import Connection
from relay.upstream.rejections import Unusable
from tests.fakes.pools import BODY, HEADER, accepted_transaction, mail_from, pool_to, relay, settled
from tests.fakes.smarthost import Fault, Smarthost, reply

THROTTLED = "454 Throttling failure: Maximum sending rate exceeded."
LONG_SECONDS = 3600.0


async def test_the_burst_goes_at_once_and_the_rest_waits_in_order() -> None:
    """All are sent, in the order in which they came; an idle connection does not help."""
    async with Smarthost() as host, pool_to(host, rate_per_second=50, rate_burst=2) as pool:
        order: list[int] = []

        async def send(number: int) -> None:
            await relay(pool, HEADER, b"%d\r\n" % number)
            order.append(number)

        async with asyncio.TaskGroup() as tasks:
            for number in range(2):
                tasks.create_task(send(number))
        async with asyncio.TaskGroup() as tasks:
            for number in range(2, 8):
                tasks.create_task(send(number))
            await asyncio.sleep(0)
            assert pool.snapshot().waiting >= 5
            assert pool.snapshot().idle >= 1
        assert sorted(order[:2]) == [0, 1]
        assert order[2:] == list(range(2, 8))


async def test_waiting_for_the_rate_has_an_end() -> None:
    """451 4.3.2 that is no reason to go elsewhere; the log says that it was the rate."""
    async with (
        Smarthost() as host,
        pool_to(host, rate_per_second=1 / LONG_SECONDS, acquire_seconds=0.05) as pool,
    ):
        await relay(pool)
        with pytest.raises(Rejection) as caught:
            await pool.take()
        assert not isinstance(caught.value, Unusable)
        assert caught.value.reply.enhanced == "4.3.2"
        assert "the rate of" in caught.value.detail
        assert pool.snapshot().waiting == 0


async def test_recipients_are_counted() -> None:
    """Three recipients leave nothing of a burst of three."""
    async with (
        Smarthost() as host,
        pool_to(host, rate_per_second=1 / LONG_SECONDS, rate_burst=3, acquire_seconds=0.02) as pool,
    ):
        transaction = await accepted_transaction(pool, b"a@x.test", b"b@x.test", b"c@x.test")
        await transaction.send(HEADER, [BODY])
        with pytest.raises(Rejection):
            await pool.take()


async def test_a_connection_that_cannot_be_had_costs_no_token() -> None:
    """The one token is there for the next message."""
    async with (
        Smarthost() as host,
        pool_to(host, rate_per_second=1 / LONG_SECONDS, acquire_seconds=0.02) as pool,
    ):
        host.on("connect", Fault.CLOSE, times=1)
        with pytest.raises(Unusable):
            await pool.take()
        assert (await relay(pool)).code == 250


@pytest.mark.parametrize("leaves_after", ["queueing", "granting"])
async def test_a_client_that_leaves_the_queue_costs_no_token(leaves_after: str) -> None:
    """Neither while it waits, nor in the moment when it is served."""
    async with (
        Smarthost() as host,
        pool_to(host, rate_per_second=1 / LONG_SECONDS, rate_burst=2, max_connections=1) as pool,
    ):
        held = await accepted_transaction(pool)
        waiting = asyncio.ensure_future(pool.take())
        await asyncio.sleep(0)
        if leaves_after == "granting":
            await held.send(HEADER, [BODY])
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        if leaves_after == "queueing":
            await held.send(HEADER, [BODY])
        assert (await relay(pool)).code == 250
        assert pool.snapshot().waiting == 0


async def test_a_replacement_waits_for_no_rate() -> None:
    """Its recipients were paid for before."""
    async with (
        Smarthost() as host,
        pool_to(host, rate_per_second=1 / LONG_SECONDS, rate_burst=2, acquire_seconds=0.05) as pool,
    ):
        await relay(pool)
        host.on("mail", Fault.CLOSE, session=1)
        assert (await relay(pool)).code == 250
        assert [received.session for received in host.accepted] == [1, 2]


async def test_throttling_lets_fewer_go_at_once() -> None:
    """454 after the data, to four in flight: two from then on, and one event for all four."""
    events: list[UpstreamEvent] = []
    async with Smarthost() as host, pool_to(host, emit=events.append) as pool:
        host.on("dot", reply(THROTTLED), times=4)
        transactions = [await accepted_transaction(pool) for _ in range(4)]
        answers = await asyncio.gather(*(t.send(HEADER, [BODY]) for t in transactions))
        assert [answer.code for answer in answers] == [454] * 4
        assert pool.snapshot().allowed == 2
        await host.until(lambda: all("RSET" in s.verbs for s in host.sessions))
        first, second = [await accepted_transaction(pool) for _ in range(2)]
        third = asyncio.ensure_future(relay(pool))
        await asyncio.sleep(0)
        assert pool.snapshot().waiting == 1
        await first.send(HEADER, [BODY])
        assert (await third).code == 250
        await second.send(HEADER, [BODY])
    throttled = [event for event in events if event.happened is Happened.THROTTLED]
    assert THROTTLED in throttled[0].detail
    assert "at most 2 transactions" in throttled[0].detail


async def test_what_the_hop_takes_lets_more_go_again() -> None:
    """Two at a time, until it is as before."""
    async with Smarthost() as host, pool_to(host, max_connections=4) as pool:
        host.on("dot", reply(THROTTLED), times=1)
        assert (await relay(pool)).code == 454
        assert pool.snapshot().allowed == 2
        seen = []
        for _ in range(3):
            await asyncio.gather(*(relay(pool) for _ in range(5)))
            seen.append(pool.snapshot().allowed)
        assert seen[-1] == 4


async def test_after_421_idle_connections_are_used_and_no_new_ones_opened() -> None:
    """For the time of the pause; who finds none waits."""
    async with Smarthost() as host, pool_to(host, backoff_seconds=LONG_SECONDS) as pool:
        transactions = [await accepted_transaction(pool) for _ in range(4)]
        pool.observe(Reply(421, (b"4.7.0 Too many connections",)))
        for transaction in transactions:
            await transaction.send(HEADER, [BODY])
        assert (await relay(pool)).code == 250
        await host.drop_sessions()
        await settled(pool, idle=0)
        waiting = asyncio.ensure_future(pool.take())
        await asyncio.sleep(0)
        assert (pool.snapshot().waiting, len(host.sessions)) == (1, 4)
        await pool.close()
        with pytest.raises(Rejection):
            await waiting


async def test_the_pause_ends() -> None:
    """Who waits for a new connection gets it then, without anything else happening."""
    async with Smarthost() as host, pool_to(host, backoff_seconds=0.05) as pool:
        pool.observe(Reply(421, (b"4.7.0 Later",)))
        assert (await relay(pool)).code == 250
        assert len(host.sessions) == 1


async def test_a_hop_that_takes_no_more_connections_serves_with_those_it_has() -> None:
    """421 as a greeting while another connection stands: the message waits for that one."""
    events: list[Happened] = []
    async with (
        Smarthost() as host,
        pool_to(
            host,
            backoff_seconds=LONG_SECONDS,
            emit=lambda event: events.append(event.happened),
        ) as pool,
    ):
        held = await accepted_transaction(pool)
        host.on("banner", reply("421 4.7.0 Too many connections"), Fault.CLOSE)
        waiting = [asyncio.ensure_future(relay(pool)) for _ in range(2)]
        await host.until(lambda: len(host.sessions) == 3)
        await held.send(HEADER, [BODY])
        assert [answer.code for answer in await asyncio.gather(*waiting)] == [250, 250]
        assert [received.session for received in host.accepted] == [1, 1, 1]
        assert pool.snapshot().breaker == "closed"
    assert events.count(Happened.THROTTLED) == 1
    assert Happened.TRIPPED not in events


@pytest.mark.parametrize("takes_one", [True, False])
async def test_421_as_a_greeting_while_another_connection_is_on_its_way(takes_one: bool) -> None:
    """Messages wait for that one; when it is refused too, all that waited fail with it."""
    events: list[Happened] = []
    async with (
        Smarthost() as host,
        pool_to(
            host,
            backoff_seconds=LONG_SECONDS,
            breaker_seconds=LONG_SECONDS,
            acquire_seconds=LONG_SECONDS,
            emit=lambda event: events.append(event.happened),
        ) as pool,
    ):
        for number in range(1 + takes_one, 4):
            banner = reply("421 4.7.0 Too many connections")
            host.on("banner", banner, Fault.CLOSE, session=number)
        results = await asyncio.gather(*(relay(pool) for _ in range(3)), return_exceptions=True)
        codes = [r.code if isinstance(r, Reply) else type(r) for r in results]
        assert codes == ([250] * 3 if takes_one else [Unusable] * 3)
        assert [received.session for received in host.accepted] == [1] * 3 * takes_one
        assert len(host.sessions) == 3
    assert events.count(Happened.TRIPPED) == (not takes_one)


async def test_the_queue_stays_in_order_when_the_limit_shrinks() -> None:
    """Nobody overtakes, however it is that places become free."""
    async with Smarthost() as host, pool_to(host, max_connections=4) as pool:
        held = [await accepted_transaction(pool) for _ in range(4)]
        order: list[int] = []

        async def take(number: int) -> None:
            connection = await pool.take()
            order.append(number)
            await asyncio.sleep(0)
            pool.give_back(connection, reset=False)

        waiting = [asyncio.ensure_future(take(number)) for number in range(12)]
        await asyncio.sleep(0)
        pool.observe(Reply(454, (b"Throttling",)))
        await held[0].abandon()
        await held[1].send(HEADER, [BODY])
        for transaction in held[2:]:
            await transaction.abandon()
        await asyncio.gather(*waiting)
        assert order == list(range(12))


async def test_a_taken_connection_that_is_lost_makes_room() -> None:
    """Also when whoever had it never gives it back."""
    async with Smarthost() as host, pool_to(host, max_connections=1) as pool:
        connection: Connection = await pool.take()
        connection.abort("gone")
        assert (await relay(pool)).code == 250
        assert pool.snapshot().busy == 0


async def test_quit_delays_nobody() -> None:
    """One message to a connection, one connection: the next one does not wait for the reply."""
    async with (
        Smarthost() as host,
        pool_to(host, max_connections=1, max_messages_per_connection=1) as pool,
    ):
        host.on("quit", Fault.BLACK_HOLE)
        for _ in range(3):
            assert (await relay(pool)).code == 250
        assert len(host.sessions) == 3
        assert pool.snapshot().busy == 3
        await host.drop_sessions()


async def test_closing_sends_those_away_who_wait_for_the_rate() -> None:
    """At once, with 451; no timer is left."""
    async with Smarthost() as host, pool_to(host, rate_per_second=1 / LONG_SECONDS) as pool:
        await relay(pool)
        waiting = [asyncio.ensure_future(pool.begin(mail_from())) for _ in range(3)]
        await asyncio.sleep(0)
        await pool.close()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [r.reply.enhanced for r in results if isinstance(r, Rejection)] == ["4.3.2"] * 3
        assert pool._queue._alarm is None


async def test_a_newcomer_does_not_overtake() -> None:
    """A token has come, and the head of the queue has not been woken yet."""
    async with (
        Smarthost() as host,
        pool_to(host, rate_per_second=1 / LONG_SECONDS, acquire_seconds=0.05) as pool,
    ):
        held = await pool.take()
        first = asyncio.ensure_future(pool.take())
        await asyncio.sleep(0)
        pool._restraint.refund()
        second = asyncio.ensure_future(pool.take())
        await asyncio.sleep(0)
        pool.give_back(held, reset=False)
        pool.give_back(await first, reset=False)
        with pytest.raises(Rejection):
            await second
