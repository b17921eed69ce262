"""What there is to say of one relay, whether it is one process or several."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest
from pydantic import TypeAdapter

from relay.core.events import Noted, Outcome, TransactionEnded, Unsigned
from relay.core.status import (
    CertificateStatus,
    DomainStatus,
    KeyRole,
    Minute,
    Reach,
    Status,
    UpstreamStatus,
)
from relay.observe.exposition import exposition
from relay.observe.gauges import Gauges
from relay.observe.reach import Contact, Contacts
from relay.observe.recent import MINUTES, Recent
from relay.observe.uniting import unite
from tests.fakes.relay_status import DOMAIN, KEY, NOW, TRANSACTION, UPSTREAM, status

ENDED = TransactionEnded(
    outcome=Outcome.RELAYED,
    session_id="s",
    queue_id="q",
    client="127.0.0.1",
    client_rule="loopback",
    mail_from="a@example.com",
    signatures=("s1/rsa-sha256",),
)


class Clock:
    """Says what it is told to."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        """The time."""
        return self.now


class TestReady:
    """Whether mail can pass, and if not, why."""

    def test_well(self) -> None:
        """A domain with a key, and an upstream."""
        assert status().is_ready
        assert status().not_ready == ()

    def test_no_domain_at_all(self) -> None:
        """A relay whose keys were not mounted is not ready, and says what is missing."""
        bare = status(domains=(), domain_count=0, ready_domain_count=0)
        assert not bare.is_ready
        [(part, why)] = bare.not_ready
        assert (part, "keys new" in why) == ("keys", True)

    def test_stopping(self) -> None:
        """Nobody should send it anything more."""
        assert not status(is_draining=True).is_ready

    @pytest.mark.parametrize(
        ("reach", "is_ready"),
        [(Reach.UNTRIED, True), (Reach.OK, True), (Reach.FAILING, True), (Reach.LEFT_ALONE, False)],
    )
    def test_an_upstream(self, reach: Reach, is_ready: bool) -> None:
        """One failure is tried again by the next message; one that is left alone is probed."""
        assert status(upstreams=(replace(UPSTREAM, reach=reach),)).is_ready is is_ready

    def test_a_second_upstream(self) -> None:
        """One that can be tried is enough; the other is named all the same."""
        left = replace(UPSTREAM, name="b", reach=Reach.LEFT_ALONE, error="refused")
        both = status(upstreams=(left, UPSTREAM))
        assert both.is_ready
        assert both.not_ready == (("upstream b", "refused"),)

    def test_a_domain_without_a_key_file(self) -> None:
        """The reason is also the fix."""
        domain = DomainStatus(domain="new.example", is_ready=False)
        assert domain.why_not == "it has no key: dkim-relay keys new new.example"


class TestRecent:
    """The last transactions and minutes."""

    def test_the_newest_first_up_to_a_limit(self) -> None:
        """Older ones are forgotten."""
        clock = Clock()
        recent = Recent(2, now=clock)
        for number in range(3):
            clock.now = NOW + number
            recent.emit(replace(ENDED, queue_id=f"q{number}"))
        assert [(t.queue_id, t.at) for t in recent.transactions()] == [
            ("q2", NOW + 2),
            ("q1", NOW + 1),
        ]

    @pytest.mark.parametrize(
        ("changes", "kind"),
        [
            ({}, "signed"),
            ({"signatures": (), "unsigned": Unsigned.ROUTE_SKIPS}, "unsigned"),
            ({"outcome": Outcome.REJECTED}, "refused"),
            ({"outcome": Outcome.DEFERRED}, "deferred"),
            ({"outcome": Outcome.ABANDONED}, "deferred"),
            ({"outcome": Outcome.UNKNOWN}, "unknown"),
        ],
    )
    def test_kinds(self, changes: dict[str, Any], kind: str) -> None:
        """Every outcome is one of five."""
        recent = Recent(1, now=Clock())
        recent.emit(replace(ENDED, **changes))
        assert replace(recent.minutes()[-1], at=0) == Minute(at=0, **{kind: 1})

    def test_the_last_hour_without_gaps(self) -> None:
        """Sixty minutes, empty ones too; what was before is forgotten."""
        clock = Clock(6000 * 60.0)
        recent = Recent(1, now=clock)
        recent.emit(ENDED)
        clock.now += 59 * 60
        recent.emit(ENDED)
        recent.emit(ENDED)
        minutes = recent.minutes()
        assert [m.at for m in minutes] == [60 * n for n in range(6000, 6060)]
        assert [m.signed for m in minutes] == [1, *[0] * 58, 2]
        clock.now += 60
        recent.emit(ENDED)
        assert recent.minutes()[0].signed == 0
        assert len(recent._minutes) == 2

    def test_other_events_pass_by(self) -> None:
        """Only transactions are kept."""
        recent = Recent(1, now=Clock())
        recent.emit(Noted("key.loaded"))
        assert recent.transactions() == ()


class TestContacts:
    """Whether upstreams can be reached."""

    def test_the_last_attempt_decides(self) -> None:
        """Also within one tick of the clock; what the other one said is kept."""
        contacts = Contacts(now=Clock())
        assert contacts.of("esp") == Contact()
        contacts.emit(Noted("upstream.opened", "", (("upstream", "esp"), ("detail", "TLSv1.3"))))
        assert contacts.of("esp") == Contact(connected_at=NOW, secured="TLSv1.3")
        contacts.emit(Noted("upstream.failed", "", (("upstream", "esp"), ("detail", "refused"))))
        failed = contacts.of("esp")
        assert (failed.has_failed, failed.error, failed.secured) == (True, "refused", "TLSv1.3")
        contacts.emit(Noted("upstream.opened", "", (("upstream", "esp"), ("detail", "TLSv1.3"))))
        assert not contacts.of("esp").has_failed
        assert contacts.of("esp").error == "refused"

    def test_other_events_pass_by(self) -> None:
        """A connection that closes says nothing of that."""
        contacts = Contacts(now=Clock())
        contacts.emit(Noted("upstream.closed", "", (("upstream", "esp"), ("detail", "idle"))))
        contacts.emit(ENDED)
        assert contacts.of("esp") == Contact()


class TestUniting:
    """Several processes, one relay."""

    def test_one_is_itself(self) -> None:
        """Nothing to unite."""
        assert unite([status()]) == status()

    def test_numbers_are_added_up(self) -> None:
        """Connections, octets, minutes; the times are the outermost."""
        other = status(processes=(50,), started_at=NOW - 7200, at=NOW + 1, connections=4)
        both = unite([status(), other])
        assert both.processes == (50, 100)
        assert (both.connections, both.inflight_octets, both.max_inflight_octets) == (
            7,
            2000,
            2_000_000,
        )
        assert (both.started_at, both.at) == (NOW - 7200, NOW + 1)
        assert both.listeners == ("127.0.0.1:2525",)
        assert (both.minutes[-1].signed, both.minutes[-2].signed) == (120, 118)

    def test_minutes_that_do_not_begin_together(self) -> None:
        """Still an hour, to the newest."""
        late = status(minutes=tuple(replace(m, at=m.at + 60) for m in status().minutes))
        minutes = unite([status(), late]).minutes
        assert len(minutes) == MINUTES
        assert minutes[-1].at == status().minutes[-1].at + 60

    def test_a_domain_is_as_in_the_worst_process(self) -> None:
        """A client cannot choose who takes its message."""
        waits = replace(KEY, role=KeyRole.WAITS, record="absent", detail="not there")
        worse = status(
            domains=(replace(DOMAIN, is_ready=False, keys=(waits,)),), ready_domain_count=0
        )
        for both in (unite([status(), worse]), unite([worse, status()])):
            [domain] = both.domains
            assert not domain.is_ready
            assert domain.keys == (waits,)
            assert both.ready_domain_count == 0
            assert not both.is_ready

    def test_domains_that_only_one_has_listed(self) -> None:
        """Those in need come first, and there are not more than one process lists."""
        bad = DomainStatus(domain="zzz.example", is_ready=False)
        waiting = replace(
            DOMAIN,
            domain="yyy.example",
            keys=(KEY, replace(KEY, selector="s2", role=KeyRole.WAITS)),
        )
        one = status(domains=(DOMAIN, replace(DOMAIN, domain="b.example")))
        both = unite([one, status(domains=(bad, waiting))])
        assert [d.domain for d in both.domains] == ["zzz.example", "yyy.example"]

    def test_upstreams(self) -> None:
        """Connections are added up; the newest attempt tells, unless one leaves it alone."""
        failing = replace(
            UPSTREAM, reach=Reach.FAILING, connected_at=None, failed_at=NOW - 60, error="refused"
        )
        [both] = unite([status(upstreams=(failing,)), status()]).upstreams
        assert (both.busy, both.idle, both.reach) == (2, 4, Reach.OK)
        assert (both.connected_at, both.failed_at, both.error) == (NOW - 5, NOW - 60, "refused")
        left = replace(failing, reach=Reach.LEFT_ALONE)
        assert unite([status(upstreams=(left,)), status()]).upstreams[0].reach is Reach.LEFT_ALONE
        newer = replace(failing, failed_at=NOW)
        assert unite([status(upstreams=(newer,)), status()]).upstreams[0].reach is Reach.FAILING
        untried = UpstreamStatus(name="esp", url=UPSTREAM.url)
        assert unite([status(upstreams=(untried,)), status()]).upstreams[0].reach is Reach.OK

    def test_certificates(self) -> None:
        """One of each listener: the one that ends first."""
        soon = CertificateStatus(listener="0.0.0.0:587", names=("relay.example",), expires_at=NOW)
        assert unite([status(), status(certificates=(soon,))]).certificates == (soon,)

    def test_transactions(self) -> None:
        """Merged, the newest first, not more than one process keeps."""
        newer = replace(TRANSACTION, at=NOW, queue_id="q2")
        assert unite([status(), status(transactions=(newer,))]).transactions == (newer,)

    def test_one_of_them_stops(self) -> None:
        """Then the relay does."""
        assert unite([status(), status(is_draining=True)]).is_draining


def test_a_status_passes_through_json() -> None:
    """As it does between processes: nothing is lost."""
    octets = orjson.dumps(status())
    assert TypeAdapter(Status).validate_json(octets) == status()


class TestGauges:
    """A status as Prometheus sees it."""

    def test_values(self) -> None:
        """Times are seconds since 1970, states are 1 for the one that is."""
        lines = exposition(status(), _nothing()).decode().splitlines()
        key = 'algorithm="rsa-sha256",domain="example.com"'
        found = set(lines)
        assert 'dkim_relay_build_info{python="' in "".join(lines)
        for line in (
            f"dkim_relay_start_time_seconds {NOW - 3600!r}".replace(
                "1789996400.0", "1.7899964e+09"
            ),
            "dkim_relay_ready 1.0",
            "dkim_relay_connections 3.0",
            "dkim_relay_inflight_bytes 1000.0",
            "dkim_relay_inflight_max_bytes 1e+06",
            'dkim_relay_domains{state="ready"} 1.0',
            'dkim_relay_domains{state="not_ready"} 0.0',
            'dkim_relay_domain_ready{domain="example.com"} 1.0',
            f'dkim_relay_key_record_match{{{key},selector="s1"}} 1.0',
            f'dkim_relay_key_role{{{key},role="signs",selector="s1"}} 1.0',
            f'dkim_relay_key_role{{{key},role="waits",selector="s1"}} 0.0',
            'dkim_relay_upstream_connections{state="idle",upstream="esp"} 2.0',
            'dkim_relay_upstream_reach{reach="ok",upstream="esp"} 1.0',
            'dkim_relay_upstream_reach{reach="left_alone",upstream="esp"} 0.0',
        ):
            assert line in found, line

    def test_domains_beyond_the_limit(self) -> None:
        """Only the first have gauges of their own; the sums are of all."""
        domains = tuple(replace(DOMAIN, domain=f"d{n}.example") for n in range(5))
        many = status(domains=domains, domain_count=20_000, ready_domain_count=19_999)
        families = {f.name: f for f in Gauges(many, max_domain_labels=2).collect()}
        assert len(families["dkim_relay_domain_ready"].samples) == 2
        assert [s.value for s in families["dkim_relay_domains"].samples] == [19_999, 1]

    def test_two_faults_with_one_name(self) -> None:
        """A scrape with the same series twice would be refused whole."""
        fault = replace(KEY, selector="", algorithm="", role=KeyRole.FAULTY, record="")
        twice = status(domains=(replace(DOMAIN, keys=(fault, replace(fault, detail="other"))),))
        lines = exposition(twice, _nothing()).decode().splitlines()
        series = [line.rpartition(" ")[0] for line in lines if not line.startswith("#")]
        assert len(series) == len(set(series))


def _nothing() -> Any:
    from prometheus_client import CollectorRegistry

    return CollectorRegistry()
