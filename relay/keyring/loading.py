"""The keys of one domain, read and proven: whole, whatever is wrong with one of them. IO and CPU.

An RSA key of 2048 bits takes 1.7 ms. A key that was loaded before and whose file is the same is
kept as it is; one whose new file cannot be used goes on as it was, and the fault says so.

Keys are in the order in which they are preferred: as the settings list the selectors; else the
newest file first, and among files written within a minute of each other, as a copy or a mounted
volume does, the highest selector first (numbers in it compare as numbers: s202611 comes before
s202610).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from relay.core.dkim.algorithm import Algorithm
from relay.core.errors import Fault, KeyFault
from relay.keyring.arithmetic import twin
from relay.keyring.contents import Contents, Listed
from relay.keyring.files import FileKey, read_key_file
from relay.keyring.folder import KEY_SUFFIX, Found, Identity, identity, list_keys
from relay.keyring.names import key_selector, signing_domain
from relay.keyring.prove import prove
from relay.keyring.stored import StoredKey
from relay.keyring.tokens import Tokens, read_token_file

_SAME_AGE_SECONDS = 60  # files of one copy or one mount
_DIGITS = re.compile(r"([0-9]+)")


class DomainSettings(Protocol):
    """What the settings of a domain say about its keys."""

    @property
    def selectors(self) -> tuple[str, ...] | None:
        """The selectors that may sign, the preferred first; none or None: all in the folder."""

    @property
    def passphrase_file(self) -> str:
        """The file with the passphrase of its keys; empty for the one of all domains."""


@dataclass(frozen=True, slots=True)
class Failed:
    """What could not be loaded.

    Attributes:
        selector: empty when the fault is not one key's.
        fault: why, and what to do.
        is_token: the fault may pass without a change of the file.
    """

    selector: str
    fault: Fault
    is_token: bool = False


@dataclass(frozen=True, slots=True)
class DomainKeys:
    """The keys of a domain, preferred first, and what could not be loaded.

    Attributes:
        keys: those that were read and proven.
        sources: the file of each key, as it was found when the key was loaded.
        failed: what could not be loaded.
        warnings: what should be put right.
        ranked: the same keys, those of each algorithm together, RSA first.
    """

    keys: tuple[StoredKey, ...] = ()
    sources: tuple[Found, ...] = ()
    failed: tuple[Failed, ...] = ()
    warnings: tuple[Fault, ...] = ()
    ranked: tuple[tuple[StoredKey, ...], ...] = ()

    def by_selector(self) -> dict[str, tuple[Found, StoredKey]]:
        """The keys with their files."""
        pairs = zip(self.sources, self.keys, strict=True)
        return {key.selector: (source, key) for source, key in pairs}


def read_found(
    file: Found,
    *,
    tokens: Tokens,
    passphrase_file: Path | None = None,
    is_proven_later: bool = False,
) -> StoredKey:
    """Read the key of a file, whatever kind of file it is; it is not proven.

    Args:
        file: what was found.
        tokens: who opens PKCS#11 tokens.
        passphrase_file: has the passphrase, in case that the key is encrypted.
        is_proven_later: see `read_key_file`.

    Raises:
        KeyFault: there is no key that can be used.
    """
    if file.is_token:
        return read_token_file(file.path, domain=file.domain, selector=file.selector, tokens=tokens)
    return read_key_file(
        file.path,
        domain=file.domain,
        selector=file.selector,
        passphrase_file=passphrase_file,
        is_proven_later=is_proven_later,
    )


class KeySource:
    """Where keys come from: the keys folder, and what the settings say about it."""

    def __init__(
        self,
        keys_dir: Path,
        domains: Mapping[str, DomainSettings],
        *,
        passphrase_file: Path | None = None,
        tokens: Tokens | None = None,
    ) -> None:
        """Nothing is read yet.

        Args:
            keys_dir: the folder with <domain>/<selector>.pem.
            domains: the configured domains; those with a folder only need no entry.
            passphrase_file: for encrypted keys of domains that name none of their own.
            tokens: who opens PKCS#11 tokens; None for one of our own.
        """
        self._keys_dir = keys_dir
        self._passphrase_file = passphrase_file
        self._tokens = tokens or Tokens()
        self._settings: dict[str, DomainSettings] = {}
        self._faults: list[Fault] = []
        for name, given in domains.items():
            try:
                self._settings[signing_domain(name)] = given
            except KeyFault as exc:
                self._faults.append(exc.fault)

    def look(self) -> Contents:
        """List the folders; 1 s for 20,000 domains. What is wrong is in what is returned."""
        listing = list_keys(self._keys_dir)
        found: dict[str, list[Found]] = {name: [] for name in self._settings | listing.domains}
        for file in listing.found:
            found[file.domain].append(file)
        passphrases: dict[Path | None, Identity] = {None: ()}
        listed = {}
        for name in sorted(found):
            secret = self._passphrase_of(name)
            if secret is not None and secret not in passphrases:
                passphrases[secret] = identity(secret)
            faults = tuple(listing.domains.get(name, ()))
            is_readable = name not in listing.unreadable
            listed[name] = Listed(tuple(found[name]), faults, passphrases[secret], is_readable)
        own_faults = (*listing.faults, *self._faults)
        return Contents(listed, own_faults, tuple(listing.warnings), listing.is_readable)

    def load(self, domain: str, listed: Listed, before: DomainKeys | None = None) -> DomainKeys:
        """Read and prove the keys of a domain; what is wrong is in `failed`, and never raises.

        Args:
            domain: in A-labels.
            listed: what lies in its folder.
            before: its keys until now.
        """
        folder = self._keys_dir / domain
        failed = [Failed("", fault) for fault in listed.faults]
        settings = self._settings.get(domain)
        wanted = (settings.selectors or ()) if settings is not None else ()
        files: Sequence[Found] = listed.found
        if wanted:
            files = _wanted_files(folder, wanted, files, failed)
        loaded: dict[str, tuple[Found, StoredKey]] = {}
        kept = {} if before is None else before.by_selector()
        for file in files:
            held = kept.get(file.selector)
            if held is None or held[0] != file:
                held = self._renewed(file, held, failed)
            if held is not None:
                loaded[file.selector] = held
        if not loaded and not failed:
            fault = Fault(str(folder), "there is no key", f"dkim-relay keys new {domain}")
            failed.append(Failed("", fault))
        keys = [key for _, key in loaded.values()]
        in_order = keys if wanted else by_age(keys)
        sources = tuple(loaded[key.selector][0] for key in in_order)
        return DomainKeys(
            tuple(in_order), sources, tuple(failed), _warnings(domain, in_order), _ranked(in_order)
        )

    def close(self) -> None:
        """Let go of the tokens."""
        self._tokens.close()

    def _renewed(
        self, file: Found, held: tuple[Found, StoredKey] | None, failed: list[Failed]
    ) -> tuple[Found, StoredKey] | None:
        """The key of a file; the one until now when there is none in it."""
        try:
            return file, self._read(file)
        except KeyFault as exc:
            fault = exc.fault
            if held is not None:
                fault = replace(fault, what=f"{fault.what}; the key loaded before goes on signing")
            failed.append(Failed(file.selector, fault, is_token=file.is_token))
            return held

    def _read(self, file: Found) -> StoredKey:
        key = read_found(
            file,
            tokens=self._tokens,
            passphrase_file=self._passphrase_of(file.domain),
            is_proven_later=True,
        )
        # What has signed is bigger; most of tens of thousands of keys never do.
        prove(replace(key, private=twin(key.private)) if isinstance(key, FileKey) else key)
        return key

    def _passphrase_of(self, domain: str) -> Path | None:
        settings = self._settings.get(domain)
        own = settings.passphrase_file if settings is not None else ""
        return Path(own) if own else self._passphrase_file


def by_age(keys: Iterable[StoredKey]) -> list[StoredKey]:
    """Keys in the order in which they are preferred; see the top of this module."""
    by_name = sorted(keys, key=lambda key: _natural(key.selector), reverse=True)
    newest = max((key.modified_seconds for key in by_name), default=0.0)
    return sorted(by_name, key=lambda key: (newest - key.modified_seconds) // _SAME_AGE_SECONDS)


def _natural(selector: str) -> list[tuple[int, str]]:
    """A sort key in which digits compare as numbers."""
    parts = _DIGITS.split(selector)
    return [(int(part), "") if i % 2 else (0, part) for i, part in enumerate(parts)]


def _ranked(keys: Sequence[StoredKey]) -> tuple[tuple[StoredKey, ...], ...]:
    kinds = (tuple(key for key in keys if key.public.algorithm is kind) for kind in Algorithm)
    return tuple(kind for kind in kinds if kind)


def _warnings(domain: str, keys: Sequence[StoredKey]) -> tuple[Fault, ...]:
    warnings = [warning for key in keys for warning in key.warnings]
    if keys and all(key.public.algorithm is Algorithm.ED25519_SHA256 for key in keys):
        what = "only an Ed25519 key signs, and many receivers cannot verify it"
        fix = f"put an RSA key beside it: dkim-relay keys new {domain}"
        warnings.append(Fault(str(keys[0].path), what, fix))
    return tuple(warnings)


def _wanted_files(
    folder: Path, wanted: Iterable[str], found: Iterable[Found], failed: list[Failed]
) -> list[Found]:
    """The files of the selectors that the settings name, in their order."""
    domain = folder.name
    files = {file.selector: file for file in found}
    listed: dict[str, Found] = {}
    for text in wanted:
        try:
            selector = key_selector(text, domain)
        except KeyFault as exc:
            failed.append(Failed("", exc.fault))
            continue
        if selector in files:
            listed[selector] = files[selector]
            continue
        path = folder / f"{selector}{KEY_SUFFIX}"
        fix = f"dkim-relay keys new {domain} --selector {selector}"
        what = "the settings name this selector, and its key is missing"
        failed.append(Failed(selector, Fault(str(path), what, fix)))
    return list(listed.values())
