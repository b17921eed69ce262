"""msmtp, which sends for cron and other programs that call `sendmail`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.processes import LOOPBACK
from tests.fakes.programs import require_program
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
from tests.interop.clients_run import Finished, run

pytest_plugins = ("tests.interop.clients_setup",)

# Exit statuses, of sysexits.h.
NO_PERMISSION, UNAVAILABLE = 77, 69

Msmtp = Callable[..., Finished]


@pytest.fixture
def msmtp(edge: Edge, tmp_path: Path) -> Msmtp:
    """Send a message to an entrance with further lines of msmtprc and options."""
    program = require_program("msmtp", "msmtp")

    def send(
        entrance: str, message: bytes, *settings: str, options: tuple[str, ...] = ()
    ) -> Finished:
        lines = ["defaults", f"tls_trust_file {edge.tls.ca}", "account relay", f"host {LOOPBACK}"]
        lines += [f"port {edge.ports[entrance]}", f"from {SENDER}", "domain client.test"]
        if entrance in ("implicit", "submissions"):
            lines += ["tls on", "tls_starttls off"]
        elif entrance in ("starttls", "submission"):
            lines += ["tls on", "tls_starttls on"]
        else:
            lines += ["tls off"]
        path = tmp_path / "msmtprc"
        path.write_text("\n".join((*lines, *settings, "")), "utf-8")
        path.chmod(0o600)  # msmtp takes passwords from nothing else
        argv = [program, f"--file={path}", "--account=relay", "--debug", *options, RECIPIENT]
        return run(argv, given=message.replace(b"\r\n", b"\n"))

    return send


@pytest.mark.parametrize(
    ("entrance", "protocol"), [("plain", "ESMTP"), ("starttls", "ESMTPS"), ("implicit", "ESMTPS")]
)
def test_message_arrives_signed(edge: Edge, msmtp: Msmtp, entrance: str, protocol: str) -> None:
    """In clear, and over TLS with tls_starttls on and off; lines of dots are left whole."""
    marker = new_marker()
    done = msmtp(entrance, make_message(marker, body="line\r\n.\r\n..\r\nlast\r\n"))
    assert done.status == 0, done
    received = edge.arrived(marker, protocol=protocol)
    assert trace_of(received).client == f"client.test ([{LOOPBACK}])"
    assert received.octets.endswith(b"\r\n\r\nline\r\n.\r\n..\r\nlast\r\n")


@pytest.mark.parametrize(
    ("entrance", "protocol"),
    [("submission", "ESMTPSA"), ("submissions", "ESMTPSA"), ("cleartext", "ESMTPA")],
)
@pytest.mark.parametrize("mechanism", ["plain", "login"])
def test_who_is_logged_in_may_submit(
    edge: Edge, msmtp: Msmtp, entrance: str, protocol: str, mechanism: str
) -> None:
    """Auth plain and auth login."""
    marker = new_marker()
    done = msmtp(entrance, make_message(marker), *_login(mechanism))
    assert done.status == 0, done
    edge.arrived(marker, protocol=protocol)


def test_auth_on_finds_a_mechanism(edge: Edge, msmtp: Msmtp) -> None:
    """As most people set it up."""
    marker = new_marker()
    done = msmtp("submission", make_message(marker), *_login("on"))
    assert done.status == 0, done
    edge.arrived(marker, protocol="ESMTPSA")


def test_wrong_password_is_refused(edge: Edge, msmtp: Msmtp) -> None:
    """535, and the status by which programs know."""
    marker = new_marker()
    # Failures are counted by address and answered later each time, so this client has its own.
    settings = [*_login("plain", "guess"), "source_ip 127.0.0.12"]
    done = msmtp("submission", make_message(marker), *settings)
    assert done.status == NO_PERMISSION, done
    assert "<-- 535 5.7.8 " in done.output, done
    assert not edge.has_seen(marker)


def test_no_login_in_clear(edge: Edge, msmtp: Msmtp) -> None:
    """Where TLS is missing, there is no AUTH to be found; without a login, no permission."""
    marker = new_marker()
    done = msmtp("plain", make_message(marker), *_login("plain"))
    assert done.status == UNAVAILABLE, done
    assert not edge.has_seen(marker)


def test_client_with_a_certificate_may_submit(edge: Edge, msmtp: Msmtp) -> None:
    """With GnuTLS, whose client speaks otherwise than OpenSSL's."""
    marker = new_marker()
    files = [f"tls_cert_file {edge.tls.certificate}", f"tls_key_file {edge.tls.key}"]
    done = msmtp("submissions", make_message(marker), *files)
    assert done.status == 0, done
    edge.arrived(marker, protocol="ESMTPS")


def test_user_of_the_unix_socket_may_submit(edge: Edge, msmtp: Msmtp) -> None:
    """The socket instead of host and port."""
    marker = new_marker()
    done = msmtp("plain", make_message(marker), f"socket {edge.socket}")
    assert done.status == 0, done
    received = edge.arrived(marker, protocol="ESMTP")
    assert trace_of(received).client == ""


def test_wishes_for_delivery_reports_reach_the_smarthost(edge: Edge, msmtp: Msmtp) -> None:
    """dsn_notify and dsn_return: RFC 3461."""
    marker = new_marker()
    done = msmtp("plain", make_message(marker), "dsn_notify failure,delay", "dsn_return headers")
    assert done.status == 0, done
    received = edge.arrived(marker, protocol="ESMTP")
    assert b"RET=HDRS" in received.mail.split()
    (recipient,) = received.recipients
    assert b"NOTIFY=FAILURE,DELAY" in recipient.split()


def _login(mechanism: str, password: str = PASSWORD) -> list[str]:
    return [f"auth {mechanism}", f"user {LOGIN}", f'password "{password}"']
