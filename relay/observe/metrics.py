"""What is counted: events in, counters and histograms of prometheus-client out.

Every label value that can be known beforehand exists at zero, so that the first time counts as a
rise. Children of labels are looked up once and kept: a message costs a few microseconds.

With several processes each has its own counters in files of one folder (`sharing`), which the
process that is asked adds up. The library decides at its import whether that is so: import this
module after the folder is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

from relay.core.errors import Reason
from relay.core.events import Event, Noted, Outcome, TransactionEnded, Unsigned
from relay.observe import names

_SECONDS: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
    300.0,
)
_SIGN_SECONDS: Final = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5)
_OTHER: Final = "other"
_ANSWERED: Final = (None, Reason.UPSTREAM_REFUSED)  # what the client heard is the upstream's
_REFUSED: Final = (Outcome.REJECTED, Outcome.DEFERRED, Outcome.UNKNOWN)


class Metrics:
    """The counters of one process.

    Attributes:
        registry: has them all.
    """

    def __init__(self, *, upstreams: Iterable[str] = (), max_domain_labels: int = 100) -> None:
        """Make them, at zero.

        Args:
            upstreams: the names of the settings.
            max_domain_labels: domains beyond so many are counted as "other".
        """
        self.registry = CollectorRegistry()
        self._max_domains = max_domain_labels
        self._domains: set[str] = set()
        self._make_of_messages()
        self._make_of_signing()
        self._make_of_upstreams()
        self._make_of_clients()
        self._replies: dict[tuple[str, str], Callable[[], None]] = {}
        self._by_signature: dict[tuple[str, str], Callable[[], None]] = {}
        self._upstream_time: dict[str, Callable[[float], None]] = {}
        self._of_name = self._handlers()
        self.expect(upstreams)

    def expect(self, upstreams: Iterable[str]) -> None:
        """Have the counters of upstreams exist; also when the settings were read anew."""
        for upstream in upstreams:
            for answer in names.REPLY_CLASSES:
                self._upstream_replies.labels(upstream, answer)
            for name in names.UPSTREAM_EVENTS:
                self._upstream_events.labels(upstream, name.partition(".")[2])
            self._upstream_seconds.labels(upstream)
            self._connect_seconds.labels(upstream)

    def emit(self, event: Event) -> None:
        """Count one event."""
        if isinstance(event, TransactionEnded):
            self._count(event)
        elif isinstance(event, Noted):
            handle = self._of_name.get(event.name)
            if handle is not None:
                handle(event)
            else:
                self._events.labels(event.name).inc()

    def _make_of_messages(self) -> None:
        messages = self._counter("messages", "Transactions that have ended.", "outcome")
        self._outcomes = {o: messages.labels(outcome_label(o)).inc for o in Outcome}
        refused = self._counter(
            "refused", "Those that were not relayed, by the reason in the log.", "reason"
        )
        self._reasons = {reason: refused.labels(reason.value).inc for reason in Reason}
        recipients = self._counter("recipients", "Recipients, by the first answer.", "answer")
        self._rcpt_accepted = recipients.labels("accepted").inc
        self._rcpt_refused = recipients.labels("refused").inc
        self._octets = self._counter("received_bytes", "Octets of messages as received.").inc
        self._total_seconds = self._histogram(
            "transaction_seconds", "From MAIL to the last reply, of messages that came whole."
        ).observe

    def _make_of_signing(self) -> None:
        self._signed = self._counter("signed", "Messages relayed with a signature of ours.").inc
        unsigned = self._counter(
            "unsigned", "Messages relayed without one; zero unless a route asks for it.", "reason"
        )
        self._unsigned: dict[Unsigned | None, Callable[[], None]] = {
            reason: unsigned.labels(reason.value).inc for reason in Unsigned
        }
        self._unsigned[None] = unsigned.labels("unexplained").inc  # would be a fault of ours
        self._signatures = self._counter(
            "signatures", "Signatures on messages relayed.", "domain", "selector", "algorithm"
        )
        self._sign_seconds = self._histogram(
            "sign_seconds", "To make a message fit and sign it.", buckets=_SIGN_SECONDS
        ).observe

    def _make_of_upstreams(self) -> None:
        self._upstream_replies = self._counter(
            "upstream_replies", "Replies to messages: 2xx, 4xx, 5xx, none.", "upstream", "class"
        )
        self._upstream_events = self._counter(
            "upstream_events", "What happened to connections to upstreams.", "upstream", "event"
        )
        self._upstream_seconds = self._histogram(
            "upstream_seconds", "From handing a message over to the reply to it.", "upstream"
        )
        self._connect_seconds = self._histogram(
            "upstream_connect_seconds", "To open a connection, TLS and AUTH included.", "upstream"
        )

    def _make_of_clients(self) -> None:
        self._sessions = self._counter("sessions", "Connections that clients opened.").inc
        limits = self._counter("limits_reached", "Limits that a client ran into.", "limit")
        self._limits = limits
        for limit in names.LIMITS:
            limits.labels(limit)
        self._auth_failures = self._counter("auth_failures", "Logins that failed.").inc
        self._clients_refused = self._counter(
            "clients_refused", "MAIL of clients that no rule lets in."
        ).inc
        self._internal_failures = self._counter(
            "internal_failures", "Faults of the relay itself, each with a traceback in the log."
        ).inc
        self._events = self._counter(
            "events", "What else is in the log: keys, rotation, certificates, settings.", "event"
        )
        for name in names.OTHER_EVENTS:
            self._events.labels(name)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(names.PREFIX + name, text, labels, registry=self.registry)

    def _histogram(
        self, name: str, text: str, *labels: str, buckets: tuple[float, ...] = _SECONDS
    ) -> Histogram:
        return Histogram(names.PREFIX + name, text, labels, buckets=buckets, registry=self.registry)

    def _handlers(self) -> dict[str, Callable[[Noted], None]]:
        """Who counts a noted event; the names that are not here are counted by name."""
        known: dict[str, Callable[[Noted], None]] = {
            "session.opened": lambda event: self._sessions(),
            "limit.reached": lambda event: self._limits.labels(_field(event, "limit")).inc(),
            "client.login_failed": lambda event: self._auth_failures(),
            "client.refused": lambda event: self._clients_refused(),
        }
        for name in names.INTERNAL_FAILURES:
            known[name] = lambda event: self._internal_failures()
        for name in names.UPSTREAM_EVENTS:
            known[name] = self._count_upstream_event
        return known

    def _count_upstream_event(self, event: Noted) -> None:
        fields = dict(event.fields)
        upstream, what = str(fields["upstream"]), event.name.partition(".")[2]
        self._upstream_events.labels(upstream, what).inc()
        if what == "opened":
            self._connect_seconds.labels(upstream).observe(float(str(fields["seconds"])))

    def _count(self, ended: TransactionEnded) -> None:
        outcome = ended.outcome
        self._outcomes[outcome]()
        if ended.rcpt_to:
            self._rcpt_accepted(len(ended.rcpt_to))
        if ended.rcpt_refused:
            self._rcpt_refused(ended.rcpt_refused)
        if outcome is Outcome.RELAYED:
            self._count_signatures(ended)
        elif ended.reason is not None and outcome in _REFUSED:
            self._reasons[ended.reason]()
        if ended.size_octets:
            self._octets(ended.size_octets)
        if ended.sign_seconds:
            self._sign_seconds(ended.sign_seconds)
        if ended.upstream_seconds:
            self._total_seconds(ended.total_seconds)
            self._count_reply(ended)

    def _count_signatures(self, ended: TransactionEnded) -> None:
        if ended.signatures:
            self._signed()
        else:
            self._unsigned[ended.unsigned]()
        domain = ended.signing_domain
        for signature in ended.signatures:
            count = self._by_signature.get((domain, signature))
            (count or self._meet(domain, signature))()

    def _meet(self, domain: str, signature: str) -> Callable[[], None]:
        """The counter of a key that has not signed before."""
        selector, _, algorithm = signature.rpartition("/")
        if domain not in self._domains and len(self._domains) >= self._max_domains:
            return self._signatures.labels(_OTHER, _OTHER, algorithm).inc
        self._domains.add(domain)
        count = self._signatures.labels(domain, selector, algorithm).inc
        self._by_signature[domain, signature] = count
        return count

    def _count_reply(self, ended: TransactionEnded) -> None:
        """The upstream's answer to a message that was handed over."""
        upstream = ended.upstream
        observe = self._upstream_time.get(upstream)
        if observe is None:
            observe = self._upstream_time[upstream] = self._upstream_seconds.labels(
                upstream
            ).observe
        observe(ended.upstream_seconds)
        answer = f"{ended.reply[:1]}xx" if ended.reason in _ANSWERED else "none"
        count = self._replies.get((upstream, answer))
        if count is None:
            count = self._replies[upstream, answer] = self._upstream_replies.labels(
                upstream, answer
            ).inc
        count()


def outcome_label(outcome: Outcome) -> str:
    """An outcome as the label has it: "relayed" for `message.relayed`."""
    return outcome.value.partition(".")[2]


def _field(event: Noted, name: str) -> str:
    return str(next((value for key, value in event.fields if key == name), ""))
