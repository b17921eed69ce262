"""What a file or folder is, and who reads it. IO.

A folder with a configuration or tables in it is read by those; any other is searched for keys.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from enum import Enum, auto
from pathlib import Path

from relay.core.errors import KeyFault
from relay.keyring.importing.findings import Findings
from relay.keyring.importing.key_table import read_tables
from relay.keyring.importing.keyfile import is_bare_key
from relay.keyring.importing.loose import KEY_SUFFIXES, LooseKeys, is_record
from relay.keyring.importing.opendkim import read_opendkim
from relay.keyring.importing.rspamd import read_rspamd
from relay.keyring.importing.source import MAX_TABLE_OCTETS, Origin, read_file
from relay.keyring.importing.tables import Table, read_table_file

_PRIVATE_KEY = b"PRIVATE KEY-----"
_OPENDKIM = re.compile(r"(?mi)^[ \t]*(?:KeyTable|SigningTable|KeyFile)(?:Ed25519)?[ \t]+\S")
_RSPAMD = re.compile(
    r"(?m)^[ \t]*(?:dkim_signing[ \t]*\{|(?:domain|use_esld|selector_map|path_map|path|selector"
    r"|use_redis|use_vault|signing_table|key_table|sign_\w+)[ \t]*[={:])"
)
_KEY_TABLE = re.compile(r"(?m)^[ \t]*[^\s#]+[ \t]+[^\s:#]+:[^\s:#]+:[ \t]*\S")
_SIGNING_TABLE = re.compile(r"(?m)^[ \t]*[^\s#]+[ \t]+[^\s#/]+[ \t]*(?:#.*)?$")
_BEGINNING_OCTETS = 4096
_SEPARATORS = re.compile(r"[._-]")
_CONFIGURATIONS = ("opendkim.conf", "dkimpy-milter.conf")
_SIGNING_CONFIGURATIONS = (
    "dkim_signing.conf",
    "local.d/dkim_signing.conf",
    "override.d/dkim_signing.conf",
)


class Kind(Enum):
    """What a source is."""

    KEY = auto()
    RECORD = auto()
    OPENDKIM = auto()
    RSPAMD = auto()
    KEY_TABLE = auto()
    SIGNING_TABLE = auto()
    UNKNOWN = auto()


_KINDS = {name: Kind.OPENDKIM for name in _CONFIGURATIONS} | {"dkim_signing.conf": Kind.RSPAMD}
_PATTERNS = (
    (_OPENDKIM, Kind.OPENDKIM),
    (_RSPAMD, Kind.RSPAMD),
    (_KEY_TABLE, Kind.KEY_TABLE),
    (_SIGNING_TABLE, Kind.SIGNING_TABLE),
)


def read_sources(paths: Sequence[Path], origin: Origin) -> Findings:
    """Read everything that was named; what is wrong is in the findings, nothing is raised.

    Args:
        paths: files and folders.
        origin: what was said about the setup that they are of.
    """
    findings = Findings()
    reader = _Reader(origin, findings)
    for path in paths:
        try:
            reader.read(path)
        except KeyFault as exc:
            findings.faults.append(exc.fault)
    reader.finish()
    return findings


class _Reader:
    """Reads sources one by one; tables wait for each other until the end."""

    def __init__(self, origin: Origin, findings: Findings) -> None:
        self._origin = origin
        self._findings = findings
        self._loose = LooseKeys(origin, findings)
        self._key_tables: list[Path] = []
        self._signing_tables: list[Path] = []

    def read(self, path: Path) -> None:
        """One source."""
        if path.is_dir():
            self._read_folder(path)
            return
        kind = kind_of(path)
        others: dict[Kind, Callable[[Path, Origin, Findings], None]] = {
            Kind.OPENDKIM: read_opendkim,
            Kind.RSPAMD: read_rspamd,
        }
        if kind is Kind.KEY:
            self._loose.read_file(path)
        elif kind in others:
            others[kind](path, self._origin, self._findings)
        elif kind is Kind.KEY_TABLE:
            self._key_tables.append(path)
        elif kind is Kind.SIGNING_TABLE:
            self._signing_tables.append(path)
        elif kind is Kind.UNKNOWN:
            what = "neither a key nor a configuration or table that is known"
            fix = "name a key file, a folder of keys, opendkim.conf, KeyTable or dkim_signing.conf"
            raise KeyFault(str(path), what, fix)

    def finish(self) -> None:
        """Read the tables, each KeyTable with the SigningTable named or beside it."""
        named = [_table(path, self._findings) for path in self._signing_tables]
        lines = tuple(line for table in named if table is not None for line in table.lines)
        if self._signing_tables and not self._key_tables:
            path = self._signing_tables[0]
            found = _beside(path, "keytable")
            if found is None:
                fix = "name the KeyTable too"
                self._findings.fault(str(path), "a SigningTable has no keys in it", fix)
                return
            self._key_tables.append(found)
        for path in self._key_tables:
            keys = _table(path, self._findings)
            signing = Table(lines, path.parent, None) if named else None
            if signing is None and (beside := _beside(path, "signingtable")) is not None:
                signing = _table(beside, self._findings)
            if keys is not None:
                read_tables(keys, signing, self._origin, self._findings, self._origin.selector)

    def _read_folder(self, folder: Path) -> None:
        for name in _CONFIGURATIONS:
            if (folder / name).is_file():
                read_opendkim(folder / name, self._origin, self._findings)
                return
        found = [folder / name for name in _SIGNING_CONFIGURATIONS if (folder / name).is_file()]
        for other in found[1:]:
            what = f"{found[0]} is read, not this one"
            self._findings.note(str(other), what, "import it by itself if it names further keys")
        if found:
            read_rspamd(found[0], self._origin, self._findings)
            return
        table = _beside(folder / "x", "keytable")
        if table is not None:
            self._key_tables.append(table)
            return
        self._loose.read_folder(folder)


def kind_of(path: Path) -> Kind:
    """What a file is, by its name and contents.

    Raises:
        KeyFault: it cannot be read.
    """
    if path.suffix in KEY_SUFFIXES:
        return Kind.KEY
    octets = read_file(path, MAX_TABLE_OCTETS).octets
    if path.name in _KINDS:
        return _KINDS[path.name]
    text = octets.decode("utf-8", "replace")
    if _PRIVATE_KEY in octets[:_BEGINNING_OCTETS] and not _KEY_TABLE.search(text):
        return Kind.KEY
    if is_bare_key(octets):
        return Kind.KEY
    if is_record(octets):
        return Kind.RECORD
    matching = [kind for pattern, kind in _PATTERNS if pattern.search(text)]
    return matching[0] if matching and "\0" not in text else Kind.UNKNOWN


def _beside(path: Path, wanted: str) -> Path | None:
    """The table of that name in the folder of a file, however it is written."""
    for found in sorted(path.parent.iterdir()):
        if _SEPARATORS.sub("", found.name.lower()) in (wanted, f"{wanted}txt") and found.is_file():
            return found
    return None


def _table(path: Path, findings: Findings) -> Table | None:
    try:
        return read_table_file(path)
    except KeyFault as exc:
        findings.faults.append(exc.fault)
        return None
