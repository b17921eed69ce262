"""Messages as applications really make them: by Python's `email`, and by swaks itself.

Unlike in the corpus, the client's own library decides the octets.
"""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Callable
from email.message import EmailMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.policy import SMTP, SMTPUTF8

import pytest

from tests.fakes.postfix import Postfix
from tests.fakes.processes import LOOPBACK, wait_until
from tests.fakes.programs import require_program
from tests.interop.clients import connect
from tests.interop.conftest import AssertSigned
from tests.interop.relay_process import RelayProcess

SENDER, RECIPIENT = "Jürgen Groß <jane@example.com>", "Ann <ann@sink.test>"
MAILBOX = "bob@sink.test"  # nothing else goes there


def _text() -> EmailMessage:
    message = _addressed(EmailMessage(policy=SMTP))
    message.set_content("Grüße aus München\n\n.\n..\nFrom hier\n")
    return message


def _text_eight_bit() -> EmailMessage:
    message = _addressed(EmailMessage(policy=SMTP.clone(cte_type="8bit")))
    message.set_content("Grüße aus München\n", cte="8bit")
    return message


def _html_with_attachments() -> EmailMessage:
    message = _addressed(EmailMessage(policy=SMTP))
    message.set_content("text")
    message.add_alternative("<p>Grüße   &amp; <img src=cid:logo></p>", subtype="html")
    message.add_attachment(bytes(range(256)) * 40, "application", "pdf", filename="Größe.pdf")
    message.add_attachment("a;b\n1;2\n", filename="numbers.csv")
    return message


def _old_style_mime() -> MIMEMultipart:
    message = MIMEMultipart("alternative")
    message["From"] = "jane@example.com"
    message["To"] = RECIPIENT
    message["Subject"] = "a subject that is so long that the library has to fold it " * 3
    message["Bcc"] = "bob@sink.test"
    message.attach(MIMEText("text", "plain", "us-ascii"))
    message.attach(MIMEText("<p>Grüße</p>", "html", "utf-8"))
    return message


def _raw_utf8_header() -> EmailMessage:
    message = _addressed(EmailMessage(policy=SMTPUTF8))
    message["X-Note"] = "Grüße"
    message.set_content("text\n")
    return message


@pytest.mark.parametrize(
    "make", [_text, _text_eight_bit, _html_with_attachments, _old_style_mime, _raw_utf8_header]
)
def test_message_of_pythons_email_library_is_signed(
    relay: RelayProcess,
    postfix: Postfix,
    assert_signed: AssertSigned,
    make: Callable[[], EmailMessage | MIMEMultipart],
) -> None:
    """`send_message`, with the parameters that smtplib chooses."""
    message = make()
    # The way back to what was stored: smtplib does not show the final reply.
    marker = f"<{uuid.uuid4()}@example.com>"
    message["Message-ID"] = marker
    with connect(relay.port) as connection:
        assert connection.send_message(message, to_addrs=[MAILBOX]) == {}
    (stored,) = _stored_with(postfix, marker)
    assert_signed(stored)
    assert b"\nBcc:" not in stored


@pytest.mark.parametrize(
    "options",
    [
        pytest.param([], id="default"),
        pytest.param(["--body", "one line"], id="body"),
        pytest.param(["--attach", "@{file}"], id="attachment"),
        pytest.param(["--h-From", '"Doe, Jane" <jane@example.com>'], id="display-name"),
        pytest.param(["--add-header", "Cc: bob@sink.test"], id="further-field"),
    ],
)
def test_message_of_swaks_is_signed(
    relay: RelayProcess, postfix: Postfix, assert_signed: AssertSigned, options: list[str]
) -> None:
    """The message is made by swaks, attachments and all; exit status 0."""
    argv = [require_program("swaks", "swaks"), "--server", f"{LOOPBACK}:{relay.port}"]
    argv += ["--from", "jane@example.com", "--to", "ann@sink.test", "--ehlo", "client.test"]
    argv += [option.format(file=__file__) for option in options]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    queue_id = done.stdout.partition("queued as ")[2].split()[0]
    (stored,) = postfix.stored(queue_id)
    assert_signed(stored.message)


def _addressed(message: EmailMessage) -> EmailMessage:
    message["From"] = SENDER
    message["To"] = RECIPIENT
    message["Subject"] = "Grüße, and numbers of the week"
    return message


def _stored_with(postfix: Postfix, marker: str) -> list[bytes]:
    """Wait until the message with this id is in the mailbox."""

    def found() -> list[bytes]:
        return [one for one in postfix.mailbox(MAILBOX) if marker.encode() in one]

    wait_until(lambda: bool(found()), what=f"{marker} is stored", describe=postfix.log)
    return found()
