"""How often a message crosses a long wire: counted, on a clock that jumps.

A crossing takes `ONE_WAY_SECONDS` of that clock, and everything else next to nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.bench.round_trips import client_of_a_relay, far_away, send_by_pool
from tests.fakes.jumping_loop import run_jumping
from tests.fakes.pools import pool_to

ONE_WAY_SECONDS = 5.0
# MAIL with RCPT, DATA, the message; BDAT needs no DATA before it.
CASES = [
    pytest.param(chunking, recipients, 2 if chunking else 3, id=f"{verb}-{recipients}")
    for chunking, verb in ((False, "DATA"), (True, "BDAT"))
    for recipients in (1, 10)
]


async def trips(send: Callable[[], Awaitable[None]]) -> int:
    """Round trips of the second message; the first one opens the connection."""
    loop = asyncio.get_running_loop()
    await send()
    started = loop.time()
    await send()
    return round((loop.time() - started) / (2 * ONE_WAY_SECONDS))


@pytest.mark.parametrize(("chunking", "recipients", "expected"), CASES)
def test_round_trips_of_a_transaction(chunking: bool, recipients: int, expected: int) -> None:
    """From MAIL to the final reply on a kept connection, however many recipients there are."""

    async def run() -> int:
        async with (
            far_away(chunking=chunking, one_way_seconds=ONE_WAY_SECONDS) as port,
            pool_to(port) as pool,
        ):
            return await trips(lambda: send_by_pool(pool, recipients))

    assert run_jumping(run()) == expected


@pytest.mark.parametrize(("chunking", "recipients", "expected"), CASES)
def test_round_trips_through_the_whole_relay(
    tmp_path: Path, chunking: bool, recipients: int, expected: int
) -> None:
    """The same for a client that pipelines: the relay adds none of its own."""

    async def run() -> int:
        async with (
            far_away(chunking=chunking, one_way_seconds=ONE_WAY_SECONDS) as port,
            client_of_a_relay(port, tmp_path) as client,
        ):
            return await trips(lambda: client.send(recipients))

    assert run_jumping(run()) == expected
