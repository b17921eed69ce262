"""The log, on standard error: one line for each event, JSON or for people.

Never in it: bodies, header values beyond those of `TransactionEnded`, credentials, keys.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable, Mapping
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


class Log:
    """Writes events as lines."""

    def __init__(self, *, level: str, form: str, stream: BinaryIO | None = None) -> None:
        """Open the log.

        Args:
            level: debug, info, warning or error; lines below it are not written.
            form: json, console, or auto: console when the stream is a terminal.
            stream: where to; None is standard error.
        """
        out = stream or sys.stderr.buffer
        readable = form == "console" or (form == "auto" and out.isatty())
        self._logger: Any = structlog.wrap_logger(
            structlog.BytesLogger(out),
            processors=[
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
            level, line = _level(event), _line(event)
            getattr(self._logger, level)(event.name, **line)
        except (OSError, ValueError, TypeError) as exc:
            sys.stderr.write(f"log: {event.name}: {exc!r}\n")


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
    match value:
        case BaseException():
            return "".join(traceback.format_exception(value))
        case Enum():
            return value.value
        case float():
            return round(value, _SECONDS_DIGITS)
        case tuple():
            return list(value)
        case _:
            return value


def _as_json(_logger: Any, _method: str, line: Mapping[str, Any]) -> bytes:
    return orjson.dumps(line, default=str)


_render: Final[Callable[..., str]] = structlog.dev.ConsoleRenderer(colors=False)


def _as_text(logger: Any, method: str, line: Mapping[str, Any]) -> bytes:
    return _render(logger, method, dict(line)).encode("utf-8", "backslashreplace")
