"""Tables as the data sets of opendkim.conf(5) have them: in files, or in a setting itself. IO."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from relay.core.errors import KeyFault
from relay.keyring.importing.source import Origin, read_text

PATH_BEGINS = ("/", "./", "../")
_LIST_ITEM = re.compile(r"\s*,\s*")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a table: a name, what belongs to it, and where it stands."""

    name: str
    value: str
    where: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table that was read.

    Attributes:
        lines: in their order.
        folder: in which relative paths begin.
        modified_seconds: of its file, in seconds since 1970; None when it is not a file.
    """

    lines: tuple[Line, ...]
    folder: Path
    modified_seconds: float | None


def read_table(text: str, *, folder: Path, where: str, origin: Origin) -> Table:
    """A table by its data set: `file:`, `refile:`, a bare path, or `csl:` and a bare list.

    Args:
        text: the data set, as a setting names it.
        folder: in which a relative path begins.
        where: file and line of the setting.
        origin: where absolute paths lie.

    Raises:
        KeyFault: another kind of data set, or a file that cannot be read.
    """
    kind, mark, rest = text.partition(":")
    if mark and kind in ("file", "refile"):
        return read_table_file(origin.locate(rest.strip(), folder), folder=folder)
    if text.startswith(PATH_BEGINS):
        return read_table_file(origin.locate(text, folder), folder=folder)
    if mark and kind.isalpha() and kind != "csl" and "=" not in kind:
        what = f"a data set of the kind {kind!r} cannot be read here"
        raise KeyFault(where, what, "write its lines into a text file and give that to the import")
    items = _LIST_ITEM.split((rest if kind == "csl" else text).strip())
    lines = tuple(Line(*_halves(item, "="), where) for item in items if item)
    return Table(lines, folder, None)


def read_table_file(path: Path, *, folder: Path | None = None) -> Table:
    """A table in a text file: a name, blanks, a value; # begins a comment.

    Raises:
        KeyFault: the file cannot be read.
    """
    lines = []
    for number, raw in enumerate(read_text(path).splitlines(), 1):
        bare = raw.partition("#")[0].strip()
        if bare:
            name, *value = bare.split(None, 1)
            lines.append(Line(name, "".join(value), f"{path}:{number}"))
    return Table(tuple(lines), folder or path.parent, path.stat().st_mtime)


def shown(text: str) -> str:
    """Text of a table for people; a key that stands in it is not shown."""
    return ascii(text if len(text) <= 60 else text[:20] + "...")


def _halves(text: str, mark: str) -> tuple[str, str]:
    first, _, second = text.partition(mark)
    return first.strip(), second.strip()
