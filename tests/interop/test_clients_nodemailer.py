"""Nodemailer, which most applications for Node.js send with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.processes import LOOPBACK
from tests.fakes.smarthost import reply
from tests.interop.clients_edge import (
    LOGIN,
    PASSWORD,
    RECIPIENT,
    SENDER,
    Edge,
    new_marker,
    trace_of,
)
from tests.interop.clients_nodemailer import Sent, send_with_nodemailer
from tests.interop.message_parts import decoded_parts

pytest_plugins = ("tests.interop.clients_setup",)

ATTACHMENT_OCTETS = 300_000


@pytest.mark.parametrize(
    ("entrance", "options", "protocol"),
    [
        pytest.param("plain", {}, "ESMTP", id="plain"),
        pytest.param("starttls", {}, "ESMTPS", id="starttls-because-it-is-offered"),
        pytest.param("starttls", {"requireTLS": True}, "ESMTPS", id="starttls"),
        pytest.param("starttls", {"ignoreTLS": True}, "ESMTP", id="starttls-ignored"),
        pytest.param("implicit", {"secure": True}, "ESMTPS", id="implicit"),
    ],
)
def test_message_arrives_signed(
    edge: Edge, entrance: str, options: Mapping[str, Any], protocol: str
) -> None:
    """Nodemailer's own DKIM is off: the one signature is the relay's."""
    marker = new_marker()
    sent = _send(edge, entrance, options, _message(marker))
    assert sent.is_sent, sent
    received = edge.arrived(marker, protocol=protocol)
    assert trace_of(received).client == f"client.test ([{LOOPBACK}])"


@pytest.mark.parametrize(
    ("entrance", "options", "protocol"),
    [
        ("submission", {"requireTLS": True}, "ESMTPSA"),
        ("submissions", {"secure": True}, "ESMTPSA"),
        ("cleartext", {}, "ESMTPA"),
    ],
)
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_who_is_logged_in_may_submit(
    edge: Edge, entrance: str, options: Mapping[str, Any], protocol: str, mechanism: str
) -> None:
    """Each mechanism that is offered."""
    marker = new_marker()
    login = {"auth": {"user": LOGIN, "pass": PASSWORD}, "authMethod": mechanism}
    sent = _send(edge, entrance, {**options, **login}, _message(marker))
    assert sent.is_sent, sent
    edge.arrived(marker, protocol=protocol)


def test_wrong_password_is_refused(edge: Edge) -> None:
    """The application hears EAUTH and 535."""
    marker = new_marker()
    # Failures are counted by address and answered later each time, so this client has its own.
    login = {"auth": {"user": LOGIN, "pass": "guess"}, "localAddress": "127.0.0.15"}
    sent = _send(edge, "submissions", {"secure": True, **login}, _message(marker))
    assert (sent.code, sent.reply[:9]) == ("EAUTH", "535 5.7.8"), sent
    assert not edge.has_seen(marker)


def test_without_a_login_nothing_is_taken(edge: Edge) -> None:
    """The reply to MAIL reaches the application."""
    marker = new_marker()
    sent = _send(edge, "submission", {"requireTLS": True}, _message(marker))
    assert (sent.code, sent.reply[:9]) == ("EENVELOPE", "530 5.7.0"), sent
    assert not edge.has_seen(marker)


def test_client_with_a_certificate_may_submit(edge: Edge) -> None:
    """Its certificate's name stands in [[clients]]."""
    marker = new_marker()
    sent = _send(edge, "submissions", {"secure": True}, _message(marker), shows_certificate=True)
    assert sent.is_sent, sent
    edge.arrived(marker, protocol="ESMTPS")


def test_html_with_attachments_arrives_whole(edge: Edge) -> None:
    """Texts in two forms and binary attachments, as newsletters and invoices have them."""
    marker = new_marker()
    files = [
        {"filename": "Größe.pdf", "octets": ATTACHMENT_OCTETS},
        {"filename": "empty.bin", "octets": 0},
    ]
    texts = {"text": "Grüße\n.\n", "html": "<p>Grüße   &amp; mehr</p>", "attachments": files}
    sent = _send(edge, "starttls", {}, {**_message(marker), **texts})
    assert sent.is_sent, sent
    received = edge.arrived(marker, protocol="ESMTPS")
    contents = [content for _, content in decoded_parts(received.octets)]
    assert (bytes(range(256)) * (ATTACHMENT_OCTETS // 256 + 1))[:ATTACHMENT_OCTETS] in contents
    assert "<p>Grüße   &amp; mehr</p>".encode() in contents


def test_pool_sends_many_messages_over_few_connections(edge: Edge) -> None:
    """`pool: true`: two connections, three messages on each before it is closed."""
    markers = [new_marker() for _ in range(12)]
    options = {"pool": True, "maxConnections": 2, "maxMessages": 3}
    transport = _transport(edge, "starttls", options)
    results = send_with_nodemailer(transport, [_message(marker) for marker in markers])
    assert [sent.is_sent for sent in results] == [True] * len(markers), results
    for marker in markers:
        edge.arrived(marker, protocol="ESMTPS")
    sessions = [edge.told_of(marker)["session_id"] for marker in markers]
    assert max(map(sessions.count, sessions)) == options["maxMessages"]


def test_internationalized_addresses_arrive(edge: Edge) -> None:
    """Nodemailer asks for SMTPUTF8 by itself."""
    marker = new_marker()
    message = {**_message(marker), "from": "Jürgen <jürgen@example.com>"}
    sent = _send(edge, "plain", {}, message)
    assert sent.is_sent, sent
    received = edge.arrived(marker, protocol="UTF8SMTP")
    assert received.mail.startswith("MAIL FROM:<jürgen@example.com>".encode())


def test_wishes_for_delivery_reports_reach_the_smarthost(edge: Edge) -> None:
    """`dsn` of sendMail: RFC 3461."""
    marker = new_marker()
    wishes = {"id": "some+id", "return": "headers", "notify": ["failure", "delay"]}
    sent = _send(edge, "plain", {}, {**_message(marker), "dsn": wishes})
    assert sent.is_sent, sent
    received = edge.arrived(marker, protocol="ESMTP")
    assert {b"RET=HDRS", b"ENVID=some+2Bid"} <= set(received.mail.split())
    (recipient,) = received.recipients
    assert b"NOTIFY=FAILURE,DELAY" in recipient.split()


def test_refused_recipient_is_told_and_the_others_get_the_message(edge: Edge) -> None:
    """`rejected` and `accepted` are what the smarthost said of each."""
    marker = new_marker()
    gone = f"gone-{marker}@sink.test"
    edge.smarthost.on("rcpt", reply("550 5.1.1 no such person"), match=gone.encode())
    sent = _send(edge, "plain", {}, {**_message(marker), "to": [gone, RECIPIENT]})
    assert (sent.accepted, sent.rejected) == ([RECIPIENT], [gone]), sent
    received = edge.arrived(marker, protocol="ESMTP")
    assert received.recipients == [f"RCPT TO:<{RECIPIENT}>".encode()]


def _send(
    edge: Edge,
    entrance: str,
    options: Mapping[str, Any],
    message: Mapping[str, Any],
    *,
    shows_certificate: bool = False,
) -> Sent:
    transport = _transport(edge, entrance, options)
    if shows_certificate:
        files = {"cert": edge.tls.certificate, "key": edge.tls.key}
        transport["tls"] |= {name: Path(path).read_text() for name, path in files.items()}
    (sent,) = send_with_nodemailer(transport, [message])
    return sent


def _transport(edge: Edge, entrance: str, options: Mapping[str, Any]) -> dict[str, Any]:
    tls = {"ca": Path(edge.tls.ca).read_text()}
    where = {"host": LOOPBACK, "port": edge.ports[entrance], "name": "client.test"}
    return {**where, "tls": tls, **options}


def _message(marker: str) -> dict[str, Any]:
    identity = {"messageId": f"<{marker}@example.com>", "subject": "Grüße und mehr"}
    return {"from": f"App <{SENDER}>", "to": RECIPIENT, "text": "Good morning.", **identity}
