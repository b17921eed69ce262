"""A domain is looked at, and step after step taken: for commands, and unattended in the service.

One process works at a domain at a time: it holds the lock in the domain's folder from looking to
the last step. `plan` says which step is next, and `steps` carries it out, so that wherever a
process is killed, the next one finds what was done and goes on.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace

from relay.core.errors import Fault
from relay.dns.publish import PublishFault
from relay.keyring.stored import StoredKey
from relay.rotation import files
from relay.rotation.journal import LOCK, read_journal
from relay.rotation.plan import (
    Act,
    Due,
    KeyFacts,
    Order,
    State,
    Step,
    dues,
    next_step,
)
from relay.rotation.steps import Steps
from relay.rotation.surroundings import RotationBusy, RotationFault, Surroundings
from relay.state import StateFault, locked

_MAX_STEPS = 100  # far more than any rotation has


@dataclass(frozen=True, slots=True)
class Progress:
    """What came of working at a domain.

    Attributes:
        domain: in A-labels.
        state: how it stands now.
        steps: what was done, in order.
        dues: what is waited for.
        faults: what is wrong in the folder, or stopped the work.
    """

    domain: str
    state: State
    steps: tuple[Step, ...]
    dues: tuple[Due, ...]
    faults: tuple[Fault, ...]


class Rotation:
    """The rotation of all domains of a keys folder."""

    def __init__(self, surroundings: Surroundings) -> None:
        """Nothing is read yet."""
        self._with = surroundings

    async def look(self, domain: str) -> Progress:
        """How a domain stands; nothing is changed.

        Raises:
            KeyFault: the domain has no folder.
        """
        state, faults = await self._state(domain)
        return self._progress(domain, state, [], faults)

    async def advance(self, domain: str, order: Order | None = None) -> Progress:
        """Do everything that can be done for a domain now.

        Args:
            domain: in A-labels.
            order: what an operator asks for; None for what the policy says.

        Raises:
            RotationBusy: another process works at it.
            RotationFault: its folder cannot be written.
            KeyFault: the domain has no folder.
        """
        folder = files.folder_of(self._with.keys_dir, domain)
        try:
            with locked(folder / LOCK) as is_ours:
                if not is_ours:
                    what = "another process works at the rotation of this domain"
                    raise RotationBusy(str(folder), what, "try again in a moment")
                return await self._advance(domain, order or Order())
        except StateFault as exc:
            if not exc.is_read_only:
                raise RotationFault(exc.fault.where, exc.fault.what, exc.fault.fix) from exc
            what = "keys are made and ended here, and the folder is read-only"
            fix = f"run it where {folder} can be written (uid {os.geteuid()} here), and mount that"
            raise RotationFault(str(folder), what, fix) from exc

    async def _advance(self, domain: str, order: Order) -> Progress:
        steps: list[Step] = []
        policy, taking = self._with.policy(domain), Steps(self._with, domain)
        state, faults = await self._state(domain)
        try:
            for _ in range(_MAX_STEPS):
                step = next_step(state, policy, order, self._with.now())
                if step is None:
                    break
                done = await taking.take(step, state.journal, order)
                steps.append(done)
                if step.act is Act.INTEND:
                    order = replace(order, rotates=order.rotates - {step.entry.algorithm})
                if step.act is Act.PUBLISH:
                    break  # the record is seen later, not now
                state, more = await self._state(domain)
                faults = tuple(dict.fromkeys((*faults, *more)))
        except PublishFault as exc:
            faults = (*faults, exc.fault)
        except OSError as exc:
            reason = exc.strerror or type(exc).__name__
            fix = f"uid {os.geteuid()} must be able to write there"
            where = str(exc.filename or self._with.keys_dir / domain)
            raise RotationFault(where, f"cannot be written: {reason}", fix) from exc
        if steps:
            state, _ = await self._state(domain)
        return self._progress(domain, state, steps, faults)

    def _progress(
        self, domain: str, state: State, steps: Iterable[Step], faults: tuple[Fault, ...]
    ) -> Progress:
        found = dues(state, self._with.policy(domain))
        return Progress(domain, state, tuple(steps), tuple(found), faults)

    async def _state(self, domain: str) -> tuple[State, tuple[Fault, ...]]:
        """The facts of a domain; the records of keys that wait are asked for."""
        folder = await asyncio.to_thread(
            files.read_folder, self._with.keys_dir, domain, self._with.passphrase_file(domain)
        )
        journal, fault = read_journal(folder.path)
        gate = self._with.gate
        await gate.check(key for key in folder.keys if not gate.is_open(key))
        facts = tuple(map(self._facts, folder.keys))
        faults = folder.faults if fault is None else (*folder.faults, fault)
        return State(facts, folder.there, journal), faults

    def _facts(self, key: StoredKey) -> KeyFacts:
        gate = self._with.gate
        is_open, detail = gate.is_open(key), gate.detail(key)
        return KeyFacts(key.selector, key.public, key.modified_seconds, is_open, detail)
