"""Several processes on the same sockets: started, looked after, reloaded and ended together.

It serves no mail itself. A worker that ends is started again, after a pause that doubles while
it goes on so; one that says nothing for `service.stall_seconds` is killed. Settings are taken
into use by all workers or by none. A supervisor that is killed leaves nobody behind: its workers
find their channels closed, drain and end.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from relay.config.settings import Config
from relay.core.errors import ConfigError, RelayError
from relay.core.events import Event, Noted
from relay.listener.bind import let_go
from relay.listener.shares import ABSENT, Shares
from relay.service.channel import BEAT_SECONDS, Message, packed, read_faults
from relay.service.differences import changed, fixed_faults
from relay.service.processes import WorkerGone, WorkerProcess
from relay.service.reload import STOPPING

_FIRST_PAUSE_SECONDS: Final = 0.1
_MAX_PAUSE_SECONDS: Final = 30.0
_SETTLED_SECONDS: Final = 60.0  # who has lived so long is started again without a pause
_START_SECONDS: Final = 60.0  # for the imports of a worker on a busy machine
_LAST_SECONDS: Final = 10.0  # beyond `drain_seconds`; then a worker is killed


class WorkersFailed(RelayError):
    """The workers cannot be started; the text says how they ended."""


class Supervisor:
    """The workers and what they have in common."""

    def __init__(
        self,
        config: Config,
        emit: Callable[[Event], None],
        *,
        processes: int,
        bound: list[socket.socket],
        paths: list[Path],
        shares: int,
        options: tuple[str, ...],
        environ: Mapping[str, str],
    ) -> None:
        """Nothing is started yet.

        Args:
            config: the settings.
            emit: is told of workers and reloads.
            processes: how many workers.
            bound: the sockets, in the order of the listeners.
            paths: of UNIX sockets, removed at the end.
            shares: the descriptor of `make_shares`.
            options: of the interpreter.
            environ: of the workers.
        """
        self._config = config
        self._emit = emit
        self._processes = processes
        self._bound = bound
        self._paths = paths
        self._shares_file = shares
        self._shares = Shares(shares, mine=0, processes=processes)
        self._options = options
        self._environ = environ
        self._workers: dict[int, WorkerProcess] = {}
        self._keepers: set[asyncio.Task[None]] = set()
        self._starting = asyncio.Lock()  # nobody is started while settings change
        self._stopping = asyncio.Event()
        self._has_started = False

    @property
    def config(self) -> Config:
        """The settings in use."""
        return self._config

    @property
    def workers(self) -> tuple[WorkerProcess, ...]:
        """Those that serve now."""
        return tuple(worker for worker in self._workers.values() if worker.is_ready)

    @property
    def is_stopping(self) -> bool:
        """Whether they were told to end."""
        return self._stopping.is_set()

    async def start(self, tasks: asyncio.TaskGroup, until: Awaitable[object]) -> None:
        """Start all workers, and wait until they serve.

        Args:
            tasks: has the task of each worker.
            until: waits no longer than for this.

        Raises:
            ConfigError: the settings cannot be used.
            WorkersFailed: a worker ended.
        """
        loop = asyncio.get_running_loop()
        first = [loop.create_future() for _ in range(self._processes)]
        for number, is_ready in enumerate(first):
            keeper = tasks.create_task(self._keep(number, is_ready))
            self._keepers.add(keeper)
            keeper.add_done_callback(self._keepers.discard)
        everybody = asyncio.gather(*first)
        told = asyncio.ensure_future(until)
        await asyncio.wait((everybody, told), return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        if not everybody.done():
            everybody.cancel()
            return
        try:
            everybody.result()
        except WorkerGone as exc:
            raise WorkersFailed(f"a worker could not be started: {exc}") from exc
        self._has_started = True

    async def change(self, to: Config) -> tuple[str, ...]:
        """Have all workers take settings into use, or none.

        Returns:
            The names of the settings that differ.

        Raises:
            ConfigError: they cannot be used; every fault of every worker, once.
            WorkerGone: a worker ended in the middle.
        """
        if faults := fixed_faults(self._config, to):
            raise ConfigError(faults)
        for tries_left in (2, 1, 0):
            try:
                return await self._change(to)
            except WorkerGone:
                # One ended just then, which may have had another cause: wait for its successor.
                if not tries_left:
                    raise
            await asyncio.sleep(_FIRST_PAUSE_SECONDS)
        raise AssertionError("the last try returns or raises")

    async def _change(self, to: Config) -> tuple[str, ...]:
        async with self._starting:
            starting = [worker.ready for worker in self._workers.values()]
            await asyncio.gather(*starting, return_exceptions=True)
            workers = self.workers
            try:
                await self._prepare(workers, to)
            except RelayError:
                for worker in workers:
                    worker.tell("abandon")
                raise
            if self.is_stopping:  # they drain; settings of before are good enough for that
                raise ConfigError((STOPPING,))
            names = changed(self._config, to)
            self._config = to  # who has to be started from now on begins with these
            committing = [worker.ask("commit") for worker in workers]
            results = await asyncio.gather(*committing, return_exceptions=True)
            for worker, result in zip(workers, results, strict=True):
                if result is not None and not self.is_stopping:
                    worker.kill()  # what it serves with is not known
            return names

    async def _prepare(self, workers: tuple[WorkerProcess, ...], to: Config) -> None:
        config = packed(to)
        answers = await asyncio.gather(*(w.ask("prepare", config=config) for w in workers))
        faults = dict.fromkeys(f for a in answers for f in read_faults(a.get("faults", ())).faults)
        if faults:
            raise ConfigError(tuple(faults))

    async def stop(self, hurry: asyncio.Event) -> None:
        """Have all workers drain, and wait for their end.

        Args:
            hurry: set when messages in flight are not to be waited for.
        """
        self._stopping.set()
        let_go(self._bound, self._paths)
        for worker in self._workers.values():
            worker.drain()
        loop = asyncio.get_running_loop()
        hurrying = asyncio.ensure_future(hurry.wait())
        until = loop.time() + self._config.service.drain_seconds + _LAST_SECONDS
        while self._keepers:
            if hurrying.done() and loop.time() < until - _LAST_SECONDS:
                until = loop.time() + _LAST_SECONDS
                for worker in self._workers.values():
                    worker.tell("hurry")
            if loop.time() >= until:
                for worker in self._workers.values():
                    worker.kill()
            waited = {*self._keepers} if hurrying.done() else {*self._keepers, hurrying}
            timeout = max(BEAT_SECONDS, until - loop.time())
            await asyncio.wait(waited, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        hurrying.cancel()
        self._shares.close()
        os.close(self._shares_file)

    async def _keep(self, number: int, is_ready: asyncio.Future[None]) -> None:
        """Have a worker of this number, until the end."""
        loop, pause = asyncio.get_running_loop(), 0.0
        while not self._stopping.is_set():
            began_at = loop.time()
            status = await self._live(number, is_ready)
            if self._stopping.is_set() or not self._has_started:
                return
            is_settled = loop.time() - began_at > _SETTLED_SECONDS
            pause = (
                0.0 if is_settled else min(2 * pause or _FIRST_PAUSE_SECONDS, _MAX_PAUSE_SECONDS)
            )
            fields = (("worker", number), ("ended", status), ("again_in_seconds", pause))
            self._emit(Noted("worker.ended", "error", fields))
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()

    async def _live(self, number: int, is_ready: asyncio.Future[None]) -> str:
        """One worker, from its start to its end; how that was."""
        async with self._starting:
            if self.is_stopping:
                return "not started"
            try:
                worker = await WorkerProcess.start(
                    self._options, self._first_words(number), self._files, self._environ
                )
            except OSError as exc:  # no memory, descriptors or processes left: perhaps later
                return self._not_started(exc, is_ready)
            self._workers[number] = worker
        if self._stopping.is_set():
            worker.drain()  # who was told to end has not heard of this one
        try:
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(self._watch(number, worker))
                telling = tasks.create_task(self._tell_of(number, worker, is_ready))
                status = await worker.run()
                watching.cancel()
                await telling
        finally:
            del self._workers[number]
            self._shares.tell(ABSENT, process=number)
        return f"signal {-status}" if status < 0 else f"status {status}"

    def _not_started(self, error: OSError, is_ready: asyncio.Future[None]) -> str:
        how = f"not started: {error.strerror or error}"
        if not is_ready.done():
            is_ready.set_exception(WorkerGone(how))
        return how

    async def _tell_of(
        self, number: int, worker: WorkerProcess, is_ready: asyncio.Future[None]
    ) -> None:
        """Tell how the start went: to who waits for the first, else to the log."""
        try:
            await worker.ready
        except (ConfigError, WorkerGone) as exc:
            if not is_ready.done():
                is_ready.set_exception(exc)
            elif isinstance(exc, ConfigError):
                faults = [str(fault) for fault in exc.faults]
                why = (("worker", number), ("faults", faults))
                self._emit(Noted("worker.failed", "error", why))
        else:
            if not is_ready.done():
                is_ready.set_result(None)
            fields = (("worker", number), ("pid", worker.pid))
            self._emit(Noted("worker.started", "info", fields))

    async def _watch(self, number: int, worker: WorkerProcess) -> None:
        """Kill a worker whose event loop stands still."""
        loop = asyncio.get_running_loop()
        began_at = loop.time()

        def silent_for(seconds: float) -> bool:
            if worker.heard_at is None:  # its modules are imported before it can say anything
                return loop.time() - began_at >= max(seconds, _START_SECONDS)
            return loop.time() - worker.heard_at >= seconds

        while True:
            seconds = self._config.service.stall_seconds
            await asyncio.sleep(seconds / 4)
            if silent_for(seconds):
                await asyncio.sleep(2 * BEAT_SECONDS)  # all of us may have stood still
                if silent_for(seconds):
                    fields = (("worker", number), ("pid", worker.pid), ("seconds", seconds))
                    self._emit(Noted("worker.stalled", "error", fields))
                    worker.kill()
                    return

    @property
    def _files(self) -> tuple[int, ...]:
        return (self._shares_file, *(one.fileno() for one in self._bound))

    def _first_words(self, number: int) -> Message:
        return {
            "config": packed(self._config),
            "process": number,
            "processes": self._processes,
            "shares": self._shares_file,
            "sockets": [one.fileno() for one in self._bound],
        }
