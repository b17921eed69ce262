"""A client that is gone at any moment: cancelled at each turn of the loop, one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from relay.upstream.pool import Pool
from relay.upstream.route import Route
from tests.fakes.pools import BODY, HEADER, mail_from, pool_to, rcpt_to, relay
from tests.fakes.processes import free_port
from tests.fakes.smarthost import ALL_EXTENSIONS, EXTENSIONS, Fault, Smarthost
from tests.faults.test_upstream_matrix import nothing_left

MOST_TURNS = 500
SITUATIONS = ("fresh", "kept", "kept and dead", "fallback")
verbs = pytest.mark.parametrize("extensions", [EXTENSIONS, ALL_EXTENSIONS], ids=["DATA", "BDAT"])


@verbs
@pytest.mark.parametrize("situation", SITUATIONS)
async def test_a_client_that_leaves_at_any_moment(
    situation: str, extensions: tuple[str, ...]
) -> None:
    """Nothing of it is left, nothing is sent twice, and the next message passes."""
    for turns in range(MOST_TURNS):
        async with scene(situation, extensions) as (host, pool, route):
            before = len(host.accepted)
            sending = asyncio.ensure_future(send(route, b"%d\r\n" % turns))
            for _ in range(turns):
                await asyncio.sleep(0)
            is_over = sending.done()
            sending.cancel()
            await asyncio.wait([sending])
            assert is_over or sending.cancelled(), turns
            assert len(host.accepted) - before <= 1
            assert (await relay(pool)).code == 250
            snapshot = pool.snapshot()
            assert (snapshot.waiting, snapshot.opening) == (0, 0), turns
            assert len(host.accepted) - before <= 2
        if is_over:
            break
    assert 3 < turns < MOST_TURNS - 1


@asynccontextmanager
async def scene(
    situation: str, extensions: tuple[str, ...]
) -> AsyncIterator[tuple[Smarthost, Pool, Route]]:
    """One connection at most, so that one that is lost would be felt at once."""
    changes: dict[str, Any] = {"max_connections": 1, "acquire_seconds": 10.0}
    async with (
        Smarthost(extensions=extensions) as host,
        nothing_left(host),
        pool_to(host, **changes) as pool,
        pool_to(free_port(), **changes) as dead,
    ):
        if situation.startswith("kept"):
            await relay(pool)
        if situation == "kept and dead":
            host.on("mail", Fault.CLOSE, session=1)
        pools = [dead, pool] if situation == "fallback" else [pool]
        yield host, pool, Route(pools, emit=lambda event: None)


async def send(route: Route, body: bytes) -> None:
    """One message, as a session of the listener does it."""
    transaction = await route.begin(mail_from())
    try:
        await transaction.recipient(rcpt_to())
        await transaction.send(HEADER, [BODY, body])
    finally:
        await transaction.abandon()
