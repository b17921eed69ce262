"""What was last seen of each key's record: in memory, and in the state folder when there is one.

IO only in `load`, `save` and `save_now`. Several processes may share the file: each adds what it
saw to what is there, and of two sightings of one name the later stands. Only definite answers are
sightings; DNS that did not answer saw nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relay.core.dkim.algorithm import PublicKey
from relay.core.errors import Fault
from relay.state import StateFault, locked, read_state, write_state

_FILE, _LOCK = "records.json", "records.lock"
_VERSION = 1
# A sighting that says the same again is kept only when it is so much younger, so that a relay
# with many keys does not write all the time.
REFRESH_SECONDS = 3600.0
SAVE_SECONDS = 60.0  # between two writes when nothing but times has changed
FORGET_SECONDS = 366 * 86400.0  # the key has long gone: one in use is seen every few minutes


@dataclass(frozen=True, slots=True)
class Seen:
    """A sighting of a record.

    Attributes:
        fingerprint: of the key that the record was compared with; see `fingerprint`.
        matches: whether a verifier could use it.
        at_seconds: when, in seconds since 1970.
    """

    fingerprint: str
    matches: bool
    at_seconds: float


_Merged = tuple[dict[str, Seen] | None, Fault | None]


def fingerprint(public: PublicKey) -> str:
    """The SHA-256 of a public key, whole and in hexadecimal."""
    return hashlib.sha256(public.octets).hexdigest()


class Memory:
    """The last sighting of each record, by its owner name."""

    def __init__(
        self, state_dir: Path | None = None, *, warn: Callable[[Fault], None] = lambda fault: None
    ) -> None:
        """Start with nothing.

        Args:
            state_dir: where it outlives the process; None: it does not.
            warn: told what is wrong with the file, each fault once.
        """
        self._state_dir = state_dir
        self._warn = warn
        self._warned: Fault | None = None
        self._seen: dict[str, Seen] = {}
        self._fresh: dict[str, Seen] = {}
        self._has_news = False
        self._saved_at = 0.0

    def recall(self, name: str) -> Seen | None:
        """The last sighting of a record; None when it was never seen."""
        return self._seen.get(name)

    def note(self, name: str, seen: Seen) -> None:
        """Keep a sighting."""
        before = self._seen.get(name)
        is_news = before is None or (before.fingerprint, before.matches) != (
            seen.fingerprint,
            seen.matches,
        )
        if before is None or is_news or seen.at_seconds - before.at_seconds >= REFRESH_SECONDS:
            self._seen[name] = seen
            self._has_news = self._has_news or is_news
            if self._state_dir is not None:
                self._fresh[name] = seen

    def load(self) -> None:
        """Take up what the file holds; a file that is broken is a warning and counts as empty."""
        if self._state_dir is not None:
            kept, fault = _read(self._state_dir / _FILE)
            self._tell(fault)
            self._seen = _later(kept, self._seen)

    async def save(self, now: float) -> None:
        """Put what is new into the file, at once when it is news, else once in a while.

        What cannot be written is a warning, and tried again.

        Args:
            now: seconds since 1970; what was seen long before is dropped.
        """
        fresh = dict(self._fresh)
        is_soon = not self._has_news and now - self._saved_at < SAVE_SECONDS
        if self._state_dir is None or not fresh or is_soon:
            return
        loop = asyncio.get_running_loop()
        merging = loop.run_in_executor(None, _merge, self._state_dir, fresh, now)
        try:
            await asyncio.shield(merging)
        finally:
            # A thread cannot be cancelled; nobody should find it writing after we have ended.
            self._take(await merging, fresh, now)

    def save_now(self, now: float) -> None:
        """The same without a loop, when the process ends."""
        fresh = dict(self._fresh)
        if self._state_dir is not None and fresh:
            self._take(_merge(self._state_dir, fresh, now), fresh, now)

    def _take(self, merged: _Merged, fresh: dict[str, Seen], now: float) -> None:
        kept, fault = merged
        self._tell(fault)
        if kept is not None:
            self._seen = _later(kept, self._seen)
            self._fresh = {n: s for n, s in self._fresh.items() if fresh.get(n) is not s}
            self._has_news, self._saved_at = bool(self._fresh), now

    def _tell(self, fault: Fault | None) -> None:
        if fault is not None and fault != self._warned:
            self._warned = fault
            self._warn(fault)


def _merge(state_dir: Path, fresh: dict[str, Seen], now: float) -> _Merged:
    """Add sightings to the file: what it holds then, or None when it could not be written."""
    try:
        with locked(state_dir / _LOCK) as is_ours:
            if not is_ours:  # another process is writing now; there is no hurry
                return None, None
            found, fault = _read(state_dir / _FILE)
            oldest = now - FORGET_SECONDS
            kept = {n: s for n, s in _later(found, fresh).items() if s.at_seconds >= oldest}
            write_state(state_dir / _FILE, {"version": _VERSION, "records": _rows(kept)})
    except StateFault as exc:
        return None, exc.fault
    return kept, fault


def _read(path: Path) -> tuple[dict[str, Seen], Fault | None]:
    try:
        return _sightings(path, read_state(path)), None
    except StateFault as exc:
        return {}, exc.fault


def _later(one: dict[str, Seen], other: dict[str, Seen]) -> dict[str, Seen]:
    """Both, and of two sightings the later."""
    merged = dict(one)
    for name, seen in other.items():
        before = merged.get(name)
        if before is None or before.at_seconds <= seen.at_seconds:
            merged[name] = seen
    return merged


def _rows(sightings: dict[str, Seen]) -> dict[str, Any]:
    return {
        name: {"key": seen.fingerprint, "matches": seen.matches, "at": int(seen.at_seconds)}
        for name, seen in sightings.items()
    }


def _sightings(path: Path, data: dict[str, Any]) -> dict[str, Seen]:
    """What a file holds.

    Raises:
        StateFault: it is of another form, perhaps a later version's.
    """
    if not data:
        return {}
    try:
        _check_version(data["version"])
        return {str(name): _sighting(row) for name, row in data["records"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        what = f"is not what this version writes: {type(exc).__name__}: {exc}"
        raise StateFault(Fault(str(path), what, "it is begun anew")) from exc


def _check_version(version: object) -> None:
    if version != _VERSION:
        raise ValueError(f"version {version!r} is not {_VERSION}")


def _sighting(row: Any) -> Seen:
    key, matches, at = row["key"], row["matches"], row["at"]
    if not (isinstance(key, str) and isinstance(matches, bool) and isinstance(at, int | float)):
        raise TypeError("a record's row has values of other types")
    return Seen(key, matches, float(at))
