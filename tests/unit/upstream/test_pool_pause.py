"""A pool in the pause after 421 or 454: what there is is used, nobody is forgotten."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from relay.core.errors import Rejection
from relay.core.reply import Reply
from relay.upstream.pool import Pool
from tests.fakes.jumping_loop import run_jumping
from tests.fakes.pools import (
    BODY,
    HEADER,
    accepted_transaction,
    mail_from,
    pool_to,
    rcpt_to,
    relay,
    settled,
)
from tests.fakes.smarthost import Fault, Pause, Smarthost, reply

LONG_SECONDS = 30.0  # a longer pause there is not
TOO_MANY = Reply(421, (b"4.7.0 Too many connections",))
PAUSING: dict[str, Any] = {"backoff_seconds": LONG_SECONDS, "acquire_seconds": 10 * LONG_SECONDS}


async def kept(pool: Pool, count: int) -> None:
    """So many idle connections, the first one opened used last."""
    held = [await accepted_transaction(pool) for _ in range(count)]
    for transaction in reversed(held):
        await transaction.send(HEADER, [BODY])
    await settled(pool, idle=count)


async def queued(pool: Pool, *, waiting: int) -> None:
    """Wait until so many stand in the queue; the loop is all that has to run for it."""
    async with asyncio.timeout(20):
        while pool.snapshot().waiting != waiting:  # noqa: ASYNC110 - a pool tells nobody of this
            await asyncio.sleep(0)


async def test_a_replacement_is_a_kept_connection_when_no_new_one_may_be_opened() -> None:
    """At once: with nothing else going on, nobody would wake who waits for a new one."""
    async with Smarthost() as host, pool_to(host, **PAUSING) as pool:
        await kept(pool, 2)
        host.on("mail", Fault.CLOSE, session=1)
        pool.observe(TOO_MANY)
        assert (await relay(pool)).code == 250
        assert len(host.sessions) == 2
        assert host.accepted[-1].session == 2


def test_a_connection_refused_with_421_leads_to_one_that_came_free_meanwhile() -> None:
    """It was given back while the other one was being opened, and nobody stood in the queue."""

    async def run() -> None:
        async with Smarthost() as host, pool_to(host, **PAUSING) as pool:
            held = await accepted_transaction(pool)
            refused = reply("421 4.7.0 Too many connections")
            host.on("banner", Pause(5), refused, Fault.CLOSE, session=2)
            began_at = asyncio.get_running_loop().time()
            waiting = asyncio.ensure_future(relay(pool))
            await host.until(lambda: len(host.sessions) == 2)
            await held.send(HEADER, [BODY])
            assert pool.snapshot().idle == 1
            assert (await waiting).code == 250
            assert round(asyncio.get_running_loop().time() - began_at) == 5
            assert len(host.sessions) == 2

    run_jumping(run())


async def test_those_behind_a_replacement_are_served_in_order() -> None:
    """Begun before all, then the others as they came, each as soon as there is a connection."""
    async with Smarthost() as host, pool_to(host, **PAUSING) as pool:
        await kept(pool, 2)
        host.on("mail", Fault.CLOSE, session=1)
        pool.observe(TOO_MANY)
        order: list[str] = []
        replaced = await pool.begin(mail_from())
        held = await pool.take()

        async def replay() -> None:
            assert (await replaced.recipient(rcpt_to())).code == 250
            order.append("replaced")
            assert (await replaced.send(HEADER, [BODY])).code == 250

        async def take(name: str) -> None:
            connection = await pool.take()
            order.append(name)
            pool.give_back(connection, reset=False)

        first = asyncio.ensure_future(take("first"))
        await queued(pool, waiting=1)
        waiting = [asyncio.ensure_future(replay()), first]
        await queued(pool, waiting=2)
        waiting += [asyncio.ensure_future(take(name)) for name in ("second", "third")]
        await queued(pool, waiting=4)
        assert order == []
        pool.give_back(held, reset=False)
        await asyncio.gather(*waiting)
        assert order == ["replaced", "first", "second", "third"]
        assert len(host.sessions) == 2


def test_those_behind_a_replacement_keep_their_deadlines() -> None:
    """451 4.3.2 for each at its time, although the pause lasts longer; the log has the reason."""

    async def run() -> None:
        waits: dict[str, Any] = {"acquire_seconds": 10.0, "backoff_seconds": 30.0}  # 15 at least
        async with Smarthost() as host, pool_to(host, **waits) as pool:
            loop = asyncio.get_running_loop()
            await relay(pool)
            host.on("mail", Fault.CLOSE, session=1)
            transaction = await pool.begin(mail_from())
            pool.observe(TOO_MANY)
            ended: list[tuple[str, float]] = []
            began_at = loop.time()

            async def wait(name: str, seconds: float) -> None:
                await asyncio.sleep(seconds)
                with pytest.raises(Rejection) as caught:
                    await (transaction.recipient(rcpt_to()) if name == "begun" else pool.take())
                assert caught.value.reply.enhanced == "4.3.2"
                assert "after 421 or 454 no new one was opened" in caught.value.detail
                ended.append((name, round(loop.time() - began_at)))

            async with asyncio.TaskGroup() as tasks:
                for name, seconds in (("first", 0.0), ("begun", 1.0), ("second", 2.0)):
                    tasks.create_task(wait(name, seconds))
            assert ended == [("first", 10), ("begun", 11), ("second", 12)]
            await transaction.abandon()

    run_jumping(run())


async def test_the_end_of_the_pause_serves_all_who_wait() -> None:
    """By time alone: the replacement and who is behind it, on new connections."""
    async with Smarthost() as host, pool_to(host, backoff_seconds=0.05) as pool:
        await relay(pool)
        host.on("mail", Fault.CLOSE, session=1)
        transaction = await pool.begin(mail_from())
        pool.observe(TOO_MANY)
        behind = asyncio.ensure_future(relay(pool))
        assert (await transaction.recipient(rcpt_to())).code == 250
        assert (await transaction.send(HEADER, [BODY])).code == 250
        assert (await behind).code == 250
        assert host.violations == []


async def test_421_and_then_no_more_is_said_as_it_is() -> None:
    """Where nobody has a connection, the greeting's 421 is the end, not a wait."""
    async with Smarthost() as host, pool_to(host, **PAUSING) as pool:
        host.on("banner", reply("421 4.7.0 Too many connections"), Fault.CLOSE)
        with pytest.raises(Rejection) as caught:
            await pool.take()
        assert "Too many connections" in caught.value.detail
