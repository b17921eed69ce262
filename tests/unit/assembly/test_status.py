"""A relay at work, and what it says of itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from relay import clock
from relay.admin.server import admin_port
from relay.assembly.domains import choose
from relay.assembly.expiry import Expiries
from relay.assembly.milestones import Journals, course_of
from relay.assembly.status import Overview
from relay.config.inbound import Listener
from relay.config.settings import Config
from relay.core.dkim.algorithm import Algorithm, PublicKey
from relay.core.events import Event
from relay.core.status import KeyRole, Reach, Status
from relay.dns.gate import OpenGate
from relay.keyring.contents import Contents, Listed, difference
from relay.keyring.folder import Found
from relay.keyring.keyring import Keyring
from relay.keyring.loading import KeySource
from relay.keyring.writing import WrittenKey, write_key_pair
from relay.observe.chronicle import Chronicle
from relay.rotation.journal import Entry, Journal, write_journal
from relay.rotation.plan import KeyFacts, Policy
from relay.service.relay import Relay, relaying
from tests.fakes.certificates import Certificates
from tests.fakes.dns_server import LoopbackDNS
from tests.fakes.http_client import ask
from tests.fakes.processes import free_port
from tests.fakes.smtp_client import SocketClient

DAY = 86400.0
NOW = 1_790_000_000.0


@dataclass
class Running:
    """A relay, what is known of it, and where its admin port is."""

    relay: Relay
    overview: Overview
    admin: str
    events: list[Event]


def write(folder: Path, domain: str, selector: str = "s1") -> WrittenKey:
    """A key that is made in no time."""
    return write_key_pair(folder, domain, selector, Algorithm.ED25519_SHA256, 256)


@pytest.fixture
def settings(settings: dict[str, Any]) -> dict[str, Any]:
    """With an admin port."""
    return {**settings, "admin": {"address": "127.0.0.1:0"}}


@asynccontextmanager
async def serving(settings: dict[str, Any]) -> AsyncIterator[Running]:
    """As `dkim-relay serve` has it with one worker."""
    config, events = Config.model_validate(settings), list[Event]()
    chronicle = Chronicle(config, now=clock.now, complain=events.append)

    def emit(event: Event) -> None:
        events.append(event)
        chronicle.emit(event)

    async with admin_port(config.admin, emit) as port, relaying(config, emit) as relay:
        overview = Overview(relay, chronicle)
        await port.serve(overview)
        yield Running(relay, overview, port.address, events)


async def submit(relay: Relay, domain: str = "example.com") -> bytes:
    """Hand one message in; the last reply."""
    async with SocketClient(*relay.listeners.addresses[0]) as client:
        await client.reply()
        replies = await client.say(
            b"EHLO client.example",
            b"MAIL FROM:<bounces@example.com>",
            b"RCPT TO:<someone@example.net>",
            b"DATA",
            b"From: a@" + domain.encode() + b"\r\nTo: someone@example.net\r\n\r\nHello.\r\n.",
        )
    return replies[-1]


async def test_before_any_mail(settings: dict[str, Any]) -> None:
    """The key signs, and it is ready whether or not the upstream was tried."""
    async with serving(settings) as running:
        status = await running.overview.status()
    [domain] = status.domains
    [key] = domain.keys
    [upstream] = status.upstreams
    assert status.is_ready
    assert (status.domain_count, status.ready_domain_count) == (1, 1)
    assert (domain.domain, domain.is_ready, domain.is_read) == ("example.com", True, True)
    assert (key.selector, key.algorithm, key.role) == ("s1", "ed25519-sha256", KeyRole.SIGNS)
    assert (key.record, key.record_name) == ("", "s1._domainkey.example.com")
    assert key.record_text.startswith("v=DKIM1; k=ed25519; p=")
    assert key.made_at is not None
    assert upstream.reach in (Reach.UNTRIED, Reach.OK)  # it is asked what it offers meanwhile
    assert status.listeners == tuple(running.relay.listeners.names)
    assert status.hostname == "relay.example"


async def test_after_a_message(settings: dict[str, Any]) -> None:
    """It is counted, listed and timed; the upstream was reached."""
    async with serving(settings) as running:
        assert (await submit(running.relay)).startswith(b"250")
        status = await running.overview.status()
        metrics = await ask(running.admin, "/metrics")
    [transaction] = status.transactions
    [upstream] = status.upstreams
    assert (transaction.outcome, transaction.from_address) == (
        "message.relayed",
        "a@example.com",
    )
    assert transaction.signatures == ("s1/ed25519-sha256",)
    assert sum(minute.signed for minute in status.minutes) == 1
    assert (upstream.reach, upstream.idle, upstream.secured) == (Reach.OK, 1, "clear")
    lines = metrics.text.splitlines()
    assert "dkim_relay_signed_total 1.0" in lines
    assert "dkim_relay_sessions_total 1.0" in lines
    assert 'dkim_relay_upstream_seconds_count{upstream="esp"} 1.0' in lines
    assert "dkim_relay_sign_seconds_count 1.0" in lines
    assert 'dkim_relay_unsigned_total{reason="route_skips"} 0.0' in lines
    assert 'dkim_relay_upstream_events_total{event="opened",upstream="esp"} 1.0' in lines


async def test_an_upstream_that_is_down(settings: dict[str, Any]) -> None:
    """First it fails, then it is left alone; then mail should go elsewhere."""
    settings["upstreams"][0] |= {
        "url": f"smtp://127.0.0.1:{free_port()}",
        "breaker_failures": 5,
        "breaker_seconds": 60,
    }
    async with serving(settings) as running:
        await submit(running.relay)
        failing = (await running.overview.status()).upstreams[0]
        before = await ask(running.admin, "/readyz")
        for _ in range(5):
            await submit(running.relay)
        left = (await running.overview.status()).upstreams[0]
        after = await ask(running.admin, "/readyz")
    assert (failing.reach, before.status) == (Reach.FAILING, 200)
    assert "Connect call failed" in failing.error
    assert (left.reach, after.status) == (Reach.LEFT_ALONE, 503)
    assert after.text.startswith("not ready\nupstream esp: ")


@pytest.fixture
def dns() -> Any:
    """A name server that knows nothing yet."""
    with LoopbackDNS() as server:
        yield server


async def test_a_key_that_waits(settings: dict[str, Any], dns: LoopbackDNS, tmp_path: Path) -> None:
    """The domain with a published key is ready, the other one is named with its record."""
    ready = write(tmp_path / "keys", "ready.example")
    older = ready.record
    write(tmp_path / "keys", "ready.example", "s2")
    dns.records = {older.name: older.value}
    settings["dns"] = {"gate": "published", "nameservers": [f"127.0.0.1:{dns.port}"]}
    async with serving(settings) as running:
        status = await running.overview.status()
        answer = await ask(running.admin, "/readyz?domain=example.com")
    waits, signs = status.domains
    assert status.is_ready
    assert (waits.domain, waits.is_ready, waits.keys[0].role) == (
        "example.com",
        False,
        KeyRole.WAITS,
    )
    assert waits.keys[0].record not in ("", "matches")
    assert "s1._domainkey.example.com" in waits.why_not
    roles = {key.selector: (key.role, key.record) for key in signs.keys}
    assert roles["s1"] == (KeyRole.SIGNS, "matches")
    assert roles["s2"][0] is KeyRole.WAITS
    assert answer.status == 503
    assert "s1._domainkey.example.com" in answer.text


async def test_a_bad_key_file(settings: dict[str, Any], tmp_path: Path) -> None:
    """Its fault and fix stand where the key would, and it comes first."""
    write(tmp_path / "keys", "zzz.example").key_path.write_text("not a key")
    async with serving(settings) as running:
        status = await running.overview.status()
    assert [d.domain for d in status.domains] == ["zzz.example", "example.com"]
    [key] = status.domains[0].keys
    assert key.role is KeyRole.FAULTY
    assert str(tmp_path / "keys/zzz.example/s1.pem") in key.detail


async def test_while_it_drains(settings: dict[str, Any]) -> None:
    """It still answers, and says that it is stopping; so a load balancer looks elsewhere."""
    async with serving(settings) as running:
        client = SocketClient(*running.relay.listeners.addresses[0])
        await client.__aenter__()
        await client.reply()
        await client.say(b"EHLO c.example", b"MAIL FROM:<>", b"RCPT TO:<b@example.net>", b"DATA")
        running.relay.is_draining = True
        answer = await ask(running.admin, "/readyz")
        await client.__aexit__(None, None, None)
    assert (answer.status, answer.text) == (503, "not ready\nservice: it is stopping\n")


async def test_certificates(settings: dict[str, Any], tmp_path: Path) -> None:
    """Of listeners with TLS: whose they are and until when."""
    certificate, key = Certificates(tmp_path).files("relay.example", "mx.example")
    settings["listeners"].append(
        {
            "address": "127.0.0.1:0",
            "tls": "starttls",
            "certificate_file": str(certificate),
            "key_file": str(key),
        }
    )
    async with serving(settings) as running:
        [found] = (await running.overview.status()).certificates
    assert found.names == ("relay.example", "mx.example")
    assert found.expires_at > clock.now()


def test_a_certificate_that_is_renewed(tmp_path: Path) -> None:
    """The new file is read; one that cannot be changes nothing, as in the listener."""
    authority, expiries = Certificates(tmp_path), Expiries()
    certificate, key = authority.files("relay.example")
    listener = Listener(tls="implicit", certificate_file=str(certificate), key_file=str(key))
    [before] = expiries.read([listener])
    certificate.write_text("not a certificate")
    assert expiries.read([listener]) == (before,)
    other, _ = authority.files("other.example", stem="other")
    other.replace(certificate)
    [after] = expiries.read([listener])
    assert (before.names, after.names) == (("relay.example",), ("other.example",))


def keyring_of(tmp_path: Path, listed: dict[str, Listed]) -> Keyring:
    """A keyring that has listed these folders and read none of them."""
    keyring = Keyring(KeySource(tmp_path, {}), gate=OpenGate())
    keyring.list_anew(difference({}, Contents(listed, (), (), is_readable=True)))
    return keyring


async def test_very_many_domains(tmp_path: Path) -> None:
    """All are counted, those in need are listed first, and the event loop gets its turn."""
    names = [f"d{n:05}.example" for n in range(20_000)]
    has_key = {n: Listed((Found(n, "s1", tmp_path / f"{n}.pem"),)) for n in names[:-2]}
    keyring = keyring_of(tmp_path, {**has_key, names[-2]: Listed(), names[-1]: Listed()})
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.ensure_future(count_turns())
    chosen = await choose(keyring, OpenGate(), max_domains=5, wanted="D10000.example")
    counting.cancel()
    assert (chosen.count, chosen.ready_count) == (20_000, 19_998)
    assert chosen.names == (names[-2], names[-1], names[0], names[1], "d10000.example")
    assert turns >= 20


async def test_a_domain_that_nobody_has(tmp_path: Path) -> None:
    """Nothing is listed for it, however it is written."""
    keyring = keyring_of(tmp_path, {"example.com": Listed()})
    for wanted in ("other.example", "..", "\u2000", "a" * 300):
        chosen = await choose(keyring, OpenGate(), max_domains=1, wanted=wanted)
        assert chosen.names == ("example.com",)


PUBLIC = PublicKey(Algorithm.ED25519_SHA256, Ed25519PrivateKey.generate().public_key())


def entry(selector: str, **times: Any) -> Entry:
    """An entry of the journal."""
    return Entry(selector=selector, algorithm=Algorithm.ED25519_SHA256, bits=256, **times)


class TestCourse:
    """The rotation of a domain."""

    def test_a_life(self) -> None:
        """What was, in order, and what is to come of both keys."""
        old = entry("s1", made_at=NOW - 90 * DAY, in_use_at=NOW - 89 * DAY, superseded_at=NOW - DAY)
        new = entry("s2", made_at=NOW - 2 * DAY, published_at=NOW - 2 * DAY, in_use_at=NOW - DAY)
        past = entry("s0", made_at=1.0, retired_at=NOW - 80 * DAY)
        journal = Journal({"s1": old, "s2": new}, (past,))
        facts = [
            KeyFacts("s2", PUBLIC, NOW - 2 * DAY, is_open=True),
            KeyFacts("s1", PUBLIC, NOW - 90 * DAY, is_open=True),
        ]
        course = course_of(facts, journal, Policy(every_seconds=90 * DAY), NOW)
        assert [(m.selector, m.what, (m.at - NOW) / DAY) for m in course.milestones] == [
            ("s1", "made", -90),
            ("s1", "in use since", -89),
            ("s0", "ended", -80),
            ("s2", "made", -2),
            ("s2", "its record was published", -2),
            ("s2", "in use since", -1),
            ("s1", "superseded", -1),
            ("s1", "can be ended", 6),
            ("s2", "is to be replaced", 89),
        ]
        assert not any(m.is_due for m in course.milestones)
        assert course.rotate_at == {"s2": NOW + 89 * DAY}
        assert course.made_at == {"s1": NOW - 90 * DAY, "s2": NOW - 2 * DAY}

    @pytest.mark.parametrize(
        ("made_at", "is_open", "what", "is_due"),
        [
            (NOW - 91 * DAY, True, "is to be replaced", True),
            (NOW - DAY, True, "is to be replaced", False),
            (NOW - DAY, False, "its record is to be published", True),
        ],
    )
    def test_what_somebody_has_to_do(
        self, made_at: float, is_open: bool, what: str, is_due: bool
    ) -> None:
        """A key that is too old, or whose record is missing; without any journal too."""
        facts = [KeyFacts("s1", PUBLIC, made_at, is_open=is_open)]
        course = course_of(facts, Journal(), Policy(every_seconds=90 * DAY), NOW)
        [found] = [m for m in course.milestones if m.what == what]
        assert found.is_due is is_due

    def test_journals_are_read_when_they_change(self, tmp_path: Path) -> None:
        """And not otherwise; folders that are spelt otherwise are found, others have none."""
        (tmp_path / "Example.com").mkdir()
        (tmp_path / "bare.example").mkdir()
        first = Journal({"s1": entry("s1", made_at=1.0)})
        write_journal(tmp_path / "Example.com", first)
        journals = Journals()
        domains = ("example.com", "bare.example", "none.example")
        before = journals.read(tmp_path, domains)
        assert before == {"example.com": first}
        assert journals.read(tmp_path, domains)["example.com"] is before["example.com"]
        second = Journal({"s1": entry("s1", made_at=2.0)})
        write_journal(tmp_path / "Example.com", second)
        assert journals.read(tmp_path, domains) == {"example.com": second}


async def test_a_rotation_in_the_status(settings: dict[str, Any], tmp_path: Path) -> None:
    """When a key is due stands with the key and in the metrics."""
    settings["dns"] = {"gate": "published", "nameservers": ["127.0.0.1:1"], "start_seconds": 0.1}
    settings["rotation"] = {"every": "90d"}
    async with serving(settings) as running:
        status: Status = await running.overview.status()
    [key] = status.domains[0].keys
    assert key.rotate_at is None  # it waits for its record first
    assert "its record is to be published" in [m.what for m in status.domains[0].milestones]


async def test_the_end_of_validity(tmp_path: Path) -> None:
    """As the certificate says it."""
    until = datetime(2031, 5, 4, 3, 2, 1, tzinfo=UTC)
    authority = Certificates(tmp_path)
    certificate, key = authority.files("relay.example", until=until)
    listener = Listener(tls="implicit", certificate_file=str(certificate), key_file=str(key))
    [found] = Expiries().read([listener])
    assert found.expires_at == until.timestamp()
