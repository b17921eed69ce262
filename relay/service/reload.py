"""Settings read anew: taken into use as a whole, or not at all; and what is told of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from relay.config.settings import Config
from relay.core.errors import ConfigError
from relay.core.events import Event, Noted

Load = Callable[[], Config]


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
