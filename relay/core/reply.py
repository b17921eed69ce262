"""SMTP replies: the ones we say, and a strict reader for the ones we hear. Pure.

RFC 5321 §4.2 (replies), RFC 2034 and RFC 3463 (enhanced status codes).
Deviation: octets above 0x7F are carried in reply texts unchanged, because servers send
them and the text of an upstream's refusal is the application's to see.
"""

from __future__ import annotations

import re

from relay.core.immutable import immutable

MAX_REPLY_LINE_OCTETS = 4096  # RFC 5321 §4.5.3.1.5 asks for 512; servers exceed it
MAX_REPLY_LINES = 256
# RFC 5321 §4.2. Possessive, so that a line which is none costs no second look at its octets.
_TEXT = rb"([\t -~\x80-\xff]{0,%d}+)" % (MAX_REPLY_LINE_OCTETS - len("250 "))
_REPLY_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])%b)?+\r\n" % _TEXT)
_SHORT_REPLY = re.compile(rb"([2-5][0-9]{2}) %b\r\n" % _TEXT)
_ENHANCED = re.compile(rb"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: |\Z)")  # RFC 3463 §2


@immutable
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
    def is_intermediate(self) -> bool:
        """Whether the server waits for more of the same (3yz)."""
        return 300 <= self.code < 400

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
        if len(self.lines) == 1:
            return b"%d %b\r\n" % (self.code, self.lines[0])
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
    line = f"{enhanced} {text}".strip()
    if not (line.isascii() and line.isprintable()):
        raise ValueError("a reply text is printable ASCII on one line")
    return Reply(code, (line.encode("ascii"),))


class ReplySyntaxError(ValueError):
    """The server sent octets that are not an SMTP reply; the connection is of no more use.

    Attributes:
        replies: those of the same octets that were whole before the fault, in order.
    """

    def __init__(self, text: str, replies: tuple[Reply, ...] = ()) -> None:
        super().__init__(text)
        self.replies = replies


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
        return not (self._rest or self._lines)

    def feed(self, data: bytes) -> list[Reply]:
        """Replies that `data` completes, in order.

        Raises:
            ReplySyntaxError: bad code, control character, bare CR or LF, codes that differ
                within one reply, or a line or reply over its limit. It has the replies before
                the fault, which count; the fault itself stays for good.
        """
        replies: list[Reply] = []
        start = 0
        if not (self._rest or self._lines):
            # What nearly every read brings: replies of one line, and nothing behind them.
            while (found := _SHORT_REPLY.match(data, start)) is not None:
                replies.append(Reply(int(found[1]), (found[2],)))
                start = found.end()
                if start == len(data):
                    return replies
        self._rest += data[start:]
        try:
            self._read(replies)
        except ReplySyntaxError as exc:
            exc.replies = tuple(replies)
            raise
        return replies

    def _read(self, replies: list[Reply]) -> None:
        octets, start = self._rest, 0
        try:
            while (found := _REPLY_LINE.match(octets, start)) is not None:
                if (reply := self._line(found)) is not None:
                    replies.append(reply)
                start = found.end()
        finally:
            self._rest = octets[start:]
        if b"\r\n" in self._rest:
            raise ReplySyntaxError(f"not a reply line: {self._rest[:80]!r}")
        if len(self._rest.removesuffix(b"\r")) > MAX_REPLY_LINE_OCTETS:
            raise ReplySyntaxError(f"a reply line over {MAX_REPLY_LINE_OCTETS} octets")

    def _line(self, found: re.Match[bytes]) -> Reply | None:
        code = int(found[1])
        if self._lines and code != self._code:
            raise ReplySyntaxError(f"codes {self._code} and {code} within one reply")
        if len(self._lines) == MAX_REPLY_LINES:
            raise ReplySyntaxError(f"a reply of over {MAX_REPLY_LINES} lines")
        self._code = code
        self._lines.append(found[3] or b"")
        if found[2] == b"-":
            return None
        reply = Reply(code, tuple(self._lines))
        self._lines.clear()
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
# RFC 5321 §4.5.3.1.10: what gets 452 is sent again in a transaction of its own.
ANOTHER_ROUTE = own(452, "4.5.3", "This recipient goes another way: send to it separately")
ONE_AT_A_TIME = own(452, "4.5.3", "The next hop takes no more recipients at a time")
NO_ROUTE = own(550, "5.4.4", "No route is configured for this recipient here")
OUT_OF_ORDER = own(451, "4.5.0", "The next hop answered out of order")
INTERNAL_ERROR = own(451, "4.3.0", "Internal error, try again later")
NOT_SMTP = own(421, "4.7.0", "This is an SMTP server")
NOT_UNDERSTOOD = own(500, "5.5.2", "Command not understood")
BARE_NEWLINE = own(500, "5.5.2", "Bare CR, bare LF or NUL in a command")
LINE_TOO_LONG = own(500, "5.5.2", "Command line too long")
BAD_ARGUMENT = own(501, "5.5.4", "Bad argument")
BAD_SENDER = own(501, "5.1.7", "Bad reverse-path")
BAD_RECIPIENT = own(501, "5.1.3", "Bad forward-path")
NOT_IMPLEMENTED = own(502, "5.5.1", "Command not implemented")
BAD_SEQUENCE = own(503, "5.5.1", "Bad sequence of commands")
READY_FOR_TLS = own(220, "2.0.0", "Ready to start TLS")
TLS_UNAVAILABLE = own(454, "4.7.0", "TLS is not available now")
TLS_NEEDED = own(530, "5.7.0", "Must issue a STARTTLS command first")
AUTH_DONE = own(235, "2.7.0", "Authentication successful")
AUTH_FAILED = own(535, "5.7.8", "Authentication credentials invalid")
AUTH_REFUSED = own(421, "4.7.0", "Too many failed logins, try again later")
AUTH_ENOUGH = own(421, "4.7.0", "Too many failed logins in one session")
AUTH_NEEDED = own(530, "5.7.0", "Authentication required")
AUTH_CANCELLED = own(501, "5.7.0", "Authentication cancelled")
AUTH_NOT_BASE64 = own(501, "5.5.2", "Not a valid response")
AUTH_TOO_LONG = own(500, "5.5.6", "Authentication exchange line is too long")
AUTH_NEEDS_TLS = own(538, "5.7.11", "Encryption required for authentication")
AUTH_UNKNOWN = own(504, "5.5.4", "Authentication mechanism not known")
TOO_MANY_MESSAGES = own(421, "4.7.0", "Too many messages in one session")
TOO_MANY_FROM_ADDRESS = own(421, "4.7.0", "Too many connections from this address")
TOO_SLOW = own(421, "4.4.2", "Data comes too slowly")
NO_MEMORY = own(452, "4.3.1", "Out of memory for messages, try again later")
SENDER_NOT_PERMITTED = own(550, "5.7.1", "This client may not use this reverse-path")
NOT_PERMITTED = own(550, "5.7.1", "This client may not send mail here")
MESSAGE_TOO_BIG = own(552, "5.3.4", "Message is over the size limit")
NO_RECIPIENTS = own(554, "5.5.1", "No valid recipients")
UNKNOWN_PARAMETER = own(555, "5.5.4", "Parameter not known")
