"""Two clients that applications use: Python's smtplib, and swaks.

IO. Both send the message octets as they are (dot-stuffing apart) and tell every
reply that they saw, so that a test can compare what the relay said with what the
smarthost itself would have said.
"""

from __future__ import annotations

import re
import smtplib
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tests.fakes.processes import LOOPBACK
from tests.fakes.programs import require_program

CLIENT_NAME = "client.test"
WAIT_SECONDS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An SMTP reply: its code, and the text of its lines joined by LF."""

    code: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """What is submitted.

    Attributes:
        mail_from: reverse-path; empty for the null path.
        rcpt_to: forward-paths.
        message: octets, CRLF line ends, without dot-stuffing, ending in CRLF.
        mail_options: ESMTP parameters of MAIL; only smtplib sends them.
    """

    mail_from: str
    rcpt_to: Sequence[str]
    message: bytes
    mail_options: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What the client was told.

    Attributes:
        mail: the reply to MAIL.
        rcpt: the reply to each RCPT, in order.
        data: the last word: the reply to DATA where that was not 354, else the reply
            to the message; None when the client gave up before.
    """

    mail: Reply
    rcpt: Mapping[str, Reply]
    data: Reply | None

    @property
    def refusal(self) -> Reply | None:
        """The first reply that was no success; None when the message was accepted."""
        replies = (self.mail, *self.rcpt.values(), *([self.data] if self.data else []))
        return next((reply for reply in replies if reply.code >= 400), None)

    @property
    def queue_id(self) -> str:
        """Postfix's queue id, from its own final reply.

        Raises:
            AssertionError: the message was not accepted, or not by Postfix.
        """
        reply = self.data if self.data is not None else Reply(code=0, text="no reply")
        found = re.search(r"queued as (\w+)", reply.text) if reply.code == 250 else None
        assert found, f"was not accepted by Postfix: {self}"
        return found.group(1)


Client = Callable[[int, Mail], Submission]


def connect(port: int) -> smtplib.SMTP:
    """Open a session with smtplib, EHLO said; use it as a context manager."""
    connection = smtplib.SMTP(LOOPBACK, port, local_hostname=CLIENT_NAME, timeout=WAIT_SECONDS)
    connection.ehlo()
    return connection


def submit_with_smtplib(port: int, mail: Mail) -> Submission:
    """Submit by smtplib's MAIL, RCPT and DATA."""
    with connect(port) as connection:
        return submit_on(connection, mail)


def ask_with_smtplib(port: int, recipients: Sequence[str]) -> dict[str, Reply]:
    """What a server says to these recipients; no message is sent."""
    with connect(port) as connection:
        connection.mail("app@example.com")
        replies = {name: _reply(*connection.rcpt(name)) for name in recipients}
        connection.rset()
        return replies


def submit_on(connection: smtplib.SMTP, mail: Mail) -> Submission:
    """Submit on an open smtplib connection that has said EHLO."""
    mail_reply = _reply(*connection.mail(mail.mail_from, list(mail.mail_options)))
    rcpt_replies = {name: _reply(*connection.rcpt(name)) for name in mail.rcpt_to}
    try:
        data_reply = _reply(*connection.data(mail.message))
    except smtplib.SMTPDataError as refusal:  # DATA itself was refused
        error = refusal.smtp_error
        data_reply = _reply(
            refusal.smtp_code, error if isinstance(error, bytes) else error.encode()
        )
    if data_reply.code != 250:
        connection.rset()
    return Submission(mail=mail_reply, rcpt=rcpt_replies, data=data_reply)


def submit_with_swaks(port: int, mail: Mail) -> Submission:
    """Submit with swaks, which pipelines MAIL, RCPT and DATA where that is offered."""
    argv = [require_program("swaks", "swaks"), "--server", f"{LOOPBACK}:{port}"]
    argv += ["--ehlo", CLIENT_NAME, "--pipeline", "--timeout", f"{WAIT_SECONDS}s"]
    argv += ["--from", mail.mail_from or "<>", "--to", ",".join(mail.rcpt_to)]
    argv += ["--data", "-", "--no-data-fixup", "--suppress-data"]
    stuffed = re.sub(rb"(?m)^\.", b"..", mail.message) + b"."
    done = subprocess.run(
        argv, input=stuffed, capture_output=True, timeout=2 * WAIT_SECONDS, check=False
    )
    transcript = (done.stdout + done.stderr).decode("utf-8", "replace")
    replies = _read_transcript(transcript)
    # greeting, EHLO, MAIL, one for each RCPT, then DATA, the message and QUIT
    assert len(replies) >= 3 + len(mail.rcpt_to), f"swaks gave up:\n{transcript}"
    rcpt_replies = dict(zip(mail.rcpt_to, replies[3:], strict=False))
    rest = replies[3 + len(mail.rcpt_to) :]
    if not re.search(r"^ -> DATA$", transcript, re.MULTILINE):
        rest = []  # swaks saw no sense in it
    elif rest and rest[0].code == 354:
        rest = rest[1:]
    return Submission(mail=replies[2], rcpt=rcpt_replies, data=rest[0] if rest else None)


def _read_transcript(transcript: str) -> list[Reply]:
    """Group the lines that swaks received (`<-  ` fine, `<** ` not) into replies."""
    replies: list[Reply] = []
    lines: list[str] = []
    for code, mark, text in re.findall(
        r"^<(?:- |\*\*) (\d{3})([ -])(.*)$", transcript, re.MULTILINE
    ):
        lines.append(text.rstrip("\r"))
        if mark == " ":
            replies.append(Reply(code=int(code), text="\n".join(lines)))
            lines = []
    return replies


def _reply(code: int, text: bytes) -> Reply:
    return Reply(code=code, text=text.decode("utf-8", "replace"))
