"""relay/core asks nobody for anything: no plain open(), print() or input().

import-linter keeps the modules of the outside world out of the core (see
pyproject.toml). What Python offers without an import it cannot see; this can.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

CORE = Path(__file__).parents[2] / "relay" / "core"

# Built-in functions that reach a file, the terminal, the debugger or code by name.
IMPURE = frozenset(
    {"__import__", "breakpoint", "compile", "eval", "exec", "input", "open", "print"}
)


def impure_uses(source: str) -> Iterator[str]:
    """Find where source text uses an impure built-in, called or handed on.

    A method counts when it is named `open`, whatever it belongs to (io.open, path.open).

    Yields:
        `line: name`, one for each use.
    """
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Name(id=name, ctx=ast.Load()) if name in IMPURE:
                yield f"{node.lineno}: {name}"
            case ast.Attribute(attr="open"):
                yield f"{node.lineno}: .open"
            case _:
                pass


def core_modules() -> list[Path]:
    """Every Python file of the core, in order."""
    return sorted(CORE.rglob("*.py"))


def test_core_is_where_it_is_looked_for() -> None:
    """The test below is about real files: the core's own __init__ is among them."""
    assert CORE / "__init__.py" in core_modules()


@pytest.mark.parametrize("path", core_modules(), ids=lambda path: str(path.relative_to(CORE)))
def test_module_uses_no_impure_builtin(path: Path) -> None:
    """No module of the core reads, writes, prints or asks."""
    assert list(impure_uses(path.read_text("utf-8"))) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("open('key.pem')", ["1: open"]),
        ("def f(read=open): ...", ["1: open"]),
        ("x = 1\nprint(x)", ["2: print"]),
        ("answer = input()", ["1: input"]),
        ("__import__('socket')", ["1: __import__"]),
        ("import io\nio.open('key.pem')", ["2: .open"]),
        ("[print(x) for x in y]", ["1: print"]),
    ],
)
def test_impure_use_is_found(source: str, found: list[str]) -> None:
    """Each way of reaching outside is seen, with its line."""
    assert list(impure_uses(source)) == found


@pytest.mark.parametrize("source", ["'open(x)'", "# print(x)", "opened = reopen(x)", "x.input"])
def test_harmless_name_is_left_alone(source: str) -> None:
    """Text, comments and longer names are no use of a built-in."""
    assert list(impure_uses(source)) == []
