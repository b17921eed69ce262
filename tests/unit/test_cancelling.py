"""A cancellation that a library has swallowed still ends the task."""

from __future__ import annotations

import asyncio

import pytest

from relay.cancelling import heeding


async def swallow(result: str) -> str:
    """As asyncio.wait_for of Python 3.11 does when result and cancellation come together."""
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        if result == "failure":
            raise OSError(result) from None
    return result


@pytest.mark.parametrize("result", ["a result", "failure"])
async def test_a_cancellation_that_was_lost(result: str) -> None:
    """With a result or with a failure."""
    task = asyncio.ensure_future(heeding(swallow(result)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_timeout_around_it() -> None:
    """It is a time-out, as it would be without."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await heeding(swallow("a result"))


async def test_nothing_happened() -> None:
    """Results and failures pass."""

    async def fail() -> None:
        raise OSError("as it is")

    assert await heeding(asyncio.sleep(0, "a result")) == "a result"
    with pytest.raises(OSError, match="as it is"):
        await heeding(fail())
