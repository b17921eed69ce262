"""Python's smtplib, as applications use it: in clear, over TLS, logged in, with extensions."""

from __future__ import annotations

import base64
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.fakes.processes import LOOPBACK
from tests.fakes.smarthost import reply
from tests.interop.clients import CLIENT_NAME, WAIT_SECONDS
from tests.interop.clients_edge import (
    LOGIN,
    PASSWORD,
    RECIPIENT,
    SENDER,
    Edge,
    make_message,
    new_marker,
    trace_of,
)

pytest_plugins = ("tests.interop.clients_setup",)

UTF8_SENDER = "jürgen@example.com"


@contextmanager
def _connected(
    edge: Edge, entrance: str, *, shows_certificate: bool = False
) -> Iterator[smtplib.SMTP]:
    """A connection to an entrance, secured as the entrance wants it, EHLO said."""
    context = ssl.create_default_context(cafile=edge.tls.ca)
    if shows_certificate:
        context.load_cert_chain(edge.tls.certificate, edge.tls.key)
    port = edge.ports[entrance]
    if entrance in ("implicit", "submissions"):
        with smtplib.SMTP_SSL(
            LOOPBACK, port, local_hostname=CLIENT_NAME, timeout=WAIT_SECONDS, context=context
        ) as secured:
            secured.ehlo()
            yield secured
        return
    with smtplib.SMTP(
        LOOPBACK, port, local_hostname=CLIENT_NAME, timeout=WAIT_SECONDS
    ) as connection:
        connection.ehlo()
        if entrance in ("starttls", "submission"):
            assert connection.starttls(context=context)[0] == 220
            connection.ehlo()
        yield connection


@pytest.mark.parametrize(
    ("entrance", "protocol"), [("plain", "ESMTP"), ("starttls", "ESMTPS"), ("implicit", "ESMTPS")]
)
def test_message_arrives_signed(edge: Edge, entrance: str, protocol: str) -> None:
    """Nobody is asked for a login there."""
    marker = new_marker()
    with _connected(edge, entrance) as connection:
        assert connection.sendmail(SENDER, [RECIPIENT], make_message(marker)) == {}
    received = edge.arrived(marker, protocol=protocol)
    assert trace_of(received).client == f"{CLIENT_NAME} ([{LOOPBACK}])"


def test_message_after_helo_arrives_signed(edge: Edge) -> None:
    """A client that knows no extensions."""
    marker = new_marker()
    with smtplib.SMTP(LOOPBACK, edge.ports["plain"], timeout=WAIT_SECONDS) as connection:
        assert connection.helo(CLIENT_NAME)[0] == 250
        assert connection.sendmail(SENDER, [RECIPIENT], make_message(marker)) == {}
    edge.arrived(marker, protocol="SMTP")


def test_many_messages_on_one_connection_arrive_signed(edge: Edge) -> None:
    """Also behind one that was given up by RSET."""
    markers = [new_marker() for _ in range(5)]
    with _connected(edge, "starttls") as connection:
        connection.mail(SENDER)
        connection.rcpt(RECIPIENT)
        assert connection.rset()[0] == 250
        for marker in markers:
            assert connection.sendmail(SENDER, [RECIPIENT], make_message(marker)) == {}
    for marker in markers:
        edge.arrived(marker, protocol="ESMTPS")


# Logins and certificates.


@pytest.mark.parametrize(
    ("entrance", "protocol"),
    [("submission", "ESMTPSA"), ("submissions", "ESMTPSA"), ("cleartext", "ESMTPA")],
)
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("at_once", [True, False], ids=["initial-response", "challenged"])
def test_who_is_logged_in_may_submit(
    edge: Edge, entrance: str, protocol: str, mechanism: str, at_once: bool
) -> None:
    """Each mechanism, with the first response in the command or behind a challenge."""
    marker = new_marker()
    with _connected(edge, entrance) as connection:
        assert connection.esmtp_features["auth"].split() == ["PLAIN", "LOGIN"]
        connection.user, connection.password = LOGIN, PASSWORD
        respond = connection.auth_plain if mechanism == "PLAIN" else connection.auth_login
        assert connection.auth(mechanism, respond, initial_response_ok=at_once)[0] == 235
        assert connection.sendmail(SENDER, [RECIPIENT], make_message(marker)) == {}
    edge.arrived(marker, protocol=protocol)


def test_login_as_applications_call_it(edge: Edge) -> None:
    """`login()` takes the mechanism that it likes best of those offered."""
    marker = new_marker()
    with _connected(edge, "submission") as connection:
        connection.login(LOGIN, PASSWORD)
        connection.ehlo()
        assert "auth" not in connection.esmtp_features  # RFC 4954 §4: only once
        assert connection.sendmail(SENDER, [RECIPIENT], make_message(marker)) == {}
    edge.arrived(marker, protocol="ESMTPSA")


def test_wrong_password_is_told(edge: Edge) -> None:
    """535, and then MAIL is refused for want of a login; the next try counts anew."""
    with _connected(edge, "submission") as connection:
        connection.user, connection.password = LOGIN, "a guess"
        with pytest.raises(smtplib.SMTPAuthenticationError) as refusal:
            connection.auth("PLAIN", connection.auth_plain)
        assert refusal.value.smtp_code == 535
        assert connection.mail(SENDER)[0] == 530
        assert connection.login(LOGIN, PASSWORD)[0] == 235


def test_password_in_clear_is_refused(edge: Edge) -> None:
    """Before STARTTLS, AUTH is not offered, and 530 or 538 is said where it is tried."""
    secret = base64.b64encode(f"\0{LOGIN}\0{PASSWORD}".encode()).decode()
    with smtplib.SMTP(LOOPBACK, edge.ports["submission"], timeout=WAIT_SECONDS) as connection:
        connection.ehlo(CLIENT_NAME)
        assert "auth" not in connection.esmtp_features
        with pytest.raises(smtplib.SMTPNotSupportedError):
            connection.login(LOGIN, PASSWORD)
        assert connection.docmd("AUTH", f"PLAIN {secret}")[0] == 530
        assert connection.mail(SENDER)[0] == 530
    with smtplib.SMTP(LOOPBACK, edge.ports["starttls"], timeout=WAIT_SECONDS) as connection:
        connection.ehlo(CLIENT_NAME)
        assert "auth" not in connection.esmtp_features
        assert connection.docmd("AUTH", f"PLAIN {secret}")[0] == 538


@pytest.mark.parametrize("entrance", ["submission", "submissions"])
def test_client_with_a_certificate_may_submit(edge: Edge, entrance: str) -> None:
    """TLS itself says who it is, so there is no A in the protocol's name."""
    marker = new_marker()
    with _connected(edge, entrance, shows_certificate=True) as connection:
        assert connection.sendmail(SENDER, [RECIPIENT], make_message(marker)) == {}
    edge.arrived(marker, protocol="ESMTPS")


# Extensions.


@pytest.mark.parametrize(
    ("entrance", "protocol"), [("plain", "UTF8SMTP"), ("submissions", "UTF8SMTPSA")]
)
def test_internationalized_message_arrives_signed(edge: Edge, entrance: str, protocol: str) -> None:
    """SMTPUTF8: the octets of the envelope and of the header section are left as they are."""
    marker = new_marker()
    with _connected(edge, entrance) as connection:
        if entrance == "submissions":
            connection.login(LOGIN, PASSWORD)
        message = make_message(marker, sender=f"Jürgen <{UTF8_SENDER}>")
        options = ["SMTPUTF8", "BODY=8BITMIME"]
        assert connection.sendmail(UTF8_SENDER, ["grüße@sink.test"], message, options) == {}
    received = edge.arrived(marker, protocol=protocol)
    assert received.mail.startswith(f"MAIL FROM:<{UTF8_SENDER}>".encode())
    assert received.recipients == ["RCPT TO:<grüße@sink.test>".encode()]


def test_wishes_for_delivery_reports_reach_the_smarthost(edge: Edge) -> None:
    """RFC 3461: RET, ENVID, NOTIFY and ORCPT, letter for letter."""
    marker = new_marker()
    with _connected(edge, "plain") as connection:
        assert connection.has_extn("dsn")
        refused = connection.sendmail(
            SENDER,
            [RECIPIENT],
            make_message(marker),
            mail_options=["RET=HDRS", "ENVID=QQ+2B3141-aB"],
            rcpt_options=["NOTIFY=SUCCESS,DELAY", "ORCPT=rfc822;Ann+2BX@sink.test"],
        )
    assert refused == {}
    received = edge.arrived(marker, protocol="ESMTP")
    assert {b"RET=HDRS", b"ENVID=QQ+2B3141-aB"} <= set(received.mail.split())
    (recipient,) = received.recipients
    assert recipient.split()[1:] == [
        f"TO:<{RECIPIENT}>".encode(),
        b"NOTIFY=SUCCESS,DELAY",
        b"ORCPT=rfc822;Ann+2BX@sink.test",
    ]


def test_refused_recipient_is_told_and_the_others_get_the_message(edge: Edge) -> None:
    """`sendmail` returns what the smarthost itself said of each."""
    marker = new_marker()
    gone = f"gone-{marker}@sink.test"
    edge.smarthost.on("rcpt", reply("550 5.1.1 nobody of that name"), match=gone.encode())
    with _connected(edge, "plain") as connection:
        refused = connection.sendmail(SENDER, [gone, RECIPIENT], make_message(marker))
    assert refused == {gone: (550, b"5.1.1 nobody of that name")}
    received = edge.arrived(marker, protocol="ESMTP")
    assert received.recipients == [f"RCPT TO:<{RECIPIENT}>".encode()]


@pytest.mark.parametrize("sizes", [(0,), (1, 0), (70, 1, 100_000)], ids=str)
def test_message_in_chunks_arrives_signed(edge: Edge, sizes: tuple[int, ...]) -> None:
    """RFC 3030: the rest goes in the last chunk; a line of a dot is nothing special there."""
    marker = new_marker()
    message = make_message(marker, body=".\r\n" + "a line of the body\r\n" * 10_000)
    with _connected(edge, "implicit") as connection:
        assert connection.has_extn("chunking")
        connection.mail(SENDER, ["BODY=8BITMIME"])
        connection.rcpt(RECIPIENT)
        rest = message
        for size in sizes:
            chunk, rest = rest[:size], rest[size:]
            connection.send(b"BDAT %d\r\n" % len(chunk) + chunk)
            assert connection.getreply()[0] == 250
        connection.send(b"BDAT %d LAST\r\n" % len(rest) + rest)
        assert connection.getreply()[0] == 250
    received = edge.arrived(marker, protocol="ESMTPS")
    assert received.octets.endswith(message.partition(b"\r\n\r\n")[2])


def test_chunks_in_a_pipeline_arrive_signed(edge: Edge) -> None:
    """All commands of the transaction and its chunks in one write (RFC 3030 §2, RFC 2920)."""
    marker = new_marker()
    message = make_message(marker)
    with _connected(edge, "plain") as connection:
        assert connection.has_extn("pipelining")
        connection.send(
            b"MAIL FROM:<%b>\r\nRCPT TO:<%b>\r\n" % (SENDER.encode(), RECIPIENT.encode())
            + b"BDAT 20\r\n%bBDAT %d\r\n%b" % (message[:20], len(message[20:]), message[20:])
            + b"BDAT 0 LAST\r\nNOOP\r\n"
        )
        assert [connection.getreply()[0] for _ in range(6)] == [250] * 6
    edge.arrived(marker, protocol="ESMTP")
