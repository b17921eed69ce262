"""One command on a connection, and who hears what comes of it. Pure. RFC 5321 §4.2."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from relay.core.reply import Reply

CLOSING = 421  # RFC 5321 §3.8: the server closes after this reply, whatever was asked
_LATER = 451


def passed_on(reply: Reply) -> Reply:
    """A hop's reply as a client may hear it: 421 becomes 451, all else is as it was.

    421 is about the channel, not the command (RFC 5321 §3.8), and the hop closes its channel with
    us. The client's with us stays open: told 421, it would hang up, or take us for a server that
    is down, and messages that another connection would carry would wait for no reason. Enhanced
    code and text stand, which say what the matter is.
    """
    return reply if reply.code != CLOSING else Reply(_LATER, reply.lines)


class Command(NamedTuple):
    """One command, or message data, that is answered by exactly one reply.

    Attributes:
        line: the command with its CRLF; empty when the octets are written by other means.
        on_reply: called with the reply, never after a failure.
        seconds: how long the reply may take, from when it is this command's turn.
        is_data: whether this is DATA, which 3yz answers and 2yz does not (RFC 5321 §4.3.2).
    """

    line: bytes
    on_reply: Callable[[Reply], None]
    seconds: float
    is_data: bool = False

    def __str__(self) -> str:
        """What is answered, for people."""
        return self.line[:4].decode("ascii") or "the message"


class Occupant(Protocol):
    """Who uses the connection now."""

    def connection_failed(self, why: str, cause: Exception | None) -> None:
        """The connection is of no more use; no further reply will come."""
