"""Waiting for libraries that lose a cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

_Result = TypeVar("_Result")


async def heeding(step: Awaitable[_Result]) -> _Result:
    """The result of a step, unless the task was cancelled meanwhile.

    aiosmtplib and dnspython wait with asyncio.wait_for, which before Python 3.12 loses a
    cancellation that comes together with the result, or with the failure.

    Raises:
        CancelledError: the task has been cancelled since the step began.
    """
    before = _cancellations()
    try:
        return await step
    finally:
        if _cancellations() > before:
            raise asyncio.CancelledError


def _cancellations() -> int:
    """How often the current task was told to end."""
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0
