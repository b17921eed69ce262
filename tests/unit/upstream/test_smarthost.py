"""The fake smarthost itself, judged by the standard library's client and by raw sockets."""

from __future__ import annotations

import smtplib
import socket
import ssl

import pytest

from tests.fakes.certificates import Certificates
from tests.fakes.pools import MESSAGE
from tests.fakes.smarthost import Fault, Smarthost, in_thread, reply


def lines_from(host: Smarthost, *writes: bytes) -> list[bytes]:
    """What a raw client gets to hear until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", host.port), 10) as connection:
        for octets in writes:
            connection.sendall(octets)
        with connection.makefile("rb") as answers:
            return answers.read().splitlines()


def test_it_serves_a_stock_client_from_a_thread() -> None:
    """Envelope, octets and the raw form with its stuffed dots are recorded."""
    with in_thread(Smarthost()) as host:
        host.on("rcpt", reply("550 5.1.1 no"), match=b"bad@")
        with smtplib.SMTP("127.0.0.1", host.port, "client.test", 10) as client:
            refused = client.sendmail("a@x.test", ["b@x.test", "bad@x.test"], MESSAGE)
        assert refused == {"bad@x.test": (550, b"5.1.1 no")}
    [received] = host.accepted
    assert received.octets == MESSAGE
    assert received.raw == MESSAGE.replace(b"\r\n.", b"\r\n..") + b".\r\n"
    assert received.mail.upper().startswith(b"MAIL FROM:<A@X.TEST>")
    assert [line.upper() for line in received.recipients] == [b"RCPT TO:<B@X.TEST>"]
    assert host.violations == []
    assert host.open_sessions == 0


@pytest.mark.parametrize("implicit", [True, False])
def test_it_speaks_tls_and_auth(implicit: bool, certificates: Certificates) -> None:
    """STARTTLS and implicit TLS; PLAIN and LOGIN."""
    context = ssl.create_default_context(cafile=certificates.ca_file)
    host = Smarthost(tls=certificates.server(), implicit=implicit, users={"app": "for tests"})
    with in_thread(host):
        client = (
            smtplib.SMTP_SSL("127.0.0.1", host.port, "c.test", timeout=10, context=context)
            if implicit
            else smtplib.SMTP("127.0.0.1", host.port, "c.test", 10)
        )
        with client:
            if not implicit:
                client.starttls(context=context)
            client.ehlo_or_helo_if_needed()
            client.user, client.password = "app", "for tests"
            assert client.auth("login", client.auth_login)[0] == 235
            client.password = "wrong"
            with pytest.raises(smtplib.SMTPAuthenticationError):
                client.auth("plain", client.auth_plain)
    assert host.sessions[0].user == "app"
    assert host.sessions[0].tls.startswith("TLSv1.")


def test_it_takes_chunks() -> None:
    """RFC 3030: several BDATs are one message, octets are not interpreted."""
    with in_thread(Smarthost(extensions=("CHUNKING", "PIPELINING"))) as host:
        lines = lines_from(
            host,
            b"EHLO c.test\r\nMAIL FROM:<>\r\nRCPT TO:<a@x.test>\r\nBDAT 6\r\n.\r\n.\r\n",
            b"BDAT 3 LAST\r\n\r\n.QUIT\r\n",
        )
        assert lines[-2:] == [b"250 2.0.0 Queued as 1", b"221 2.0.0 Bye"]
    [received] = host.accepted
    assert (received.octets, received.verb) == (b".\r\n.\r\n\r\n.", "BDAT")


@pytest.mark.parametrize(
    ("octets", "violation"),
    [
        (b"EHLO c.test\r\nNOOP\r\nQUIT\r\n", "pipelined after b'EHLO c.test'"),
        (b"NOOP a\rb\r\n", "a control character"),
        (b"XYZ\r\n", "unknown command"),
        (b"MAIL FROM:<> SIZE=1\r\n", "SIZE in b'MAIL FROM:<> SIZE=1', which is not offered"),
        (b"RCPT TO:<a@x.test> Foo=1\r\n", "FOO in b'RCPT"),
        (b"MAIL FROM:<>\r\nMAIL FROM:<>\r\n", "nested MAIL"),
        (b"MAIL FROM:<>\r\nRCPT TO:<a@x.test>\r\nDATA\r\nhalf a mess", "ended within the message"),
    ],
)
def test_it_notes_what_a_client_must_not_do(octets: bytes, violation: str) -> None:
    """The tests of the relay assert that there is none."""
    with in_thread(Smarthost(extensions=())) as host:
        with socket.create_connection(("127.0.0.1", host.port), 10) as connection:
            connection.sendall(octets)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):
                pass
        assert any(violation in noted for noted in host.violations)


def test_it_keeps_the_order_of_commands() -> None:
    """503 where the standard says so, and no message comes of it."""
    with in_thread(Smarthost(extensions=("PIPELINING",))) as host:
        lines = lines_from(host, b"RCPT TO:<a@x.test>\r\nMAIL FROM:<>\r\nDATA\r\nQUIT\r\n")
        assert [line[:3] for line in lines] == [b"220", b"503", b"250", b"503", b"221"]
    assert host.received == []


def test_faults_are_what_they_say() -> None:
    """FIN, RST, and rules that are used up."""
    with in_thread(Smarthost()) as host:
        host.on("noop", reply("250 once"), times=1)
        host.on("noop", reply("250-two", "250 lines"), Fault.CLOSE)
        assert lines_from(host, b"NOOP\r\nNOOP\r\n")[1:] == [
            b"250 once",
            b"250-two",
            b"250 lines",
        ]
        host.on("connect", Fault.RESET)
        with (
            pytest.raises(ConnectionResetError),  # of connect too, when the reset is quick
            socket.create_connection(("127.0.0.1", host.port), 10) as connection,
        ):
            connection.recv(1)


def test_a_stage_must_exist() -> None:
    """A misspelt rule would never be used."""
    with pytest.raises(ValueError, match="not a stage"):
        Smarthost().on("mial", Fault.CLOSE)
