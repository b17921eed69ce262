"""The log, on standard error: one line for each event, JSON or for people.

Never in it: bodies, header values beyond those of `TransactionEnded`, credentials, keys.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import sys
import traceback
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import fields
from enum import Enum
from typing import Any, BinaryIO, Final

import orjson
import structlog

from relay.core.events import Event, Noted, Outcome, TransactionEnded

LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_TRANSACTION_FIELDS: Final = tuple(f.name for f in fields(TransactionEnded) if f.name != "outcome")
_SECONDS_DIGITS: Final = 4
_JSON_BITS: Final = 63


class _Nowhere(io.BytesIO):
    """Where lines go when the process has no standard error."""

    def write(self, octets: object, /) -> int:
        """Forget them."""
        return 0


class Log:
    """Writes events as lines."""

    def __init__(self, *, level: str, form: str, stream: BinaryIO | None = None) -> None:
        """Open the log.

        Args:
            level: debug, info, warning or error; lines below it are not written.
            form: json, console, or auto: console when the stream is a terminal.
            stream: where to; None is standard error.
        """
        out: BinaryIO = stream or getattr(sys.stderr, "buffer", None) or _Nowhere()
        readable = form == "console" or (form == "auto" and out.isatty())
        self._logger: Any = structlog.wrap_logger(
            structlog.BytesLogger(out),
            processors=[
                _spread,
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                _as_text if readable else _as_json,
            ],
            wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
            context_class=dict,
            cache_logger_on_first_use=True,
        )
        # aiosmtpd logs each command through here; its warnings are not ours.
        logging.getLogger("mail.log").setLevel(logging.CRITICAL)

    def emit(self, event: Event) -> None:
        """Write one event; never raises, because a full disk must not lose mail."""
        try:
            self._write(event)
        except Exception as exc:
            # A full disk, a closed pipe, a value without a text: mail goes on.
            with contextlib.suppress(Exception):
                sys.stderr.write(f"log: {event.name}: {type(exc).__name__}\n")

    def _write(self, event: Event) -> None:
        getattr(self._logger, _level(event))(event.name, fields_of_event=_line(event))


def _level(event: Event) -> str:
    if isinstance(event, Noted):
        return event.level
    if isinstance(event, TransactionEnded):
        match event.outcome:
            case Outcome.RELAYED | Outcome.ABANDONED:
                return "info"
            case Outcome.REJECTED | Outcome.DEFERRED | Outcome.UNKNOWN:
                return "warning"
    return "info"


def _line(event: Event) -> dict[str, object]:
    """The fields of an event; empty ones are left out, seconds are rounded."""
    if isinstance(event, Noted):
        return {name: _plain(value) for name, value in event.fields}
    values = ((name, getattr(event, name)) for name in _TRANSACTION_FIELDS)
    return {name: _plain(value) for name, value in values if value not in ("", (), None, False)}


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


def _spread(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """The event's own fields beside name, level and time, whatever they are called."""
    return {**line.pop("fields_of_event", {}), **line}


def _as_json(_logger: Any, _method: str, line: Mapping[str, Any]) -> bytes:
    """One line, in which nothing but letters and marks stands as itself.

    Clients choose much of what is logged: addresses, Message-IDs, names.
    """
    octets = orjson.dumps(line)
    text = octets.decode("utf-8")
    if text.isprintable():
        return octets
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text).encode("utf-8")


_render: Final[Callable[..., str]] = structlog.dev.ConsoleRenderer(colors=False)


def _as_text(logger: Any, method: str, line: Mapping[str, Any]) -> bytes:
    """For people at a terminal: a traceback keeps its lines, nothing else has any."""
    shown = {name: _for_terminal(value) for name, value in line.items()}
    trace = str(shown.pop("exception", ""))
    text = _render(logger, method, shown)
    return (f"{text}\n{trace}" if trace else text).encode("utf-8", "backslashreplace")


def _for_terminal(value: Any) -> Any:
    if isinstance(value, str):
        return "\n".join(map(_printable, value.split("\n")))
    return [_for_terminal(item) for item in value] if isinstance(value, list) else value


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
