"""Which key signs for a domain now. Loading is IO and CPU (run it in a thread); asking is not.

A keyring is never changed: to take up new files, another is loaded and put in its place, whole
or not at all.

Which of several keys in a folder sign: per algorithm one, the first whose gate is open, in this
order: as the settings list the selectors; else the newest file first, and among files written
within a minute of each other, as a copy or a mounted volume does, the highest selector first
(numbers in it compare as numbers: s202611 comes before s202610). So a new key takes over when
its record is seen, and the old one goes on until then. With an RSA and an Ed25519 key both sign,
RSA first (RFC 8463 §5); a folder that has both kinds asks for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from relay.core.dkim.algorithm import Algorithm, PublicKey, SigningKey
from relay.core.errors import Fault, KeyFault, key_unavailable
from relay.keyring.files import FileKey, read_key_file
from relay.keyring.folder import KEY_SUFFIX, Found, list_keys
from relay.keyring.names import key_selector, signing_domain
from relay.keyring.prove import prove

_SAME_AGE_SECONDS = 60  # files of one copy or one mount
_DIGITS = re.compile(r"([0-9]+)")


class Gate(Protocol):
    """Decides whether a key may be used now: its record is published, for example."""

    def is_open(self, key: SigningKey) -> bool:
        """Whether the key may sign; asked for every message, so it neither waits nor reads."""

    def detail(self, key: SigningKey) -> str:
        """What is known about its record, for the log."""


class DomainSettings(Protocol):
    """What the settings of a domain say about its keys."""

    @property
    def selectors(self) -> tuple[str, ...] | None:
        """The selectors that may sign, the preferred first; none or None: all in the folder."""


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


@dataclass(frozen=True, slots=True)
class _Failed:
    """What could not be loaded; the selector is empty when the fault is not one key's."""

    selector: str
    fault: Fault


@dataclass(frozen=True, slots=True)
class _DomainKeys:
    """The keys of a domain, preferred first, and what could not be loaded."""

    keys: tuple[FileKey, ...]
    failed: tuple[_Failed, ...]
    warnings: tuple[Fault, ...]


class Keyring:
    """The keys of all domains."""

    def __init__(
        self,
        domains: Mapping[str, _DomainKeys],
        *,
        gate: Gate,
        faults: tuple[Fault, ...],
        warnings: tuple[Fault, ...],
    ) -> None:
        """For `load`.

        Args:
            domains: the keys by domain in A-labels.
            gate: whether a key may be used now.
            faults: what cannot be used, of everything that was found.
            warnings: what is used but should be put right.
        """
        self._domains = dict(domains)
        self._gate = gate
        self._names = frozenset(self._domains)
        self.faults = faults
        self.warnings = warnings

    @classmethod
    def load(cls, keys_dir: Path, *, domains: Mapping[str, DomainSettings], gate: Gate) -> Keyring:
        """Read and prove every key; about 40 ms of CPU for each, so call it in a thread.

        What is wrong is in `faults`, costs only its own key or folder, and never raises.

        Args:
            keys_dir: the folder with <domain>/<selector>.pem.
            domains: the configured domains; those with a folder only need no entry.
            gate: whether a key may be used now.
        """
        listing = list_keys(keys_dir)
        faults, warnings = listing.faults, listing.warnings
        settings: dict[str, DomainSettings] = {}
        for name, given in domains.items():
            try:
                settings[signing_domain(name)] = given
            except KeyFault as exc:
                faults.append(exc.fault)
        found: dict[str, list[Found]] = {name: [] for name in settings.keys() | listing.domains}
        for file in listing.found:
            found[file.domain].append(file)
        loaded: dict[str, _DomainKeys] = {}
        for name in sorted(found):
            failed = [_Failed("", fault) for fault in listing.domains.get(name, [])]
            wanted = settings[name].selectors or () if name in settings else ()
            loaded[name] = _load_domain(keys_dir / name, found[name], failed, wanted)
            faults += [failure.fault for failure in loaded[name].failed]
            warnings += loaded[name].warnings
        return cls(loaded, gate=gate, faults=tuple(faults), warnings=tuple(warnings))

    @property
    def domains(self) -> frozenset[str]:
        """The domains that we sign for, in A-labels: configured, or with a folder."""
        return self._names

    @property
    def keys(self) -> tuple[FileKey, ...]:
        """Every key that was loaded and proven."""
        return tuple(key for entry in self._domains.values() for key in entry.keys)

    def signers(self, domain: str) -> tuple[FileKey, ...]:
        """The keys that sign for a domain now: at most one per algorithm, RSA first.

        Args:
            domain: in A-labels.

        Raises:
            Rejection: no key can sign now; the detail says why for each, and what to do.
        """
        entry = self._domains.get(domain)
        chosen: dict[Algorithm, FileKey] = {}
        if entry is not None:
            for key in entry.keys:
                if key.public.algorithm not in chosen and self._gate.is_open(key):
                    chosen[key.public.algorithm] = key
        if not chosen:
            raise key_unavailable(domain, self._why_none(domain))
        return tuple(chosen[algorithm] for algorithm in Algorithm if algorithm in chosen)

    def statuses(self) -> tuple[KeyStatus, ...]:
        """How every key stands now, by domain, preferred first, then what failed."""
        return tuple(status for domain in sorted(self._names) for status in self._of(domain))

    def _of(self, domain: str) -> list[KeyStatus]:
        entry = self._domains[domain]
        return [self._status(key) for key in entry.keys] + [
            KeyStatus(domain, failed.selector, failed.fault.where, KeyState.FAULTY, _text(failed))
            for failed in entry.failed
        ]

    def _status(self, key: FileKey) -> KeyStatus:
        state = KeyState.USABLE if self._gate.is_open(key) else KeyState.WAITING
        path, detail = str(key.path), self._gate.detail(key)
        return KeyStatus(key.domain, key.selector, path, state, detail, key.public)

    def _why_none(self, domain: str) -> str:
        if domain not in self._domains:
            return "no key folder and no settings for this domain"
        return "; ".join(f"{status.path}: {status.detail}" for status in self._of(domain))


def _load_domain(
    folder: Path, found: list[Found], failed: list[_Failed], wanted: tuple[str, ...]
) -> _DomainKeys:
    """Load the keys of one domain.

    Args:
        folder: its folder, named after it in A-labels.
        found: its key files.
        failed: what is wrong in the folder already; the rest is added.
        wanted: the selectors that the settings name, or none for all.
    """
    if wanted:
        found = _listed(folder, wanted, found, failed)
    keys: list[FileKey] = []
    for file in found:
        try:
            key = read_key_file(file.path, domain=file.domain, selector=file.selector)
            prove(key)
        except KeyFault as exc:
            failed.append(_Failed(file.selector, exc.fault))
        else:
            keys.append(key)
    if not keys and not failed:
        fault = Fault(str(folder), "there is no key", f"dkim-relay keys new {folder.name}")
        failed.append(_Failed("", fault))
    warnings = [warning for key in keys for warning in key.warnings]
    if keys and all(key.public.algorithm is Algorithm.ED25519_SHA256 for key in keys):
        what = "only an Ed25519 key signs, and many receivers cannot verify it"
        fix = f"put an RSA key beside it: dkim-relay keys new {folder.name}"
        warnings.append(Fault(str(keys[0].path), what, fix))
    in_order = keys if wanted else by_age(keys)
    return _DomainKeys(tuple(in_order), tuple(failed), tuple(warnings))


def _listed(
    folder: Path, wanted: tuple[str, ...], found: Iterable[Found], failed: list[_Failed]
) -> list[Found]:
    """The files of the selectors that the settings name, in their order."""
    domain = folder.name
    files = {file.selector: file for file in found}
    listed: dict[str, Found] = {}
    for text in wanted:
        try:
            selector = key_selector(text, domain)
        except KeyFault as exc:
            failed.append(_Failed("", exc.fault))
            continue
        if selector in files:
            listed[selector] = files[selector]
            continue
        path = folder / f"{selector}{KEY_SUFFIX}"
        fix = f"dkim-relay keys new {domain} --selector {selector}"
        what = "the settings name this selector, and its key is missing"
        failed.append(_Failed(selector, Fault(str(path), what, fix)))
    return list(listed.values())


def by_age(keys: Iterable[FileKey]) -> list[FileKey]:
    """Keys in the order in which they are preferred; see the top of this module."""
    by_name = sorted(keys, key=lambda key: _natural(key.selector), reverse=True)
    newest = max((key.modified_seconds for key in by_name), default=0.0)
    return sorted(by_name, key=lambda key: (newest - key.modified_seconds) // _SAME_AGE_SECONDS)


def _natural(selector: str) -> list[tuple[int, str]]:
    """A sort key in which digits compare as numbers."""
    parts = _DIGITS.split(selector)
    return [(int(part), "") if i % 2 else (0, part) for i, part in enumerate(parts)]


def _text(failed: _Failed) -> str:
    fault = failed.fault
    return f"{fault.what} ({fault.fix})" if fault.fix else fault.what
