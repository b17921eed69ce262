"""The composition root: builds everything once, in one TaskGroup; start → run → drain → stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from relay import __version__
from relay.assembly import (
    binding,
    load_profile,
    make_gate,
    make_listeners,
    profile_hints,
    upstream_settings,
)
from relay.config.settings import Config
from relay.core.errors import Fault
from relay.core.events import Event, Noted
from relay.dns.gate import RecordChange, RecordState
from relay.keyring.keyring import Keyring
from relay.listener.sockets import Listeners
from relay.upstream.events import Happened, UpstreamEvent
from relay.upstream.pool import Pool

Emit = Callable[[Event], None]


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
    profile = load_profile(config.upstreams[0].profile)
    gate = make_gate(config)
    keyring = await asyncio.to_thread(
        Keyring.load, Path(config.keys_dir), domains=config.domains, gate=gate
    )
    _tell_keys(keyring, emit)
    for hint in profile_hints(config):
        emit(Noted("upstream.questionable", "warning", (("detail", hint),)))
    changed = _record_teller(emit)
    for change in await gate.check(keyring.keys):
        changed(change)
    pool = Pool(upstream_settings(config), emit=_upstream_teller(emit))
    listeners = make_listeners(config, keyring, pool, profile, emit)
    await listeners.open([binding(listener) for listener in config.listeners])
    failure: Exception | None = None
    async with asyncio.TaskGroup() as tasks:
        background = [
            tasks.create_task(gate.watch(lambda: keyring.keys, changed)),
            tasks.create_task(listeners.sweep()),
        ]
        try:
            emit(Noted("service.started", "info", _started_fields(config, keyring, listeners)))
            yield listeners
        except Exception as exc:  # the caller's own, which a group would wrap
            failure = exc
        finally:
            cut_off = await listeners.close(config.service.drain_seconds)
            await pool.close()
            for task in background:
                task.cancel()
            level = "warning" if cut_off else "info"
            emit(Noted("service.stopped", level, (("sessions_cut_off", cut_off),)))
    if failure is not None:
        raise failure


def _tell_keys(keyring: Keyring, emit: Emit) -> None:
    for key in keyring.keys:
        fields = (("domain", key.domain), ("selector", key.selector), ("path", str(key.path)))
        emit(Noted("key.loaded", "info", fields))
    for warning in keyring.warnings:
        emit(Noted("key.questionable", "warning", _fault_fields(warning)))
    for fault in keyring.faults:
        emit(Noted("key.failed", "error", _fault_fields(fault)))


def _fault_fields(fault: Fault) -> tuple[tuple[str, object], ...]:
    return (("where", fault.where), ("detail", fault.what), ("fix", fault.fix))


def _record_teller(emit: Emit) -> Callable[[RecordChange], None]:
    def tell(change: RecordChange) -> None:
        fields = (
            ("domain", change.domain),
            ("selector", change.selector),
            ("state", change.after.value),
            ("signs", change.is_open),
            ("detail", change.detail),
        )
        match change.after:
            case RecordState.MATCHES:
                emit(Noted("key.matched", "info", fields))
            case RecordState.TEMPERROR | RecordState.UNCHECKED:
                emit(Noted("key.unanswered", "warning", fields))
            case _:
                emit(Noted("key.mismatched", "error", fields))

    return tell


def _upstream_teller(emit: Emit) -> Callable[[UpstreamEvent], None]:
    def tell(event: UpstreamEvent) -> None:
        fields = (
            ("upstream", event.upstream),
            ("detail", event.detail),
            ("seconds", event.seconds),
            ("transactions", event.transactions),
        )
        match event.happened:
            case Happened.FAILED:
                level = "warning"
            case Happened.OPENED | Happened.CLOSED | Happened.REPLAYED:
                level = "debug"
        emit(Noted(event.happened.value, level, fields))

    return tell


def _started_fields(
    config: Config, keyring: Keyring, listeners: Listeners
) -> tuple[tuple[str, object], ...]:
    return (
        ("version", __version__),
        ("listening", listeners.names),
        ("upstream", config.upstreams[0].url),
        ("domains", len(keyring.domains)),
        ("keys", len(keyring.keys)),
    )
