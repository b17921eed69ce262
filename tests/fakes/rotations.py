"""A rotation's surroundings in a test: a real folder, DNS in memory, time that is told to pass."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from relay.core.dkim.algorithm import Algorithm, PublicKey
from relay.core.dkim.record import record_text
from relay.dns.gate import RecordGate
from relay.keyring.files import read_key_file
from relay.keyring.writing import WrittenKey, write_key_pair
from relay.rotation.plan import Order, Policy
from relay.rotation.rotation import Progress, Rotation
from relay.rotation.surroundings import Surroundings
from tests.fakes.zone import FakeZone

DOMAIN = "example.com"
DAY = 86400.0
START = 1.7e9  # 2023-11-14: before any file that is made in a test
ED25519 = frozenset({Algorithm.ED25519_SHA256})
UNATTENDED = Policy(every_seconds=90 * DAY, is_published_by_us=True)
BY_HAND = Policy()


class KilledError(BaseException):
    """The process ended here."""


@dataclass
class World:
    """A keys folder, a zone, and time that passes when told to."""

    keys_dir: Path
    policy: Policy = UNATTENDED
    now: float = START
    zone: FakeZone = field(default_factory=FakeZone)
    effects: list[str] = field(default_factory=list)
    kill_after: int | None = None

    def process(self) -> Rotation:
        """A new process: nothing is known but what lies there."""
        return Rotation(self.surroundings())

    def surroundings(self) -> Surroundings:
        """What a process has around it."""
        return Surroundings(
            self.keys_dir,
            RecordGate(self.zone.resolver, now=lambda: self.now),
            lambda domain: self.policy,
            lambda domain: self.zone if self.policy.is_published_by_us else None,
            now=lambda: self.now,
            after_effect=self._effect,
        )

    def _effect(self, name: str) -> None:
        self.effects.append(name)
        if self.kill_after is not None and len(self.effects) == self.kill_after:
            raise KilledError(name)

    async def tick(self, order: Order | None = None) -> Progress:
        """One round of a new process."""
        return await self.process().advance(DOMAIN, order)

    def key(self, selector: str) -> WrittenKey:
        """A first key with its record, as it would be found."""
        written = write_key_pair(self.keys_dir, DOMAIN, selector, Algorithm.ED25519_SHA256)
        os.utime(written.key_path, (START, START))
        self.publish(selector)
        return written

    def publish(self, selector: str) -> None:
        """By hand."""
        name = f"{selector}._domainkey.{DOMAIN}"
        self.zone.resolver.records[name] = [record_text(self.read(selector))]

    def read(self, selector: str) -> PublicKey:
        """The public half of a key in the folder."""
        path = self.keys_dir / DOMAIN / f"{selector}.pem"
        return read_key_file(path, domain=DOMAIN, selector=selector).public

    @property
    def selectors(self) -> list[str]:
        """Those with a key."""
        return sorted(path.stem for path in (self.keys_dir / DOMAIN).glob("*.pem"))

    @property
    def published(self) -> list[str]:
        """Selectors with a record that matches or not."""
        return sorted(name.partition(".")[0] for name in self.zone.resolver.records)
