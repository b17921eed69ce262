"""SigningTable: `pattern name [i=]`, whose mail is signed with which key. Pure.

A line means more than domains can: a single user, another domain's key, an i=. What is not
carried over is a note with the line and what to do here instead.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from relay.keyring.importing.findings import Findings
from relay.keyring.importing.tables import Line, Table, shown

_FIELDS = re.compile(r"[\s:]+")
_NEW = "dkim-relay keys new"


@dataclass(frozen=True, slots=True)
class KeyLine:
    """A line of a KeyTable, taken apart."""

    name: str
    domain: str
    selector: str
    key: str
    where: str


@dataclass(frozen=True, slots=True)
class Pattern:
    """Whose mail a line of a SigningTable is about.

    Attributes:
        user: the local part; "*" for everybody.
        domain: in lower case; "" for every domain.
        is_below: whether it is about what lies below the domain, not the domain itself.
    """

    user: str
    domain: str
    is_below: bool


def uses_of(
    lines: Sequence[KeyLine], signing: Table | None, findings: Findings
) -> dict[str, list[str]]:
    """For each name of a key the domains whose mail it signs; "" stands for every domain."""
    known = {line.name: line for line in lines}
    uses: dict[str, list[str]] = {}
    for line in signing.lines if signing is not None else ():
        pattern = read_pattern(line.name)
        name, *auid = _FIELDS.split(line.value, maxsplit=1)
        if pattern is None:
            what = f"the pattern {shown(line.name)} cannot be carried over"
            findings.fault(line.where, what, "write it as *@DOMAIN or *@*.DOMAIN")
            continue
        names = _names_meant(name, pattern, known)
        if not names:
            what = f"the KeyTable has no key called {shown(name) or 'nothing'}"
            findings.fault(line.where, what, "correct the name, or leave the line out")
        for each in names:
            uses.setdefault(each, []).append(each if name == "%" else pattern.domain)
            _tell(line, pattern, known[each], findings)
        if auid:
            what = f"i={auid[0]} is not carried over"
            findings.note(line.where, what, "the relay writes no i=; receivers do not ask for it")
    return uses


def _names_meant(name: str, pattern: Pattern, known: dict[str, KeyLine]) -> list[str]:
    if name != "%":  # the key is called like the domain of From
        return [name] if name in known else []
    if pattern.domain:
        return [pattern.domain] if pattern.domain in known else []
    return [each for each in known if "." in each]


def _tell(line: Line, pattern: Pattern, key: KeyLine, findings: Findings) -> None:
    """What a line of the SigningTable asks for beside "mail of a domain with its own key"."""
    signs_as = key.domain.lower()
    if pattern.user != "*":
        fix = "bind clients to their addresses with from_addresses of [[clients]]"
        findings.note(line.where, f"{line.name}: the key is for all of the domain here", fix)
    if signs_as == "%":
        if pattern.is_below:
            findings.note(line.where, f"{line.name} had a key for each subdomain", f"{_NEW} SUB")
    elif not pattern.domain:
        what = f"every domain was signed as {signs_as}; the relay signs each with its own key"
        findings.note(line.where, what, f"{_NEW} DOMAIN, for each that you send from")
    elif f".{pattern.domain}".endswith(f".{signs_as}") and (
        pattern.is_below or pattern.domain != signs_as
    ):
        findings.subdomains.setdefault(signs_as, f"{line.name} at {line.where}")
    elif pattern.domain != signs_as:
        what = f"mail of {pattern.domain} was signed as {signs_as}, which DMARC does not count"
        findings.note(line.where, what, f"{_NEW} {pattern.domain}")


def read_pattern(text: str) -> Pattern | None:
    """The pattern of a line of a SigningTable; None when it says more than domains can."""
    user, mark, host = text.lower().rpartition("@")
    if not mark:
        user = "*"
    if not user or ("*" in user and user != "*"):
        return None
    if host in ("*", ""):
        return Pattern(user, "", is_below=False) if host else None
    for begin in ("*.", "."):
        if host.startswith(begin):
            rest = host[len(begin) :]
            return None if not rest or "*" in rest else Pattern(user, rest, is_below=True)
    return None if "*" in host else Pattern(user, host, is_below=False)
