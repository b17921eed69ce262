"""What a scrape gets: counters of all processes and gauges of one status, in the text format."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from relay.core.status import Status
from relay.observe.gauges import Gauges

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_CREATED = "_created"  # one more series for each counter, of no use to anybody here


def exposition(status: Status, counters: Collector, *, max_domain_labels: int = 100) -> bytes:
    """The metrics, as Prometheus reads them.

    Args:
        status: of all processes.
        counters: the registry of this process's `Metrics`, or what `sharing.counters` gives.
        max_domain_labels: so many domains have gauges of their own.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Counters(counters))
    registry.register(Gauges(status, max_domain_labels=max_domain_labels))
    ProcessCollector(registry=registry)
    return generate_latest(registry)


class _Counters(Collector):
    """The counters without the times at which they were made."""

    def __init__(self, counters: Collector) -> None:
        self._counters = counters

    def collect(self) -> Iterator[Metric]:
        """The families, for prometheus-client."""
        for family in self._counters.collect():
            family.samples = [s for s in family.samples if not s.name.endswith(_CREATED)]
            yield family
