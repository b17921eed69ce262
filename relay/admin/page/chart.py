"""The last hour as bars: where each piece lies in a drawing of 10 units a minute. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from relay.admin.page.words import clock
from relay.core.status import Minute

HEIGHT: Final = 100.0
STEP: Final = 10.0
_BAR_WIDTH: Final = 8.0
# One refused message among thousands is what an operator looks for: it stays visible.
_LEAST_HEIGHT: Final = 2.5
_STEPS: Final = (1, 2, 3, 4, 6, 8)

# Fields of `Minute` with their words, the lowest piece of a bar first.
SERIES: Final = (
    ("signed", "Signed"),
    ("unsigned", "Unsigned"),
    ("deferred", "Deferred"),
    ("refused", "Refused"),
    ("unknown", "Outcome unknown"),
)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a bar: its series, where its top is, how high it is."""

    series: str
    top: float
    height: float


@dataclass(frozen=True, slots=True)
class Bar:
    """A minute with something in it: its left edge, the numbers in words, its pieces."""

    left: float
    width: float
    words: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Series:
    """How many ended in one way within the hour."""

    name: str
    word: str
    total: int


@dataclass(frozen=True, slots=True)
class Chart:
    """What is drawn.

    Attributes:
        width: of the drawing.
        top: how many messages its height stands for.
        bars: of minutes with something in them.
        series: each with its total, the lowest first.
        busiest: the most messages that ended within one minute.
        last: how many ended within the last whole minute.
        begins_at: when the first minute began; None when there is none.
        rows: minutes with something in them, the newest first.
    """

    width: float
    top: int
    bars: tuple[Bar, ...]
    series: tuple[Series, ...]
    busiest: int
    last: int
    begins_at: float | None
    rows: tuple[Minute, ...]

    @property
    def total(self) -> int:
        """How many ended within the hour."""
        return sum(series.total for series in self.series)


def draw(minutes: Sequence[Minute]) -> Chart:
    """Lay out a chart.

    Args:
        minutes: the oldest first, without gaps; the last one goes on still.
    """
    sums = [sum(_counts(minute)) for minute in minutes]
    busiest = max(sums, default=0)
    top = _round_up(busiest)
    busy = [(index, minute) for index, minute in enumerate(minutes) if sums[index]]
    totals = (
        Series(name, word, sum(getattr(minute, name) for minute in minutes))
        for name, word in SERIES
    )
    return Chart(
        width=max(len(minutes), 1) * STEP,
        top=top,
        bars=tuple(_bar(index, minute, top) for index, minute in busy),
        series=tuple(totals),
        busiest=busiest,
        last=sums[-2] if len(sums) > 1 else 0,
        begins_at=float(minutes[0].at) if minutes else None,
        rows=tuple(minute for _, minute in reversed(busy)),
    )


def _bar(index: int, minute: Minute, top: int) -> Bar:
    named = list(zip(SERIES, _counts(minute), strict=True))
    heights = [max(HEIGHT * count / top, _LEAST_HEIGHT) if count else 0.0 for _, count in named]
    shrunk = min(1.0, HEIGHT / sum(heights))
    pieces, floor = [], HEIGHT
    for ((name, _), _), height in zip(named, heights, strict=True):
        if height:
            floor -= height * shrunk
            pieces.append(Piece(name, round(floor, 2), round(height * shrunk, 2)))
    words = ", ".join(f"{count:,} {word.lower()}" for (_, word), count in named if count)
    left = index * STEP + (STEP - _BAR_WIDTH) / 2
    return Bar(left, _BAR_WIDTH, f"{clock(minute.at)}: {words}", tuple(pieces))


def _counts(minute: Minute) -> list[int]:
    return [getattr(minute, name) for name, _ in SERIES]


def _round_up(number: int) -> int:
    """The next round number, 2 at least: what a scale can be marked with."""
    power = 1
    while True:
        for step in _STEPS:
            if number <= step * power and step * power > 1:
                return step * power
        power *= 10
