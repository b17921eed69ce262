"""The relay in one process, with its signals and its service manager."""

from __future__ import annotations

from functools import partial

from relay.admin.server import admin_port
from relay.assembly.status import Overview
from relay.config.settings import Config
from relay.service.memory import settle
from relay.service.notify import Notifier
from relay.service.observers import Observers
from relay.service.orders import Orders
from relay.service.relay import Relay, relaying
from relay.service.reload import Load, reload, reload_when_told


async def serve_alone(config: Config, load: Load, notifier: Notifier) -> None:
    """Serve until told to stop.

    Args:
        config: the settings.
        load: reads them anew.
        notifier: tells the service manager.

    Raises:
        ConfigError: something in the settings cannot be had.
        ExceptionGroup: something failed that should not.
    """
    observers = Observers(config)
    with observers.telling_failures():
        await _serve(config, load, notifier, observers)


async def _serve(config: Config, load: Load, notifier: Notifier, observers: Observers) -> None:
    orders = Orders()
    orders.listen()
    async with (
        admin_port(config.admin, observers.emit) as port,
        relaying(config, observers.emit) as relay,
    ):

        async def change(to: Config) -> tuple[str, ...]:
            names = await relay.prepare(to)
            await relay.commit()
            observers.adopt(to)
            return names

        once = partial(reload, load, change, observers.emit)
        status = partial(_status, relay)
        relay.attend(notifier.watch())
        relay.attend(reload_when_told(orders, notifier, once=once, status=status))
        relay.attend(relay.hurry_when(orders.hurry))
        await port.serve(Overview(relay, observers.chronicle))
        settle()
        notifier.ready(_status(relay))
        await orders.stop.wait()
        notifier.stopping()


def _status(relay: Relay) -> str:
    return f"Serving on {', '.join(relay.listeners.names)}"
