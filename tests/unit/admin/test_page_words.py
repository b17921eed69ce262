"""Numbers and times as the status page writes them."""

from __future__ import annotations

import pytest

from relay.admin.page import words

NOW = 1_795_278_005.0
DAY = 86400


@pytest.mark.parametrize(
    ("distance", "said"),
    [
        (0, "now"),
        (-1.9, "now"),
        (1.9, "now"),
        (-12, "12 s ago"),
        (-59.9, "59 s ago"),
        (-60, "1 min ago"),
        (-3599, "59 min ago"),
        (-3600, "1 h ago"),
        (-47 * 3600, "47 h ago"),
        (-2 * DAY, "2 days ago"),
        (-20_000 * DAY, "20,000 days ago"),
        (32 * DAY, "in 32 days"),
        (90, "in 1 min"),
    ],
)
def test_times_are_said_from_now(distance: float, said: str) -> None:
    """In the largest unit that fits, rounded down; never "0 s ago"."""
    assert words.relative(NOW + distance, NOW) == said


def test_times_are_said_exactly() -> None:
    """For people, for programs, and as the time of a day; in UTC."""
    assert words.absolute(NOW) == "2026-11-21 16:20:05 UTC"
    assert words.iso(NOW) == "2026-11-21T16:20:05Z"
    assert words.clock(NOW) == "16:20"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 ms"), (0.0844, "84 ms"), (1.24, "1.2 s"), (59.9, "59.9 s"), (200, "3 min")],
)
def test_durations_have_units(seconds: float, said: str) -> None:
    """Milliseconds below a second, where they matter."""
    assert words.took(seconds) == said


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (14_530, "14.2 KiB"),
        (256 * 1024**2, "256 MiB"),
        (3 * 1024**3, "3 GiB"),
        (5000 * 1024**3, "5000 GiB"),
    ],
)
def test_sizes_have_units(number: int, said: str) -> None:
    """One digit after the point, unless it is none."""
    assert words.octets(number) == said


def test_nouns_go_with_their_numbers() -> None:
    """One domain, and several thousand."""
    assert words.of_kind(1, "domain") == "1 domain"
    assert words.of_kind(20_000, "domain") == "20,000 domains"


def test_what_cannot_be_seen_is_shown_as_an_escape() -> None:
    """Control characters, turns of direction, line separators, halves of pairs."""
    assert words.printable("a\x00\x1b[1m\u202eb\u2028\ud83dü") == (
        "a\\x00\\x1b[1m\\u202eb\\u2028\\ud83dü"
    )


def test_no_text_is_longer_than_any_record() -> None:
    """The record of the longest key is whole; what is longer still is cut, and says so."""
    assert words.printable("p" * 4000) == "p" * 4000
    assert words.printable("p" * 4001) == "p" * 4000 + "…"
