"""All that mail is served with, made of one Config: whole, or not at all. Nothing is started.

Settings that are read anew make all of it anew, but for parts of which no setting has changed:
those go on, with what they know (open connections, rates, keys, records seen in DNS).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from relay.assembly import (
    binding,
    hostname,
    make_gate,
    make_keyring,
    make_listeners,
    make_pools,
    make_ways,
    profile_hints,
)
from relay.config.settings import Config
from relay.core.errors import ConfigError, Fault
from relay.core.events import Event, Noted
from relay.dns.gate import Gate
from relay.dns.memory import Memory
from relay.keyring.keyring import Keyring
from relay.keyring.watch import KeyWatch
from relay.listener.bind import Binding
from relay.listener.sockets import Listeners
from relay.rotation.setup import make_caretaker
from relay.rotation.unattended import Caretaker
from relay.telling import dialogue_teller, key_teller, record_teller, upstream_teller
from relay.upstream.pool import Pool

Emit = Callable[[Event], None]
_DOMAINS_AT_START = 100  # their keys are read before we serve, 0.2 s; others at first need


@dataclass(frozen=True, kw_only=True, eq=False)
class Works:
    """What serves mail; made by `make_works`.

    Attributes:
        config: what it was made of.
        listeners: those of the first one are opened, those of others say how to change them.
        bindings: where to listen, certificates loaded.
    """

    config: Config
    pools: dict[str, Pool]
    gate: Gate
    keyring: Keyring
    key_watch: KeyWatch
    caretaker: Caretaker
    listeners: Listeners
    bindings: tuple[Binding, ...]

    async def close(self, *, kept: Works | None = None) -> None:
        """Close what holds something open, but for what others keep."""
        for pool in self.pools.values():
            if kept is None or pool not in kept.pools.values():
                await pool.close()
        if kept is None or self.keyring is not kept.keyring:
            self.keyring.close()


async def make_works(
    config: Config, emit: Emit, memory: Memory, *, before: Works | None = None
) -> Works:
    """Make everything; wait until the keys are read and, for a while, for their records.

    Args:
        config: the settings.
        emit: is told every event.
        memory: what was seen of records.
        before: what serves now; parts of it are taken over.

    Raises:
        ConfigError: something in the settings cannot be had; each with its reason. When there is
            something before, also when a key can be used no more, or a new one cannot.
    """
    tell = upstream_teller(emit)
    pools = make_pools(config, tell, dialogue_teller(emit))
    bindings = bindings_of(config)
    kept = _Kept(before, config)
    if kept.before is not None:
        old = kept.before.config.upstreams
        same = {u.name for u in config.upstreams if u in old and kept.has_same_hops}
        pools = {n: kept.before.pools[n] if n in same else pool for n, pool in pools.items()}
    gate = kept.gate or make_gate(config, memory)
    introduce = partial(
        gate.start, report=record_teller(emit), within_seconds=config.dns.timeout_seconds
    )
    keyring = kept.keyring or make_keyring(
        config, gate, report=key_teller(emit), introduce=introduce
    )
    key_watch = kept.key_watch or KeyWatch(keyring, every_seconds=config.keys_reload_seconds)
    caretaker = kept.caretaker or make_caretaker(config, gate, emit)
    if not kept.has_same("upstreams"):
        for hint in await asyncio.to_thread(profile_hints, config):
            emit(Noted("upstream.questionable", "warning", (("detail", hint),)))
    await _read_keys(keyring, key_watch, before)
    await gate.start(keyring.keys, record_teller(emit), within_seconds=config.dns.start_seconds)
    ways = make_ways(config, keyring.domains, pools, tell)
    listeners = make_listeners(config, keyring, ways, emit)
    if before is not None and kept.has_same("clients", "limits"):
        listeners.logins = before.listeners.logins  # who failed before is not forgotten
    return Works(
        config=config,
        pools=pools,
        gate=gate,
        keyring=keyring,
        key_watch=key_watch,
        caretaker=caretaker,
        listeners=listeners,
        bindings=bindings,
    )


async def _read_keys(keyring: Keyring, key_watch: KeyWatch, before: Works | None) -> None:
    """Find out which keys there are, and read those of the first domains.

    Raises:
        ConfigError: there is something before, and a key has a fault that it had not.
    """
    known_faults = frozenset(before.keyring.faults if before is not None else ())
    await key_watch.look()
    await key_watch.load(_DOMAINS_AT_START)
    if before is not None and (faults := tuple(f for f in keyring.faults if f not in known_faults)):
        if keyring is not before.keyring:
            keyring.close()
        raise ConfigError(faults)


class _Kept:
    """The parts of before that no changed setting touches; None for each that is to be made."""

    def __init__(self, before: Works | None, config: Config) -> None:
        self.before = before
        self._config = config
        self.gate: Gate | None = None
        self.keyring: Keyring | None = None
        self.key_watch: KeyWatch | None = None
        self.caretaker: Caretaker | None = None
        if before is None or not self.has_same("dns"):
            return
        self.gate = before.gate
        if self.has_same("keys_dir", "keys_passphrase_file", "domains"):
            self.keyring = before.keyring
            if self.has_same("keys_reload_seconds"):
                self.key_watch = before.key_watch
            if self.has_same("rotation", "publishing"):
                self.caretaker = before.caretaker

    def has_same(self, *names: str) -> bool:
        """Whether there is something before, made with the same settings of these names."""
        before = self.before
        return before is not None and all(
            getattr(before.config, name) == getattr(self._config, name) for name in names
        )

    @property
    def has_same_hops(self) -> bool:
        """Whether what all upstreams are made with is the same."""
        before = self.before
        return (
            before is not None
            and self.has_same("dns")
            and before.config.logging.wire == self._config.logging.wire
            and hostname(before.config) == hostname(self._config)
        )


def bindings_of(config: Config) -> tuple[Binding, ...]:
    """Where to listen, every certificate loaded.

    Raises:
        ConfigError: some cannot be; each is named.
    """
    bindings: list[Binding] = []
    faults: list[Fault] = []
    for listener in config.listeners:
        try:
            bindings.append(binding(listener))
        except ConfigError as exc:
            faults += exc.faults
    if faults:
        raise ConfigError(tuple(faults))
    return tuple(bindings)
