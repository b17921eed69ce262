"""SASLprep: the examples of RFC 4013 §3, and what its sections say."""

from __future__ import annotations

import pytest

from relay.core.errors import SyntaxFault
from relay.core.saslprep import saslprep


@pytest.mark.parametrize(
    ("typed", "prepared"),
    [
        ("I\u00adX", "IX"),  # RFC 4013 §3, the first five
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("pa\u0308ssword", "p\u00e4ssword"),
        ("one\u00a0two\u3000three", "one two three"),
        ("\ufb01ve", "five"),
        (" around ", " around "),
        ("\u05d0\u05d1", "\u05d0\u05d1"),
        ("\U0001f600", "\U0001f600"),  # younger than Unicode 3.2
    ],
)
def test_prepared(typed: str, prepared: str) -> None:
    """The same for whoever types it; and prepared once is prepared for good."""
    assert saslprep(typed) == prepared
    assert saslprep(prepared) == prepared


@pytest.mark.parametrize(
    "typed",
    [
        "\u0007",  # RFC 4013 §3, the last two
        "\u0627\u0031",
        "",
        "\u00ad",
        "a\u0000",
        "\u0085",
        "\ue000",
        "\ufdd0",
        "\ufffd",
        "\u2ff0",
        "\u200e",
        "\U000e0001",
        "\u05d0a",
        "a\u05d0",
    ],
)
def test_not_permitted(typed: str) -> None:
    """Each table of §2.3, and the two rules of §2.4; the text is not in the error."""
    with pytest.raises(SyntaxFault) as caught:
        saslprep(f"{typed}")
    assert "RFC 4013" in str(caught.value)
