"""Text for people, as wide as their terminal: 60 to 100 columns. Output only."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable
from datetime import UTC, datetime

_MIN_COLUMNS, _COLUMNS, _MAX_COLUMNS = 60, 90, 100


def columns() -> int:
    """How wide a line may be."""
    given = shutil.get_terminal_size((_COLUMNS, 24)).columns
    return max(_MIN_COLUMNS, min(given, _MAX_COLUMNS))


def wrapped(text: str, *, indent: int = 0, hang: int = 2) -> str:
    """A paragraph; lines after the first are indented `hang` more. Long words stay whole."""
    return textwrap.fill(
        text,
        columns(),
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + hang),
        break_long_words=False,
        break_on_hyphens=False,
    )


def labelled(label: str, text: str, *, indent: int = 2) -> str:
    """`label: text`, wrapped; empty when there is no text."""
    return wrapped(f"{label}: {text}", indent=indent, hang=4) if text else ""


def lines(paragraphs: Iterable[str]) -> str:
    """The paragraphs that are not empty, one below the other."""
    return "\n".join(paragraph for paragraph in paragraphs if paragraph)


def utc(seconds: int | None) -> str | None:
    """Seconds since 1970 as a date and time; a number beyond all dates stays a number."""
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return str(seconds)
