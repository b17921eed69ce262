"""The service's part: looks after every domain that has a rotation, and says what is due.

A domain is looked at when its folder has changed, when something is due, while a key waits, and
now and then. What only waits for somebody is said once a day.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from relay.core.errors import Fault, KeyFault
from relay.core.events import Noted
from relay.keyring.folder import folders_by_domain
from relay.rotation.files import folder_of
from relay.rotation.journal import JOURNAL
from relay.rotation.plan import DAY_SECONDS, MIN_RETIRE_DAYS, Act, Due, Policy, Step, Waits
from relay.rotation.rotation import Progress, Rotation
from relay.rotation.surroundings import RotationBusy, Surroundings

_AT_LEAST_EVERY_SECONDS = 3600.0
_PUBLISH_PATIENCE_SECONDS = 3600.0  # a new key may wait so long before it is said
_EVENTS = {
    Act.INTEND: "key.rotation_begun",
    Act.MAKE: "key.made",
    Act.PUBLISH: "key.published",
    Act.USE: "key.taken_into_use",
    Act.SUPERSEDE: "key.superseded",
    Act.RESUME: "key.resumed",
    Act.RETIRE: "key.retiring",
    Act.DESTROY: "key.destroyed",
    Act.WITHDRAW: "key.withdrawn",
    Act.FINISH: "key.retired",
}
_SAID = {
    Waits.PUBLISH: "its record is to be published: dkim-relay keys record {domain}",
    Waits.DNS: "its record was published and is not seen everywhere: dkim-relay dns check {domain}",
    Waits.RETIRE: "its time has passed: dkim-relay keys retire {domain}",
    Waits.ROTATE: "it is due to be replaced: dkim-relay keys rotate {domain}",
}


@dataclass(frozen=True, slots=True)
class _Looked:
    """What a domain's folder looked like, and when to look at it again."""

    signature: tuple[int, ...]
    again_at: float


class Caretaker:
    """Rotates keys unattended where the settings say so, and warns where they do not."""

    def __init__(self, surroundings: Surroundings, *, emit: Callable[[Noted], None]) -> None:
        """Nothing is read yet.

        Args:
            surroundings: with the gate of the service.
            emit: is told what was done, what is due and what is wrong.
        """
        self._with = surroundings
        self._rotation = Rotation(surroundings)
        self._emit = emit
        self._looked: dict[str, _Looked] = {}
        self._said: dict[tuple[str, str], float] = {}

    def policy(self, domain: str) -> Policy:
        """What the settings say about the rotation of a domain."""
        return self._with.policy(domain)

    async def run(
        self,
        domains: Callable[[], Iterable[str]],
        *,
        every_seconds: float,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """Look after the domains until cancelled; for the service's task group.

        Args:
            domains: those there are, in A-labels.
            every_seconds: from one round to the next.
            sleep: how time passes.
        """
        while True:
            for domain in await asyncio.to_thread(self._concerned, tuple(domains())):
                await self._look_after(domain)
            await sleep(every_seconds)

    def _concerned(self, domains: Iterable[str]) -> list[str]:
        """The domains that have a rotation, and something to look at."""
        now, found = self._with.now(), []
        for domain, path in folders_by_domain(self._with.keys_dir, domains).items():
            with contextlib.suppress(OSError):
                is_concerned = self._with.policy(domain).every_seconds > 0
                if is_concerned or (path / JOURNAL).exists():
                    looked = self._looked.get(domain)
                    if looked is None or now >= looked.again_at or looked.signature != _seen(path):
                        found.append(domain)
        return found

    async def _look_after(self, domain: str) -> None:
        now = self._with.now()
        try:
            progress = await self._rotation.advance(domain)
        except RotationBusy:
            return  # a command, or another replica: it is looked at in the next round
        except KeyFault as exc:
            self._say_fault(domain, exc.fault)
            self._looked[domain] = _Looked((), now + _AT_LEAST_EVERY_SECONDS / 60)
            return
        policy = self._with.policy(domain)
        for step in progress.steps:
            self._emit(Noted(_EVENTS[step.act], "info", _fields(domain, step, policy)))
        for fault in progress.faults:
            self._say_fault(domain, fault)
        for due in progress.dues:
            self._say_due(domain, due)
        path = folder_of(self._with.keys_dir, domain)
        self._looked[domain] = _Looked(_seen(path), self._again_at(progress, now))

    def _again_at(self, progress: Progress, now: float) -> float:
        if progress.faults or progress.steps:
            return now
        waiting = [due for due in progress.dues if due.waits in (Waits.PUBLISH, Waits.DNS)]
        if waiting:
            return now
        coming = [due.at_seconds for due in progress.dues if due.at_seconds > now]
        return min([now + _AT_LEAST_EVERY_SECONDS, *coming])

    def _say_due(self, domain: str, due: Due) -> None:
        patience = _PUBLISH_PATIENCE_SECONDS if due.waits in (Waits.PUBLISH, Waits.DNS) else 0.0
        if self._with.now() < due.at_seconds + patience:
            return
        if self._is_news(domain, f"{due.waits} {due.selector}"):
            detail = _SAID[due.waits].format(domain=domain)
            fields = (("domain", domain), ("selector", due.selector), ("detail", detail))
            self._emit(Noted("rotation.due", "warning", fields))

    def _say_fault(self, domain: str, fault: Fault) -> None:
        if self._is_news(domain, str(fault)):
            fields = (("where", fault.where), ("detail", fault.what), ("fix", fault.fix))
            self._emit(Noted("rotation.failed", "error", (("domain", domain), *fields)))

    def _is_news(self, domain: str, what: str) -> bool:
        """Whether something was not said within a day."""
        now = self._with.now()
        self._said = {key: at for key, at in self._said.items() if now - at < DAY_SECONDS}
        is_news = (domain, what) not in self._said
        self._said.setdefault((domain, what), now)
        return is_news


def hints(policy: Policy) -> tuple[str, ...]:
    """What an operator should know of the settings."""
    if policy.retire_after_seconds < MIN_RETIRE_DAYS * DAY_SECONDS:
        return (
            "rotation.retire_after is under 7d: mail that is still on its way will fail to verify",
        )
    return ()


def _fields(domain: str, step: Step, policy: Policy) -> tuple[tuple[str, object], ...]:
    fields: list[tuple[str, object]] = [("domain", domain), ("selector", step.entry.selector)]
    if step.act is Act.FINISH and step.entry.retiring_at and not policy.is_published_by_us:
        name = f"{step.entry.selector}._domainkey.{domain}"
        fields.append(("detail", f"remove its record at {name}"))
    return tuple(fields)


def _seen(path: Path) -> tuple[int, ...]:
    """What changes when a key or the journal is put into a folder, or taken out."""
    status = os.stat(path)
    return status.st_ino, status.st_mtime_ns
