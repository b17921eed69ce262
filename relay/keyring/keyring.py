"""Which key signs for a domain now.

The keys folder is listed before the keyring is used; the keys of a domain are read and proven
when they are first needed, in a thread, or before that in the background. From then on they are
in memory, and asking for them is one look into a dictionary. All that changes, changes on the
event loop and for a whole domain in one step, so nobody ever sees half of it.

Which of several keys in a folder sign: per algorithm one, the first whose gate is open, in the
order of `loading`. So a new key takes over when its record is seen, and the old one goes on
until then. With an RSA and an Ed25519 key both sign, RSA first (RFC 8463 §5); a folder that has
both kinds asks for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Protocol, Self

from relay.core.dkim.algorithm import PublicKey, SigningKey
from relay.core.errors import Fault, key_unavailable
from relay.keyring.changes import KeyChange, changes_between, changes_of_folder
from relay.keyring.contents import Contents, Difference, Listed, difference
from relay.keyring.loading import DomainKeys, DomainSettings, Failed, KeySource
from relay.keyring.stored import StoredKey


class Gate(Protocol):
    """Decides whether a key may be used now: its record is published, for example."""

    def is_open(self, key: SigningKey) -> bool:
        """Whether the key may sign; asked for every message, so it neither waits nor reads."""

    def detail(self, key: SigningKey) -> str:
        """What is known about its record, for the log."""


class KeyState(StrEnum):
    """What can be done with a key now."""

    USABLE = "usable"
    WAITING = "waiting"  # the gate is closed
    FAULTY = "faulty"  # it could not be loaded


@dataclass(frozen=True, slots=True)
class KeyStatus:
    """One key or key file, for logs and people.

    Attributes:
        domain, selector: in A-labels; the selector is empty when the fault is not one key's.
        path: the file or folder.
        state: what can be done with it.
        detail: the fault with its fix, or what the gate knows.
        public: the public half; None when it could not be loaded.
    """

    domain: str
    selector: str
    path: str
    state: KeyState
    detail: str
    public: PublicKey | None = None


Report = Callable[[KeyChange], None]
Introduce = Callable[[Sequence[SigningKey]], Awaitable[object]]


async def _introduce_to_nobody(keys: Sequence[SigningKey]) -> None:
    """For a gate that needs not be told of keys."""


class Keyring:
    """The keys of all domains."""

    def __init__(
        self,
        source: KeySource,
        *,
        gate: Gate,
        report: Report = lambda change: None,
        introduce: Introduce = _introduce_to_nobody,
    ) -> None:
        """Nothing is listed yet; see `look` and `list_anew`.

        Args:
            source: where keys come from.
            gate: whether a key may be used now.
            report: told of everything that becomes of a key.
            introduce: awaited with the keys of a domain that mail waits for, so that the gate
                can ask for their records before it decides.
        """
        self._source = source
        self._gate = gate
        self._report = report
        self._introduce = introduce
        self._contents = Contents({}, (), (), is_readable=True)
        self._listed: dict[str, Listed] = {}
        self._loaded: dict[str, DomainKeys] = {}
        self._pending: dict[str, None] = {}  # not loaded yet; a dict keeps the order
        self._unmet: set[str] = set()  # no mail has asked for them yet
        self._locks: dict[str, asyncio.Lock] = {}

    @classmethod
    def of_folder(
        cls,
        keys_dir: Path,
        *,
        domains: Mapping[str, DomainSettings],
        gate: Gate,
        passphrase_file: Path | None = None,
    ) -> Keyring:
        """A keyring for commands: keys are listed, and read when they are first asked for.

        Args:
            keys_dir: the folder with <domain>/<selector>.pem.
            domains: the configured domains; those with a folder only need no entry.
            gate: whether a key may be used now.
            passphrase_file: for encrypted keys of domains that name none of their own.
        """
        source = KeySource(keys_dir, domains, passphrase_file=passphrase_file)
        keyring = cls(source, gate=gate)
        keyring.list_anew(difference({}, keyring.look()))
        return keyring

    def load(self) -> Self:
        """Read and prove every key that was not read yet; it takes its time."""
        for domain in self.pending:
            self._take(domain, self._source.load(domain, self._listed[domain]))
        return self

    @property
    def domains(self) -> Set[str]:
        """The domains that we sign for now, in A-labels: configured, or with a folder."""
        return self._listed.keys()

    @property
    def pending(self) -> tuple[str, ...]:
        """The domains whose keys were not read yet."""
        return tuple(self._pending)

    @property
    def listed(self) -> Mapping[str, Listed]:
        """What lies in the folder of each domain, as far as it was taken up."""
        return self._listed

    def keys_of(self, domain: str) -> DomainKeys | None:
        """The keys of a domain, in A-labels, and what is wrong; None when they were not read."""
        return self._loaded.get(domain)

    @property
    def keys(self) -> tuple[StoredKey, ...]:
        """Every key that was loaded and proven."""
        return tuple(key for name in self._listed for key in self._of_domain(name).keys)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What cannot be used, as far as it is known."""
        failed = (failure for name in self._listed for failure in self._of_domain(name).failed)
        return (*self._contents.faults, *(failure.fault for failure in failed))

    @property
    def warnings(self) -> tuple[Fault, ...]:
        """What is used but should be put right, as far as it is known."""
        found = (fault for name in self._listed for fault in self._of_domain(name).warnings)
        return (*self._contents.warnings, *found)

    async def signers(self, domain: str) -> tuple[StoredKey, ...]:
        """The keys that sign for a domain now: at most one per algorithm, RSA first.

        Waits for nothing when they are in memory.

        Args:
            domain: in A-labels.

        Raises:
            Rejection: no key can sign now; the detail says why for each, and what to do.
        """
        if domain in self._unmet:
            await self._meet(domain)
        chosen = []
        for ranked in self._of_domain(domain).ranked:
            for key in ranked:
                if self._gate.is_open(key):
                    chosen.append(key)
                    break
        if not chosen:
            raise key_unavailable(domain, self._why_none(domain))
        return tuple(chosen)

    async def load_domain(self, domain: str, *, is_anew: bool = False) -> None:
        """Read and prove the keys of a domain, in a thread, and take them into use.

        Args:
            domain: in A-labels.
            is_anew: also when they were loaded before; files that are the same are not read.
        """
        async with self._locks.setdefault(domain, asyncio.Lock()):
            listed = self._listed.get(domain)
            if listed is not None and (is_anew or domain in self._pending):
                before = self._loaded.get(domain)
                loaded = await asyncio.to_thread(self._source.load, domain, listed, before)
                if domain in self._listed:
                    self._take(domain, loaded)
        self._locks.pop(domain, None)

    def list_anew(self, found: Difference) -> tuple[str, ...]:
        """Take up what lies in the folders now. Domains that are gone end here.

        Args:
            found: what is another than in `listed`.

        Returns:
            The domains that were loaded and whose folder is another: load them anew.
        """
        for change in changes_of_folder(self._contents, found.contents):
            self._report(change)
        self._contents = replace(found.contents, domains={})
        for domain in found.gone:
            if self._listed.pop(domain, None) is None:
                continue  # somebody else looked at the same time
            self._pending.pop(domain, None)
            self._unmet.discard(domain)
            before = self._loaded.pop(domain, _NONE)
            for change in changes_between(domain, before, _NONE, is_ours=False):
                self._report(change)
        for domain, listed in found.changed.items():
            self._listed[domain] = listed
            if domain not in self._loaded:
                self._pending.setdefault(domain)
                self._unmet.add(domain)
        return tuple(domain for domain in found.changed if domain in self._loaded)

    def look(self) -> Contents:
        """What lies in the folders now; IO, for a thread."""
        return self._source.look()

    def waits_for_token(self) -> tuple[str, ...]:
        """The domains of which a key is in a token that could not be reached."""
        return tuple(d for d, keys in self._loaded.items() if any(f.is_token for f in keys.failed))

    def statuses(self) -> tuple[KeyStatus, ...]:
        """How every key that was loaded stands now, by domain, preferred first, then failures."""
        return tuple(status for domain in sorted(self._listed) for status in self._of(domain))

    def close(self) -> None:
        """Let go of the tokens."""
        self._source.close()

    async def _meet(self, domain: str) -> None:
        """Have the keys that mail waits for read, and the gate know them."""
        await self.load_domain(domain)
        keys = self._of_domain(domain).keys
        if not any(map(self._gate.is_open, keys)):
            await self._introduce(keys)
        self._unmet.discard(domain)

    def _take(self, domain: str, loaded: DomainKeys) -> None:
        before = self._loaded.get(domain, DomainKeys())
        self._loaded[domain] = loaded
        self._pending.pop(domain, None)
        for change in changes_between(domain, before, loaded):
            self._report(change)

    def _of_domain(self, domain: str) -> DomainKeys:
        return self._loaded.get(domain, _NONE)

    def _of(self, domain: str) -> Iterable[KeyStatus]:
        keys = self._of_domain(domain)
        yield from map(self._status, keys.keys)
        for failed in keys.failed:
            fault = failed.fault
            yield KeyStatus(domain, failed.selector, fault.where, KeyState.FAULTY, _text(failed))

    def _status(self, key: StoredKey) -> KeyStatus:
        state = KeyState.USABLE if self._gate.is_open(key) else KeyState.WAITING
        path, detail = str(key.path), self._gate.detail(key)
        return KeyStatus(key.domain, key.selector, path, state, detail, key.public)

    def _why_none(self, domain: str) -> str:
        if domain not in self._listed:
            return "no key folder and no settings for this domain"
        return "; ".join(f"{status.path}: {status.detail}" for status in self._of(domain))


_NONE = DomainKeys()


def _text(failed: Failed) -> str:
    fault = failed.fault
    return f"{fault.what} ({fault.fix})" if fault.fix else fault.what
