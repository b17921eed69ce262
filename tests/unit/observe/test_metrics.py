"""What is counted, and under which names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from relay.core.errors import Reason
from relay.core.events import Event, Noted, Outcome, TransactionEnded, Unsigned
from relay.dns.gate import RecordChange
from relay.dns.judge import RecordState
from relay.keyring.changes import Became, KeyChange
from relay.listener.limits import LIMIT_REPLIES
from relay.observe import names
from relay.observe.exposition import exposition
from relay.observe.metrics import Metrics
from relay.telling import key_teller, record_teller, upstream_teller
from relay.upstream.events import Happened, UpstreamEvent
from tests.fakes.relay_status import status

ROOT = Path(__file__).parents[3]
RELAYED = TransactionEnded(
    outcome=Outcome.RELAYED,
    session_id="s",
    queue_id="q",
    client="127.0.0.1",
    client_rule="loopback",
    mail_from="a@example.com",
    from_address="a@example.com",
    signing_domain="example.com",
    signatures=("s1/rsa-sha256", "s2/ed25519-sha256"),
    rcpt_to=("b@example.net", "c@example.net"),
    rcpt_refused=1,
    size_octets=1000,
    upstream="esp",
    reply="250 2.0.0 Ok",
    total_seconds=0.5,
    sign_seconds=0.0007,
    upstream_seconds=0.02,
)
REFUSED = replace(
    RELAYED,
    outcome=Outcome.REJECTED,
    signatures=(),
    reply="550 5.7.1 No",
    reason=Reason.FROM_NOT_PERMITTED,
    sign_seconds=0.0,
    upstream_seconds=0.0,
)


def counted(events: Iterable[Event], **settings: Any) -> dict[str, float]:
    """What a scrape has after these events: "name{label=value,…}" → value, zeros left out."""
    metrics = Metrics(**{"upstreams": ("esp",), **settings})
    for event in events:
        metrics.emit(event)
    return {name: value for name, value in _scraped(metrics).items() if value}


def _scraped(metrics: Metrics) -> dict[str, float]:
    found = {}
    families = metrics.registry.collect()
    for sample in (s for f in families for s in f.samples if not s.name.endswith("_created")):
        labels = ",".join(f"{n}={v}" for n, v in sample.labels.items())
        name = sample.name.removeprefix(names.PREFIX)
        found[f"{name}{{{labels}}}" if labels else name] = sample.value
    return found


def without_buckets(found: dict[str, float]) -> dict[str, float]:
    """Without the buckets of histograms."""
    return {name: value for name, value in found.items() if "_bucket" not in name}


def test_a_message_that_is_relayed() -> None:
    """One outcome, its signatures, recipients, octets, the reply and three times."""
    assert without_buckets(counted([RELAYED])) == {
        "messages_total{outcome=relayed}": 1,
        "signed_total": 1,
        "signatures_total{domain=example.com,selector=s1,algorithm=rsa-sha256}": 1,
        "signatures_total{domain=example.com,selector=s2,algorithm=ed25519-sha256}": 1,
        "recipients_total{answer=accepted}": 2,
        "recipients_total{answer=refused}": 1,
        "received_bytes_total": 1000,
        "upstream_replies_total{upstream=esp,class=2xx}": 1,
        "transaction_seconds_count": 1,
        "transaction_seconds_sum": 0.5,
        "sign_seconds_count": 1,
        "sign_seconds_sum": 0.0007,
        "upstream_seconds_count{upstream=esp}": 1,
        "upstream_seconds_sum{upstream=esp}": 0.02,
    }


def test_a_message_that_is_refused_before_it_is_handed_over() -> None:
    """Its reason; no signature, no reply of the upstream, no time."""
    assert counted([REFUSED]) == {
        "messages_total{outcome=rejected}": 1,
        "refused_total{reason=from_not_permitted}": 1,
        "recipients_total{answer=accepted}": 2,
        "recipients_total{answer=refused}": 1,
        "received_bytes_total": 1000,
    }


@pytest.mark.parametrize(
    ("reply", "reason", "answer"),
    [
        ("250 2.0.0 Ok", None, "2xx"),
        ("451 4.3.0 Later", Reason.UPSTREAM_REFUSED, "4xx"),
        ("550 5.1.1 No", Reason.UPSTREAM_REFUSED, "5xx"),
        ("451 4.4.2 Lost", Reason.UPSTREAM_LOST, "none"),
        ("451 4.4.2 Lost", Reason.OUTCOME_UNKNOWN, "none"),
        ("451 4.3.0 Oops", Reason.INTERNAL_ERROR, "none"),
    ],
)
def test_replies_of_the_upstream(reply: str, reason: Reason | None, answer: str) -> None:
    """What the upstream said, by its first digit; what we said in its place is none of it."""
    ended = replace(RELAYED, outcome=Outcome.DEFERRED, reply=reply, reason=reason, signatures=())
    found = counted([ended])
    replies = {name for name in found if name.startswith("upstream_replies")}
    assert replies == {f"upstream_replies_total{{upstream=esp,class={answer}}}"}


def test_a_client_that_goes_away() -> None:
    """Is no refusal."""
    gone = replace(RELAYED, outcome=Outcome.ABANDONED, signatures=(), reply="")
    found = counted([gone])
    assert found["messages_total{outcome=abandoned}"] == 1
    assert not any(name.startswith(("refused", "signed", "unsigned")) for name in found)


@pytest.mark.parametrize(
    ("unsigned", "reason"),
    [(Unsigned.ROUTE_SKIPS, "route_skips"), (None, "unexplained")],
)
def test_unsigned(unsigned: Unsigned | None, reason: str) -> None:
    """A message that leaves without a signature is counted, and most of all one without a why."""
    found = counted([replace(RELAYED, signatures=(), unsigned=unsigned)])
    assert found[f"unsigned_total{{reason={reason}}}"] == 1
    assert "signed_total" not in found


def test_every_known_label_exists_at_zero() -> None:
    """So that the first time is a rise, and an alert sees it."""
    found = _scraped(Metrics(upstreams=("esp", "backup")))
    assert set(found.values()) == {0.0}
    expected = {
        *(f"messages_total{{outcome={o.value.partition('.')[2]}}}" for o in Outcome),
        *(f"refused_total{{reason={r.value}}}" for r in Reason),
        *(f"unsigned_total{{reason={u.value}}}" for u in Unsigned),
        *(
            f"upstream_replies_total{{upstream={u},class={c}}}"
            for u in ("esp", "backup")
            for c in ("2xx", "4xx", "5xx", "none")
        ),
        *(
            f"upstream_events_total{{upstream={u},event={h.value.partition('.')[2]}}}"
            for u in ("esp", "backup")
            for h in Happened
        ),
        *(f"limits_reached_total{{limit={name}}}" for name in names.LIMITS),
        *(f"events_total{{event={name}}}" for name in names.OTHER_EVENTS),
        *("sessions_total", "auth_failures_total", "clients_refused_total"),
        *("internal_failures_total", "signed_total", "received_bytes_total"),
    }
    assert expected <= found.keys()


def test_domains_beyond_the_limit() -> None:
    """The first ones keep their names, all others together are "other"; none is lost."""
    ended = [replace(RELAYED, signing_domain=f"d{n}.example") for n in (0, 1, 2, 3, 2, 0)]
    found = counted(ended, max_domain_labels=2)
    signatures = {n: v for n, v in found.items() if n.startswith("signatures") and "rsa" in n}
    assert signatures == {
        "signatures_total{domain=d0.example,selector=s1,algorithm=rsa-sha256}": 2,
        "signatures_total{domain=d1.example,selector=s1,algorithm=rsa-sha256}": 1,
        "signatures_total{domain=other,selector=other,algorithm=rsa-sha256}": 3,
    }


def test_what_upstreams_tell() -> None:
    """Each fact by upstream and name, and how long opening took."""
    events: list[Event] = []
    tell = upstream_teller(events.append)
    tell(UpstreamEvent(happened=Happened.OPENED, upstream="esp", detail="TLS", seconds=0.3))
    tell(UpstreamEvent(happened=Happened.FAILED, upstream="new", detail="refused", seconds=0.1))
    assert without_buckets(counted(events)) == {
        "upstream_events_total{upstream=esp,event=opened}": 1,
        "upstream_events_total{upstream=new,event=failed}": 1,
        "upstream_connect_seconds_count{upstream=esp}": 1,
        "upstream_connect_seconds_sum{upstream=esp}": 0.3,
    }


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (Noted("session.opened", "debug"), "sessions_total"),
        (
            Noted("limit.reached", "warning", (("limit", "max_recipients"), ("client", "x"))),
            "limits_reached_total{limit=max_recipients}",
        ),
        (Noted("client.login_failed"), "auth_failures_total"),
        (Noted("client.refused"), "clients_refused_total"),
        (Noted("internal.failed"), "internal_failures_total"),
        (Noted("session.failed"), "internal_failures_total"),
        (Noted("key.mismatched"), "events_total{event=key.mismatched}"),
        (Noted("something.new"), "events_total{event=something.new}"),
    ],
)
def test_other_events(event: Noted, name: str) -> None:
    """Each has a counter; one that nobody foresaw is counted by its name."""
    assert counted([event]) == {name: 1}


def test_names_are_those_that_the_parts_tell() -> None:
    """The lists of known label values are complete: what parts can say stands in them."""
    assert set(names.UPSTREAM_EVENTS) == {h.value for h in Happened}
    told: list[Noted] = []
    for became in Became:
        key_teller(told.append)(KeyChange(became, "example.com", "s1", "path"))  # type: ignore[arg-type] # Noted only
    for state in RecordState:
        change = RecordChange("example.com", "s1", state, state, True, "")
        record_teller(told.append)(change)  # type: ignore[arg-type] # the same
    assert {event.name for event in told} <= set(names.OTHER_EVENTS)
    source = "".join(path.read_text() for path in (ROOT / "relay/listener").glob("*.py"))
    limits = set(re.findall(r'(?:limit_reached|_tell_limit)\(\s*"(\w+)"', source))
    limits |= {name for _, name in LIMIT_REPLIES}
    assert limits
    assert limits <= set(names.LIMITS)
    noted = set(re.findall(r'Noted\(\s*"([a-z_.]+)"', source))
    handled = {"session.opened", "limit.reached", "client.login_failed", "client.refused"}
    assert noted <= {*handled, *names.INTERNAL_FAILURES, *names.OTHER_EVENTS}


def test_the_exposition_can_be_read() -> None:
    """Counters and gauges together, each family once, as Prometheus parses it."""
    metrics = Metrics(upstreams=("esp",))
    metrics.emit(RELAYED)
    text = exposition(status(), metrics.registry).decode("utf-8")
    families = list(text_string_to_metric_families(text))
    assert len({family.name for family in families}) == len(families)
    samples = {(s.name, *sorted(s.labels.items())): s.value for f in families for s in f.samples}
    assert samples["dkim_relay_signed_total",] == 1
    assert samples["dkim_relay_upstream_reach", ("reach", "ok"), ("upstream", "esp")] == 1
    assert "_created" not in text
    assert ("process_resident_memory_bytes",) in samples
