"""How much a session may do, and how it is told that a limit was reached. No IO."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network
from typing import Final

from relay.core import reply as say
from relay.core.events import Noted

# What is said at a limit that is no message's (those are reasons of its transaction), and its name.
LIMIT_REPLIES: Final = (
    (say.TOO_MANY_RECIPIENTS, "max_recipients"),
    (say.TOO_MANY_MESSAGES, "max_messages_per_session"),
    (say.TOO_MANY_BAD_COMMANDS, "max_bad_commands"),
    (say.LINE_TOO_LONG, "max_command_bytes"),
    (say.AUTH_TOO_LONG, "auth_line"),
    (say.AUTH_REFUSED, "max_failed_logins"),
    (say.AUTH_ENOUGH, "max_failed_logins_per_session"),
    (say.TOO_SLOW, "min_data_bytes_per_second"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLimits:
    """How much one session may do; the defaults that count stand in relay/config/limits.py.

    Attributes:
        max_recipients: of one transaction.
        max_messages: of one session.
        max_command_octets: of a command line, its end included; AUTH may be longer.
        max_bad_commands: that make no sense.
        idle_seconds: of silence while it is the client's turn.
        command_seconds: for a whole command line, from its first octet.
        min_data_rate: octets a second while a message comes, on average.
        data_grace_seconds: before that rate is asked for.
        proxy_seconds: for a PROXY header.
        handshake_seconds: for TLS.
        goodbye_seconds: for the client's half of the end of TLS; many never send it.
        max_failed_logins: of one session.
        ipv6_prefix: how many bits of an IPv6 address tell one client from another.
        memory_seconds: how long reading may be held back for want of memory.
    """

    max_recipients: int
    max_command_octets: int
    max_bad_commands: int
    idle_seconds: float
    max_messages: int = 10_000
    command_seconds: float = 60.0
    min_data_rate: int = 0
    data_grace_seconds: float = 30.0
    memory_seconds: float = 10.0
    proxy_seconds: float = 10.0
    handshake_seconds: float = 60.0
    goodbye_seconds: float = 3.0
    max_failed_logins: int = 3
    ipv6_prefix: int = 64  # what one host is given (RFC 6177)

    def counted_as(self, address: str) -> str:
        """What counts as one address; empty for none."""
        if ":" not in address:
            return address
        return str(ip_network((address, self.ipv6_prefix), strict=False))


def limit_reached(limit: str, client: str, session_id: str) -> Noted:
    """The event of a limit by the name of its setting; silence is no more than worth a note."""
    level = "info" if limit == "idle_seconds" else "warning"
    fields = (("limit", limit), ("client", client), ("session_id", session_id))
    return Noted("limit.reached", level, fields)
