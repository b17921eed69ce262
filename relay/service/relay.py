"""One process of the service: start → run → reload → drain → stop, in one TaskGroup.

A reload is all or nothing: everything that can fail is made before anything is changed.
Transactions under way end with what they began with; what they stood on is closed behind them.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from relay import __version__
from relay.assembly import make_memory
from relay.config.settings import Config
from relay.core.errors import ConfigError
from relay.core.events import Noted
from relay.listener.shares import Shares
from relay.listener.sockets import Listeners
from relay.listener.station import UnderWay
from relay.service.differences import changed, fixed_faults
from relay.service.reload import STOPPING
from relay.service.works import Emit, Works, make_works
from relay.telling import fault_teller, record_teller

Work = Coroutine[Any, Any, object]
Tasks = tuple[asyncio.Task[object], ...]
_AGAIN_SECONDS = 0.1


class Relay:
    """What serves mail in this process, and how it is changed. Made by `relaying`.

    Attributes:
        works: what new transactions are served with.
        listeners: where clients connect; the same from start to stop.
        is_draining: it was told to stop.
    """

    works: Works
    listeners: Listeners

    def __init__(self, config: Config, emit: Emit, *, rotates: bool = True) -> None:
        """Nothing is made yet.

        Args:
            config: the settings.
            emit: is told every event.
            rotates: whether keys are rotated here; of several processes only one should.
        """
        self._config = config
        self._emit = emit
        self._rotates = rotates
        self._memory = make_memory(config, fault_teller(emit, "state.failed"))
        self._tasks = asyncio.TaskGroup()
        self._attended: list[asyncio.Task[object]] = []
        self._of_parts: dict[object, asyncio.Task[object]] = {}
        self._retiring: dict[Works, asyncio.Task[object]] = {}
        self._next: tuple[Works, dict[str, socket.socket]] | None = None
        self.is_draining = False

    async def start(self, *, bound: Sequence[socket.socket] | None, shares: Shares | None) -> None:
        """Make everything, and listen.

        Args:
            bound: the sockets, when another process has bound them.
            shares: how many sessions other processes on them have.

        Raises:
            ConfigError: something in the settings cannot be had.
        """
        self.works = await make_works(self._config, self._emit, self._memory)
        self.listeners = self.works.listeners
        try:
            await self.listeners.open(self.works.bindings, bound=bound, shares=shares)
        except ConfigError:
            await self.works.close()
            raise

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve within; drained and closed at the end."""
        failure: Exception | None = None
        async with self._tasks:
            try:
                self.attend(self.listeners.sweep())
                self._attend_parts()
                self._emit(Noted("service.started", "info", self._started_fields()))
                yield
            except Exception as exc:  # the caller's own, which a group would wrap
                failure = exc
            finally:
                await self._stop()
        if failure is not None:
            raise failure

    def attend(self, work: Work) -> None:
        """Have something done in the background until all is over."""
        self._attended.append(self._tasks.create_task(work))

    async def hurry_when(self, told: asyncio.Event) -> None:
        """Wait no longer for messages in flight once that is told; for `attend`."""
        await told.wait()
        self.listeners.hurry()

    async def prepare(self, config: Config) -> tuple[str, ...]:
        """Make everything of other settings, and change nothing yet.

        Returns:
            The names of the settings that differ.

        Raises:
            ConfigError: it cannot be; each fault is named.
        """
        await self.abandon()
        before = self.works
        if faults := fixed_faults(before.config, config):
            raise ConfigError(faults)
        works = await make_works(config, self._emit, self._memory, before=before)
        try:
            bound = self.listeners.bind_new(works.bindings)
        except ConfigError:
            await works.close(kept=before)
            raise
        self._next = works, bound
        return changed(before.config, config)

    async def abandon(self) -> None:
        """Throw away what was prepared, if anything was."""
        if self._next is not None:
            (works, bound), self._next = self._next, None
            for one in bound.values():
                one.close()
            await works.close(kept=self.works)

    async def commit(self) -> None:
        """Serve with what was prepared from now on.

        Raises:
            ConfigError: it drains; what was prepared is thrown away.
        """
        if self._next is None:
            raise RuntimeError("nothing was prepared")
        if self.is_draining:
            await self.abandon()
            raise ConfigError((STOPPING,))
        (works, bound), self._next = self._next, None
        old, self.works = self.works, works
        under_way = self.listeners.station.under_way
        earlier = tuple(self._retiring.values())
        work = self._retire(old, works, self._attend_parts(), under_way, earlier)
        self._retiring[old] = self._tasks.create_task(work)
        await self.listeners.change(works.listeners, works.bindings, bound)

    def _attend_parts(self) -> Tasks:
        """Begin what parts do in the background; the tasks of those that are no more."""
        jobs = self._jobs()
        over = tuple(self._of_parts.pop(part) for part in self._of_parts.keys() - jobs.keys())
        for part, begin in jobs.items():
            if part not in self._of_parts:
                self._of_parts[part] = self._tasks.create_task(begin())
        return over

    def _jobs(self) -> dict[object, Callable[[], Work]]:
        works, told = self.works, record_teller(self._emit)
        every_seconds = works.config.rotation.check_seconds
        jobs: dict[object, Callable[[], Work]] = {
            works.gate: lambda: works.gate.watch(lambda: self.works.keyring.keys, told),
            works.key_watch: works.key_watch.run,
        }
        if self._rotates:
            jobs[works.caretaker] = lambda: works.caretaker.run(
                lambda: self.works.keyring.domains, every_seconds=every_seconds
            )
        return {**jobs, **{pool: pool.tend for pool in works.pools.values()}}

    async def _retire(
        self, old: Works, new: Works, tasks: Tasks, under_way: UnderWay, earlier: Tasks
    ) -> None:
        """Close what is used no more, behind the last transaction that stands on it."""
        await _end(tasks)
        await under_way.until_none()
        if earlier:  # transactions of before may stand on parts that were kept until now
            await asyncio.wait(earlier)
        await old.close(kept=new)
        del self._retiring[old]

    async def _stop(self) -> None:
        """Let in nobody more, let messages in flight finish, then end everything."""
        self.is_draining = True
        cut_off = await self.listeners.close(self.works.config.service.drain_seconds)
        await self.abandon()
        background = (*self._attended, *self._of_parts.values(), *self._retiring.values())
        await _end(background)
        for works in (*self._retiring, self.works):
            await works.close()
        level = "warning" if cut_off else "info"
        self._emit(Noted("service.stopped", level, (("sessions_cut_off", cut_off),)))

    def _started_fields(self) -> tuple[tuple[str, object], ...]:
        config, keyring = self.works.config, self.works.keyring
        return (
            ("version", __version__),
            ("listening", self.listeners.names),
            ("upstreams", [upstream.url for upstream in config.upstreams]),
            ("domains", len(keyring.domains)),
            ("keys", len(keyring.keys)),
        )


async def _end(tasks: Iterable[asyncio.Task[object]]) -> None:
    """Cancel tasks until they have ended.

    Before Python 3.12, `asyncio.wait_for` forgets a cancellation when what it waited for is done
    at the same moment.
    """
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_AGAIN_SECONDS)


@asynccontextmanager
async def relaying(
    config: Config,
    emit: Emit,
    *,
    bound: Sequence[socket.socket] | None = None,
    shares: Shares | None = None,
    rotates: bool = True,
) -> AsyncIterator[Relay]:
    """The relay at work: from bound sockets to drained sessions.

    Args:
        config: the settings.
        emit: is told every event.
        bound: the sockets, when another process has bound them.
        shares: how many sessions other processes on them have.
        rotates: whether keys are rotated here; of several processes only one should.

    Yields:
        The relay.

    Raises:
        ConfigError: something in the settings cannot be had: an address, a profile.
    """
    relay = Relay(config, emit, rotates=rotates)
    await relay.start(bound=bound, shares=shares)
    async with relay.running():
        yield relay


@asynccontextmanager
async def running(config: Config, emit: Emit) -> AsyncIterator[Listeners]:
    """The same, for whoever needs its addresses only.

    Raises:
        ConfigError: see `relaying`.
    """
    async with relaying(config, emit) as relay:
        yield relay.listeners
