"""Settings read anew: taken into use as a whole, or not at all; and what is told of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from relay.config.settings import Config
from relay.core.errors import ConfigError, Fault
from relay.core.events import Event, Noted
from relay.service.notify import Notifier
from relay.service.orders import Orders

Load = Callable[[], Config]
STOPPING: Final = Fault("reload", "the service was told to stop meanwhile", "start it again")


async def reload(
    load: Load,
    change: Callable[[Config], Awaitable[tuple[str, ...]]],
    emit: Callable[[Event], None],
) -> None:
    """Read the settings anew, and tell how that went; the old ones stay on any fault.

    Args:
        load: reads them; raises ConfigError.
        change: takes them into use, and returns the names of those that differ; when it raises,
            nothing has changed.
        emit: is told.
    """
    try:
        names = await change(await asyncio.to_thread(load))
    except ConfigError as exc:
        faults = [str(fault) for fault in exc.faults]
        emit(Noted("service.reload_failed", "error", (("faults", faults),)))
    except Exception as exc:  # what serves goes on, whatever is wrong with what should come
        emit(Noted("service.reload_failed", "error", (("exception", exc),)))
    else:
        emit(Noted("service.reloaded", "info", (("changed", list(names)),)))


async def reload_when_told(
    orders: Orders,
    notifier: Notifier,
    *,
    once: Callable[[], Awaitable[None]],
    status: Callable[[], str],
) -> None:
    """Read the settings anew whenever that is told; for a task group, until cancelled.

    Args:
        orders: what signals tell.
        notifier: the service manager hears when it begins and ends.
        once: does it; see `reload`.
        status: a line for people, made when it is over.
    """
    while True:
        await orders.reload.wait()
        orders.reload.clear()
        notifier.reloading()
        await once()
        notifier.ready(status())
