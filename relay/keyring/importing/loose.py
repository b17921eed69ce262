"""Key files without a table: whose they are is told by what lies around them. IO.

In this order: the options; a record in the same file or beside it (opendkim-genkey, rspamadm,
dknewkey, keys new); `<selector>._domainkey.<domain>` or `<domain>.<selector>` as file name
(rspamd); `<domain>/<selector>` as folder and file (opendkim-genkey, our own).
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from publicsuffixlist import PublicSuffixList

from relay.core.errors import KeyFault
from relay.keyring.importing.findings import Findings, ForeignKey
from relay.keyring.importing.keyfile import read_key
from relay.keyring.importing.source import MAX_KEY_OCTETS, Origin, Read, read_file
from relay.keyring.names import key_selector, signing_domain
from relay.keyring.pem import PrivateKey, public_half

KEY_SUFFIXES = (".private", ".pem", ".key")
_RECORD_SUFFIXES = (".txt", ".dns", ".pub")
_MAX_DEPTH = 4
_GIVE = "give --domain and --selector for it"
_PRIVATE_MARK = b"PRIVATE KEY-----"
_RECORD_MARK = b"v=DKIM1"
_MARKED_OCTETS = 4096  # a key begins early in its file
_LOCAL = frozenset({"test", "example", "invalid", "local", "internal", "lan", "home", "corp"})
_OWNER = re.compile(r"(?m)^\s*(\S+?)\._domainkey(?:\.(\S+?))?\.?\s")
_GENKEY = re.compile(r"DKIM key \S+ for (\S+)")
_P = re.compile(r"\bp=([A-Za-z0-9+/=]*)")
_BETWEEN_STRINGS = re.compile(r'"\s*"')


@dataclass(frozen=True, slots=True)
class Names:
    """What something says about whose key it is; None where it does not."""

    domain: str | None = None
    selector: str | None = None

    def or_else(self, other: Names) -> Names:
        """These, completed by others."""
        return Names(self.domain or other.domain, self.selector or other.selector)


class LooseKeys:
    """Reads key files into findings."""

    def __init__(self, origin: Origin, findings: Findings) -> None:
        self._origin = origin
        self._findings = findings
        self._suffixes = PublicSuffixList(accept_unknown=False)

    def read_folder(self, folder: Path) -> None:
        """Every key in a folder and those below; what is no key is passed over."""
        count = len(self._findings.keys) + len(self._findings.faults)
        try:
            for path in _files(folder):
                if _holds_key(path):
                    self.read_file(path)
        except OSError as exc:
            what = f"cannot be read: {exc.strerror or type(exc).__name__}"
            self._findings.fault(str(exc.filename or folder), what, "run the import as its owner")
        if len(self._findings.keys) + len(self._findings.faults) == count:
            what = "there is no private key in it or in the folders below"
            self._findings.fault(str(folder), what, "name the folder or file that has them")

    def read_file(self, path: Path, *, is_in_use: bool = True) -> None:
        """One key file."""
        try:
            private, read = read_key(path, self._origin)
            record = _record_of(path, read)
            names = self._names(path, record)
            for domain in self._domains(names.domain, path):
                selector = self._selector(names, domain, path)
                self._findings.keys.append(
                    ForeignKey(
                        domain, selector, private, str(path), read.modified_seconds, is_in_use
                    )
                )
        except KeyFault as exc:
            self._findings.faults.append(exc.fault)
        else:
            self.look_at(path, private, read, record)

    def look_at(
        self, path: Path, private: PrivateKey, read: Read, record: str | None = None
    ) -> None:
        """Note what is odd about a key file that was read, and about the record beside it."""
        if read.is_open_to_all:
            fix = "if others have accounts there, replace the key: dkim-relay keys new"
            self._findings.note(str(path), "everybody on its host could read the key", fix)
        found = _P.search(_joined(record or _record_of(path, read) or ""))
        public = base64.b64encode(public_half(private).octets).decode("ascii")
        if found is not None and found[1] and found[1] != public:
            fix = "see which of the two is published: dkim-relay dns check"
            self._findings.note(str(path), "the record beside it is that of another key", fix)

    def _domains(self, found: str | None, path: Path) -> list[str]:
        domains = self._origin.domains or tuple(filter(None, [found]))
        if not domains:
            raise KeyFault(str(path), "nothing says which domain it signs for", _GIVE)
        return [signing_domain(domain) for domain in domains]

    def _selector(self, names: Names, domain: str, path: Path) -> str:
        selector = self._origin.selector or names.selector
        if selector is None:
            raise KeyFault(str(path), "nothing says what its selector is", _GIVE)
        return key_selector(selector, domain)

    def _names(self, path: Path, record: str | None) -> Names:
        given = Names(selector=self._origin.selector)
        told = _names_in(record or "")
        return given.or_else(told).or_else(self._names_of_path(path, told.selector))

    def _names_of_path(self, path: Path, told_selector: str | None) -> Names:
        stem = path.stem if path.suffix in KEY_SUFFIXES else path.name
        selector, mark, domain = stem.partition("._domainkey.")
        if mark:
            return Names(domain, selector)
        folder = path.resolve().parent.name
        if self._is_domain(folder):
            return Names(folder, stem.removeprefix(f"{folder}."))
        known = self._origin.selector or told_selector
        if known is not None and stem.endswith(f".{known}"):
            return Names(stem.removesuffix(f".{known}"), known)
        if self._is_domain(stem):  # example.com.key; and example.com.google, which is both
            return Names(domain=stem) if known is not None or stem.count(".") == 1 else Names()
        domain, _, selector = stem.rpartition(".")
        return Names(domain, selector) if "." in domain else Names(selector=stem)

    def _is_domain(self, name: str) -> bool:
        """Whether a name is a domain for certain: it ends in a suffix that there is."""
        try:
            labels = signing_domain(name).split(".")
        except KeyFault:
            return False
        return labels[-1] in _LOCAL or self._suffixes.publicsuffix(labels[-1]) is not None


def is_record(octets: bytes) -> bool:
    """Whether a file is a record to publish, and no key."""
    return _RECORD_MARK in octets and _PRIVATE_MARK not in octets


def _files(folder: Path, depth: int = 0) -> Iterator[Path]:
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=depth == 0):
            if depth < _MAX_DEPTH:
                yield from _files(Path(entry.path), depth + 1)
        elif entry.is_file():
            yield Path(entry.path)


def _holds_key(path: Path) -> bool:
    if path.suffix in KEY_SUFFIXES:
        return True
    if path.suffix in _RECORD_SUFFIXES:
        return False
    try:
        with path.open("rb") as file:
            return _PRIVATE_MARK in file.read(_MARKED_OCTETS)
    except OSError:  # a file without the suffix of a key that we may not read either
        return False


def _record_of(path: Path, read: Read) -> str | None:
    """The record that goes with a key file: behind the key, or in a file beside it."""
    if _RECORD_MARK in read.octets:
        _, _, behind = read.octets.rpartition(_PRIVATE_MARK)
        return behind.decode("utf-8", "replace")
    for suffix in _RECORD_SUFFIXES:
        for beside in (path.with_suffix(suffix), path.with_name(path.name + suffix)):
            try:
                octets = read_file(beside, MAX_KEY_OCTETS).octets
            except KeyFault:
                continue
            if _RECORD_MARK in octets:
                return octets.decode("utf-8", "replace")
    return None


def _names_in(record: str) -> Names:
    """What a record says, in a zone file's form: the owner, or the comment of opendkim-genkey."""
    owner, comment = _OWNER.search(record), _GENKEY.search(record)
    selector = owner[1] if owner else None
    domain = (owner[2] if owner else None) or (comment[1] if comment else None)
    if domain == "localhost":  # opendkim-genkey without -d
        domain = None
    return Names(domain, selector)


def _joined(record: str) -> str:
    return _BETWEEN_STRINGS.sub("", record)
