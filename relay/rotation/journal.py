"""What a rotation has to remember of a domain: keys/<domain>/.rotation.json. IO.

Only what the folder and DNS do not tell: what was begun, and since when things are as they are.
Without it nothing is lost but time: the old record then stays its days from now on.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from relay.core.dkim.algorithm import Algorithm
from relay.core.errors import Fault
from relay.state import StateFault, read_state, write_state

JOURNAL, LOCK = ".rotation.json", ".rotation.lock"
_VERSION = 1
MAX_PAST = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """The life of one key; times are in seconds since 1970, None for not yet.

    Attributes:
        selector: in A-labels.
        algorithm, bits: of the key.
        intended_at: it was decided to make it.
        made_at: it is in the folder.
        published_at: we put its record into DNS.
        in_use_at: its record was seen everywhere, so that it signs.
        superseded_at: since then a newer key has signed, without a break.
        retiring_at: it was decided to end it.
        record: its record's text, from then on.
        destroyed_at: the private key is gone.
        retired_at: its record is gone too, or told to be removed.
    """

    selector: str
    algorithm: Algorithm
    bits: int
    intended_at: float | None = None
    made_at: float | None = None
    published_at: float | None = None
    in_use_at: float | None = None
    superseded_at: float | None = None
    retiring_at: float | None = None
    record: str = ""
    destroyed_at: float | None = None
    retired_at: float | None = None


@dataclass(frozen=True, slots=True)
class Journal:
    """The entries of a domain.

    Attributes:
        entries: of keys that are there, or being made or ended, by selector.
        past: of keys that are retired, the last first.
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    past: tuple[Entry, ...] = ()

    def with_entry(self, entry: Entry) -> Journal:
        """With this entry in place of its former self."""
        return replace(self, entries={**self.entries, entry.selector: entry})

    def retired(self, entry: Entry) -> Journal:
        """With this entry among the past ones."""
        entries = {s: e for s, e in self.entries.items() if s != entry.selector}
        return Journal(entries, (entry, *self.past)[:MAX_PAST])


def read_journal(folder: Path) -> tuple[Journal, Fault | None]:
    """The journal of a domain's folder; a broken one counts as empty, with the fault."""
    path = folder / JOURNAL
    try:
        return _journal(path, read_state(path)), None
    except StateFault as exc:
        return Journal(), exc.fault


def write_journal(folder: Path, journal: Journal) -> None:
    """Put the journal of a domain on disk; with the lock of the folder held.

    Raises:
        StateFault: it cannot be written.
    """
    data = {
        "version": _VERSION,
        "keys": [_row(entry) for entry in journal.entries.values()],
        "past": [_row(entry) for entry in journal.past],
    }
    write_state(folder / JOURNAL, data)


def _row(entry: Entry) -> dict[str, Any]:
    return {name: value for name, value in asdict(entry).items() if value not in (None, "")}


def _journal(path: Path, data: dict[str, Any]) -> Journal:
    if not data:
        return Journal()
    try:
        rows = _rows(data)
        entries = [_entry(row) for row in rows]
        past = tuple(_entry(row) for row in data["past"])
    except (KeyError, TypeError, ValueError) as exc:
        what = f"is not what this version writes: {type(exc).__name__}: {exc}"
        raise StateFault(Fault(str(path), what, "it is begun anew")) from exc
    return Journal({entry.selector: entry for entry in entries}, past)


def _rows(data: dict[str, Any]) -> list[dict[str, Any]]:
    if data["version"] != _VERSION:
        raise ValueError(f"version {data['version']!r} is not {_VERSION}")
    rows: list[dict[str, Any]] = data["keys"]
    return rows


def _entry(row: dict[str, Any]) -> Entry:
    known = {one.name for one in fields(Entry)}
    texts = {name: row.get(name, "") for name in ("selector", "record")}
    times = {n: v for n, v in row.items() if n.endswith("_at")}
    if (
        not row.keys() <= known
        or not all(isinstance(text, str) for text in texts.values())
        or not all(isinstance(time, int | float) for time in times.values())
    ):
        raise TypeError(f"not an entry: {sorted(row)}")
    return Entry(**{**row, "algorithm": Algorithm(row["algorithm"]), "bits": int(row["bits"])})
