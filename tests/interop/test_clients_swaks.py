"""swaks in each of its modes: TLS, logins, certificates, UNIX socket, PROXY, pipelining."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.fakes.processes import LOOPBACK
from tests.fakes.programs import require_perl_module, require_program
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
from tests.interop.clients_run import Finished, run

pytest_plugins = ("tests.interop.clients_setup",)

# Exit statuses; see "EXIT CODES" in swaks(1).
CONNECTION_FAILED, NO_RECIPIENT, AUTH_FAILED, TLS_FAILED = 2, 24, 28, 29

Swaks = Callable[..., Finished]


@pytest.fixture
def swaks() -> Swaks:
    """Run swaks with further options; the message has the marker as its subject."""
    program = require_program("swaks", "swaks")
    require_perl_module("Net::SSLeay", "libnet-ssleay-perl")

    def send(marker: str, *options: str, to: str = RECIPIENT) -> Finished:
        argv = [program, "--ehlo", "client.test", "--from", SENDER, "--to", to, "--timeout", "30"]
        return run([*argv, "--h-Subject", marker, *options])

    return send


def _at(edge: Edge, entrance: str) -> list[str]:
    return ["--server", LOOPBACK, "--port", str(edge.ports[entrance])]


def _verified(edge: Edge) -> list[str]:
    return ["--tls-verify", "--tls-ca-path", edge.tls.ca]


def _credentials(password: str = PASSWORD) -> list[str]:
    return ["--auth-user", LOGIN, "--auth-password", password]


@pytest.mark.parametrize(
    ("entrance", "options", "protocol"),
    [
        pytest.param("plain", [], "ESMTP", id="plain"),
        pytest.param("plain", ["--protocol", "SMTP"], "SMTP", id="helo"),
        pytest.param("plain", ["--pipeline"], "ESMTP", id="pipeline"),
        pytest.param("starttls", ["--tls"], "ESMTPS", id="starttls"),
        pytest.param("starttls", ["--tls", "--pipeline"], "ESMTPS", id="starttls-pipeline"),
        pytest.param("starttls", ["--tls-optional-strict"], "ESMTPS", id="starttls-if-offered"),
        pytest.param("plain", ["--tls-optional-strict"], "ESMTP", id="plain-if-not-offered"),
        pytest.param("implicit", ["--tlsc"], "ESMTPS", id="implicit"),
        pytest.param("implicit", ["--tlsc", "--tls-protocol", "tlsv1_2"], "ESMTPS", id="tls-1.2"),
        pytest.param("starttls", ["--tls", "--tls-protocol", "tlsv1_3"], "ESMTPS", id="tls-1.3"),
    ],
)
def test_message_arrives_signed(
    edge: Edge, swaks: Swaks, entrance: str, options: list[str], protocol: str
) -> None:
    """Nobody is asked for a login there."""
    verified = _verified(edge) if entrance != "plain" else []
    marker = new_marker()
    done = swaks(marker, *_at(edge, entrance), *options, *verified)
    assert done.status == 0, done
    received = edge.arrived(marker, protocol=protocol)
    assert trace_of(received).client == f"client.test ([{LOOPBACK}])"


@pytest.mark.parametrize("protocol", ["tlsv1", "tlsv1_1"])
def test_old_tls_is_refused(edge: Edge, swaks: Swaks, protocol: str) -> None:
    """RFC 8996; the message is not sent in clear instead."""
    marker = new_marker()
    done = swaks(
        marker,
        *_at(edge, "starttls"),
        # OpenSSL would not try it by itself.
        *("--tls", "--tls-protocol", protocol, "--tls-cipher", "ALL:@SECLEVEL=0"),
    )
    assert done.status == TLS_FAILED, done
    # It was tried, and the relay ended it: with an alert, or as asyncio does, which keeps that.
    assert re.search(r"TLS startup failed .*(alert protocol version|unexpected eof)", done.errors)
    assert not edge.has_seen(marker)


@pytest.mark.parametrize(
    ("entrance", "options", "protocol"),
    [
        pytest.param("submission", ["--tls"], "ESMTPSA", id="starttls"),
        pytest.param("submissions", ["--tlsc"], "ESMTPSA", id="implicit"),
        pytest.param("cleartext", [], "ESMTPA", id="clear"),
        pytest.param("submission", ["--tls", "--pipeline"], "ESMTPSA", id="pipeline"),
    ],
)
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_who_is_logged_in_may_submit(
    edge: Edge, swaks: Swaks, entrance: str, options: list[str], protocol: str, mechanism: str
) -> None:
    """Each mechanism that is offered."""
    marker = new_marker()
    done = swaks(marker, *_at(edge, entrance), *options, "--auth", mechanism, *_credentials())
    assert done.status == 0, done
    edge.arrived(marker, protocol=protocol)


# Failures are counted by address and answered later each time, so each client has its own.
@pytest.mark.parametrize(
    ("mechanism", "address"), [("PLAIN", "127.0.0.13"), ("LOGIN", "127.0.0.14")]
)
def test_wrong_password_is_refused(edge: Edge, swaks: Swaks, mechanism: str, address: str) -> None:
    """535 5.7.8, and swaks gives up."""
    marker = new_marker()
    options = ["--tls", "--local-interface", address]
    options += ["--auth", mechanism, *_credentials("a guess")]
    done = swaks(marker, *_at(edge, "submission"), *options)
    assert done.status == AUTH_FAILED, done
    assert "<~* 535 5.7.8 " in done.output, done
    assert not edge.has_seen(marker)


def test_password_in_clear_is_never_asked_for(edge: Edge, swaks: Swaks) -> None:
    """Without TLS no AUTH is offered; without a login nothing is taken."""
    marker = new_marker()
    done = swaks(marker, *_at(edge, "submission"), "--auth", "PLAIN", *_credentials())
    assert done.status == AUTH_FAILED, done
    assert "AUTH" not in _offered(done), done
    done = swaks(marker, *_at(edge, "submission"), "--auth-optional", *_credentials())
    assert "<** 530 5.7.0 " in done.output, done
    done = swaks(marker, *_at(edge, "submission"), "--tls")
    assert "<~* 530 5.7.0 " in done.output, done
    assert not edge.has_seen(marker)


@pytest.mark.parametrize(
    ("entrance", "option"), [("submission", "--tls"), ("submissions", "--tlsc")]
)
def test_client_with_a_certificate_may_submit(
    edge: Edge, swaks: Swaks, entrance: str, option: str
) -> None:
    """Its certificate's name stands in [[clients]]."""
    marker = new_marker()
    shown = ["--tls-cert", edge.tls.certificate, "--tls-key", edge.tls.key]
    done = swaks(marker, *_at(edge, entrance), option, *shown, *_verified(edge))
    assert done.status == 0, done
    edge.arrived(marker, protocol="ESMTPS")


def test_user_of_the_unix_socket_may_submit(edge: Edge, swaks: Swaks) -> None:
    """The system says which user it is; there is no address to tell of."""
    marker = new_marker()
    done = swaks(marker, "--socket", edge.socket)
    assert done.status == 0, done
    received = edge.arrived(marker, protocol="ESMTP")
    assert trace_of(received).client == ""


@pytest.mark.parametrize(
    ("version", "family", "source", "literal"),
    [
        ("1", "TCP4", "192.0.2.7", "[192.0.2.7]"),
        ("1", "TCP6", "2001:db8::7", "[IPv6:2001:db8::7]"),
        ("2", "AF_INET", "192.0.2.7", "[192.0.2.7]"),
    ],
)
def test_client_behind_a_proxy_is_who_the_proxy_says(
    edge: Edge, swaks: Swaks, version: str, family: str, source: str, literal: str
) -> None:
    """Rules and Received go by the address in the PROXY header, of either version."""
    marker = new_marker()
    done = swaks(marker, *_at(edge, "proxied"), *_proxy(version, family, source))
    assert done.status == 0, done
    received = edge.arrived(marker, protocol="ESMTP")
    assert trace_of(received).client == f"client.test ({literal})"


def test_stranger_behind_a_proxy_may_not_submit(edge: Edge, swaks: Swaks) -> None:
    """The proxy's own address is no recommendation."""
    marker = new_marker()
    done = swaks(marker, *_at(edge, "proxied"), *_proxy("1", "TCP4", "198.51.100.1"))
    assert re.search(r"<\*\* 5\d\d 5\.7\.", done.output), done
    assert not edge.has_seen(marker)


@pytest.mark.parametrize("options", [[], ["--pipeline"]], ids=["one-by-one", "pipeline"])
def test_refused_recipients_are_told_in_their_places(
    edge: Edge, swaks: Swaks, options: list[str]
) -> None:
    """Some of several are refused by the smarthost, the others get the message."""
    marker = new_marker()
    names = [f"{name}-{marker}@sink.test" for name in ("ann", "gone", "bob", "full")]
    edge.smarthost.on("rcpt", reply("550 5.1.1 no such person"), match=names[1].encode())
    edge.smarthost.on("rcpt", reply("452 4.2.2 mailbox is full"), match=names[3].encode())
    done = swaks(marker, *_at(edge, "plain"), *options, to=",".join(names))
    assert done.status == 0, done
    told = re.findall(r"^<(?:- |\*\*) (\d{3}) [245]\.(?:1\.5|1\.1|2\.2) ", done.output, re.M)
    assert told == ["250", "550", "250", "452"], done
    received = edge.arrived(marker, protocol="ESMTP")
    assert received.recipients == [f"RCPT TO:<{name}>".encode() for name in names[::2]]


def test_no_recipient_left_is_told(edge: Edge, swaks: Swaks) -> None:
    """Pipelined, DATA comes all the same, and must not be taken."""
    marker = new_marker()
    gone = f"gone-{marker}@sink.test"
    edge.smarthost.on("rcpt", reply("550 5.1.1 no such person"), match=gone.encode())
    done = swaks(marker, *_at(edge, "plain"), "--pipeline", to=gone)
    assert done.status == NO_RECIPIENT, done
    assert not edge.has_seen(marker)


def _proxy(version: str, family: str, source: str) -> list[str]:
    destination = "2001:db8::1" if ":" in source else "192.0.2.1"
    return [
        *("--proxy-version", version, "--proxy-family", family),
        *("--proxy-source", source, "--proxy-source-port", "40000"),
        *("--proxy-dest", destination, "--proxy-dest-port", "25"),
    ]


def _offered(done: Finished) -> list[str]:
    """The keywords of all EHLO replies."""
    return re.findall(r"^<[-~] +250[ -](\S+)", done.output, re.MULTILINE)
