"""The composition root: builds everything once, in one TaskGroup; start → run → drain → stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from relay import __version__
from relay.assembly import (
    binding,
    make_gate,
    make_keyring,
    make_listeners,
    make_pools,
    make_ways,
    profile_hints,
)
from relay.config.settings import Config
from relay.core.events import Event, Noted
from relay.keyring.keyring import Keyring
from relay.keyring.watch import KeyWatch
from relay.listener.sockets import Listeners
from relay.rotation.setup import make_caretaker
from relay.telling import fault_teller, key_teller, record_teller, upstream_teller

Emit = Callable[[Event], None]
_DOMAINS_AT_START = 100  # their keys are read before we serve, 0.2 s; others at first need


@asynccontextmanager
async def running(config: Config, emit: Emit) -> AsyncIterator[Listeners]:
    """The relay at work: from bound sockets to drained sessions.

    Args:
        config: the settings.
        emit: is told every event.

    Yields:
        The listeners, for their addresses.

    Raises:
        ConfigError: something in the settings cannot be had: an address, a profile.
    """
    tell = upstream_teller(emit)
    pools = make_pools(config, tell)
    gate = make_gate(config, fault_teller(emit, "state.failed"))
    caretaker = make_caretaker(config, gate, emit)
    changed = record_teller(emit)
    keyring = make_keyring(
        config,
        gate,
        report=key_teller(emit),
        introduce=partial(gate.start, report=changed, within_seconds=config.dns.timeout_seconds),
    )
    key_watch = KeyWatch(keyring, every_seconds=config.keys_reload_seconds)
    await key_watch.look()
    await key_watch.load(_DOMAINS_AT_START)
    for hint in profile_hints(config):
        emit(Noted("upstream.questionable", "warning", (("detail", hint),)))
    await gate.start(keyring.keys, changed, within_seconds=config.dns.start_seconds)
    ways = make_ways(config, keyring.domains, pools, tell)
    listeners = make_listeners(config, keyring, ways, emit)
    await listeners.open([binding(listener) for listener in config.listeners])
    failure: Exception | None = None
    async with asyncio.TaskGroup() as tasks:
        background = [
            tasks.create_task(gate.watch(lambda: keyring.keys, changed)),
            tasks.create_task(key_watch.run()),
            tasks.create_task(listeners.sweep()),
            tasks.create_task(
                caretaker.run(lambda: keyring.domains, every_seconds=config.rotation.check_seconds)
            ),
            *(tasks.create_task(pool.tend()) for pool in pools.values()),
        ]
        try:
            emit(Noted("service.started", "info", _started_fields(config, keyring, listeners)))
            yield listeners
        except Exception as exc:  # the caller's own, which a group would wrap
            failure = exc
        finally:
            cut_off = await listeners.close(config.service.drain_seconds)
            for task in background:
                task.cancel()
            for pool in pools.values():
                await pool.close()
            keyring.close()
            level = "warning" if cut_off else "info"
            emit(Noted("service.stopped", level, (("sessions_cut_off", cut_off),)))
    if failure is not None:
        raise failure


def _started_fields(
    config: Config, keyring: Keyring, listeners: Listeners
) -> tuple[tuple[str, object], ...]:
    return (
        ("version", __version__),
        ("listening", listeners.names),
        ("upstreams", [upstream.url for upstream in config.upstreams]),
        ("domains", len(keyring.domains)),
        ("keys", len(keyring.keys)),
    )
