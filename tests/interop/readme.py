"""Recipes as they stand in README.md, so that what is run is what users copy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
RELAY_PORT = "2525"
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def recipe(title: str, port: int) -> str:
    """The first block behind the line that begins with a title in bold, for a relay on a port.

    Args:
        title: as in `**Django**`.
        port: stands in the place of 2525.

    Raises:
        AssertionError: there is no such recipe, or the port is not in it.
    """
    text = README.read_text("utf-8")
    _, found, rest = text.partition(f"\n**{title}**")
    block = _FENCED.search(rest)
    assert found, f"no recipe {title} in README.md"
    assert block, f"no block behind {title} in README.md"
    assert RELAY_PORT in block[2], f"the recipe {title} names no port"
    return block[2].replace(RELAY_PORT, str(port))


def blocks(language: str) -> Iterator[tuple[str, str]]:
    """Every block of a language: the heading that it stands under, and its text."""
    for section in re.split(r"^#+ ", README.read_text("utf-8"), flags=re.MULTILINE):
        for block in _FENCED.finditer(section):
            if block[1] == language:
                yield section.partition("\n")[0], block[2]
