"""The application hears the truth: its replies are the smarthost's own.

What the relay answers is compared with what the same Postfix answers to the same
client without the relay, code and text.
"""

from __future__ import annotations

import smtplib
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.fakes.corpus_case import compose
from tests.fakes.corpus_envelopes import TWENTY_RECIPIENTS
from tests.fakes.postfix import REFUSED_FIELD, REFUSED_FIELD_TEXT, Postfix
from tests.fakes.verifiers import Records, Result, Verifier
from tests.interop.clients import (
    Client,
    Mail,
    Reply,
    ask_with_smtplib,
    connect,
    submit_on,
    submit_with_smtplib,
    submit_with_swaks,
)
from tests.interop.conftest import REFUSED, SMALL_SIZE_OCTETS, AssertSigned, StartRelay
from tests.interop.relay_process import RelayProcess
from tests.interop.wiretap import Transaction, Wiretap

# Twenty in all, those that Postfix refuses at the ends and in between.
MIXED_RECIPIENTS = (
    "gone@sink.test",
    *TWENTY_RECIPIENTS[:6],
    "busy@sink.test",
    "elsewhere@example.net",
    *TWENTY_RECIPIENTS[6:12],
    "odd@sink.test",
    "unknown@sink.test",
    "full@sink.test",
    "moved@sink.test",
    "nobody@sink.test",
)
BOTH_CLIENTS = pytest.mark.parametrize(
    "client",
    [
        pytest.param(submit_with_smtplib, id="smtplib"),
        pytest.param(submit_with_swaks, id="swaks"),
    ],
)


@BOTH_CLIENTS
def test_refused_recipients_are_told_in_the_smarthosts_words(
    relay: RelayProcess, postfix: Postfix, client: Client
) -> None:
    """Twenty recipients, eight refused: each reply is Postfix's, and only the others get it."""
    assert len(MIXED_RECIPIENTS) == 20
    submission = client(relay.port, _mail(MIXED_RECIPIENTS))
    assert submission.rcpt == ask_with_smtplib(postfix.port, MIXED_RECIPIENTS)
    accepted = [name for name, reply in submission.rcpt.items() if reply.code == 250]
    assert len(accepted) == 12
    stored = postfix.stored(submission.queue_id)
    assert [one.recipient for one in stored] == sorted(accepted)


@pytest.mark.parametrize("recipient", [*REFUSED, "unknown@sink.test", "elsewhere@example.net"])
@BOTH_CLIENTS
def test_no_recipient_accepted_means_no_message(
    relay: RelayProcess, postfix: Postfix, wiretap: Wiretap, client: Client, recipient: str
) -> None:
    """The refusal is Postfix's, DATA is refused, and no content goes out."""
    mail = _mail([recipient])
    submission = client(relay.port, mail)
    assert submission.rcpt == ask_with_smtplib(postfix.port, [recipient])
    assert submission.data is not None
    assert submission.data.code in {503, 554}  # RFC 5321 §3.3
    assert [one.content for one in _transactions_of(wiretap, mail)] in ([], [None])


@BOTH_CLIENTS
def test_refused_message_is_told_in_the_smarthosts_words(
    relay: RelayProcess, postfix: Postfix, client: Client
) -> None:
    """A message that Postfix refuses after its end: the final reply is Postfix's."""
    message = compose(extra=f"{REFUSED_FIELD}: yes\r\n".encode())
    submission = client(relay.port, _mail(["ann@sink.test"], message))
    assert submission.data == Reply(code=550, text=f"5.7.1 {REFUSED_FIELD_TEXT}")
    assert submission.data == client(postfix.port, _mail(["ann@sink.test"], message)).data


@BOTH_CLIENTS
def test_message_over_the_smarthosts_size_is_refused(
    start_relay: StartRelay, postfix: Postfix, client: Client
) -> None:
    """Nothing declared, more sent than Postfix takes: 552, whoever of the two says it."""
    small = postfix.ports["small"]
    relay = start_relay(small)
    mail = _mail(["ann@sink.test"], compose(b"too much\r\n" * SMALL_SIZE_OCTETS))
    submission = client(relay.port, mail)
    assert submission.data is not None
    assert submission.data.code == 552
    assert submission.data.text.startswith("5.3.4")  # RFC 3463 §3.4
    # And the same relay goes on.
    assert client(relay.port, _mail(["ann@sink.test"])).queue_id


def test_declared_size_over_the_smarthosts_is_refused(
    start_relay: StartRelay, postfix: Postfix
) -> None:
    """SIZE= in MAIL (RFC 1870) is beyond what Postfix takes: the client hears 552."""
    relay = start_relay(postfix.ports["small"])
    mail_from = _unique_sender()
    with connect(relay.port) as connection:
        mail_code, _ = connection.mail(mail_from, [f"SIZE={SMALL_SIZE_OCTETS * 2}"])
        rcpt_code, _ = connection.rcpt("ann@sink.test")
    assert 552 in {mail_code, rcpt_code}


def test_sendmail_reports_what_the_smarthost_refused(relay: RelayProcess) -> None:
    """The way applications use it: `sendmail` returns the refused recipients."""
    with connect(relay.port) as connection:
        refused = connection.sendmail(
            "app@example.com", ["ann@sink.test", "gone@sink.test"], compose()
        )
        assert list(refused) == ["gone@sink.test"]
        assert refused["gone@sink.test"][0] == 550
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refusal:
            connection.sendmail("app@example.com", ["busy@sink.test"], compose())
        code, text = refusal.value.recipients["busy@sink.test"]
    assert code == 450
    assert b"mailbox is busy, come back later" in text


def test_session_goes_on_after_every_kind_of_refusal(
    relay: RelayProcess, postfix: Postfix, assert_signed: AssertSigned
) -> None:
    """Refused recipient, refused message, then a good one, all in one session."""
    with connect(relay.port) as connection:
        gone = submit_on(connection, _mail(["gone@sink.test"]))
        refused = submit_on(
            connection, _mail(["ann@sink.test"], compose(extra=REFUSED_FIELD.encode() + b": 1\r\n"))
        )
        good = submit_on(connection, _mail(["ann@sink.test", "gone@sink.test"]))
    assert gone.rcpt["gone@sink.test"].code == 550
    assert refused.data is not None
    assert refused.data.code == 550
    (stored,) = postfix.stored(good.queue_id)
    assert_signed(stored.message)


def test_many_refusals_do_not_wear_out_the_relay(relay: RelayProcess, postfix: Postfix) -> None:
    """Postfix hangs up on a connection with twenty errors; no client of the relay hears of it."""
    told = ask_with_smtplib(postfix.port, ["gone@sink.test"])
    for _ in range(25):
        assert submit_with_smtplib(relay.port, _mail(["gone@sink.test"])).rcpt == told
    assert submit_with_smtplib(relay.port, _mail(["ann@sink.test"])).queue_id


def test_sessions_side_by_side_do_not_mix(
    relay: RelayProcess, postfix: Postfix, verifiers: dict[str, Verifier], zone: Records
) -> None:
    """Forty messages over eight sessions at once: each recipient gets the one for it, signed."""

    def send(number: int) -> tuple[str, bytes, str]:
        recipient = TWENTY_RECIPIENTS[number % len(TWENTY_RECIPIENTS)]
        marker = f"message {number} {uuid.uuid4()}\r\n".encode()
        submission = submit_with_smtplib(
            relay.port, _mail(["gone@sink.test", recipient], compose(marker * (number + 1)))
        )
        assert submission.rcpt["gone@sink.test"].code == 550
        return recipient, marker * (number + 1), submission.queue_id

    with ThreadPoolExecutor(max_workers=8) as threads:
        sent = list(threads.map(send, range(40)))
    for recipient, body, queue_id in sent:
        (stored,) = postfix.stored(queue_id)
        assert stored.recipient == recipient
        assert stored.message.endswith(b"\r\n\r\n" + body)
        verdicts = verifiers["dkimpy"](stored.message, zone)
        assert [one.result for one in verdicts] == [Result.PASS]


def _mail(recipients: Sequence[str], message: bytes | None = None) -> Mail:
    return Mail(
        mail_from=_unique_sender(),
        rcpt_to=recipients,
        message=compose() if message is None else message,
    )


def _unique_sender() -> str:
    """A reverse-path by which a transaction is found again on the wire."""
    return f"app-{uuid.uuid4().hex}@example.com"


def _transactions_of(wiretap: Wiretap, mail: Mail) -> list[Transaction]:
    sender = mail.mail_from.encode()
    return [one for one in wiretap.transactions() if sender in one.mail]
