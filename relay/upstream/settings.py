"""What an operator says about one upstream. RFC 5321 §4.5.3.2 (timeouts), RFC 3207, RFC 4954."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from relay.core.dane import TlsaAnswer
from relay.core.profile import GENERIC, Profile
from relay.core.wire_trace import Trace
from relay.upstream.oauth import TokenSource
from relay.upstream.secret import Secret


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


class Dane(StrEnum):
    """Whether DNS says which certificate the hop has (RFC 7672).

    Attributes:
        OFF: DNS is not asked.
        OPPORTUNISTIC: where DNSSEC vouches for records, they count, in place of CAs; else `tls`
            does as without DANE.
        REQUIRED: without such records there is no connection.
    """

    OFF = "off"
    OPPORTUNISTIC = "opportunistic"
    REQUIRED = "required"


class Auth(StrEnum):
    """Which SASL mechanism is spoken; AUTO: the best of those that are offered and possible."""

    AUTO = "auto"
    PLAIN = "plain"
    LOGIN = "login"
    CRAM_MD5 = "cram-md5"
    XOAUTH2 = "xoauth2"
    OAUTHBEARER = "oauthbearer"
    EXTERNAL = "external"


class TlsaLookup(Protocol):
    """Asks DNS for the TLSA records of a hop."""

    async def tlsa(self, host: str, port: int) -> TlsaAnswer:
        """What DNS says, and whether DNSSEC vouches for it; never raises but for cancellation."""


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
        socket_path: of the UNIX socket that is taken instead of host and port; empty: none.
        is_lmtp: whether LMTP is spoken (RFC 2033), not SMTP.
        max_recipients: of one transaction; 0: any number. Always 1 for LMTP, whose reply to the
            message is one for each recipient.
        tls: how the connection is secured.
        tls_min_version: "1.2" or "1.3".
        tls_fingerprints: "sha256:…" of certificates or public keys (SubjectPublicKeyInfo). When
            there are any, the hop has to show one of them; CAs, names and dates do not count.
        ca_file: PEM bundle that the certificate is verified against; empty: the system's.
        client_certificate_file: PEM, shown to a hop that asks for it; empty: none.
        client_key_file: its key; empty: it is in the same file.
        dane: whether DNS says which certificate counts.
        tlsa: asks DNS for that; not None unless `dane` is off.
        auth: which SASL mechanism.
        username: for AUTH; empty: no AUTH, unless `auth` is EXTERNAL.
        password: for AUTH.
        tokens: OAuth 2.0 access tokens, in place of a password; None: none.
        insecure_auth: whether AUTH may be spoken over a connection that is not verified TLS.
        ehlo_name: what we call ourselves (RFC 5321 §4.1.1.1).
        max_connections: open at the same time, idle ones included.
        idle_seconds: before an unused connection is closed.
        max_messages_per_connection: transactions before a connection is closed.
        keepalive_seconds: within a transaction, NOOP is said after so long without a command.
        acquire_seconds: how long a transaction waits when all connections are busy.
        profile: what the upstream rewrites and limits.
        connect_seconds: for each step of opening a connection (TCP and TLS handshake,
            greeting, EHLO, STARTTLS, AUTH); all steps together get twice as long.
        min_idle_connections: kept open and unused, as long as there is room for them.
        rate_per_second: recipients on average; 0: no limit.
        rate_burst: recipients at once; 0: those of one second, at least 1.
        breaker_failures: to open a connection, one after the other, until the hop is left alone.
        breaker_seconds: how long at first; doubles up to a minute.
        backoff_seconds: without new connections after 421 or 454; doubles up to half a minute.
        trace: is told the dialogue of every connection, line by line; None: nobody is.
        timeouts: the patience within a transaction.

    Raises:
        ValueError: a name that would break out of a command line.
    """

    name: str
    host: str
    port: int
    tls: Tls
    socket_path: str = ""
    is_lmtp: bool = False
    max_recipients: int = 0
    tls_min_version: str = "1.2"
    tls_fingerprints: frozenset[str] = frozenset()
    ca_file: str = ""
    client_certificate_file: str = ""
    client_key_file: str = ""
    dane: Dane = Dane.OFF
    tlsa: TlsaLookup | None = None
    auth: Auth = Auth.AUTO
    username: str = ""
    password: Secret = field(default_factory=Secret)
    tokens: TokenSource | None = None
    insecure_auth: bool = False
    ehlo_name: str = "localhost"
    profile: Profile = GENERIC
    max_connections: int = 50
    idle_seconds: float = 60
    max_messages_per_connection: int = 1000
    keepalive_seconds: float = 30
    acquire_seconds: float = 30
    connect_seconds: float = 30
    min_idle_connections: int = 0
    rate_per_second: float = 0
    rate_burst: float = 0
    breaker_failures: int = 3
    breaker_seconds: float = 1
    backoff_seconds: float = 1
    timeouts: Timeouts = field(default_factory=Timeouts)
    trace: Trace | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        for what, text in (("host", self.host), ("ehlo_name", self.ehlo_name)):
            if not (text and text.isascii() and text.isprintable() and " " not in text):
                raise ValueError(f"{what} of upstream {self.name!r} is not a host name: {text!r}")
        if self.is_lmtp:
            object.__setattr__(self, "max_recipients", 1)  # frozen only for those who use it

    @property
    def logs_in(self) -> bool:
        """Whether AUTH is spoken."""
        return bool(self.username) or self.auth is Auth.EXTERNAL

    @property
    def hop(self) -> str:
        """Name, and host and port or path, for the log."""
        if self.socket_path:
            return f"{self.name} ({self.socket_path})"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.name} ({host}:{self.port})"
