"""curl, with smtp:// and smtps://."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.fakes.processes import LOOPBACK
from tests.fakes.programs import require_program
from tests.fakes.smarthost import reply
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

# Exit statuses; see "EXIT CODES" in curl(1).
WITHOUT_TLS, SEND_FAILED, LOGIN_DENIED, UNTRUSTED = 64, 55, 67, 60

Curl = Callable[..., Finished]


@pytest.fixture
def curl(edge: Edge) -> Curl:
    """Send a message to an entrance with further options; EHLO says the word behind the port."""
    program = require_program("curl", "curl")

    def send(entrance: str, message: bytes, *options: str, sender: str = SENDER) -> Finished:
        scheme = "smtps" if entrance in ("implicit", "submissions") else "smtp"
        argv = [program, "--disable", "--silent", "--show-error", "--verbose", "--max-time", "30"]
        argv += [f"{scheme}://{LOOPBACK}:{edge.ports[entrance]}/client.test"]
        argv += ["--mail-from", sender, "--upload-file", "-", *options]
        if "--mail-rcpt" not in options:
            argv += ["--mail-rcpt", RECIPIENT]
        return run(argv, given=message)

    return send


@pytest.mark.parametrize(
    ("entrance", "protocol"), [("plain", "ESMTP"), ("starttls", "ESMTPS"), ("implicit", "ESMTPS")]
)
def test_message_arrives_signed(edge: Edge, curl: Curl, entrance: str, protocol: str) -> None:
    """Over TLS with the certificate verified: --ssl-reqd, --cacert."""
    marker = new_marker()
    options = ["--ssl-reqd", "--cacert", edge.tls.ca] if entrance != "plain" else []
    done = curl(entrance, make_message(marker), *options)
    assert done.status == 0, done
    received = edge.arrived(marker, protocol=protocol)
    assert trace_of(received).client == f"client.test ([{LOOPBACK}])"


@pytest.mark.parametrize(
    ("entrance", "protocol"),
    [("submission", "ESMTPSA"), ("submissions", "ESMTPSA"), ("cleartext", "ESMTPA")],
)
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("option", ["--sasl-ir", "--no-sasl-ir"])
def test_who_is_logged_in_may_submit(
    edge: Edge, curl: Curl, entrance: str, protocol: str, mechanism: str, option: str
) -> None:
    """Each mechanism, with the first response in the command or behind a challenge."""
    marker = new_marker()
    tls = ["--ssl-reqd", "--cacert", edge.tls.ca] if entrance != "cleartext" else []
    login = ["--user", f"{LOGIN}:{PASSWORD}", "--login-options", f"AUTH={mechanism}", option]
    done = curl(entrance, make_message(marker), *tls, *login)
    assert done.status == 0, done
    edge.arrived(marker, protocol=protocol)


def test_wrong_password_is_refused(edge: Edge, curl: Curl) -> None:
    """535, and curl says that the login was denied."""
    marker = new_marker()
    # Failures are counted by address and answered later each time, so this client has its own.
    options = ["--cacert", edge.tls.ca, "--user", f"{LOGIN}:guess", "--interface", "127.0.0.11"]
    done = curl("submissions", make_message(marker), *options)
    assert done.status == LOGIN_DENIED, done
    assert "< 535 5.7.8 " in done.errors, done
    assert not edge.has_seen(marker)


def test_password_does_not_go_over_the_wire_in_clear(edge: Edge, curl: Curl) -> None:
    """No AUTH is found before STARTTLS, and no STARTTLS where there is none."""
    marker = new_marker()
    done = curl("submission", make_message(marker), "--user", f"{LOGIN}:{PASSWORD}")
    assert "AUTH" not in done.errors, done
    assert "< 530 5.7.0 " in done.errors, done
    done = curl("plain", make_message(marker), "--ssl-reqd")
    assert done.status == WITHOUT_TLS, done
    assert not edge.has_seen(marker)


def test_certificate_of_an_unknown_authority_is_not_trusted(edge: Edge, curl: Curl) -> None:
    """So the successes above mean that names and chain are right."""
    marker = new_marker()
    done = curl("implicit", make_message(marker))
    assert done.status == UNTRUSTED, done
    assert not edge.has_seen(marker)


def test_client_with_a_certificate_may_submit(edge: Edge, curl: Curl) -> None:
    """Its certificate's name stands in [[clients]]."""
    marker = new_marker()
    shown = ["--cert", edge.tls.certificate, "--key", edge.tls.key, "--cacert", edge.tls.ca]
    done = curl("submissions", make_message(marker), *shown)
    assert done.status == 0, done
    edge.arrived(marker, protocol="ESMTPS")


def test_internationalized_sender_and_author_submitting_for_another(edge: Edge, curl: Curl) -> None:
    """SMTPUTF8 where the envelope needs it, and AUTH= of MAIL (RFC 4954 §5)."""
    marker = new_marker()
    sender = "jürgen@example.com"
    login = ["--user", f"{LOGIN}:{PASSWORD}", "--mail-auth", SENDER, "--cacert", edge.tls.ca]
    done = curl("submissions", make_message(marker, sender=sender), *login, sender=sender)
    assert done.status == 0, done
    assert f"AUTH=<{SENDER}>" in done.errors or f"AUTH={SENDER}" in done.errors, done
    received = edge.arrived(marker, protocol="UTF8SMTPSA")
    assert received.mail.startswith(f"MAIL FROM:<{sender}>".encode())


def test_some_recipients_refused(edge: Edge, curl: Curl) -> None:
    """--mail-rcpt-allowfails goes on with those that are left."""
    marker = new_marker()
    gone = f"gone-{marker}@sink.test"
    edge.smarthost.on("rcpt", reply("550 5.1.1 no such person"), match=gone.encode())
    recipients = ["--mail-rcpt", gone, "--mail-rcpt", RECIPIENT]
    done = curl("plain", make_message(marker), *recipients)
    assert done.status == SEND_FAILED, done
    assert not edge.has_seen(marker)
    done = curl("plain", make_message(marker), *recipients, "--mail-rcpt-allowfails")
    assert done.status == 0, done
    received = edge.arrived(marker, protocol="ESMTP")
    assert received.recipients == [f"RCPT TO:<{RECIPIENT}>".encode()]
