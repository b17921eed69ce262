"""A single upstream that is away for a while: how much longer clients feel it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from relay.core.errors import Rejection
from relay.upstream.pool import Pool
from tests.fakes.jumping_loop import run_jumping
from tests.fakes.pools import relay, upstream
from tests.fakes.smarthost import Fault, Smarthost

EACH_SECONDS = 0.5  # a message comes so often
MOST_SECONDS = 60.0  # between two attempts
DEFAULTS = {"breaker_seconds": 1.0, "backoff_seconds": 1.0}


@pytest.mark.parametrize("is_tended", [False, True], ids=["untended", "tended"])
@pytest.mark.parametrize("seconds", [0.25, 2.5, 25.0, 130.0])
def test_a_short_outage_stays_short(seconds: float, is_tended: bool) -> None:
    """At most as long again and one second, and never more than a minute, with the defaults.

    Nobody else takes the messages, so each second more is one of refused mail.
    """
    after = run_jumping(_seconds_after_the_outage(seconds, is_tended=is_tended))
    assert after <= min(seconds + 1, MOST_SECONDS) + 2 * EACH_SECONDS


async def _seconds_after_the_outage(seconds: float, *, is_tended: bool) -> float:
    """How long after its end the first message passes, when one comes again and again."""
    loop = asyncio.get_running_loop()
    async with Smarthost() as host, AsyncExitStack() as stack:
        # Whole times: what is scattered is shorter.
        settings = upstream(host.port, **DEFAULTS)
        pool = Pool(settings, emit=lambda event: None, jitter=lambda: 1.0)
        stack.push_async_callback(pool.close)
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        tending = tasks.create_task(pool.tend()) if is_tended else None
        host.on("banner", Fault.CLOSE)
        began_at = loop.time()
        while True:
            if loop.time() - began_at >= seconds:
                host._rules.clear()
            try:
                await relay(pool)
            except Rejection:
                await asyncio.sleep(EACH_SECONDS)
            else:
                break
        if tending is not None:
            tending.cancel()
        return loop.time() - began_at - seconds
