"""Dovecot as the next hop, by LMTP (RFC 2033) over TCP and over a UNIX socket."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from tests.fakes.corpus_case import compose
from tests.fakes.dovecot import Dovecot
from tests.fakes.processes import LOOPBACK
from tests.interop.clients import Mail, submit_with_smtplib
from tests.interop.conftest import AssertSigned, StartRelay
from tests.interop.corpus_run import CASES
from tests.interop.relay_process import RelayProcess

CASE_NAMES = (
    "plain-text",
    "empty-body",
    "body-of-one-dot",
    "body-ending-in-a-dot-line",
    "lines-beginning-with-dots",
    "smtp-commands-in-the-body",
    "body-ending-in-blank-lines",
)


@pytest.fixture(scope="module")
def dovecot() -> Iterator[Dovecot]:
    """One running instance."""
    with Dovecot(("ann", "bob")) as running:
        yield running


@pytest.fixture(params=["tcp", "unix"])
def relay(
    request: pytest.FixtureRequest, dovecot: Dovecot, start_relay: StartRelay
) -> RelayProcess:
    """A relay in front of it, by either way."""
    by_port = f"lmtp://{LOOPBACK}:{dovecot.port}"
    url = by_port if request.param == "tcp" else f"lmtp+unix:{dovecot.socket}"
    return start_relay(dovecot.port, {"DKIM_RELAY_UPSTREAM__URL": url})


def test_what_dovecot_stores_is_signed(
    relay: RelayProcess, dovecot: Dovecot, assert_signed: AssertSigned
) -> None:
    """Octet for octet what the application sent, with our fields in front, for every verifier."""
    for name in CASE_NAMES:
        mail = marked_mail("ann@sink.test", message=CASES[name].build())
        submission = submit_with_smtplib(relay.port, mail)
        assert submission.refusal is None, (name, submission)
        [stored] = dovecot.stored(marker_of(mail))
        assert stored.mailbox == "ann"
        assert stored.message.endswith(CASES[name].carried()), name
        assert b"\r\nDKIM-Signature: v=1;" in stored.message
        assert_signed(stored.message)


def test_unknown_user_is_refused_in_dovecots_words(relay: RelayProcess, dovecot: Dovecot) -> None:
    """At RCPT; and the one that it knows gets the message."""
    mail = marked_mail("nobody@sink.test", "ann@sink.test")
    submission = submit_with_smtplib(relay.port, mail)
    refusal = submission.rcpt["nobody@sink.test"]
    assert refusal.code == 550
    assert "User doesn't exist: nobody@sink.test" in refusal.text
    assert submission.rcpt["ann@sink.test"].code == 250
    assert submission.data is not None
    assert submission.data.code == 250
    [stored] = dovecot.stored(marker_of(mail))
    assert stored.mailbox == "ann"


def test_second_recipient_is_asked_to_wait(relay: RelayProcess, dovecot: Dovecot) -> None:
    """LMTP answers for each recipient, SMTP once: one at a time, 452 4.5.3 for more."""
    mail = marked_mail("ann@sink.test", "bob@sink.test")
    submission = submit_with_smtplib(relay.port, mail)
    codes = [reply.code for reply in submission.rcpt.values()]
    assert codes == [250, 452]
    [stored] = dovecot.stored(marker_of(mail))
    assert stored.mailbox == "ann"


def test_one_connection_carries_message_after_message(
    relay: RelayProcess, dovecot: Dovecot
) -> None:
    """Replies and transactions stay in step."""
    for number in range(5):
        mail = marked_mail(("ann@sink.test", "bob@sink.test")[number % 2])
        assert submit_with_smtplib(relay.port, mail).refusal is None
        [stored] = dovecot.stored(marker_of(mail))
        assert stored.mailbox == ("ann", "bob")[number % 2]


def marked_mail(*recipients: str, message: bytes | None = None) -> Mail:
    """A message that is found again by its reverse-path and its first field."""
    marker = uuid.uuid4().hex
    return Mail(
        mail_from=f"{marker}@example.com",
        rcpt_to=recipients,
        message=f"X-Marker: {marker}\r\n".encode() + (message or compose()),
    )


def marker_of(mail: Mail) -> bytes:
    """What is in the message and in no other."""
    return b"X-Marker: " + mail.mail_from.partition("@")[0].encode()
