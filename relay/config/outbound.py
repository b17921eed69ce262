"""Settings of where signed mail goes. No IO."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveInt, SecretStr, model_validator

from relay.config import values
from relay.config.section import Section


class Upstream(Section):
    """The smarthost that signed mail goes to."""

    name: str = Field(default="upstream", min_length=1, description="For logs.")
    url: Annotated[str, AfterValidator(values.upstream_url)] = Field(
        description="smtp://HOST:PORT, or smtps://HOST:PORT for TLS from the first octet."
    )
    tls: Literal["", "implicit", "starttls", "opportunistic", "none"] = Field(
        default="",
        description="implicit, starttls, opportunistic or none. "
        "Empty: implicit for smtps://, else starttls.",
    )
    username: str = Field(default="", description="For AUTH; empty for none.")
    password: SecretStr = Field(default=SecretStr(""), description="For AUTH.")
    password_file: str = Field(default="", description="Or a file with the password in it.")
    ca_file: str = Field(
        default="", description="CA certificates (PEM) to trust; empty for the system's."
    )
    insecure_auth: bool = Field(
        default=False, description="Send the password over a connection without verified TLS."
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
    connect_seconds: values.Seconds = Field(
        default=30.0, description="For connecting, TLS, EHLO and AUTH together."
    )
    acquire_seconds: values.Seconds = Field(
        default=30.0, description="How long a message waits for a free connection."
    )

    @model_validator(mode="after")
    def _check(self) -> Upstream:
        if self.url.lower().startswith("smtps:") and self.tls not in ("", "implicit"):
            what = f"tls = {self.tls!r} contradicts smtps:// of the url"
            raise values.fault(what, "use smtp://, or leave tls out", at="tls")
        if self.password.get_secret_value() and self.password_file:
            what = "password and password_file are both set"
            raise values.fault(what, "keep one", at="password_file")
        return self

    @property
    def host_port(self) -> tuple[str, int]:
        """Where it listens."""
        scheme, host, port = values.split_url(self.url)
        return host, port or (465 if scheme == "smtps" else 25)

    @property
    def tls_mode(self) -> str:
        """`tls`, with its default resolved."""
        if self.tls:
            return self.tls
        return "implicit" if values.split_url(self.url)[0] == "smtps" else "starttls"
