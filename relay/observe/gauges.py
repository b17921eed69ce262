"""How the relay is now, as gauges: a `Status` in, families of metrics out. Pure.

Each is made anew when somebody asks, so nothing is left of a key or an upstream that is gone.
Times are given as seconds since 1970: `time() - …` is an age, `… - time()` what is left.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from relay.core.status import DomainStatus, KeyRole, KeyStatus, Reach, Status, UpstreamStatus
from relay.observe.names import PREFIX

Row = tuple[tuple[str, ...], float]
_KEY = ("domain", "selector", "algorithm")
_MATCHES = "matches"


class Gauges(Collector):
    """The gauges of one status."""

    def __init__(self, status: Status, *, max_domain_labels: int) -> None:
        """Nothing is made yet.

        Args:
            status: of all processes.
            max_domain_labels: so many domains have gauges of their own, those with a fault first.
        """
        self._status = status
        self._domains = status.domains[:max_domain_labels]

    def collect(self) -> Iterator[Metric]:
        """The families, for prometheus-client."""
        yield from self._of_service()
        yield from _of_domains(self._domains)
        yield from _of_keys(self._domains)
        yield from _of_upstreams(self._status.upstreams)
        yield _gauge(
            "certificate_expiry_timestamp_seconds",
            "Until when a certificate of a listener is valid.",
            [((c.listener, ",".join(c.names)), c.expires_at) for c in self._status.certificates],
            "listener",
            "names",
        )

    def _of_service(self) -> Iterator[Metric]:
        status = self._status
        ready = status.ready_domain_count
        build = ((status.version, platform.python_version()), 1.0)
        yield _gauge("build_info", "Which version this is.", [build], "version", "python")
        yield _one("start_time_seconds", "Since when it serves.", status.started_at)
        yield _one("ready", "Whether mail can pass: what /readyz answers.", status.is_ready)
        yield _one("processes", "Processes that take mail.", len(status.processes))
        yield _one("connections", "Connections of clients.", status.connections)
        yield _one("inflight_bytes", "Octets of messages in memory.", status.inflight_octets)
        yield _one("inflight_max_bytes", "How many there may be.", status.max_inflight_octets)
        states = [(("ready",), ready), (("not_ready",), status.domain_count - ready)]
        yield _gauge(
            "domains", "Domains, by whether mail of them would be signed now.", states, "state"
        )


def _of_domains(domains: Iterable[DomainStatus]) -> Iterator[Metric]:
    rows = [((d.domain,), float(d.is_ready)) for d in domains]
    yield _gauge("domain_ready", "Whether mail of a domain would be signed now.", rows, "domain")


def _of_keys(domains: Iterable[DomainStatus]) -> Iterator[Metric]:
    keys = [(domain, key) for domain in domains for key in domain.keys]
    roles = [
        ((*_labels(domain, key), role.value), float(key.role is role))
        for domain, key in keys
        for role in KeyRole
    ]
    yield _gauge("key_role", "What a key does now: 1 for its role.", roles, *_KEY, "role")
    matches = [(_labels(d, k), float(k.record == _MATCHES)) for d, k in keys if k.record]
    yield _gauge("key_record_match", "Whether the record in DNS is the key's.", matches, *_KEY)
    made = [(_labels(d, k), k.made_at) for d, k in keys if k.made_at is not None]
    yield _gauge("key_made_timestamp_seconds", "When a key was made.", made, *_KEY)
    rotate = [(_labels(d, k), k.rotate_at) for d, k in keys if k.rotate_at is not None]
    yield _gauge(
        "key_rotation_timestamp_seconds", "When a key is due to be replaced.", rotate, *_KEY
    )


def _of_upstreams(upstreams: Sequence[UpstreamStatus]) -> Iterator[Metric]:
    reach = [((u.name, r.value), float(u.reach is r)) for u in upstreams for r in Reach]
    text = "Whether an upstream can be reached, TLS and AUTH included: 1 for how it is."
    yield _gauge("upstream_reach", text, reach, "upstream", "reach")
    connected = [((u.name,), u.connected_at) for u in upstreams if u.connected_at is not None]
    yield _gauge(
        "upstream_connected_timestamp_seconds",
        "When a connection was opened last.",
        connected,
        "upstream",
    )
    states = [
        ((u.name, state), float(count))
        for u in upstreams
        for state, count in (("busy", u.busy), ("idle", u.idle), ("opening", u.opening))
    ]
    yield _gauge("upstream_connections", "Connections to an upstream.", states, "upstream", "state")
    waiting = [((u.name,), float(u.waiting)) for u in upstreams]
    yield _gauge("upstream_waiting", "Transactions waiting for a connection.", waiting, "upstream")


def _labels(domain: DomainStatus, key: KeyStatus) -> tuple[str, str, str]:
    return domain.domain, key.selector, key.algorithm


def _one(name: str, text: str, value: float) -> Metric:
    return _gauge(name, text, [((), value)])


def _gauge(name: str, text: str, rows: Iterable[Row], *labels: str) -> Metric:
    family = GaugeMetricFamily(PREFIX + name, text, labels=labels)
    for values, value in dict(rows).items():  # Prometheus refuses a scrape with one twice
        family.add_metric(values, value)
    return family
