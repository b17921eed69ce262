"""The log, on standard error: one line for each event, JSON or for people.

Never in it: bodies, header values beyond those of `TransactionEnded`, credentials, keys.
"""

from __future__ import annotations

import contextlib
import io
import logging
import sys
from collections.abc import Callable
from typing import BinaryIO, Final

from relay import clock
from relay.core.events import Event
from relay.observe.lines import json_line, level_of, text_line

LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


class _Nowhere(io.BytesIO):
    """Where lines go when the process has no standard error."""

    def write(self, octets: object, /) -> int:
        """Forget them."""
        return 0


class Log:
    """Writes events as lines."""

    def __init__(
        self,
        *,
        level: str,
        form: str,
        stream: BinaryIO | None = None,
    ) -> None:
        """Open the log.

        Args:
            level: debug, info, warning or error; lines below it are not written.
            form: json, console, or auto: console when the stream is a terminal.
            stream: where to; None is standard error.
        """
        self._out: BinaryIO = stream or getattr(sys.stderr, "buffer", None) or _Nowhere()
        is_readable = form == "console" or (form == "auto" and self._out.isatty())
        self._line: Callable[[Event, str, float], bytes] = text_line if is_readable else json_line
        self._least = LEVELS[level]
        # aiosmtpd logs each command through here; its warnings are not ours.
        logging.getLogger("mail.log").setLevel(logging.CRITICAL)

    def emit(self, event: Event) -> None:
        """Write one event; never raises, because a full disk must not lose mail."""
        try:
            level = level_of(event)
            if LEVELS[level] >= self._least:
                # In one write, so that processes that share the stream keep lines apart.
                self._out.write(self._line(event, level, clock.now()) + b"\n")
                self._out.flush()
        except Exception as exc:
            # A full disk, a closed pipe, a value without a text: mail goes on.
            with contextlib.suppress(Exception):
                sys.stderr.write(f"log: {event.name}: {type(exc).__name__}\n")
