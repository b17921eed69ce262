"""The relay in several processes: this one supervises, with signals and service manager."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

from pydantic import TypeAdapter

from relay.admin.server import admin_port
from relay.config.inbound import Listener
from relay.config.settings import Config
from relay.core.errors import RelayError
from relay.core.events import Event
from relay.core.status import Status
from relay.listener.bind import Binding, bind_all
from relay.listener.shares import make_shares
from relay.observe.sharing import counters, shared_folder
from relay.observe.uniting import unite
from relay.service.notify import Notifier
from relay.service.orders import Orders
from relay.service.processes import WorkerGone, WorkerProcess
from relay.service.reload import Load, reload, reload_when_told
from relay.service.supervisor import Supervisor

_ANSWER_SECONDS = 3.0
_STATUS = TypeAdapter(Status)


class NobodyServes(RelayError):
    """There is no worker that could say how it is."""


async def serve_together(config: Config, load: Load, notifier: Notifier, *, processes: int) -> None:
    """Serve until told to stop.

    Args:
        config: the settings.
        load: reads them anew.
        notifier: tells the service manager.
        processes: how many workers.

    Raises:
        ConfigError: something in the settings cannot be had.
        WorkersFailed: the workers cannot be started.
        ExceptionGroup: something failed that should not.
    """
    with shared_folder() as folder:
        await _serve(config, load, notifier, folder, processes)


async def _serve(
    config: Config, load: Load, notifier: Notifier, folder: Path, processes: int
) -> None:
    from relay.service.observers import Observers  # now that the folder is named

    orders = Orders()
    orders.listen()
    observers = Observers(config)
    supervisor = _supervisor(config, observers.emit, processes)

    async def change(to: Config) -> tuple[str, ...]:
        names = await supervisor.change(to)
        observers.adopt(to)
        return names

    once = partial(reload, load, change, observers.emit)
    status = partial(_status, supervisor)
    failure: Exception | None = None
    with observers.telling_failures():
        async with (
            admin_port(config.admin, observers.emit) as port,
            asyncio.TaskGroup() as tasks,
        ):
            background = [tasks.create_task(notifier.watch())]
            try:
                await supervisor.start(tasks, orders.stop.wait())
                reloading = reload_when_told(orders, notifier, once=once, status=status)
                background.append(tasks.create_task(reloading))
                await port.serve(_Source(supervisor, folder))
                notifier.ready(status())
                await orders.stop.wait()
            except RelayError as exc:  # which a group would wrap
                failure = exc
            finally:
                notifier.stopping()
                await supervisor.stop(orders.hurry)
                for task in background:
                    task.cancel()
    if failure is not None:
        raise failure


def _supervisor(config: Config, emit: Callable[[Event], None], processes: int) -> Supervisor:
    """With sockets that are bound, and nobody on them yet.

    Raises:
        ConfigError: some address cannot be had.
    """
    bindings = [_binding(listener) for listener in config.listeners]
    return Supervisor(
        config,
        emit,
        processes=processes,
        bound=bind_all(bindings),
        paths=[binding.path for binding in bindings if binding.path is not None],
        shares=make_shares(processes),
        options=tuple(subprocess._args_from_interpreter_flags()),  # type: ignore[attr-defined]
        environ=os.environ,
    )


def _binding(listener: Listener) -> Binding:
    """Where to listen; certificates are the workers' affair."""
    mode = int(listener.unix_mode, 8)
    return Binding(address=listener.address, mode=mode, owner=listener.unix_owner)


def _status(supervisor: Supervisor) -> str:
    addresses = ", ".join(listener.address for listener in supervisor.config.listeners)
    return f"Serving on {addresses} with {len(supervisor.workers)} workers"


class _Source:
    """What the admin port asks: all workers, made one."""

    def __init__(self, supervisor: Supervisor, folder: Path) -> None:
        self._supervisor = supervisor
        self._folder = folder

    async def status(self, domain: str = "") -> Status:
        """How the workers are now; those that do not answer in time are left out.

        Raises:
            NobodyServes: none answers.
        """
        asked = (_ask(worker, domain) for worker in self._supervisor.workers)
        statuses = [status for status in await asyncio.gather(*asked) if status is not None]
        if not statuses:
            raise NobodyServes("no worker answers")
        return unite(statuses)

    async def metrics(self) -> bytes:
        """The metrics of all processes there were since the start."""
        from relay.observe.exposition import exposition

        limit = self._supervisor.config.admin.max_domain_labels
        status = await self.status()
        return await asyncio.to_thread(
            exposition, status, counters(self._folder), max_domain_labels=limit
        )


async def _ask(worker: WorkerProcess, domain: str) -> Status | None:
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            return _STATUS.validate_python(await worker.ask("status", domain=domain))
    except (WorkerGone, TimeoutError):
        return None
