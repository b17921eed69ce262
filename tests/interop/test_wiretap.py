"""The wiretap reads SMTP right: what the octet tests rest on."""

from __future__ import annotations

import smtplib

import pytest

from tests.fakes.postfix import Postfix
from tests.fakes.processes import LOOPBACK
from tests.interop.wiretap import Transaction, Wiretap, read_session

GREETING_AND_EHLO = b"220 smarthost\r\n250-smarthost\r\n250-PIPELINING\r\n250 CHUNKING\r\n"
OK = b"250 2.1.0 Ok\r\n"
RECIPIENT = (b"RCPT TO:<b@sink.test>", b"250 2.1.0 Ok")


@pytest.mark.parametrize(
    ("data", "content"),
    [
        pytest.param(b"A: b\r\n\r\ntext\r\n.\r\n", b"A: b\r\n\r\ntext\r\n", id="plain"),
        pytest.param(b".\r\n", b"", id="nothing"),
        pytest.param(b"\r\n..\r\n...x\r\n.\r\n", b"\r\n.\r\n..x\r\n", id="dots"),
        pytest.param(b"A: b\r\n\r\n.\r\n", b"A: b\r\n\r\n", id="empty-body"),
    ],
)
def test_data_is_read_with_transparency_undone(data: bytes, content: bytes) -> None:
    """DATA ends at CRLF.CRLF, and a line's leading dot is taken off (RFC 5321 §4.5.2)."""
    said = b"EHLO r\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@sink.test>\r\nDATA\r\n" + data + b"QUIT\r\n"
    answered = GREETING_AND_EHLO + OK + OK + b"354 go\r\n" + b"250 queued as 1\r\n" + b"221 Bye\r\n"
    assert read_session(said, answered) == [
        Transaction(
            mail=b"MAIL FROM:<a@x>",
            recipients=[RECIPIENT],
            content=content,
            reply=b"250 queued as 1",
        )
    ]


def test_bdat_chunks_are_read_by_their_size() -> None:
    """Chunks are joined, whatever they look like (RFC 3030 §2)."""
    said = (
        b"EHLO r\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@sink.test>\r\n"
        b"BDAT 10\r\nA: b\r\n\r\n.\rBDAT 5 LAST\r\n\n.\r\n.RSET\r\n"
    )
    answered = GREETING_AND_EHLO + OK * 3 + b"250 queued as 1\r\n" + OK
    (found,) = read_session(said, answered)
    assert found.content == b"A: b\r\n\r\n.\r\n.\r\n."
    assert found.reply == b"250 queued as 1"


def test_refused_data_has_no_content() -> None:
    """After a refused DATA the next line is a command; a second transaction follows."""
    said = (
        b"EHLO r\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@sink.test>\r\nDATA\r\nRSET\r\nMAIL FROM:<c@x>\r\n"
    )
    answered = GREETING_AND_EHLO + OK + b"550-no\r\n550 no\r\n554 none\r\n" + OK * 2
    assert read_session(said, answered) == [
        Transaction(mail=b"MAIL FROM:<a@x>", recipients=[(RECIPIENT[0], b"550-no\n550 no")]),
        Transaction(mail=b"MAIL FROM:<c@x>"),
    ]


def test_content_cut_short_is_kept_without_a_reply() -> None:
    """The connection ended within DATA: the octets so far, and no reply."""
    said = b"EHLO r\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@sink.test>\r\nDATA\r\nA: b\r\n"
    (found,) = read_session(said, GREETING_AND_EHLO + OK * 2 + b"354 go\r\n")
    assert (found.content, found.reply) == (b"A: b\r\n", None)


def test_a_real_session_is_recorded(postfix: Postfix) -> None:
    """A message sent through the wiretap to Postfix is what Postfix stored."""
    message = b"From: a@example.com\r\n\r\n.dot\r\n\r\n"
    with Wiretap(postfix.port) as wiretap:
        with smtplib.SMTP(LOOPBACK, wiretap.port, timeout=30) as connection:
            connection.ehlo()
            connection.mail("a@example.com")
            connection.rcpt("ann@sink.test")
            _, text = connection.data(message)
        queue_id = text.decode().split()[-1]
        assert wiretap.content_of(queue_id) == message
    (stored,) = postfix.stored(queue_id)
    assert stored.message.endswith(b"\r\n\r\n.dot\r\n\r\n")
