"""One step of a rotation, carried out and journaled. IO.

A step has one effect that can be done again, and the journal is written after it, or before it
where the effect could not be recognised.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

from relay.core.dkim.algorithm import Algorithm, PublicKey
from relay.core.dkim.record import parse_record, record_name, record_text
from relay.core.errors import KeyFault, SyntaxFault
from relay.dns.publish import Provider, PublishFault, RecordConflict, publish, withdraw
from relay.keyring.files import read_key_file
from relay.keyring.folder import KEY_SUFFIX, taken_selectors
from relay.keyring.forms import record_file
from relay.keyring.names import DEFAULT_TEMPLATE, free_selector, key_selector
from relay.keyring.records import record_of
from relay.keyring.stored import StoredKey
from relay.keyring.writing import write_key_pair
from relay.rotation import files
from relay.rotation.journal import Entry, Journal, write_journal
from relay.rotation.plan import Act, Order, Step
from relay.rotation.surroundings import RotationFault, Surroundings

_STAMPS: dict[Act, str] = {
    Act.MAKE: "made_at",
    Act.PUBLISH: "published_at",
    Act.SUPERSEDE: "superseded_at",
    Act.DESTROY: "destroyed_at",
    Act.WITHDRAW: "retired_at",
    Act.FINISH: "retired_at",
}
_ED25519_ENDING = "-ed25519"  # as `keys new --dual` names the second key


class Steps:
    """The steps of one domain."""

    def __init__(self, surroundings: Surroundings, domain: str) -> None:
        """Nothing is read yet.

        Args:
            surroundings: what they are made with.
            domain: in A-labels; its folder is there, and locked by this process.

        Raises:
            KeyFault: it has no folder.
        """
        self._with = surroundings
        self._domain = domain
        self._folder = files.folder_of(surroundings.keys_dir, domain)

    async def take(self, step: Step, journal: Journal, order: Order) -> Step:
        """Carry a step out and journal it.

        Args:
            step: what to do.
            journal: as it is before.
            order: for the selector of a key to be made.

        Returns:
            The step with the entry as it is then.

        Raises:
            PublishFault: DNS cannot be changed now.
            RotationFault: the key or the journal does not permit it.
            OSError: the folder cannot be written.
        """
        entry = step.entry
        match step.act:
            case Act.MAKE:
                await asyncio.to_thread(self._make, entry)
            case Act.PUBLISH:
                await publish(self._provider(), *self._record(entry))
            case Act.DESTROY:
                await asyncio.to_thread(self._destroy, entry)
            case Act.WITHDRAW:
                await self._withdraw(entry)
            case _:
                pass  # the journal is all that changes
        self._effect(step.act)
        entry = self._stamped(step, journal, order)
        self._write(journal, entry)
        return Step(step.act, entry)

    def _stamped(self, step: Step, journal: Journal, order: Order) -> Entry:
        """The entry after a step."""
        entry, now = step.entry, self._with.now()
        match step.act:
            case Act.INTEND:
                selector = self._selector(entry.algorithm, journal, order)
                return replace(entry, selector=selector, intended_at=now)
            case Act.USE:
                # A key that was there before us has signed since it was made, for all we know.
                at = now if entry.intended_at is not None else entry.made_at
                return replace(entry, in_use_at=at)
            case Act.RESUME:
                return replace(entry, superseded_at=None)
            case Act.RETIRE:
                _, public = self._record(entry)
                return replace(entry, retiring_at=now, record=record_text(public))
            case _:
                stamp: dict[str, Any] = {_STAMPS[step.act]: now}
                return replace(entry, **stamp)

    def _write(self, journal: Journal, entry: Entry) -> None:
        if entry.retired_at is None:
            journal = journal.with_entry(entry)
        else:
            if entry.retiring_at is not None:
                files.remove_record_file(self._path(entry))
                self._effect("record file")
            journal = journal.retired(entry)
        write_journal(self._folder, journal)
        self._effect("journal")

    def _selector(self, algorithm: Algorithm, journal: Journal, order: Order) -> str:
        """A selector that no key of the domain has or had.

        Raises:
            RotationFault: the keys of the domain are encrypted.
            KeyFault: the template is none, or every selector of it is taken.
        """
        if (passphrase_file := self._with.passphrase_file(self._domain)) is not None:
            what = f"its keys are encrypted ({passphrase_file}), a new one would lie in the clear"
            fix = "make and encrypt the next key yourself; it is taken into use like any other"
            raise RotationFault(str(self._folder), what, fix)
        domain, template = self._domain, order.template or DEFAULT_TEMPLATE
        if algorithm is Algorithm.ED25519_SHA256:
            template += _ED25519_ENDING
        had = {entry.selector for entry in (*journal.entries.values(), *journal.past)}
        taken = taken_selectors(self._with.keys_dir, domain) | had
        if "{" not in template and (selector := key_selector(template, domain)) not in taken:
            return selector
        return free_selector(template, domain=domain, now=self._with.now(), taken=taken)

    def _make(self, entry: Entry) -> None:
        """Make the key that was intended, or what is missing of it."""
        path = self._path(entry)
        if path.exists():
            try:
                key = self._read(entry)
            except KeyFault:
                path.unlink()  # half written by a process that ended then: nobody can have used it
            else:
                record = record_of(key.public, domain=self._domain, selector=entry.selector)
                path.with_suffix(".txt").write_text(record_file(record), encoding="ascii")
                return
        files.remove_record_file(path)
        write_key_pair(
            self._with.keys_dir, self._domain, entry.selector, entry.algorithm, entry.bits
        )

    def _read(self, entry: Entry) -> StoredKey:
        return read_key_file(
            self._path(entry),
            domain=self._domain,
            selector=entry.selector,
            passphrase_file=self._with.passphrase_file(self._domain),
        )

    def _destroy(self, entry: Entry) -> None:
        path = self._path(entry)
        files.doom(path)
        self._effect("doom")
        files.destroy(path)

    async def _withdraw(self, entry: Entry) -> None:
        name, public = self._record(entry)
        revokes = self._with.policy(self._domain).revokes
        try:
            await withdraw(self._provider(), name, public, revoke=revokes)
        except RecordConflict:
            return  # what is there now is somebody else's

    def _record(self, entry: Entry) -> tuple[str, PublicKey]:
        """The name of a key's record, and the public key in it."""
        name = record_name(entry.selector, self._domain)
        if entry.record:
            try:
                public = parse_record(entry.record.encode("ascii")).public
            except (SyntaxFault, UnicodeEncodeError):
                public = None
            if public is None:
                what = f"the journal's record of {name} is broken"
                fix = "remove its entry, and its record from DNS by hand"
                raise RotationFault(str(self._folder), what, fix)
            return name, public
        return name, self._read(entry).public

    def _provider(self) -> Provider:
        provider = self._with.provider(self._domain)
        if provider is None:
            raise PublishFault(
                self._domain, "no DNS provider is set up for it", "add [[publishing]]"
            )
        return provider

    def _path(self, entry: Entry) -> Path:
        return self._folder / f"{entry.selector}{KEY_SUFFIX}"

    def _effect(self, name: str) -> None:
        self._with.after_effect(name)
