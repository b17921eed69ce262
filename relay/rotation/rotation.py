"""Steps are carried out, one after the other: for commands, and unattended in the service. IO.

One process works at a domain at a time: it holds the lock in the domain's folder from looking to
the last step. Every step has one effect that can be done again, and the journal is written after
it, or before it where the effect could not be recognised; so wherever a process is killed, the
next one finds what was done and goes on.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from relay import clock
from relay.core.dkim.algorithm import Algorithm, PublicKey
from relay.core.dkim.record import parse_record, record_name, record_text
from relay.core.errors import Fault, KeyFault, SyntaxFault
from relay.dns.gate import Gate
from relay.dns.publish import Provider, PublishFault, RecordConflict, publish, withdraw
from relay.keyring.files import read_key_file
from relay.keyring.folder import KEY_SUFFIX, taken_selectors
from relay.keyring.forms import record_file
from relay.keyring.names import DEFAULT_TEMPLATE, free_selector, key_selector
from relay.keyring.records import record_of
from relay.keyring.stored import StoredKey
from relay.keyring.writing import write_key_pair
from relay.rotation import files
from relay.rotation.journal import LOCK, Entry, Journal, read_journal, write_journal
from relay.rotation.plan import (
    Act,
    Due,
    KeyFacts,
    Order,
    Policy,
    State,
    Step,
    dues,
    next_step,
)
from relay.state import StateFault, locked

_MAX_STEPS = 100  # far more than any rotation has
_STAMPS: dict[Act, str] = {
    Act.MAKE: "made_at",
    Act.PUBLISH: "published_at",
    Act.SUPERSEDE: "superseded_at",
    Act.DESTROY: "destroyed_at",
    Act.WITHDRAW: "retired_at",
    Act.FINISH: "retired_at",
}
_ED25519_ENDING = "-ed25519"  # as `keys new --dual` names the second key


class RotationFault(KeyFault):
    """A rotation cannot go on; `fault` says why and what to do. It may be tried again."""


class RotationBusy(RotationFault):
    """Another process works at the domain at this moment."""


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


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a rotation is made with.

    Attributes:
        keys_dir: the folder with <domain>/<selector>.pem.
        gate: whether a key may sign; asked for keys that wait.
        policy: what the settings say about a domain.
        provider: where the records of a domain are changed; None for by hand.
        passphrase_file: of the encrypted keys of a domain; None when they are not.
        now: seconds since 1970.
        after_effect: told of each effect right after it; a test ends the process there.
    """

    keys_dir: Path
    gate: Gate
    policy: Callable[[str], Policy]
    provider: Callable[[str], Provider | None] = lambda domain: None
    passphrase_file: Callable[[str], Path | None] = lambda domain: None
    now: Callable[[], float] = clock.now
    after_effect: Callable[[str], None] = lambda effect: None


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
        policy = self._with.policy(domain)
        state, faults = await self._state(domain)
        try:
            for _ in range(_MAX_STEPS):
                step = next_step(state, policy, order, self._with.now())
                if step is None:
                    break
                done = await self._do(domain, step, state.journal, order)
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

    async def _do(self, domain: str, step: Step, journal: Journal, order: Order) -> Step:
        """Carry a step out and journal it; the step with the entry as it is then."""
        entry = step.entry
        match step.act:
            case Act.MAKE:
                await asyncio.to_thread(self._make, domain, entry)
            case Act.PUBLISH:
                await publish(self._provider(domain), *self._record(domain, entry))
            case Act.DESTROY:
                await asyncio.to_thread(self._destroy, domain, entry)
            case Act.WITHDRAW:
                await self._withdraw(domain, entry)
            case _:
                pass  # the journal is all that changes
        self._effect(step.act)
        entry = self._stamped(domain, step, journal, order)
        self._write(domain, journal, entry)
        return Step(step.act, entry)

    def _stamped(self, domain: str, step: Step, journal: Journal, order: Order) -> Entry:
        """The entry after a step."""
        entry, now = step.entry, self._with.now()
        match step.act:
            case Act.INTEND:
                selector = self._selector(domain, entry.algorithm, journal, order)
                return replace(entry, selector=selector, intended_at=now)
            case Act.USE:
                # A key that was there before us has signed since it was made, for all we know.
                at = now if entry.intended_at is not None else entry.made_at
                return replace(entry, in_use_at=at)
            case Act.RESUME:
                return replace(entry, superseded_at=None)
            case Act.RETIRE:
                _, public = self._record(domain, entry)
                return replace(entry, retiring_at=now, record=record_text(public))
            case _:
                stamp: dict[str, Any] = {_STAMPS[step.act]: now}
                return replace(entry, **stamp)

    def _write(self, domain: str, journal: Journal, entry: Entry) -> None:
        folder = files.folder_of(self._with.keys_dir, domain)
        if entry.retired_at is None:
            journal = journal.with_entry(entry)
        else:
            if entry.retiring_at is not None:
                files.remove_record_file(self._path(domain, entry))
                self._effect("record file")
            journal = journal.retired(entry)
        write_journal(folder, journal)
        self._effect("journal")

    def _selector(self, domain: str, algorithm: Algorithm, journal: Journal, order: Order) -> str:
        """A selector that no key of the domain has or had.

        Raises:
            RotationFault: the keys of the domain are encrypted.
            KeyFault: the template is none, or every selector of it is taken.
        """
        if (passphrase_file := self._with.passphrase_file(domain)) is not None:
            what = f"its keys are encrypted ({passphrase_file}), a new one would lie in the clear"
            fix = "make and encrypt the next key yourself; it is taken into use like any other"
            raise RotationFault(str(self._with.keys_dir / domain), what, fix)
        template = order.template or DEFAULT_TEMPLATE
        if algorithm is Algorithm.ED25519_SHA256:
            template += _ED25519_ENDING
        had = {entry.selector for entry in (*journal.entries.values(), *journal.past)}
        taken = taken_selectors(self._with.keys_dir, domain) | had
        if "{" not in template and (selector := key_selector(template, domain)) not in taken:
            return selector
        return free_selector(template, domain=domain, now=self._with.now(), taken=taken)

    def _make(self, domain: str, entry: Entry) -> None:
        """Make the key that was intended, or what is missing of it."""
        path = self._path(domain, entry)
        if path.exists():
            try:
                key = self._read(domain, entry)
            except KeyFault:
                path.unlink()  # half written by a process that ended then: nobody can have used it
            else:
                record = record_of(key.public, domain=domain, selector=entry.selector)
                path.with_suffix(".txt").write_text(record_file(record), encoding="ascii")
                return
        files.remove_record_file(path)
        write_key_pair(self._with.keys_dir, domain, entry.selector, entry.algorithm, entry.bits)

    def _read(self, domain: str, entry: Entry) -> StoredKey:
        return read_key_file(
            self._path(domain, entry),
            domain=domain,
            selector=entry.selector,
            passphrase_file=self._with.passphrase_file(domain),
        )

    def _destroy(self, domain: str, entry: Entry) -> None:
        path = self._path(domain, entry)
        files.doom(path)
        self._effect("doom")
        files.destroy(path)

    async def _withdraw(self, domain: str, entry: Entry) -> None:
        name, public = self._record(domain, entry)
        revokes = self._with.policy(domain).revokes
        try:
            await withdraw(self._provider(domain), name, public, revoke=revokes)
        except RecordConflict:
            return  # what is there now is somebody else's

    def _record(self, domain: str, entry: Entry) -> tuple[str, PublicKey]:
        """The name of a key's record, and the public key in it."""
        name = record_name(entry.selector, domain)
        if entry.record:
            try:
                public = parse_record(entry.record.encode("ascii")).public
            except (SyntaxFault, UnicodeEncodeError):
                public = None
            if public is None:
                what = f"the journal's record of {name} is broken"
                fix = "remove its entry, and its record from DNS by hand"
                raise RotationFault(str(self._with.keys_dir / domain), what, fix)
            return name, public
        return name, self._read(domain, entry).public

    def _provider(self, domain: str) -> Provider:
        provider = self._with.provider(domain)
        if provider is None:
            raise PublishFault(domain, "no DNS provider is set up for it", "add [[publishing]]")
        return provider

    def _path(self, domain: str, entry: Entry) -> Path:
        folder = files.folder_of(self._with.keys_dir, domain)
        return folder / f"{entry.selector}{KEY_SUFFIX}"

    def _effect(self, name: str) -> None:
        self._with.after_effect(name)
