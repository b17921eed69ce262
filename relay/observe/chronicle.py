"""All that one process keeps of what it is told: counters, the last transactions, contacts."""

from __future__ import annotations

from collections.abc import Callable

from relay.config.settings import Config
from relay.core.events import Event, Noted
from relay.observe.metrics import Metrics
from relay.observe.reach import Contacts
from relay.observe.recent import Recent


class Chronicle:
    """What was told.

    Attributes:
        metrics: counted since the start.
        recent: what happened lately.
        contacts: with upstreams.
    """

    def __init__(
        self, config: Config, *, now: Callable[[], float], complain: Callable[[Event], None]
    ) -> None:
        """Nothing was told yet.

        Args:
            config: the settings.
            now: seconds since 1970.
            complain: is told of faults in here; the log.
        """
        self._complain = complain
        self.recent = Recent(config.admin.recent_transactions, now=now)
        self.contacts = Contacts(now=now)
        self.metrics = Metrics(
            upstreams=[upstream.name for upstream in config.upstreams],
            max_domain_labels=config.admin.max_domain_labels,
        )

    def emit(self, event: Event) -> None:
        """Keep one event; never raises, because a fault in here must not lose mail."""
        try:
            self.metrics.emit(event)
            self.recent.emit(event)
            self.contacts.emit(event)
        except Exception as exc:
            fields = (("event", event.name), ("exception", exc))
            self._complain(Noted("metrics.failed", "error", fields))
