"""An event as one line: JSON for machines, aligned text for people at a terminal. Pure.

Clients and upstreams choose much of what is in it: addresses, Message-IDs, replies. So nothing
but letters and marks stands as itself, and nothing forges a line or drives a terminal.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime
from enum import Enum
from functools import cache, lru_cache
from operator import attrgetter
from typing import Any, Final

import orjson

from relay.core.events import Event, Noted, Outcome, TransactionEnded

_ENDED: Final = tuple(f.name for f in fields(TransactionEnded) if f.name != "outcome")
_values_of: Final = attrgetter(*_ENDED)
_SECONDS: Final = frozenset(name for name in _ENDED if name.endswith("_seconds"))
_SECONDS_DIGITS: Final = 4
_JSON_BITS: Final = 63
_LEVELS: Final = {
    Outcome.RELAYED: "info",
    Outcome.ABANDONED: "info",
    Outcome.REJECTED: "warning",
    Outcome.DEFERRED: "warning",
    Outcome.UNKNOWN: "warning",
}


def level_of(event: Event) -> str:
    """debug, info, warning or error; what was not relayed stands out."""
    if isinstance(event, TransactionEnded):
        return _LEVELS[event.outcome]
    return event.level if isinstance(event, Noted) else "info"


def json_line(event: Event, level: str, now: float) -> bytes:
    """One line without its line end.

    Args:
        event: anything.
        level: see `level_of`.
        now: when it is written, in seconds since 1970.
    """
    line = _shown(event)
    line["event"], line["level"], line["timestamp"] = event.name, level, _timestamp(now)
    try:
        octets = orjson.dumps(line)
    except TypeError:  # an exception, half a surrogate pair, a number too large …
        octets = orjson.dumps({name: _plain(value) for name, value in line.items()})
    text = octets.decode("utf-8")
    if text.isprintable():
        return octets
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text).encode("utf-8")


def text_line(event: Event, level: str, now: float) -> bytes:
    """For people at a terminal: a traceback keeps its lines, nothing else has any."""
    shown = {name: _for_terminal(_plain(value)) for name, value in _shown(event).items()}
    trace = str(shown.pop("exception", ""))
    given = {**shown, "event": event.name, "level": level, "timestamp": _timestamp(now)}
    text = _renderer()(None, "", given)
    return (f"{text}\n{trace}" if trace else text).encode("utf-8", "backslashreplace")


def _timestamp(now: float) -> str:
    """RFC 3339, in UTC."""
    second = int(now)
    return f"{_second(second)}.{int((now - second) * 1_000_000):06d}Z"


@lru_cache(maxsize=2)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _shown(event: Event) -> dict[str, object]:
    """The fields of an event; empty ones are left out, seconds are rounded."""
    if isinstance(event, TransactionEnded):
        shown = {
            name: value for name, value in zip(_ENDED, _values_of(event), strict=True) if value
        }
        return shown | {
            name: round(shown[name], _SECONDS_DIGITS) for name in _SECONDS & shown.keys()
        }
    if isinstance(event, Noted):
        return {
            name: round(value, _SECONDS_DIGITS) if isinstance(value, float) else value
            for name, value in event.fields
        }
    return {}


def _plain(value: object) -> object:
    """A value as JSON takes it."""
    match value:
        case bool() | None:
            return value
        case int():
            return value if value.bit_length() < _JSON_BITS else str(value)
        case BaseException():
            return _text("".join(traceback.format_exception(value)))
        case Enum():
            return value.value
        case float():
            return round(value, _SECONDS_DIGITS)
        case tuple() | list():
            return [_plain(item) for item in value]
        case _:
            return _text(str(value))


def _text(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


@cache
def _renderer() -> Callable[..., str]:
    """Imported where it is wanted: it takes its time, and a service has no terminal."""
    from structlog.dev import ConsoleRenderer

    return ConsoleRenderer(colors=False)


def _for_terminal(value: Any) -> Any:
    if isinstance(value, str):
        return "\n".join(map(_printable, value.split("\n")))
    return [_for_terminal(item) for item in value] if isinstance(value, list) else value


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
