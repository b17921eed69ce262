"""What was found, into the keys folder. IO.

A key that is there already is left alone; another key of the same name stands, unless it is to be
replaced. One key that cannot be written stops no other.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from relay.core.dkim.algorithm import Algorithm
from relay.core.errors import KeyFault
from relay.keyring.files import read_key_file
from relay.keyring.folder import KEY_SUFFIX, Found, list_keys
from relay.keyring.importing.findings import Findings, ForeignKey
from relay.keyring.pem import size_warning
from relay.keyring.writing import write_key


class Outcome(StrEnum):
    """What becomes of a key."""

    IMPORTED = "imported"
    REPLACED = "replaced"
    PRESENT = "present"


@dataclass(frozen=True, slots=True)
class Carried:
    """A key that is in the keys folder now, or would be.

    Attributes:
        key: as it was found.
        path: its file.
        outcome: what was done, or would be.
    """

    key: ForeignKey
    path: Path
    outcome: Outcome


def carry_over(
    findings: Findings, keys_dir: Path, *, replaces: bool, is_dry_run: bool
) -> list[Carried]:
    """Write the keys that were found; what cannot be written is one fault more.

    Args:
        findings: the keys; gets further faults and notes.
        keys_dir: the keys folder; made when absent.
        replaces: whether a key there, of the same name and another, is replaced.
        is_dry_run: whether to say only what would be done.
    """
    present = {(f.domain, f.selector): f.path for f in _listed(keys_dir)}
    carried = []
    for key in _each_once(findings):
        path = present.get((key.domain, key.selector))
        default = keys_dir / key.domain / f"{key.selector}{KEY_SUFFIX}"
        try:
            outcome = _outcome(key, path, replaces=replaces)
            if not is_dry_run and outcome is not Outcome.PRESENT:
                path = _write(key, keys_dir, replaces=replaces)
        except KeyFault as exc:
            findings.faults.append(exc.fault)
            continue
        carried.append(Carried(key, path or default, outcome))
        if key.public.algorithm is Algorithm.RSA_SHA256 and (w := size_warning(key.public.bits)):
            findings.note(key.where, w, f"dkim-relay keys new {key.domain}")
    return carried


def _write(key: ForeignKey, keys_dir: Path, *, replaces: bool) -> Path:
    written = write_key(
        keys_dir,
        key.domain,
        key.selector,
        key.private,
        modified_seconds=key.modified_seconds,
        replaces=replaces,
    )
    return written.key_path


def _outcome(key: ForeignKey, path: Path | None, *, replaces: bool) -> Outcome:
    if path is None:
        return Outcome.IMPORTED
    if path.suffix != KEY_SUFFIX:
        what = f"the key of that name is in a token, as {path} says"
        raise KeyFault(key.where, what, "move that file away first, if this key is to take over")
    try:
        is_same = read_key_file(path, domain=key.domain, selector=key.selector).public == key.public
    except KeyFault:  # not readable as a key: something else all the same
        is_same = False
    if is_same:
        return Outcome.PRESENT
    if replaces:
        return Outcome.REPLACED
    what = f"another key is in {path} already, and stands"
    raise KeyFault(key.where, what, "import with --force replaces it; what it signs fails then")


def _each_once(findings: Findings) -> Iterator[ForeignKey]:
    """The keys, the same one once; two that are different and called the same are a fault."""
    first: dict[tuple[str, str], ForeignKey] = {}
    for key in sorted(findings.keys, key=lambda each: not each.is_in_use):
        name = key.domain, key.selector
        kept = first.setdefault(name, key)
        if kept is key:
            continue
        if kept.public != key.public:
            what = f"{key.selector} of {key.domain} is another key than that of {kept.where}"
            findings.fault(key.where, what, "find out which one is published, and import only that")
    yield from sorted(first.values(), key=lambda each: (each.domain, each.selector))


def _listed(keys_dir: Path) -> Iterator[Found]:
    if os.path.lexists(keys_dir):
        yield from list_keys(keys_dir).found
