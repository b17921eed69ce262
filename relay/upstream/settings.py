"""What an operator says about one upstream. RFC 5321 §4.5.3.2 (timeouts), RFC 3207, RFC 4954."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Tls(StrEnum):
    """How the connection is secured.

    Attributes:
        IMPLICIT: TLS from the first octet (RFC 8314 §3.3, port 465), verified.
        STARTTLS: RFC 3207, required and verified; never in clear.
        OPPORTUNISTIC: TLS when the hop offers it, not verified, else in clear (RFC 7435).
        NONE: in clear.
    """

    IMPLICIT = "implicit"
    STARTTLS = "starttls"
    OPPORTUNISTIC = "opportunistic"
    NONE = "none"

    @property
    def is_verified(self) -> bool:
        """Whether name and certificate of the hop are checked."""
        return self in (Tls.IMPLICIT, Tls.STARTTLS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long each step of a transaction may take, in seconds (RFC 5321 §4.5.3.2).

    Attributes:
        mail_seconds: for the reply to MAIL (§4.5.3.2.2).
        rcpt_seconds: for the reply to each RCPT (§4.5.3.2.3).
        data_seconds: for the reply to DATA (§4.5.3.2.4).
        block_seconds: without any progress while the message is sent (§4.5.3.2.5).
        final_seconds: for the reply after the end of the message (§4.5.3.2.6). Short values
            make duplicates: the hop may have accepted.
        reset_seconds: for the reply to RSET between two transactions.
        quit_seconds: for the reply to QUIT before the connection is simply closed.
    """

    mail_seconds: float = 300
    rcpt_seconds: float = 300
    data_seconds: float = 120
    block_seconds: float = 180
    final_seconds: float = 600
    reset_seconds: float = 30
    quit_seconds: float = 5

    @property
    def shortest(self) -> float:
        """The smallest of them, in seconds."""
        return min(
            self.mail_seconds,
            self.rcpt_seconds,
            self.data_seconds,
            self.block_seconds,
            self.final_seconds,
            self.reset_seconds,
            self.quit_seconds,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamSettings:
    """One upstream.

    Attributes:
        name: how logs and settings call it.
        host: host name or address; also the name that its certificate must have.
        port: TCP port.
        tls: how the connection is secured.
        username: for AUTH; empty: no AUTH.
        password: for AUTH; not in the repr.
        ehlo_name: what we call ourselves (RFC 5321 §4.1.1.1).
        ca_file: PEM bundle that the certificate is verified against; empty: the system's.
        insecure_auth: whether AUTH may be spoken over a connection that is not verified TLS.
        max_connections: open at the same time, idle ones included.
        idle_seconds: before an unused connection is closed.
        max_messages_per_connection: transactions before a connection is closed.
        acquire_seconds: how long a transaction waits when all connections are busy.
        connect_seconds: for each step of opening a connection (TCP and TLS handshake,
            greeting, EHLO, STARTTLS, AUTH); all steps together get twice as long.
        timeouts: the patience within a transaction.

    Raises:
        ValueError: a name that would break out of a command line.
    """

    name: str
    host: str
    port: int
    tls: Tls
    username: str = ""
    password: str = field(default="", repr=False)
    ehlo_name: str = "localhost"
    ca_file: str = ""
    insecure_auth: bool = False
    max_connections: int = 50
    idle_seconds: float = 60
    max_messages_per_connection: int = 1000
    acquire_seconds: float = 30
    connect_seconds: float = 30
    timeouts: Timeouts = field(default_factory=Timeouts)

    def __post_init__(self) -> None:
        for what, text in (("host", self.host), ("ehlo_name", self.ehlo_name)):
            if not (text and text.isascii() and text.isprintable() and " " not in text):
                raise ValueError(f"{what} of upstream {self.name!r} is not a host name: {text!r}")

    @property
    def hop(self) -> str:
        """Name, host and port, for the log."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.name} ({host}:{self.port})"
