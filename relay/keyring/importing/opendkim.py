"""opendkim.conf (opendkim.conf(5)) and the configuration of dkimpy-milter, which is alike. IO.

Taken over: KeyTable with SigningTable, or Domain, Selector and KeyFile (and dkimpy-milter's
KeyTableEd25519, SelectorEd25519, KeyFileEd25519), SubDomains, BaseDirectory, Include. Other
settings concern how OpenDKIM signs or whom it serves; of those that decide who may send, a note
says where that is set here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from relay.core.errors import KeyFault
from relay.keyring.importing.findings import Findings, ForeignKey
from relay.keyring.importing.key_table import read_tables
from relay.keyring.importing.keyfile import read_key
from relay.keyring.importing.loose import LooseKeys
from relay.keyring.importing.source import Origin, read_text
from relay.keyring.importing.tables import Table, read_table
from relay.keyring.names import key_selector, signing_domain

_WHO_MAY_SEND = ("internalhosts", "externalignorelist", "macros", "macrolist")
_YES = ("yes", "true", "on", "1")


@dataclass(frozen=True, slots=True)
class _Setting:
    name: str
    value: str
    where: str
    folder: Path


def read_opendkim(path: Path, origin: Origin, findings: Findings) -> None:
    """Take over what an opendkim.conf says.

    Raises:
        KeyFault: the file itself cannot be read.
    """
    settings: dict[str, _Setting] = {}
    for name, setting in _settings(path, origin, findings, set()):
        settings[name] = setting
    _Configuration(path, settings, origin, findings).read()


def _settings(
    path: Path, origin: Origin, findings: Findings, seen: set[Path]
) -> Iterator[tuple[str, _Setting]]:
    """The settings of a file and of those it includes, each file once."""
    if path.resolve() in seen:
        return
    seen.add(path.resolve())
    for number, raw in enumerate(read_text(path).splitlines(), 1):
        name, *rest = raw.partition("#")[0].split(None, 1) or [""]
        value, where = "".join(rest).strip(), f"{path}:{number}"
        if name.lower() == "include":
            try:
                included = origin.locate(value, path.parent)
                yield from _settings(included, origin, findings, seen)
            except KeyFault as exc:
                findings.fault(where, f"Include {exc.fault.where}: {exc.fault.what}", exc.fault.fix)
        elif name:
            yield name.lower(), _Setting(name, value, where, path.parent)


class _Configuration:
    """The settings of one opendkim.conf."""

    def __init__(
        self, path: Path, settings: dict[str, _Setting], origin: Origin, findings: Findings
    ) -> None:
        self._path = path
        self._settings = settings
        self._origin = origin
        self._findings = findings

    def read(self) -> None:
        """Tables where there are some, else the one key."""
        count = len(self._findings.keys) + len(self._findings.faults)
        for ending in ("", "ed25519"):
            if f"keytable{ending}" in self._settings:
                self._tables(f"keytable{ending}")
            elif f"keyfile{ending}" in self._settings:
                self._one_key(f"keyfile{ending}", f"selector{ending}")
        for name in _WHO_MAY_SEND:
            if (setting := self._settings.get(name)) is not None:
                what = f"{setting.name} says who may send, which an import does not carry over"
                fix = "name them in [[clients]], each with networks and from_addresses"
                self._findings.note(setting.where, what, fix)
        if len(self._findings.keys) + len(self._findings.faults) == count:
            what = "neither KeyTable nor KeyFile is set: it signs nothing"
            self._findings.fault(str(self._path), what, "name the file that is in use")

    def _tables(self, name: str) -> None:
        try:
            keys = self._table(name)
            if keys is None:
                return
            signing = self._table("signingtable")
        except KeyFault as exc:
            where = self._settings[name].where
            what = f"{exc.fault.where}: {exc.fault.what}"
            self._findings.fault(where, what, exc.fault.fix)
            return
        if signing is None:
            what = "there is no SigningTable, so no key was in use"
            self._findings.note(self._settings[name].where, what, "see which of them you want")
        read_tables(keys, signing, self._origin, self._findings, None)

    def _table(self, name: str) -> Table | None:
        setting = self._settings.get(name)
        if setting is None:
            return None
        folder = self._folder(setting)
        return read_table(setting.value, folder=folder, where=setting.where, origin=self._origin)

    def _folder(self, setting: _Setting) -> Path:
        """In which relative paths begin."""
        base = self._settings.get("basedirectory")
        return setting.folder if base is None else self._origin.locate(base.value, base.folder)

    def _one_key(self, file_name: str, selector_name: str) -> None:
        setting = self._settings[file_name]
        if "domain" not in self._settings or selector_name not in self._settings:
            what = f"{setting.name} without Domain and Selector"
            fix = "import the key file itself, with --domain and --selector"
            self._findings.fault(setting.where, what, fix)
            return
        path = self._origin.locate(setting.value, self._folder(setting))
        try:
            private, read = read_key(path, self._origin)
            LooseKeys(self._origin, self._findings).look_at(path, private, read)
            for domain, where in self._domains():
                name = signing_domain(domain)
                selector = key_selector(self._settings[selector_name].value, name)
                found = ForeignKey(name, selector, private, str(path), read.modified_seconds)
                self._findings.keys.append(found)
                if self._is_yes("subdomains"):
                    reason = f"SubDomains at {self._settings['subdomains'].where}"
                    self._findings.subdomains.setdefault(name, f"{where}, {reason}")
        except KeyFault as exc:
            what = f"{exc.fault.where}: {exc.fault.what}"
            self._findings.fault(setting.where, what, exc.fault.fix)

    def _domains(self) -> Iterator[tuple[str, str]]:
        table = self._table("domain")
        for line in table.lines if table is not None else ():
            yield line.name, f"Domain at {line.where}"

    def _is_yes(self, name: str) -> bool:
        return name in self._settings and self._settings[name].value.lower() in _YES
