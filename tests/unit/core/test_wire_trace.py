"""What of a dialogue is shown: commands by name, and nothing that may be a secret."""

from __future__ import annotations

import pytest

from relay.core.reply import Reply
from relay.core.wire_trace import command_shown, message_shown, reply_shown


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (b"EHLO app.example.com\r\n", "C: EHLO app.example.com"),
        (b"mail FROM:<a@example.com> SIZE=9\r\n", "C: mail FROM:<a@example.com> SIZE=9"),
        (b"QUIT\r\n", "C: QUIT"),
        (b"AUTH PLAIN AGEAc2VjcmV0\r\n", "C: AUTH PLAIN ***"),
        (b"AUTH CRAM-MD5\r\n", "C: AUTH CRAM-MD5"),
        (b"AUTH c2VjcmV0c2VjcmV0c2VjcmV0\r\n", "C: AUTH ***"),
        (b"auth plain s\r\n", "C: AUTH plain ***"),
        (b"AUTH hunter2\r\n", "C: AUTH ***"),
        (b"VRFY ann.lee\r\n", "C: VRFY ***"),
        (b"c2VjcmV0\r\n", "C: ***"),
        (b"", "C: ***"),
        (b"\xff\xfe\r\n", "C: ***"),
        (b"RCPT TO:<\xff>\r\n", "C: RCPT TO:<\\xff>"),
        (b"NOOP " + b"x" * 2000, "C: NOOP " + "x" * 995 + " […]"),
    ],
)
def test_a_command(line: bytes, shown: str) -> None:
    """Default deny: what is not known to be harmless is three asterisks."""
    assert command_shown(line) == shown


def test_a_reply_and_a_message() -> None:
    """Replies line by line; of messages how many octets."""
    reply = Reply(250, (b"relay.test", b"SIZE 9"))
    assert list(reply_shown(reply)) == ["S: 250-relay.test", "S: 250 SIZE 9"]
    assert message_shown(7) == "C: [7 octets of a message]"
