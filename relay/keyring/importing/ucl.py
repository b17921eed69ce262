"""As much of UCL, the language of rspamd's files, as their DKIM settings use. Pure.

Sections, lists, strings in double or single quotes or bare, comments. Macros such as `.include`
are entries whose name begins with a dot.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_MAX_DEPTH = 32
_TOKEN = re.compile(
    r"""(?P<blank>\s+|\#[^\n]*|/\*.*?\*/)
      | (?P<macro>\.[a-z_]+(?:\([^)\n]*\))?[ \t]+"[^"\n]*")
      | "(?P<double>(?:[^"\\]|\\.)*)" | '(?P<single>[^']*)'
      | (?P<mark>[{}\[\];,=]|:(?=\s))
      | (?P<bare>(?:[^\s{}\[\];,="'\#:]|:(?!\s))+)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class UclFault(Exception):
    """The text is not UCL, or more of it than is read here.

    Attributes:
        line: where, from 1.
        what: what is wrong.
    """

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line = line
        self.what = what


@dataclass(slots=True)
class Section:
    """Entries in their order; a name may occur more than once."""

    entries: list[Entry] = field(default_factory=list)

    def last(self, name: str) -> Entry | None:
        """The entry that counts of those with a name."""
        found = [entry for entry in self.entries if entry.name == name]
        return found[-1] if found else None

    def text(self, name: str) -> str | None:
        """The text of an entry, if it has one."""
        entry = self.last(name)
        return entry.value if entry is not None and isinstance(entry.value, str) else None


@dataclass(frozen=True, slots=True)
class Entry:
    """A name with its value, and the line it begins on."""

    name: str
    value: Value
    line: int


Value = str | Section | list["str | Section"]


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    is_mark: bool
    line: int
    is_macro: bool = False

    def is_(self, marks: str) -> bool:
        return self.is_mark and self.text in marks


def read_ucl(text: str) -> Section:
    """The entries of a text.

    Raises:
        UclFault: it cannot be read.
    """
    return _Reader(list(_tokens(text))).section(closing="", depth=0)


def _tokens(text: str) -> Iterator[_Token]:
    at, line = 0, 1
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise UclFault(line, f"not to be read from here: {text[at : at + 20]!a}")
        kind = found.lastgroup or ""
        if kind == "double":
            yield _Token(_ESCAPE.sub(r"\1", found["double"]), False, line)
        elif kind != "blank":
            yield _Token(found[kind], kind == "mark", line, kind == "macro")
        line += text.count("\n", at, found.end())
        at = found.end()
    yield _Token("", True, line)


class _Reader:
    """Recursive descent over the tokens; the last of them is the end of the text."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0

    def section(self, closing: str, depth: int) -> Section:
        """Entries up to a closing mark, "" for the end of the text."""
        if depth > _MAX_DEPTH:
            raise UclFault(self._next.line, f"nested more than {_MAX_DEPTH} deep")
        section = Section()
        while not (self._next.is_mark and self._next.text == closing):
            if self._next.is_(";,") and self._next.text:
                self._take()
                continue
            section.entries.append(self._entry(depth))
        self._take()
        return section

    def _entry(self, depth: int) -> Entry:
        name = self._take()
        if name.is_macro:
            return Entry(name.text, "", name.line)
        if name.is_mark:
            raise UclFault(name.line, f"{name.text or 'the end'!r} where a name should be")
        if self._next.is_("=:") and self._next.text:
            self._take()
        elif not self._next.is_mark and not self._next.is_macro and self._follows_section():
            # `domain example.com { … }` is `domain { example.com { … } }`
            return Entry(name.text, Section([self._entry(depth + 1)]), name.line)
        return Entry(name.text, self._value(depth), name.line)

    def _follows_section(self) -> bool:
        after = self._tokens[min(self._at + 1, len(self._tokens) - 1)]
        return after.is_mark and after.text == "{"

    def _value(self, depth: int) -> Value:
        token = self._take()
        if not token.is_mark and not token.is_macro:
            return token.text
        if token.text == "{":
            return self.section("}", depth + 1)
        if token.text == "[":
            return self._list(depth)
        raise UclFault(token.line, f"{token.text or 'the end'!r} where a value should be")

    def _list(self, depth: int) -> list[str | Section]:
        items: list[str | Section] = []
        while not (self._next.is_mark and self._next.text == "]"):
            if self._next.is_mark and self._next.text == ",":
                self._take()
                continue
            line = self._next.line
            value = self._value(depth)
            if isinstance(value, list):
                raise UclFault(line, "a list in a list")
            items.append(value)
        self._take()
        return items

    @property
    def _next(self) -> _Token:
        return self._tokens[min(self._at, len(self._tokens) - 1)]

    def _take(self) -> _Token:
        token = self._next
        self._at += 1
        return token
