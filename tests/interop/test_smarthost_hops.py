"""Smarthosts of other kinds: few extensions, no CHUNKING, TLS and login.

A relay of its own for each, because what a relay signs is settled by what its
upstream can carry.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.fakes.corpus_case import compose
from tests.fakes.postfix import Postfix
from tests.fakes.processes import wait_until
from tests.interop.clients import Mail, Submission, connect, submit_on, submit_with_smtplib
from tests.interop.conftest import LOGIN, PASSWORD, AssertSigned, Keys, StartRelay
from tests.interop.corpus_run import CASES, mail_of
from tests.interop.relay_process import RelayProcess
from tests.interop.wiretap import Wiretap

# What differs between DATA and BDAT; the corpus goes by BDAT, and to the bare hop by DATA too.
DATA_CASES = (
    "plain-text",
    "empty-body",
    "body-of-one-dot",
    "body-ending-in-a-dot-line",
    "lines-beginning-with-dots",
    "lines-of-998-octets-with-dots",
    "dots-across-every-block-boundary",
    "smtp-commands-in-the-body",
    "body-ending-in-blank-lines",
    "twenty-recipients",
    "delivery-report-with-null-reverse-path",
    "base64-attachment-of-5-mb",
)


@pytest.fixture(scope="module")
def hop(
    tmp_path_factory: pytest.TempPathFactory, postfix: Postfix, keys: Keys
) -> Iterator[tuple[RelayProcess, Wiretap]]:
    """A relay in front of a smarthost without CHUNKING, with the wire between."""
    with (
        Wiretap(postfix.ports["without-chunking"]) as wiretap,
        RelayProcess(
            tmp_path_factory.mktemp("relay"), keys_dir=keys.folder, upstream_port=wiretap.port
        ) as relay,
    ):
        yield relay, wiretap


@pytest.mark.parametrize("name", DATA_CASES)
def test_message_sent_by_data_passes(
    hop: tuple[RelayProcess, Wiretap],
    postfix: Postfix,
    assert_signed: AssertSigned,
    name: str,
) -> None:
    """Pipelined, transparency (RFC 5321 §4.5.2) is right: stored as signed, for every verifier."""
    relay, wiretap = hop
    queue_id = submit_with_smtplib(relay.port, mail_of(name)).queue_id
    stored = postfix.stored(queue_id)[0].message
    wire = wiretap.content_of(queue_id)
    assert wire.endswith(CASES[name].carried())
    assert stored.endswith(wire)
    assert_signed(stored)


def test_unqualified_address_on_the_way_to_a_postfix_on_the_same_machine(
    start_relay: StartRelay, postfix: Postfix, assert_signed: AssertSigned
) -> None:
    """`To: root`, as cron sends it: such a Postfix would put its own name behind it."""
    relay = start_relay(postfix.ports["same-machine"])
    mail = Mail(
        mail_from="app@example.com",
        rcpt_to=("ann@sink.test",),
        message=compose(fields={"To": b"root"}),
    )
    submission = submit_with_smtplib(relay.port, mail)
    (stored,) = postfix.stored(submission.queue_id)
    assert b"\r\nTo: root@example.com\r\n" in stored.message
    assert_signed(stored.message)


@pytest.fixture
def authority(tmp_path: Path, certificate_authority: trustme.CA) -> Path:
    """A file with the certificate of the authority that issued the smarthost's."""
    path = tmp_path / "authority.pem"
    certificate_authority.cert_pem.write_to_path(path)
    return path


def test_starttls_and_login(
    start_relay: StartRelay, postfix: Postfix, authority: Path, assert_signed: AssertSigned
) -> None:
    """Postfix itself says in its Received field that the hop was encrypted and who logged in."""
    relay = start_relay(postfix.ports["submission"], _submission(authority, PASSWORD))
    queue_id = submit_with_smtplib(relay.port, mail_of("plain-text")).queue_id
    (stored,) = postfix.stored(queue_id)
    own_received = stored.message.partition(b"DKIM-Signature:")[0]
    assert b"(using TLSv1." in own_received
    assert b"(Authenticated sender: " + LOGIN.encode() + b")" in own_received
    assert_signed(stored.message)


def test_wrong_password_is_temporary_and_stays_inside(
    start_relay: StartRelay, postfix: Postfix, authority: Path
) -> None:
    """The client hears 4yz and nothing of the login; the log does not show the password."""
    wrong = "wrong but secret"
    relay = start_relay(postfix.ports["submission"], _submission(authority, wrong))
    submission = submit_with_smtplib(relay.port, mail_of("plain-text"))
    _assert_deferred(submission)
    assert "535" not in submission.rcpt["ann@sink.test"].text
    assert wrong not in relay.tail()


def test_certificate_of_an_unknown_authority_is_refused(
    start_relay: StartRelay, postfix: Postfix, tmp_path: Path
) -> None:
    """No trust, no mail, no password: the client hears 4yz."""
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(other)
    relay = start_relay(postfix.ports["submission"], _submission(other, PASSWORD))
    _assert_deferred(submit_with_smtplib(relay.port, mail_of("plain-text")))


def test_demanded_starttls_that_is_not_offered_is_refused(
    start_relay: StartRelay, postfix: Postfix
) -> None:
    """`tls = "starttls"` towards a server without it: never in clear text, 4yz instead."""
    with Wiretap(postfix.port) as wiretap:
        relay = start_relay(wiretap.port, {"DKIM_RELAY_UPSTREAM__TLS": "starttls"})
        _assert_deferred(submit_with_smtplib(relay.port, mail_of("plain-text")))
        assert wiretap.transactions() == []


def test_smarthost_that_hangs_up_when_idle_is_not_noticed(
    start_relay: StartRelay, postfix: Postfix, assert_signed: AssertSigned
) -> None:
    """Postfix says 421 to a connection in the relay's pool; the next message takes another."""
    with Wiretap(postfix.ports["impatient"]) as wiretap:
        relay = start_relay(wiretap.port)
        with connect(relay.port) as connection:
            assert submit_on(connection, mail_of("plain-text")).queue_id
            wait_until(lambda: _has_timed_out(wiretap), what="Postfix hung up")
            queue_id = submit_on(connection, mail_of("plain-text")).queue_id
    (stored,) = postfix.stored(queue_id)
    assert_signed(stored.message)


def test_smarthost_that_takes_one_connection_at_a_time(
    start_relay: StartRelay, postfix: Postfix
) -> None:
    """Two clients at once: the second waits or hears 4yz, and gets through afterwards."""
    relay = start_relay(postfix.ports["one-connection"])
    with connect(relay.port) as first, connect(relay.port) as second:
        first.mail("app@example.com")
        assert first.rcpt("ann@sink.test")[0] == 250
        _assert_deferred(submit_on(second, mail_of("plain-text")))
        code, text = first.data(CASES["plain-text"].build())
        assert code == 250, text
        assert submit_on(second, mail_of("plain-text")).queue_id


def test_relay_that_ends_says_good_bye(start_relay: StartRelay, postfix: Postfix) -> None:
    """SIGTERM: exit status 0, and QUIT on each connection in the pool (RFC 5321 §4.1.1.10)."""
    with Wiretap(postfix.port) as wiretap:
        relay = start_relay(wiretap.port)
        assert submit_with_smtplib(relay.port, mail_of("plain-text")).queue_id
        assert relay.stop() == 0
        wait_until(
            lambda: _ended_by_quit(wiretap),
            what="the relay said QUIT",
            describe=lambda: f"{wiretap.sessions()}",
        )
    assert relay.events()[-1]["event"] == "service.stopped"


def _has_timed_out(wiretap: Wiretap) -> bool:
    return any(b"\r\n421 4.4.2 " in answered for _, answered in wiretap.sessions())


def _ended_by_quit(wiretap: Wiretap) -> bool:
    # There may be two: the one that asked what the hop offers, and one for the message meanwhile.
    sessions = wiretap.sessions()
    return bool(sessions) and all(said.endswith(b"\r\nQUIT\r\n") for said, _ in sessions)


def _submission(authority: Path, password: str) -> dict[str, str]:
    """The settings for a smarthost that demands TLS and a login."""
    return {
        "DKIM_RELAY_UPSTREAM__TLS": "starttls",
        "DKIM_RELAY_UPSTREAM__CA_FILE": str(authority),
        "DKIM_RELAY_UPSTREAM__USERNAME": LOGIN,
        "DKIM_RELAY_UPSTREAM__PASSWORD": password,
    }


def _assert_deferred(submission: Submission) -> None:
    (reply,) = submission.rcpt.values()
    assert 400 <= reply.code < 500, submission
    assert submission.data is None or submission.data.code != 250, submission
