"""Settings of where signed mail goes. No IO."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveInt, SecretStr, model_validator

from relay.config import values
from relay.config.contradictions import contradictions
from relay.config.section import Section

_PORTS = {"smtp": 25, "smtps": 465, "lmtp": 24}  # RFC 5321 §4.5.4.2, RFC 8314 §7.3, RFC 2033 §6


class Upstream(Section):
    """The smarthost that signed mail goes to."""

    name: str = Field(default="upstream", min_length=1, description="For logs.")
    url: Annotated[str, AfterValidator(values.upstream_url)] = Field(
        description="smtp://HOST:PORT; smtps://HOST:PORT for TLS from the first octet; "
        "lmtp://HOST:PORT for LMTP; unix:/PATH or lmtp+unix:/PATH for a UNIX socket. "
        "Ports left out: 25, 465, 24."
    )
    tls: Literal["", "implicit", "starttls", "opportunistic", "none"] = Field(
        default="",
        description="implicit, starttls, opportunistic or none. "
        "Empty: implicit for smtps://, none for a UNIX socket, else starttls.",
    )
    tls_min_version: Literal["1.2", "1.3"] = Field(
        default="1.2", description="The least version of TLS: 1.2 or 1.3."
    )
    tls_fingerprints: tuple[Annotated[str, AfterValidator(values.fingerprint)], ...] = Field(
        default=(),
        description='SHA-256 of the server\'s certificate or public key, "sha256:…"; one of them '
        "has to match. They stand in the place of CAs; names and dates do not count then.",
    )
    ca_file: str = Field(
        default="",
        description="CA certificates (PEM) to trust; empty for the system's. Read anew when it "
        "changes, as are the next two.",
    )
    client_certificate_file: str = Field(
        default="", description="Certificate (PEM, with its chain) to show to the server."
    )
    client_key_file: str = Field(
        default="", description="Its private key; empty if it is in the same file."
    )
    dane: Literal["off", "opportunistic", "required"] = Field(
        default="off",
        description="TLSA records say which certificate the server has (DANE, RFC 7672). "
        "opportunistic: where there are such records; required: only then. "
        "Needs a validating resolver in dns.nameservers.",
    )
    auth: Literal["auto", "plain", "login", "cram-md5", "xoauth2", "oauthbearer", "external"] = (
        Field(
            default="auto",
            description="How to log in: plain, login, cram-md5, xoauth2, oauthbearer or external "
            "(by the client certificate). auto: the best that the server offers and that there "
            "is a secret for.",
        )
    )
    username: str = Field(default="", description="For AUTH; empty for none.")
    password: SecretStr = Field(default=SecretStr(""), description="For AUTH.")
    password_file: str = Field(
        default="",
        description="Or a file with the password in it. It is read anew when it changes, as is "
        "every file with a secret below.",
    )
    oauth_token_url: Annotated[str, AfterValidator(values.token_url)] = Field(
        default="",
        description="Where access tokens are fetched (https), for xoauth2 and oauthbearer: with "
        "the refresh token when there is one, else with the client's credentials.",
    )
    oauth_client_id: str = Field(default="", description="The client there.")
    oauth_client_secret: SecretStr = Field(default=SecretStr(""), description="Its secret.")
    oauth_client_secret_file: str = Field(default="", description="Or a file with it.")
    oauth_refresh_token: SecretStr = Field(
        default=SecretStr(""), description="A refresh token; empty for client credentials."
    )
    oauth_refresh_token_file: str = Field(default="", description="Or a file with it.")
    oauth_scope: str = Field(default="", description="What the token is for, if need be.")
    oauth_ca_file: str = Field(
        default="", description="CA certificates (PEM) for that server; empty for the system's."
    )
    oauth_token: SecretStr = Field(
        default=SecretStr(""), description="Or an access token that somebody else renews."
    )
    oauth_token_file: str = Field(default="", description="Or a file with it.")
    insecure_auth: bool = Field(
        default=False,
        description="Log in over a connection without verified TLS; cram-md5 is preferred there.",
    )
    max_recipients_per_message: int = Field(
        default=0,
        ge=0,
        description="Recipients of one message that the server takes; 452 beyond. 0 for no "
        "limit. With LMTP it is always 1.",
    )
    profile: str = Field(
        default="generic",
        description="What the upstream rewrites and limits: generic, ses, postmark, sendgrid, "
        "mailgun, office365, google-relay, postfix.",
    )
    max_connections: PositiveInt = Field(default=50, description="Connections at most.")
    max_messages_per_connection: PositiveInt = Field(
        default=1000, description="Then a connection is closed."
    )
    idle_seconds: values.Seconds = Field(
        default=60.0, description="A connection unused for so long is closed."
    )
    keepalive_seconds: values.Seconds = Field(
        default=30.0,
        description="While a client is slow to send its message, the server hears NOOP so often, "
        "and does not hang up.",
    )
    connect_seconds: values.Seconds = Field(
        default=30.0,
        description="For each step of connecting (TCP and TLS, greeting, EHLO, STARTTLS, AUTH); "
        "twice as long for all of them.",
    )
    acquire_seconds: values.Seconds = Field(
        default=30.0,
        description="How long a message waits for a free connection and for the rate; then 451.",
    )
    min_idle_connections: int = Field(
        default=0, ge=0, description="Kept open and unused, so that no message waits for TLS."
    )
    rate: Annotated[str, AfterValidator(values.rate)] = Field(
        default="",
        description='Recipients at most: for example "14/s", "600/min" or "20000/h"; empty for '
        "no limit. Further messages wait.",
    )
    rate_burst: int = Field(
        default=0, ge=0, description="Recipients at once; 0 for those of one second."
    )
    breaker_failures: PositiveInt = Field(
        default=3,
        description="After so many failures to connect or log in, one after the other, the "
        "upstream is left alone: messages go to the next one of the route, or get 451 at once.",
    )
    breaker_seconds: values.Seconds = Field(
        default=1.0, description="Then it is tried again; doubles up to 60."
    )
    backoff_seconds: values.Seconds = Field(
        default=1.0,
        description="No new connection for so long after a 421 or 454; doubles up to 30.",
    )

    @model_validator(mode="after")
    def _check(self) -> Upstream:
        for at, what, fix in contradictions(self):
            raise values.fault(what, fix, at=at)
        if self.rate_burst and not self.rate:
            raise values.fault("rate_burst without rate", "set rate too", at="rate_burst")
        if self.min_idle_connections > self.max_connections:
            what = f"min_idle_connections = {self.min_idle_connections} is over max_connections"
            raise values.fault(what, "lower it", at="min_idle_connections")
        return self

    @property
    def host_port(self) -> tuple[str, int]:
        """Where it listens; "localhost" and 0 for a UNIX socket."""
        scheme, host, port = values.split_url(self.url)
        return host, 0 if self.socket_path else port or _PORTS[scheme]

    @property
    def socket_path(self) -> str:
        """Of the UNIX socket that it listens on; empty when it is another kind."""
        return values.socket_path(self.url)

    @property
    def is_lmtp(self) -> bool:
        """Whether LMTP is spoken."""
        return values.split_url(self.url)[0] == "lmtp"

    @property
    def tls_mode(self) -> str:
        """`tls`, with its default resolved."""
        if self.tls:
            return self.tls
        if self.socket_path:
            return "none"
        return "implicit" if values.split_url(self.url)[0] == "smtps" else "starttls"


class Route(Section):
    """Which upstream mail takes, and whether it is signed for it.

    The first route that matches is taken; every criterion that is given must hold. Without any
    route, all mail takes the upstreams in their order, each one the fallback of those before it.
    """

    name: str = Field(min_length=1, description="For logs.")
    listeners: tuple[str, ...] = Field(default=(), description="Addresses of listeners.")
    clients: tuple[str, ...] = Field(default=(), description="Names of clients.")
    mail_from: tuple[Annotated[str, AfterValidator(values.reverse_path)], ...] = Field(
        default=(),
        description='Reverse-paths: "example.com", "*.example.com", "user@example.com", "<>".',
    )
    rcpt_to: tuple[Annotated[str, AfterValidator(values.from_address)], ...] = Field(
        default=(), description="Recipients, in the same forms."
    )
    upstreams: tuple[str, ...] = Field(
        min_length=1,
        description="Names of upstreams; each is the fallback of those before it, when they "
        "cannot be reached.",
    )
    signing: Literal["sign", "strip", "skip", "skip-if-signed"] = Field(
        default="sign",
        description="sign; strip: take the signatures of others out, then sign; skip: never "
        "sign; skip-if-signed: leave what its author's domain has signed. What leaves unsigned "
        "is counted.",
    )

    @property
    def matches_all(self) -> bool:
        """Whether every transaction takes it."""
        return not (self.listeners or self.clients or self.mail_from or self.rcpt_to)
