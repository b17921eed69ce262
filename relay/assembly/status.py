"""How this process is now: a `Status`, collected from its parts when somebody asks. IO."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from relay import __version__, clock
from relay.assembly.domains import choose, domain_status
from relay.assembly.expiry import Expiries
from relay.assembly.milestones import NO_JOURNAL, Journals
from relay.assembly.naming import hostname
from relay.config.outbound import Upstream
from relay.config.settings import Config
from relay.core.status import DomainStatus, Reach, Status, UpstreamStatus
from relay.dns.gate import Gate
from relay.keyring.keyring import Keyring
from relay.listener.sockets import Listeners
from relay.observe.chronicle import Chronicle
from relay.observe.exposition import exposition
from relay.observe.reach import Contact
from relay.observe.uniting import by_need
from relay.rotation.unattended import Caretaker
from relay.upstream.breaker import State as Breaker
from relay.upstream.pool import Pool
from relay.upstream.snapshot import PoolSnapshot

_IN_A_TURN = 20  # domains with their keys: one or two milliseconds


class Parts(Protocol):
    """What mail is served with."""

    @property
    def config(self) -> Config:
        """The settings."""

    @property
    def keyring(self) -> Keyring:
        """The keys."""

    @property
    def gate(self) -> Gate:
        """Whether they may sign."""

    @property
    def caretaker(self) -> Caretaker:
        """Who rotates them."""

    @property
    def pools(self) -> Mapping[str, Pool]:
        """Connections to upstreams, by name."""


class Serving(Protocol):
    """A process that serves; its parts change when settings are read anew."""

    @property
    def works(self) -> Parts:
        """What mail is served with now."""

    @property
    def listeners(self) -> Listeners:
        """Where clients come in."""

    @property
    def is_draining(self) -> bool:
        """Whether it was told to stop."""


class Overview:
    """What there is to say of one process; what the admin port asks when there is only one."""

    def __init__(
        self, serving: Serving, chronicle: Chronicle, *, now: Callable[[], float] = clock.now
    ) -> None:
        """It serves from now on.

        Args:
            serving: the process's parts.
            chronicle: what it was told.
            now: seconds since 1970.
        """
        self._serving = serving
        self._chronicle = chronicle
        self._now = now
        self._started_at = now()
        self._journals = Journals()
        self._expiries = Expiries()

    async def metrics(self) -> bytes:
        """The metrics, when this is the only process."""
        limit = self._serving.works.config.admin.max_domain_labels
        registry = self._chronicle.metrics.registry
        status = await self.status()
        return await asyncio.to_thread(exposition, status, registry, max_domain_labels=limit)

    async def status(self, domain: str = "") -> Status:
        """How it is.

        Args:
            domain: one that is listed in any case, if there is one of that name.
        """
        works, listeners = self._serving.works, self._serving.listeners
        config, recent, memory = works.config, self._chronicle.recent, listeners.memory
        chosen = await choose(
            works.keyring, works.gate, max_domains=config.admin.max_domains, wanted=domain
        )
        certificates = await asyncio.to_thread(self._expiries.read, config.listeners)
        domains = await self._domains(works, chosen.names)
        return Status(
            version=__version__,
            hostname=hostname(config),
            at=self._now(),
            started_at=self._started_at,
            processes=(os.getpid(),),
            is_draining=self._serving.is_draining,
            listeners=tuple(listeners.names),
            connections=listeners.connections,
            inflight_octets=memory.octets if memory is not None else 0,
            max_inflight_octets=config.limits.max_inflight_bytes,
            domain_count=chosen.count,
            ready_domain_count=chosen.ready_count,
            domains=domains,
            upstreams=tuple(self._upstream(works, upstream) for upstream in config.upstreams),
            certificates=certificates,
            minutes=recent.minutes(),
            transactions=recent.transactions(),
        )

    async def _domains(self, works: Parts, names: tuple[str, ...]) -> tuple[DomainStatus, ...]:
        keys_dir = Path(works.config.keys_dir)
        journals = await asyncio.to_thread(self._journals.read, keys_dir, names)
        domains = []
        for number, name in enumerate(names, 1):
            domain = domain_status(
                name,
                works.keyring,
                works.gate,
                journal=journals.get(name, NO_JOURNAL),
                policy=works.caretaker.policy(name),
                now=self._now(),
            )
            domains.append(domain)
            if number % _IN_A_TURN == 0:
                await asyncio.sleep(0)
        return tuple(sorted(domains, key=by_need))

    def _upstream(self, works: Parts, upstream: Upstream) -> UpstreamStatus:
        contact, pool = self._chronicle.contacts.of(upstream.name), works.pools[upstream.name]
        held = pool.snapshot()
        return UpstreamStatus(
            name=upstream.name,
            url=upstream.url,
            reach=_reach(contact, held),
            connected_at=contact.connected_at,
            secured=contact.secured,
            failed_at=contact.failed_at,
            error=contact.error,
            busy=held.busy,
            idle=held.idle,
            opening=held.opening,
            waiting=held.waiting,
        )


def _reach(contact: Contact, held: PoolSnapshot) -> Reach:
    if held.breaker is not Breaker.CLOSED:
        return Reach.LEFT_ALONE
    if contact.has_failed and not (held.busy or held.idle):
        return Reach.FAILING
    return Reach.UNTRIED if contact.connected_at is None else Reach.OK
