"""relay.core.excerpt: a stranger's octets, fit for a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.excerpt import counted, excerpt


@pytest.mark.parametrize(
    ("octets", "shown"),
    [
        (b"plain", "plain"),
        (b"  two \r\n\t words ", "two words"),
        ("Gr\u00fc\u00dfe".encode(), "Gr\u00fc\u00dfe"),
        (b"\x1b[31mred", "\\x1b[31mred"),
        (b"\xff\xfe", "\\xff\\xfe"),
        ("\u202eevil".encode(), "\\u202eevil"),
        (b"x" * 61, "x" * 60 + "..."),
        (b"x" * 60, "x" * 60),
        (b"", ""),
    ],
)
def test_excerpt(octets: bytes, shown: str) -> None:
    """Printable, on one line, cut where it gets long."""
    assert excerpt(octets) == shown


@given(st.binary(max_size=2000) | st.text(max_size=2000), st.integers(1, 100))
def test_excerpt_is_always_harmless(text: bytes | str, limit: int) -> None:
    """Whatever it is made of."""
    shown = excerpt(text, limit)
    assert shown.isprintable()
    assert len(shown) <= 10 * limit + 3


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 lines"), (1, "1 line"), (2, "2 lines"), (20_000, "20,000 lines")]
)
def test_counted(number: int, text: str) -> None:
    """A number and its noun."""
    assert counted(number, "line") == text
