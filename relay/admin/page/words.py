"""Numbers, times and texts as people read them. Pure.

Times are in UTC, as in the log, so that both can be laid side by side.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

MINUTE: Final = 60.0
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

# A unit is used from so many seconds on; from two days on nobody counts hours.
_UNITS: Final = ((2 * DAY, DAY, "days"), (HOUR, HOUR, "h"), (MINUTE, MINUTE, "min"))
_SOON_SECONDS: Final = 2.0
_KIBI: Final = 1024
_MAX_SHOWN_CHARACTERS: Final = 4000  # the record of a 16,384-bit key has 2,800


def printable(text: str) -> str:
    """A text with nothing in it that is not seen: escapes for control characters, bounded.

    That includes characters that turn the direction of writing, and halves of UTF-16 pairs,
    which cannot be sent as UTF-8.
    """
    cut = text[:_MAX_SHOWN_CHARACTERS]
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in cut)
    return shown + "…" if len(text) > _MAX_SHOWN_CHARACTERS else shown


def iso(at: float) -> str:
    """A time for programs: "2026-11-21T16:20:05Z"."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"


def absolute(at: float) -> str:
    """A time for people: "2026-11-21 16:20:05 UTC"."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"


def clock(at: float) -> str:
    """The time of a day: "16:20"."""
    return f"{datetime.fromtimestamp(at, UTC):%H:%M}"


def relative(at: float, now: float) -> str:
    """How far a time is from now: "now", "12 s ago", "in 31 days"."""
    distance = at - now
    if abs(distance) < _SOON_SECONDS:
        return "now"
    return f"in {lasting(distance)}" if distance > 0 else f"{lasting(-distance)} ago"


def lasting(seconds: float) -> str:
    """A stretch of time in its largest unit, rounded down: "12 s", "3 min", "5 h", "31 days"."""
    for begins, unit, name in _UNITS:
        if seconds >= begins:
            return f"{int(seconds // unit):,} {name}"
    return f"{int(seconds)} s"


def took(seconds: float) -> str:
    """How long something took: "84 ms", "1.2 s", "3 min"."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < MINUTE else lasting(seconds)


def octets(number: int) -> str:
    """A size: "812 B", "14.2 KiB", "64 MiB"."""
    if number < _KIBI:
        return f"{number} B"
    size, unit = number / _KIBI, "KiB"
    for larger in ("MiB", "GiB"):
        if size < _KIBI:
            break
        size, unit = size / _KIBI, larger
    return f"{size:.1f}".removesuffix(".0") + f" {unit}"


def grouped(number: int) -> str:
    """A number whose thousands can be told apart: "20,000"."""
    return f"{number:,}"


def of_kind(number: int, one: str, many: str = "") -> str:
    """A number with its noun: "1 domain", "20,000 domains"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
