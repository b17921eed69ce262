"""Exim as the smarthost: what it stores is what was signed, and what it says is what is heard.

Postfix has the whole corpus (`test_smarthost`); here are the messages that tell one server's
reading of DATA and BDAT from another's, and each kind of smarthost that Exim can be.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trustme

from tests.fakes.corpus_case import compose
from tests.fakes.exim import Exim, Setup
from tests.fakes.processes import LOOPBACK
from tests.interop.clients import Mail, ask_with_smtplib, connect, submit_with_smtplib
from tests.interop.conftest import (
    LOGIN,
    PASSWORD,
    REFUSED,
    SMALL_SIZE_OCTETS,
    AssertSigned,
    StartRelay,
)
from tests.interop.corpus_run import CASES, once
from tests.interop.message_parts import decoded_parts
from tests.interop.wiretap import Transaction, Wiretap

MAILBOXES = ("ann", "bob")
CASE_NAMES = (
    "plain-text",
    "empty-body",
    "body-of-one-dot",
    "body-ending-in-a-dot-line",
    "lines-beginning-with-dots",
    "lines-of-998-octets-with-dots",
    "smtp-commands-in-the-body",
    "body-ending-in-blank-lines",
    "base64-attachment-of-5-mb",
)
OPTIONS = {
    "chunking": {"chunking_advertise_hosts": "*"},
    "data": {"chunking_advertise_hosts": ""},
    "lock-step": {"chunking_advertise_hosts": "", "pipelining_advertise_hosts": ""},
    "seven-bit": {"chunking_advertise_hosts": "", "accept_8bitmime": "false"},
    "seven-bit-chunking": {"chunking_advertise_hosts": "*", "accept_8bitmime": "false"},
    "small": {"chunking_advertise_hosts": "*", "message_size_limit": str(SMALL_SIZE_OCTETS)},
    "submission": {"chunking_advertise_hosts": "*"},
}
EIGHT_BIT = "Grüße aus Köln, jetzt für 5 €.\r\n".encode()
EIGHT_BIT_FIELDS = {
    "MIME-Version": b"1.0",
    "Content-Type": b"text/plain; charset=utf-8",
    "Content-Transfer-Encoding": b"8bit",
}

EximOf = Callable[[str], Exim]


@pytest.fixture(scope="module")
def exim_of(certificate_authority: trustme.CA) -> Iterator[EximOf]:
    """A daemon for each kind of `OPTIONS`, started when it is first asked for."""
    issued = certificate_authority.issue_cert(LOOPBACK).private_key_and_cert_chain_pem
    with ExitStack() as running:

        def start(kind: str) -> Exim:
            is_submission = kind == "submission"
            setup = Setup(
                mailboxes=MAILBOXES,
                refused=REFUSED,
                options=OPTIONS[kind],
                login=LOGIN,
                password=PASSWORD,
                certificate=issued.bytes().decode("ascii") if is_submission else "",
                demands_login=is_submission,
            )
            return running.enter_context(Exim(setup))

        yield once(start)


@pytest.fixture
def authority(tmp_path: Path, certificate_authority: trustme.CA) -> Path:
    """A file with the certificate of the authority that issued Exim's."""
    path = tmp_path / "authority.pem"
    certificate_authority.cert_pem.write_to_path(path)
    return path


@pytest.mark.parametrize("kind", ["chunking", "data", "lock-step"])
def test_what_exim_stores_is_what_was_signed(
    exim_of: EximOf, start_relay: StartRelay, assert_signed: AssertSigned, kind: str
) -> None:
    """By BDAT, by pipelined DATA, and command by command: octet for octet, for every verifier."""
    exim = exim_of(kind)
    with Wiretap(exim.port) as wiretap:
        relay = start_relay(wiretap.port)
        for name in CASE_NAMES:
            marker = uuid.uuid4().hex
            mail = Mail(
                mail_from=f"{marker}@example.com",
                rcpt_to=("ann@sink.test", "bob@sink.test"),
                message=f"X-Marker: {marker}\r\n".encode() + CASES[name].build(),
            )
            submission = submit_with_smtplib(relay.port, mail)
            assert submission.refusal is None, (name, submission)
            wire = transaction_of(wiretap, mail).content
            assert wire is not None
            stored = exim.stored(marker.encode(), count=2)
            assert [one.mailbox for one in stored] == ["ann", "bob"]
            assert all(one.message.endswith(b"\r\n" + wire) for one in stored), name
            assert wire.startswith(b"DKIM-Signature: v=1;")
            assert wire.endswith(CASES[name].carried())
            assert_signed(stored[0].message)
        spoken = b"".join(said for said, _ in wiretap.sessions())
    assert (b"\r\nBDAT " in spoken) == (kind == "chunking")
    assert (b"\r\nDATA\r\n" in spoken) == (kind != "chunking")


@pytest.mark.parametrize("kind", ["seven-bit", "seven-bit-chunking"])
def test_eight_bit_text_is_reencoded_before_it_is_signed(
    exim_of: EximOf, start_relay: StartRelay, assert_signed: AssertSigned, kind: str
) -> None:
    """Without 8BITMIME nothing but ASCII is on the wire, the text is the same, and it verifies."""
    exim = exim_of(kind)
    marker = uuid.uuid4().hex
    message = compose(EIGHT_BIT, fields={**EIGHT_BIT_FIELDS, "X-Marker": marker.encode("ascii")})
    mail = Mail(mail_from=f"{marker}@example.com", rcpt_to=("ann@sink.test",), message=message)
    with Wiretap(exim.port) as wiretap:
        relay = start_relay(wiretap.port)
        assert submit_with_smtplib(relay.port, mail).refusal is None
        transaction = transaction_of(wiretap, mail)
    assert transaction.content is not None
    assert transaction.content.isascii()
    assert b"BODY=8BITMIME" not in transaction.mail
    [stored] = exim.stored(marker.encode())
    assert stored.message.endswith(b"\r\n" + transaction.content)
    assert decoded_parts(transaction.content) == decoded_parts(message)
    assert_signed(stored.message)


def test_starttls_and_login(
    exim_of: EximOf, start_relay: StartRelay, authority: Path, assert_signed: AssertSigned
) -> None:
    """Exim itself says in its Received field: ESMTP, secured, authenticated (RFC 3848)."""
    exim = exim_of("submission")
    relay = start_relay(exim.port, submission_settings(authority))
    mail = marked_mail("ann@sink.test")
    assert submit_with_smtplib(relay.port, mail).refusal is None
    [stored] = exim.stored(marker_of(mail))
    assert b" with esmtpsa " in stored.message.partition(b"DKIM-Signature:")[0]
    assert_signed(stored.message)


def test_demanded_login_that_is_not_made(
    exim_of: EximOf, start_relay: StartRelay, authority: Path
) -> None:
    """Without settings for AUTH, the client hears what Exim says to it."""
    settings = submission_settings(authority)
    del settings["DKIM_RELAY_UPSTREAM__USERNAME"], settings["DKIM_RELAY_UPSTREAM__PASSWORD"]
    relay = start_relay(exim_of("submission").port, settings)
    submission = submit_with_smtplib(relay.port, marked_mail("ann@sink.test"))
    assert submission.refusal is not None
    assert (submission.refusal.code, submission.refusal.text) == (550, "5.7.0 log in first")


def test_wrong_password_is_temporary_and_stays_inside(
    exim_of: EximOf, start_relay: StartRelay, authority: Path
) -> None:
    """The client hears 451; neither it nor the log sees the password."""
    wrong = "wrong but secret"
    settings = submission_settings(authority) | {"DKIM_RELAY_UPSTREAM__PASSWORD": wrong}
    relay = start_relay(exim_of("submission").port, settings)
    submission = submit_with_smtplib(relay.port, marked_mail("ann@sink.test"))
    assert submission.refusal is not None
    assert submission.refusal.code == 451
    assert "535" in relay.tail()
    assert wrong not in relay.tail()


def test_recipients_are_refused_in_exims_words(exim_of: EximOf, start_relay: StartRelay) -> None:
    """Each reply is the one that Exim gives to the same client without the relay."""
    exim = exim_of("chunking")
    recipients = ("gone@sink.test", "ann@sink.test", *REFUSED, "nobody@sink.test", "a@else.test")
    mail = marked_mail(*dict.fromkeys(recipients))
    relay = start_relay(exim.port)
    submission = submit_with_smtplib(relay.port, mail)
    assert submission.rcpt == ask_with_smtplib(exim.port, mail.rcpt_to)
    assert [name for name, reply in submission.rcpt.items() if reply.code == 250] == [
        "ann@sink.test"
    ]
    assert submission.data is not None
    assert "OK id=" in submission.data.text  # in the second line of the reply to BDAT
    [stored] = exim.stored(marker_of(mail))
    assert stored.mailbox == "ann"


def test_message_over_exims_size(exim_of: EximOf, start_relay: StartRelay) -> None:
    """Declared or only sent: 552 for the client, and the same relay goes on."""
    exim = exim_of("small")
    relay = start_relay(exim.port)
    big = marked_mail("ann@sink.test", body=b"too much\r\n" * SMALL_SIZE_OCTETS)
    refusal = submit_with_smtplib(relay.port, big).refusal
    assert refusal is not None
    assert refusal.code == 552
    with connect(relay.port) as connection:
        codes = {connection.mail("app@example.com", [f"SIZE={2 * SMALL_SIZE_OCTETS}"])[0]}
        codes.add(connection.rcpt("ann@sink.test")[0])
    assert 552 in codes
    mail = marked_mail("ann@sink.test")
    assert submit_with_smtplib(relay.port, mail).refusal is None
    assert exim.stored(marker_of(mail))


def marked_mail(*recipients: str, body: bytes = b"Hello.\r\n") -> Mail:
    """A message that is found again by its reverse-path and a header field."""
    marker = uuid.uuid4().hex
    message = compose(body, extra=f"X-Marker: {marker}\r\n".encode())
    return Mail(mail_from=f"{marker}@example.com", rcpt_to=recipients, message=message)


def marker_of(mail: Mail) -> bytes:
    """What is in the message and in no other."""
    return b"X-Marker: " + mail.mail_from.partition("@")[0].encode()


def transaction_of(wiretap: Wiretap, mail: Mail) -> Transaction:
    """How the message went over the wire."""
    [found] = [one for one in wiretap.transactions() if mail.mail_from.encode() in one.mail]
    return found


def submission_settings(authority: Path) -> dict[str, str]:
    """For a smarthost that demands TLS and a login."""
    return {
        "DKIM_RELAY_UPSTREAM__TLS": "starttls",
        "DKIM_RELAY_UPSTREAM__CA_FILE": str(authority),
        "DKIM_RELAY_UPSTREAM__USERNAME": LOGIN,
        "DKIM_RELAY_UPSTREAM__PASSWORD": PASSWORD,
    }
