"""The chart of the status page: the drawing and the numbers say the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relay.admin.page.chart import HEIGHT, SERIES, draw
from relay.core.status import Minute

counts = st.integers(min_value=0, max_value=10**6)
minutes = st.lists(
    st.builds(
        Minute,
        at=st.just(0),
        signed=counts,
        unsigned=counts,
        deferred=counts,
        refused=counts,
        unknown=counts,
    ),
    max_size=60,
)


@given(minutes)
def test_every_bar_stays_within_the_drawing(drawn: list[Minute]) -> None:
    """From its floor upwards, whatever the numbers, without gaps or overlaps."""
    chart = draw(drawn)
    for bar in chart.bars:
        assert bar.left >= 0
        assert bar.left + bar.width <= chart.width
        floor = HEIGHT
        for piece in bar.pieces:
            assert abs(floor - piece.height - piece.top) < 0.02
            floor = piece.top
        assert floor > -0.1


@given(minutes)
def test_the_series_add_up(drawn: list[Minute]) -> None:
    """Legend, table and bars count the same messages."""
    chart = draw(drawn)
    sums = [sum(getattr(minute, name) for name, _ in SERIES) for minute in drawn]
    assert chart.total == sum(sums)
    assert chart.busiest == max(sums, default=0) <= chart.top
    assert len(chart.rows) == len(chart.bars) == sum(map(bool, sums))


def test_one_refused_among_thousands_can_be_seen() -> None:
    """The piece that an operator looks for has a height that the eye finds."""
    (bar,) = draw([Minute(at=0, signed=9999, refused=1)]).bars
    signed, refused = bar.pieces
    assert refused.height >= 2
    assert signed.height > 90
    assert bar.words == "00:00: 9,999 signed, 1 refused"


def test_the_scale_ends_on_a_round_number() -> None:
    """Half of it is a whole number too, where the line in the middle is."""
    tops = [draw([Minute(at=0, signed=n)]).top for n in (0, 1, 3, 5, 35, 99, 101, 4321)]
    assert tops == [2, 2, 3, 6, 40, 100, 200, 6000]


def test_the_last_whole_minute_is_not_the_one_that_goes_on() -> None:
    """The last of the minutes is still being counted."""
    hour = [Minute(at=0, signed=1), Minute(at=60, signed=7), Minute(at=120, signed=2)]
    assert draw(hour).last == 7
    assert draw([]).last == draw([]).total == 0
