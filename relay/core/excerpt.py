"""Octets of strangers, made fit to be shown to people: one line, bounded, no control characters.

Pure. What a message says must neither reach a terminal as an escape sequence nor fill it.
"""

from __future__ import annotations

EXCERPT_CHARACTERS = 60


def excerpt(text: bytes | str, limit: int = EXCERPT_CHARACTERS) -> str:
    """The beginning of a text on one line, without surrounding white space.

    Args:
        text: octets, read as UTF-8 where they are UTF-8.
        limit: characters that are kept; what was cut off is shown as "...".
    """
    if isinstance(text, bytes):
        # Only what may be shown is decoded: a field may be megabytes long.
        text = text.strip()[: 4 * limit + 4].decode("utf-8", "backslashreplace")
    text = " ".join(text[: 8 * limit].split())
    cut = text[:limit]
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in cut)
    return shown + "..." if len(text) > limit else shown


def counted(number: int, noun: str) -> str:
    """A number with its noun: "1 octet", "2,000 octets"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
