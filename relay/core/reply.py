"""SMTP replies: the ones we say, and a strict reader for the ones we hear. Pure.

RFC 5321 §4.2 (replies), RFC 2034 and RFC 3463 (enhanced status codes).
Deviation: octets above 0x7F are carried in reply texts unchanged, because servers send
them and the text of an upstream's refusal is the application's to see.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_REPLY_LINE_OCTETS = 4096  # RFC 5321 §4.5.3.1.5 asks for 512; servers exceed it
MAX_REPLY_LINES = 256
_REPLY_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])([\t -~\x80-\xff]*))?")  # RFC 5321 §4.2
_ENHANCED = re.compile(rb"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: |\Z)")  # RFC 3463 §2


@dataclass(frozen=True, slots=True)
class Reply:
    """One SMTP reply.

    Attributes:
        code: three digits, 200 to 559.
        lines: the text of each line after the code and its separator, without line ends;
            an enhanced status code is part of the text (RFC 2034 §4). Never empty.
    """

    code: int
    lines: tuple[bytes, ...]

    @property
    def is_positive(self) -> bool:
        """Whether the command was done (2yz)."""
        return 200 <= self.code < 300

    @property
    def is_transient(self) -> bool:
        """Whether trying again later may succeed (4yz)."""
        return 400 <= self.code < 500

    @property
    def is_permanent(self) -> bool:
        """Whether the same attempt will fail again (5yz)."""
        return 500 <= self.code < 600

    @property
    def enhanced(self) -> str:
        """The enhanced status code of the first line, or an empty string."""
        found = _ENHANCED.match(self.lines[0])
        return found[1].decode("ascii") if found else ""

    @property
    def text(self) -> str:
        """All lines in one, for logs; octets that are not UTF-8 are escaped."""
        return b" ".join(self.lines).decode("utf-8", "backslashreplace")

    def wire(self) -> bytes:
        """The reply as octets on the wire, with the final CRLF."""
        code = b"%d" % self.code
        *first, last = self.lines
        return b"".join([code + b"-" + line + b"\r\n" for line in first]) + b"%b %b\r\n" % (
            code,
            last,
        )

    def __str__(self) -> str:
        """The code and the text, for people."""
        return f"{self.code} {self.text}"


def own(code: int, enhanced: str, text: str) -> Reply:
    """A reply that the relay itself says.

    Args:
        code: the reply code.
        enhanced: an RFC 3463 code like "5.7.1", or "" where none belongs (greeting, 354).
        text: constant, bland, printable ASCII; names and files go to the log instead.

    Raises:
        ValueError: the text would break out of its line.
    """
    if not (text.isascii() and text.isprintable()):
        raise ValueError("a reply text is printable ASCII on one line")
    return Reply(code, (f"{enhanced} {text}".strip().encode("ascii"),))


class ReplySyntaxError(ValueError):
    """The server sent octets that are not an SMTP reply; the connection is of no more use."""


class ReplyReader:
    """Turns octets from a server into replies, strictly and in linear time.

    Only CRLF ends a line; every line of one reply has the same code; lines and replies
    are bounded (`MAX_REPLY_LINE_OCTETS`, `MAX_REPLY_LINES`).
    """

    __slots__ = ("_code", "_lines", "_rest")

    def __init__(self) -> None:
        self._rest = b""
        self._code = 0
        self._lines: list[bytes] = []

    @property
    def is_empty(self) -> bool:
        """Whether nothing of an unfinished reply is held."""
        return not self._rest and not self._lines

    def feed(self, data: bytes) -> list[Reply]:
        """Replies that `data` completes, in order.

        Raises:
            ReplySyntaxError: bad code, control character, bare CR or LF, codes that differ
                within one reply, or a line or reply over its limit.
        """
        *lines, self._rest = (self._rest + data).split(b"\r\n")
        replies = [reply for line in lines if (reply := self._line(line)) is not None]
        if len(self._rest) > MAX_REPLY_LINE_OCTETS:
            raise ReplySyntaxError(f"a reply line over {MAX_REPLY_LINE_OCTETS} octets")
        return replies

    def _line(self, line: bytes) -> Reply | None:
        found = _REPLY_LINE.fullmatch(line)
        if found is None or len(line) > MAX_REPLY_LINE_OCTETS:
            raise ReplySyntaxError(f"not a reply line: {line[:80]!r}")
        code, separator, text = int(found[1]), found[2], found[3] or b""
        if self._lines and code != self._code:
            raise ReplySyntaxError(f"codes {self._code} and {code} within one reply")
        self._code = code
        self._lines.append(text)
        if len(self._lines) > MAX_REPLY_LINES:
            raise ReplySyntaxError(f"a reply of over {MAX_REPLY_LINES} lines")
        if separator == b"-":
            return None
        reply = Reply(code, tuple(self._lines))
        self._lines = []
        return reply


# Every reply to a command that the relay itself says; those that end a message carry a reason
# and stand where it is found (errors.py, policy.py, adapt.py). RFC 5321 §4.2.3, RFC 3463 §3.
OK = own(250, "2.0.0", "OK")
SENDER_OK = own(250, "2.1.0", "OK")
GO_AHEAD = own(354, "", "End data with <CR><LF>.<CR><LF>")
GOODBYE = own(221, "2.0.0", "Goodbye")
CANNOT_VRFY = own(252, "2.5.0", "Cannot verify, but will take mail for it")
HELP = own(214, "2.0.0", "See RFC 5321")
SHUTTING_DOWN = own(421, "4.3.2", "The service is shutting down")
TOO_MANY_CONNECTIONS = own(421, "4.3.2", "Too many connections")
TOO_MANY_BAD_COMMANDS = own(421, "4.7.0", "Too many bad commands")
IDLE_TOO_LONG = own(421, "4.4.2", "Nothing was heard for too long")
TOO_MANY_RECIPIENTS = own(452, "4.5.3", "Too many recipients")
INTERNAL_ERROR = own(451, "4.3.0", "Internal error, try again later")
NOT_UNDERSTOOD = own(500, "5.5.2", "Command not understood")
BARE_NEWLINE = own(500, "5.5.2", "Bare CR, bare LF or NUL in a command")
LINE_TOO_LONG = own(500, "5.5.2", "Command line too long")
BAD_ARGUMENT = own(501, "5.5.4", "Bad argument")
BAD_SENDER = own(501, "5.1.7", "Bad reverse-path")
BAD_RECIPIENT = own(501, "5.1.3", "Bad forward-path")
NOT_IMPLEMENTED = own(502, "5.5.1", "Command not implemented")
BAD_SEQUENCE = own(503, "5.5.1", "Bad sequence of commands")
NOT_PERMITTED = own(550, "5.7.1", "This client may not send mail here")
MESSAGE_TOO_BIG = own(552, "5.3.4", "Message is over the size limit")
NO_RECIPIENTS = own(554, "5.5.1", "No valid recipients")
UNKNOWN_PARAMETER = own(555, "5.5.4", "Parameter not known")
