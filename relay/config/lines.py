"""On which line of a TOML file a setting stands. No IO.

tomllib tells values, not places; a fault should name the line. This reads only what is needed
for that: table headers and the keys of one-line assignments. The value comes from tomllib.
"""

from __future__ import annotations

import re

Location = tuple[str | int, ...]
_TABLE = re.compile(r"\s*\[(?P<array>\[)?\s*(?P<name>[^\]]+?)\s*\]")
_KEY = re.compile(r"\s*(?P<key>[A-Za-z0-9_.\-]+|\"[^\"]*\"|'[^']*')\s*=")
_PART = re.compile(r"\"[^\"]*\"|'[^']*'|[^.\s]+")


def find_lines(text: str) -> dict[Location, int]:
    """Line numbers, from 1, by location: ("upstreams", 0, "tls") → 12."""
    lines: dict[Location, int] = {}
    counts: dict[str, int] = {}
    table: Location = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if found := _TABLE.match(line):
            name = found["name"]
            table = _parts(name)
            if found["array"]:
                counts[name] = counts.get(name, -1) + 1
                table = (*table, counts[name])
            lines.setdefault(table, number)
        elif found := _KEY.match(line):
            lines.setdefault((*table, *_parts(found["key"])), number)
    return lines


def _parts(name: str) -> Location:
    return tuple(part.strip("\"'") for part in _PART.findall(name))


def nearest_line(lines: dict[Location, int], location: Location) -> int | None:
    """The line of a location, or of the closest thing around it that has one."""
    while location:
        if location in lines:
            return lines[location]
        location = location[:-1]
    return None
