"""OpenSMTPD as the smarthost: lock-step, by DATA, in clear (see `tests.fakes.opensmtpd`)."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.fakes.corpus_case import compose
from tests.fakes.opensmtpd import OpenSmtpd, Setup
from tests.fakes.processes import LOOPBACK
from tests.interop.clients import Mail, ask_with_smtplib, submit_with_smtplib
from tests.interop.conftest import REFUSED, AssertSigned, StartRelay
from tests.interop.corpus_run import CASES
from tests.interop.wiretap import Wiretap

MAX_OCTETS = 200_000
CASE_NAMES = (
    "plain-text",
    "empty-body",
    "body-of-one-dot",
    "body-ending-in-a-dot-line",
    "lines-beginning-with-dots",
    "lines-of-998-octets-with-dots",
    "smtp-commands-in-the-body",
    "body-ending-in-blank-lines",
)


@pytest.fixture(scope="module")
def opensmtpd(certificate_authority: trustme.CA) -> Iterator[OpenSmtpd]:
    """One running instance."""
    issued = certificate_authority.issue_cert(LOOPBACK, key_type=trustme.KeyType.RSA)
    setup = Setup(
        mailboxes=("ann", "bob"),
        refused=REFUSED,
        max_octets=MAX_OCTETS,
        certificate=issued.private_key_and_cert_chain_pem.bytes().decode("ascii"),
    )
    with OpenSmtpd(setup) as running:
        yield running


def test_what_opensmtpd_stores_is_what_was_signed(
    opensmtpd: OpenSmtpd, start_relay: StartRelay, assert_signed: AssertSigned
) -> None:
    """One command after the other, then DATA: octet for octet, for every verifier."""
    with Wiretap(opensmtpd.port) as wiretap:
        relay = start_relay(wiretap.port)
        for name in CASE_NAMES:
            mail = marked_mail("ann@sink.test", "bob@sink.test", message=CASES[name].build())
            submission = submit_with_smtplib(relay.port, mail)
            assert submission.refusal is None, (name, submission)
            sender = mail.mail_from.encode()
            [wire] = [one.content for one in wiretap.transactions() if sender in one.mail]
            assert wire is not None
            stored = opensmtpd.stored(marker_of(mail), count=2)
            assert [one.mailbox for one in stored] == ["ann", "bob"]
            assert all(one.message.endswith(b"\r\n" + wire) for one in stored), name
            assert wire.startswith(b"DKIM-Signature: v=1;")
            assert wire.endswith(CASES[name].carried())
            assert_signed(stored[0].message)


def test_eight_bit_text_goes_as_it_is(
    opensmtpd: OpenSmtpd, start_relay: StartRelay, assert_signed: AssertSigned
) -> None:
    """OpenSMTPD always offers 8BITMIME, and keeps what it promises."""
    relay = start_relay(opensmtpd.port)
    fields = {"MIME-Version": b"1.0", "Content-Type": b"text/plain; charset=utf-8"}
    body = "Grüße aus Köln.\r\n".encode()
    mail = marked_mail("ann@sink.test", message=compose(body, fields=fields))
    assert submit_with_smtplib(relay.port, mail).refusal is None
    [stored] = opensmtpd.stored(marker_of(mail))
    assert stored.message.endswith(b"\r\n\r\n" + body)
    assert_signed(stored.message)


def test_recipients_are_refused_in_opensmtpds_words(
    opensmtpd: OpenSmtpd, start_relay: StartRelay
) -> None:
    """Each reply is the one that it gives to the same client without the relay; even 524."""
    mail = marked_mail("gone@sink.test", "ann@sink.test", *REFUSED, "nobody@sink.test", "a@b.test")
    relay = start_relay(opensmtpd.port)
    submission = submit_with_smtplib(relay.port, mail)
    assert submission.rcpt == ask_with_smtplib(opensmtpd.port, mail.rcpt_to)
    accepted = [name for name, reply in submission.rcpt.items() if reply.code == 250]
    assert accepted == ["ann@sink.test"]
    [stored] = opensmtpd.stored(marker_of(mail))
    assert stored.mailbox == "ann"


def test_message_over_opensmtpds_size(opensmtpd: OpenSmtpd, start_relay: StartRelay) -> None:
    """Refused for good when it is there (SIZE in MAIL goes unread), and the relay goes on."""
    relay = start_relay(opensmtpd.port)
    big = marked_mail("ann@sink.test", message=compose(b"too much\r\n" * MAX_OCTETS))
    refusal = submit_with_smtplib(relay.port, big).refusal
    assert refusal is not None
    assert 500 <= refusal.code < 600
    mail = marked_mail("ann@sink.test")
    assert submit_with_smtplib(relay.port, mail).refusal is None
    assert opensmtpd.stored(marker_of(mail))


def test_handshake_that_the_server_breaks_off(
    opensmtpd: OpenSmtpd,
    start_relay: StartRelay,
    certificate_authority: trustme.CA,
    tmp_path: Path,
) -> None:
    """STARTTLS is accepted, then comes an alert: 451, the cause in the log, nothing in clear."""
    authority = tmp_path / "authority.pem"
    certificate_authority.cert_pem.write_to_path(authority)
    settings = {
        "DKIM_RELAY_UPSTREAM__TLS": "starttls",
        "DKIM_RELAY_UPSTREAM__CA_FILE": str(authority),
    }
    with Wiretap(opensmtpd.submission_port) as wiretap:
        relay = start_relay(wiretap.port, settings)
        submission = submit_with_smtplib(relay.port, marked_mail("ann@sink.test"))
        assert wiretap.transactions() == []
    assert submission.refusal is not None
    assert submission.refusal.code == 451
    assert "at STARTTLS" in relay.tail()


def marked_mail(*recipients: str, message: bytes | None = None) -> Mail:
    """A message that is found again by its reverse-path and its first field."""
    marker = uuid.uuid4().hex
    return Mail(
        mail_from=f"{marker}@example.com",
        rcpt_to=tuple(dict.fromkeys(recipients)),
        message=f"X-Marker: {marker}\r\n".encode() + (message or compose()),
    )


def marker_of(mail: Mail) -> bytes:
    """What is in the message and in no other."""
    return b"X-Marker: " + mail.mail_from.partition("@")[0].encode()
