"""What the service manager is told, on $NOTIFY_SOCKET (sd_notify(3)). IO.

A manager that is not there, or does not listen, is no fault.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Mapping

VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
_BEATS_PER_TERM = 2


class Notifier:
    """Tells the service manager how it is; nothing, where there is none."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Find out whom to tell.

        Args:
            environ: of the process.
        """
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._socket: socket.socket | None = None
        if address.startswith(("/", "@")):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
        term = environ.get("WATCHDOG_USEC", "")
        is_ours = environ.get("WATCHDOG_PID", "") in ("", str(os.getpid()))
        is_watched = self._socket is not None and is_ours and term.isdecimal() and int(term) > 0
        self._term_seconds = int(term) / 1e6 if is_watched else 0.0

    def ready(self, status: str) -> None:
        """It serves; also at the end of a reload.

        Args:
            status: a line for people.
        """
        self._tell("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """It reads its settings anew; `ready` is to follow, however that goes."""
        usec = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell("RELOADING=1", f"MONOTONIC_USEC={usec}", "STATUS=Reading the settings anew")

    def stopping(self) -> None:
        """It drains."""
        self._tell("STOPPING=1", "STATUS=Finishing the messages in flight")

    async def watch(self) -> None:
        """Say that the event loop turns, twice in each term; for a task group."""
        if not self._term_seconds:
            return
        while True:
            self._tell("WATCHDOG=1")
            await asyncio.sleep(self._term_seconds / _BEATS_PER_TERM)

    def close(self) -> None:
        """Say nothing more."""
        if self._socket is not None:
            self._socket.close()

    def _tell(self, *lines: str) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.sendto("\n".join(lines).encode("utf-8"), self._address)
