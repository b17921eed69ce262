"""KeyTable: `name domain:selector:key`, where `%` stands for the domain of From. IO.

The key is a path, or the key itself. Which lines are in use, and for whom, the SigningTable says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from relay.core.errors import KeyFault
from relay.keyring.importing.findings import Findings, ForeignKey
from relay.keyring.importing.keyfile import inline_key, read_key
from relay.keyring.importing.loose import LooseKeys
from relay.keyring.importing.signing_table import KeyLine, uses_of
from relay.keyring.importing.source import Origin
from relay.keyring.importing.tables import PATH_BEGINS, Table, shown
from relay.keyring.names import key_selector, signing_domain
from relay.keyring.pem import PemFault


def key_lines(table: Table, findings: Findings, selector: str | None = None) -> list[KeyLine]:
    """The lines of a KeyTable; one that is none is a fault.

    Args:
        table: the KeyTable.
        findings: gets the faults.
        selector: for lines that name none, as rspamd permits.
    """
    found: dict[str, KeyLine] = {}
    for line in table.lines:
        parts = [part.strip() for part in line.value.split(":", 2)]
        if len(parts) == 2 and selector is not None:
            parts.insert(1, selector)
        if len(parts) != 3 or not all(parts):
            what = f"the line of {shown(line.name)} is none of a KeyTable"
            findings.fault(line.where, what, "NAME DOMAIN:SELECTOR:PATH")
        elif line.name in found:
            what = f"the name {line.name} is there already, at {found[line.name].where}"
            findings.fault(line.where, what, "give each line a name of its own")
        else:
            domain, named, key = parts
            found[line.name] = KeyLine(line.name, domain, named, key, line.where)
    return list(found.values())


def read_tables(
    keys: Table, signing: Table | None, origin: Origin, findings: Findings, selector: str | None
) -> None:
    """Take over both tables.

    Args:
        keys: the KeyTable.
        signing: the SigningTable; None when only the keys are known.
        origin: what was said about the setup.
        findings: gets the keys, and what is wrong.
        selector: for lines of the KeyTable that name none.
    """
    lines = key_lines(keys, findings, selector)
    uses = uses_of(lines, signing, findings)
    reader = _Reader(keys, origin, findings)
    for line in lines:
        domains = uses.get(line.name, [])
        if not domains and signing is not None:
            what = f"no line of the SigningTable uses the key {line.name}"
            findings.note(line.where, what, "without need for it: remove it from the keys folder")
        reader.read(line, domains, is_in_use=bool(domains) or signing is None)


class _Reader:
    """Reads the keys of a KeyTable."""

    def __init__(self, table: Table, origin: Origin, findings: Findings) -> None:
        self._table = table
        self._origin = origin
        self._findings = findings
        self._loose = LooseKeys(origin, findings)

    def read(self, line: KeyLine, domains: Sequence[str], *, is_in_use: bool) -> None:
        """The key of a line, for each domain that it means."""
        try:
            for domain in dict.fromkeys(self._domains(line, domains)):
                self._read_for(line, domain, is_in_use=is_in_use)
        except KeyFault as exc:
            self._findings.faults.append(exc.fault)

    def _domains(self, line: KeyLine, domains: Sequence[str]) -> Iterator[str]:
        if line.domain != "%":
            yield line.domain
            return
        named = [domain for domain in domains if domain] or list(self._origin.domains)
        if not named:
            named = list(self._domains_with_files(line))
        if not named:
            what = "the key signs for whatever domain From has, and none is named"
            raise KeyFault(line.where, what, "give --domain, once for each")
        yield from named

    def _domains_with_files(self, line: KeyLine) -> Iterator[str]:
        """The domains that a path with % has a file for."""
        if line.key.count("%") != 1 or not line.key.startswith(PATH_BEGINS):
            return
        before, _, after = line.key.partition("%")
        around = self._origin.locate(before + "x", self._table.folder)
        tail = after.partition("/")[0]
        for path in sorted(around.parent.glob(f"{around.name[:-1]}*{tail}")):
            domain = path.name[len(around.name) - 1 : len(path.name) - len(tail)]
            rest = after[len(tail) :].lstrip("/")
            if "." in domain and (path / rest).is_file():
                yield domain

    def _read_for(self, line: KeyLine, text: str, *, is_in_use: bool) -> None:
        """The key of a line for one domain; a fault is that domain's alone."""
        try:
            domain = signing_domain(text)
            selector = key_selector(line.selector, domain)
            modified = self._table.modified_seconds  # of a key that stands in the table itself
            if line.key.startswith(PATH_BEGINS):
                written = line.key.replace("%", text)
                path = self._origin.locate(written, self._table.folder)
                private, read = read_key(path, self._origin)
                modified = read.modified_seconds
                self._loose.look_at(path, private, read)
            else:
                private = inline_key(line.key)
        except KeyFault as exc:
            where, what = exc.fault.where, exc.fault.what
            self._findings.fault(line.where, f"{where}: {what}", exc.fault.fix)
        except PemFault as exc:
            self._findings.fault(line.where, exc.what, exc.fix)
        else:
            found = ForeignKey(domain, selector, private, line.where, modified, is_in_use)
            self._findings.keys.append(found)
