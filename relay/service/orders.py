"""What signals tell a process: to read its settings anew, to stop, to stop at once. IO."""

from __future__ import annotations

import asyncio
import signal


class Orders:
    """What was told so far.

    Attributes:
        reload: SIGHUP, unless it was told to stop; whoever obeys clears it.
        stop: SIGTERM or SIGINT.
        hurry: another one of these.
    """

    def __init__(self) -> None:
        """Nothing was."""
        self.reload = asyncio.Event()
        self.stop = asyncio.Event()
        self.hurry = asyncio.Event()

    def listen(self, *, reloads: bool = True) -> None:
        """Hear signals from now on, in the running loop.

        Args:
            reloads: whether SIGHUP is for this process; it is ignored otherwise.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_stop)
        loop.add_signal_handler(signal.SIGHUP, self._told_to_reload if reloads else _ignore)

    def _told_to_reload(self) -> None:
        if not self.stop.is_set():
            self.reload.set()

    def _told_to_stop(self) -> None:
        if self.stop.is_set():
            self.hurry.set()
        self.stop.set()


def _ignore() -> None:
    """Not for this process."""
