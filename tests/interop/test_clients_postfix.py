"""A real Postfix that uses the relay as its relayhost: PIPELINING, TLS, login, and its replies."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.postfix import Postfix
from tests.fakes.processes import LOOPBACK
from tests.fakes.programs import skip_unless_required
from tests.fakes.smarthost import reply
from tests.interop.clients import Mail, connect, submit_with_smtplib
from tests.interop.clients_edge import (
    LOGIN,
    PASSWORD,
    SENDER,
    Edge,
    make_message,
    new_marker,
    trace_of,
)
from tests.interop.clients_postfix import HOSTNAME, ClientPostfix, Route
from tests.interop.conftest import AssertSigned
from tests.interop.relay_process import RelayProcess

pytest_plugins = ("tests.interop.clients_setup",)

BURST_MESSAGES = 25


@pytest.fixture(scope="module")
def sender(
    edge: Edge, relay: RelayProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ClientPostfix]:
    """One Postfix with a route to every entrance, and one to the relay in front of Postfix."""
    if not any(Path("/usr/lib").glob("**/sasl2/libplain.so")):
        skip_unless_required("Cyrus SASL has no PLAIN; on Debian: apt-get install libsasl2-modules")
    passwords = tmp_path_factory.mktemp("postfix") / "passwords"
    address = f"[{LOOPBACK}]:{edge.ports['submission']}"
    passwords.write_text(f"{address} {LOGIN}:{PASSWORD}\n")
    verified = {
        "smtp_tls_security_level": "secure",
        "smtp_tls_secure_cert_match": "localhost",
        "smtp_tls_CAfile": edge.tls.ca,
    }
    login = {
        "smtp_sasl_auth_enable": "yes",
        "smtp_sasl_security_options": "noanonymous",
        "smtp_sasl_password_maps": f"texthash:{passwords}",
    }
    routes = {
        "plain": Route(port=edge.ports["plain"]),
        "starttls": Route(
            port=edge.ports["starttls"], options={"smtp_tls_security_level": "encrypt"}
        ),
        "implicit": Route(
            port=edge.ports["implicit"], options={**verified, "smtp_tls_wrappermode": "yes"}
        ),
        "login": Route(port=edge.ports["submission"], options={**verified, **login}),
        "nologin": Route(port=edge.ports["submission"], options=verified),
        "kept": Route(
            port=edge.ports["plain"], options={"smtp_connection_cache_destinations": LOOPBACK}
        ),
        "sink": Route(port=relay.port),
    }
    with ClientPostfix(routes) as running:
        yield running


def _submit(sender: ClientPostfix, marker: str, *recipients: str) -> str:
    """Hand a message to Postfix; its queue id there."""
    mail = Mail(mail_from=SENDER, rcpt_to=recipients, message=make_message(marker))
    return submit_with_smtplib(sender.port, mail).queue_id


@pytest.mark.parametrize(
    ("route", "protocol"),
    [
        ("plain", "ESMTP"),
        ("starttls", "ESMTPS"),
        ("implicit", "ESMTPS"),
        ("login", "ESMTPSA"),
    ],
)
def test_message_arrives_signed(
    edge: Edge, sender: ClientPostfix, route: str, protocol: str
) -> None:
    """In clear, by STARTTLS, over implicit TLS, and logged in, the certificate verified."""
    marker = new_marker()
    queue_id = _submit(sender, marker, f"ann@{route}.test")
    (delivery,) = sender.deliveries(queue_id, count=1)
    assert delivery.status == "sent", delivery
    received = edge.arrived(marker, protocol=protocol)
    assert trace_of(received).client == f"{HOSTNAME} ([{LOOPBACK}])"


def test_replies_of_the_smarthost_reach_postfix(
    relay: RelayProcess, postfix: Postfix, sender: ClientPostfix, assert_signed: AssertSigned
) -> None:
    """Postfix, the relay, Postfix: two of four recipients are refused by the last.

    The first keeps what is temporary, gives up what is permanent, and every verifier passes
    what was stored.
    """
    names = ("ann", "bob", "full", "gone")
    recipients = [f"{name}@sink.test" for name in names]
    queue_id = _submit(sender, new_marker(), *recipients)
    ann, bob, full, gone = sender.deliveries(queue_id, count=len(names))
    assert (full.status, full.dsn) == ("deferred", "4.2.2"), full
    assert "said: 452 4.2.2 <full@sink.test>: Recipient address rejected: mailbox is full" in (
        full.text
    )
    assert (gone.status, gone.dsn) == ("bounced", "5.1.1"), gone
    assert "said: 550 5.1.1 <gone@sink.test>: Recipient address rejected: no such" in gone.text
    assert (ann.status, bob.status) == ("sent", "sent")
    assert ann.text == bob.text
    queued = re.search(r"queued as (\w+)", ann.text)
    assert queued, ann
    stored = postfix.stored(queued[1])
    assert [one.recipient for one in stored] == recipients[:2]
    assert_signed(stored[0].message)


def test_envelope_is_pipelined(edge: Edge, sender: ClientPostfix) -> None:
    """MAIL, twenty RCPT and DATA leave before the first of their replies is read (RFC 2920).

    Some are refused in the middle; each reply belongs to its own recipient.
    """
    marker = new_marker()
    names = [
        f"{number:02}-{marker}@plain.test" for number in range(20)
    ]  # Postfix writes 4 KB at a time
    for number in (7, 8, 19):
        refusal = reply(f"550 5.1.1 no {names[number]} here")
        edge.smarthost.on("rcpt", refusal, match=names[number].encode())
    queue_id = _submit(sender, marker, *names)
    deliveries = sender.deliveries(queue_id, count=len(names))
    bounced = {one.recipient: one.text for one in deliveries if one.status == "bounced"}
    assert list(bounced) == [names[number] for number in (7, 8, 19)]
    assert all(f"said: 550 5.1.1 no {name} here" in text for name, text in bounced.items())
    received = edge.arrived(marker, protocol="ESMTP")
    assert len(received.recipients) == len(names) - len(bounced)
    said = sender.dialogue("plain")
    first = next(i for i, (_, line) in enumerate(said) if names[0] in line)
    verbs = [(direction, line.split()[0]) for direction, line in said[first - 1 :]]
    assert verbs[: len(names) + 2] == [(">", "MAIL"), *[(">", "RCPT")] * len(names), (">", "DATA")]


def test_wishes_and_internationalized_addresses_are_passed_on(
    edge: Edge, sender: ClientPostfix
) -> None:
    """Postfix uses DSN and SMTPUTF8 where they are offered."""
    marker = new_marker()
    name = f"grüße-{marker}@plain.test"
    with connect(sender.port) as connection:
        refused = connection.sendmail(
            "jürgen@example.com",
            [name],
            make_message(marker, sender="jürgen@example.com"),
            mail_options=["SMTPUTF8", "BODY=8BITMIME", "RET=HDRS", "ENVID=some-id"],
            rcpt_options=["NOTIFY=DELAY,FAILURE"],
        )
        assert refused == {}
    queue_id = re.findall(r"smtpd\[\d+\]: (\w+): client=", sender.log())[-1]
    (delivery,) = sender.deliveries(queue_id, count=1)
    assert delivery.status == "sent", delivery
    received = edge.arrived(marker, protocol="UTF8SMTP")
    assert {b"RET=HDRS", b"ENVID=some-id", b"SMTPUTF8"} <= set(received.mail.split())
    (recipient,) = received.recipients
    notify = next(word for word in recipient.split() if word.startswith(b"NOTIFY="))
    assert set(notify.removeprefix(b"NOTIFY=").split(b",")) == {b"DELAY", b"FAILURE"}


def test_postfix_without_its_login_keeps_the_mail(edge: Edge, sender: ClientPostfix) -> None:
    """530 makes Postfix bounce, not lose it; what it would say is the relay's own text."""
    marker = new_marker()
    queue_id = _submit(sender, marker, "ann@nologin.test")
    (delivery,) = sender.deliveries(queue_id, count=1)
    assert delivery.status == "bounced", delivery
    assert "said: 530 5.7.0 Authentication required" in delivery.text
    assert not edge.has_seen(marker)


def test_burst_arrives_signed_over_kept_connections(edge: Edge, sender: ClientPostfix) -> None:
    """Many messages at once: Postfix keeps connections to the relay, and uses them after RSET."""
    markers = [new_marker() for _ in range(BURST_MESSAGES)]
    queue_ids = [_submit(sender, marker, "ann@kept.test") for marker in markers]
    for queue_id in queue_ids:
        (delivery,) = sender.deliveries(queue_id, count=1)
        assert delivery.status == "sent", delivery
    for marker in markers:
        edge.arrived(marker, protocol="ESMTP")
    said = [line for direction, line in sender.dialogue("kept") if direction == ">"]
    assert said.count(f"EHLO {HOSTNAME}") < BURST_MESSAGES
    assert "RSET" in said
