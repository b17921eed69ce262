"""Whoever is told every event in one process: the log, and what the admin port answers with.

With several processes their counters are in a folder that they share, which the library of the
metrics finds at its import: import this module once `sharing` has named the folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from relay import clock
from relay.config.settings import Config
from relay.core.events import Event, Noted
from relay.observe.chronicle import Chronicle
from relay.observe.log import Log
from relay.observe.privacy import masked


class Observers:
    """The observers of one process.

    Attributes:
        chronicle: what it has noted.
    """

    def __init__(self, config: Config) -> None:
        """Begin to observe, as the settings say."""
        self._log = _log(config)
        self._is_private = config.logging.privacy
        self.chronicle = Chronicle(config, now=clock.now, complain=self._complain)

    def emit(self, event: Event) -> None:
        """Tell all of them; never raises."""
        if self._is_private:
            event = masked(event)
        self._log.emit(event)
        self.chronicle.emit(event)

    @contextmanager
    def telling_failures(self) -> Iterator[None]:
        """Tell what ends the process and should not."""
        try:
            yield
        except ExceptionGroup as exc:
            self.emit(Noted("service.failed", "error", (("exception", exc),)))
            raise

    def adopt(self, config: Config) -> None:
        """Go by other settings from now on."""
        self._log = _log(config)
        self._is_private = config.logging.privacy
        self.chronicle.metrics.expect(upstream.name for upstream in config.upstreams)

    def _complain(self, event: Event) -> None:
        self._log.emit(event)


def _log(config: Config) -> Log:
    return Log(level=config.logging.level, form=config.logging.format)
