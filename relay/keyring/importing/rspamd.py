"""rspamd's dkim_signing module: dkim_signing.conf, its maps, and the keys they lead to. IO.

Taken over: path, selector, selector_map, path_map, domain sections with their selectors,
signing_table and key_table, and use_esld, which is on unless switched off: then a key signs for
everything below its domain. Keys in Redis or Vault have to be exported first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from relay.core.errors import KeyFault
from relay.keyring.importing.findings import Findings, ForeignKey
from relay.keyring.importing.key_table import read_tables
from relay.keyring.importing.keyfile import read_key
from relay.keyring.importing.loose import LooseKeys
from relay.keyring.importing.source import Origin, read_text
from relay.keyring.importing.tables import Line, Table, read_table_file
from relay.keyring.importing.ucl import Entry, Section, UclFault, read_ucl
from relay.keyring.names import key_selector, signing_domain

_DEFAULT_PATH = "/var/lib/rspamd/dkim/$domain.$selector.key"
_DEFAULT_SELECTOR = "dkim"
_NO = ("false", "no", "off", "0")
_MAP_KINDS = re.compile(r"^(?:(?:regexp|glob|fallback\+)?file|map)://|^(?:refile|file):")
# What decides how rspamd signs, or whether: the relay has its own ways, or signs everything.
_WITHOUT_EFFECT = frozenset(
    {
        "path",
        "selector",
        "selector_map",
        "path_map",
        "domain",
        "use_esld",
        "signing_table",
        "key_table",
        "try_fallback",
        "enabled",
        "symbol",
        "key_prefix",
        "sign_headers",
        "check_pubkey",
        "allow_pubkey_mismatch",
        "allow_envfrom_empty",
        "allow_hdrfrom_mismatch",
        "allow_hdrfrom_multiple",
    }
)
_EXPORTED = ("use_redis", "use_vault")
_USE_DOMAIN_FIX = "the relay signs as the domain of From: see that it is the one you want"


def read_rspamd(path: Path, origin: Origin, findings: Findings) -> None:
    """Take over what a dkim_signing.conf says.

    Raises:
        KeyFault: the file itself cannot be read.
    """
    try:
        section = read_ucl(read_text(path))
    except UclFault as exc:
        fix = "correct the line, or import the key folder itself"
        findings.fault(f"{path}:{exc.line}", exc.what, fix)
        return
    inner = section.last("dkim_signing")
    if inner is not None and isinstance(inner.value, Section):
        section = inner.value
    _Configuration(path, section, origin, findings).read()


class _Configuration:
    """The settings of one dkim_signing.conf."""

    def __init__(self, path: Path, section: Section, origin: Origin, findings: Findings) -> None:
        self._path = path
        self._section = section
        self._origin = origin
        self._findings = findings
        self._loose = LooseKeys(origin, findings)
        self._pattern = section.text("path") or _DEFAULT_PATH
        self._selector = section.text("selector") or _DEFAULT_SELECTOR
        self._read_paths: set[Path] = set()

    def read(self) -> None:
        """Everything, each key once."""
        count = len(self._findings.keys)
        self._tell_settings()
        self._tables()
        self._domain_sections()
        self._maps()
        self._fallback()
        if (self._section.text("use_esld") or "true").lower() not in _NO:
            for key in self._findings.keys[count:]:
                self._findings.subdomains.setdefault(key.domain, f"use_esld in {self._path}")

    def _tell_settings(self) -> None:
        for entry in self._section.entries:
            where = f"{self._path}:{entry.line}"
            value = entry.value if isinstance(entry.value, str) else "…"
            if entry.name in _EXPORTED and value.lower() not in _NO:
                what = f"{entry.name}: keys that are not in files cannot be read"
                self._findings.fault(where, what, "export them, and import the files")
            elif entry.name == "use_domain" and value == "header":
                continue
            elif entry.name.startswith("use_domain"):
                self._findings.note(where, f"{entry.name} = {value}", _USE_DOMAIN_FIX)
            elif entry.name.startswith("sign_") and entry.name not in _WITHOUT_EFFECT:
                fix = "who may send is said in [[clients]]"
                self._findings.note(where, f"{entry.name} = {value} is not carried over", fix)
            elif entry.name not in _WITHOUT_EFFECT and entry.name not in _EXPORTED:
                fix = "see whether you need it"
                self._findings.note(where, f"{entry.name} is not carried over", fix)

    def _tables(self) -> None:
        entry = self._section.last("key_table")
        if entry is None:
            return
        signing = self._section.last("signing_table")
        keys = self._table(entry)
        used = None if signing is None else self._table(signing)
        if keys is not None:
            read_tables(keys, used, self._origin, self._findings, self._selector)

    def _domain_sections(self) -> None:
        for entry in self._section.entries:
            if entry.name != "domain" or not isinstance(entry.value, Section):
                continue
            for domain in entry.value.entries:
                where = f"{self._path}:{domain.line}"
                if not isinstance(domain.value, Section):
                    fix = f"{domain.name} {{ path = …; selector = …; }}"
                    self._findings.fault(where, f"domain {domain.name} is no section", fix)
                    continue
                for settings in _signatures(domain.value):
                    path = settings.text("path") or domain.value.text("path") or self._pattern
                    selector = settings.text("selector") or domain.value.text("selector")
                    self._key(path, domain.name, selector or self._selector, where)

    def _maps(self) -> None:
        selectors = self._map("selector_map")
        paths = self._map("path_map")
        for domain in dict.fromkeys([*selectors, *paths]):
            line = selectors.get(domain) or paths[domain]
            selector = selectors[domain].value if domain in selectors else self._selector
            path = paths[domain].value if domain in paths else self._pattern
            self._key(path, domain, selector, line.where)

    def _fallback(self) -> None:
        """The key that rspamd finds for any other domain, by the pattern of its path."""
        entry = self._section.last("path")
        where = str(self._path) if entry is None else f"{self._path}:{entry.line}"
        if "$domain" not in self._pattern:
            if entry is not None:
                self._same_for_all(where)
            return
        pattern = self._pattern.replace("$selector", self._selector)
        before, _, after = pattern.partition("$domain")
        located = self._origin.locate(before + "x", self._path.parent)
        if not located.parent.is_dir():
            if entry is not None or not self._findings.keys:
                what = f"the folder {located.parent} does not exist"
                self._findings.fault(where, what, "give --root where the setup was copied to")
            return
        tail = after.partition("/")[0]
        for found in sorted(located.parent.glob(f"{located.name[:-1]}*{tail}")):
            domain = found.name[len(located.name) - 1 : len(found.name) - len(tail)]
            self._key(pattern, domain, self._selector, where)
        self._left_over(located.parent)

    def _left_over(self, folder: Path) -> None:
        """Keys beside those in use: taken over too, as keys that were not in use."""
        for path in sorted(folder.glob("*.key")):
            if path.resolve() not in self._read_paths:
                what = "no setting leads to this key"
                self._findings.note(str(path), what, "without need for it: remove it from keys")
                self._loose.read_file(path, is_in_use=False)

    def _same_for_all(self, where: str) -> None:
        if not self._origin.domains:
            what = f"path = {self._pattern}: one key for whatever domain From has"
            self._findings.fault(where, what, "give --domain, once for each")
        for domain in self._origin.domains:
            self._key(self._pattern, domain, self._selector, where)

    def _key(self, pattern: str, domain: str, selector: str, where: str) -> None:
        """One key; a fault is its own alone. Each file and name is read once."""
        text = pattern.replace("$domain", domain).replace("$selector", selector)
        path = self._origin.locate(text, self._path.parent)
        if path.resolve() in self._read_paths and "$domain" in pattern:
            return
        self._read_paths.add(path.resolve())
        try:
            name = signing_domain(domain)
            known = key_selector(selector, name)
            private, read = read_key(path, self._origin)
        except KeyFault as exc:
            self._findings.fault(where, f"{exc.fault.where}: {exc.fault.what}", exc.fault.fix)
            return
        self._loose.look_at(path, private, read)
        self._findings.keys.append(
            ForeignKey(name, known, private, str(path), read.modified_seconds)
        )

    def _map(self, name: str) -> dict[str, Line]:
        entry = self._section.last(name)
        table = None if entry is None else self._table(entry)
        return {line.name: line for line in table.lines} if table is not None else {}

    def _table(self, entry: Entry) -> Table | None:
        where = f"{self._path}:{entry.line}"
        try:
            if isinstance(entry.value, Section):
                lines = tuple(_inline(entry.value, self._path))
                return Table(lines, self._path.parent, None)
            if isinstance(entry.value, list):
                texts = [item for item in entry.value if isinstance(item, str)]
                lines = tuple(Line(*_pair(text), where) for text in texts)
                return Table(lines, self._path.parent, None)
            if "://" in entry.value and not _MAP_KINDS.match(entry.value):
                what = f"{entry.name} = {entry.value} is not a file"
                self._findings.fault(where, what, "fetch it, and name the file")
                return None
            path = self._origin.locate(_MAP_KINDS.sub("", entry.value), self._path.parent)
            return read_table_file(path)
        except KeyFault as exc:
            self._findings.fault(where, f"{exc.fault.where}: {exc.fault.what}", exc.fault.fix)
            return None


def _signatures(domain: Section) -> list[Section]:
    """The sections of a domain that stand for a signature each."""
    entry = domain.last("selectors")
    if entry is not None and isinstance(entry.value, list):
        return [item for item in entry.value if isinstance(item, Section)]
    return [domain]


def _inline(section: Section, path: Path) -> Iterator[Line]:
    for entry in section.entries:
        if isinstance(entry.value, str):
            yield Line(entry.name, entry.value, f"{path}:{entry.line}")


def _pair(text: str) -> tuple[str, str]:
    name, *value = text.split(None, 1) or [""]
    return name, "".join(value).strip()
