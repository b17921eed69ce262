"""Settings of how keys are replaced, and of who changes their records in DNS. No IO."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveInt, model_validator

from relay.config import values
from relay.config.section import Section


class Rotation(Section):
    """When a key is replaced by a new one, and how long its old record stays."""

    every: Annotated[str, AfterValidator(values.duration)] = Field(
        default="",
        description='The age at which a key is due, for example "90d"; empty for never. It is said '
        "in the log then; with [[publishing]] for its domain, all of it happens by itself.",
    )
    retire_after: Annotated[str, AfterValidator(values.duration)] = Field(
        default="7d",
        description="How long the old record stays once a new key signs. Mail is on its way for "
        "days: less than 7d is for tests.",
    )
    old_records: Literal["remove", "revoke"] = Field(
        default="remove", description="What becomes of it then: removed, or left with an empty p=."
    )
    check_seconds: values.Seconds = Field(
        default=60.0, description="How often the relay looks whether something is due."
    )


class Publishing(Section):
    """Who changes key records in DNS. Without any, you do.

    A record is only replaced or removed when it is one of ours.
    """

    name: str = Field(min_length=1, description="For logs.")
    domains: tuple[Annotated[str, AfterValidator(values.domain_pattern)], ...] = Field(
        default=("*",), description='Whose records: "example.com", "*.example.com", or "*".'
    )
    provider: str = Field(
        default="rfc2136",
        min_length=1,
        description="rfc2136: dynamic updates of a name server. Any other name is a provider of "
        "dns-lexicon (pip install 'dkim-relay[lexicon]'), with its own LEXICON_… variables.",
    )
    server: str = Field(
        default="", description='rfc2136: the primary, as "192.0.2.53" or "127.0.0.1:5353".'
    )
    zone: Annotated[str, AfterValidator(values.optional_domain_name)] = Field(
        default="", description="Empty: found out by asking."
    )
    key_name: str = Field(
        default="", description="rfc2136: the TSIG key; empty when key_file has its name in it."
    )
    key_algorithm: Literal[
        "hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512", "hmac-sha1"
    ] = Field(default="hmac-sha256", description="rfc2136: of the TSIG key.")
    key_file: str = Field(
        default="",
        description="rfc2136: a file with its secret in base64, or as tsig-keygen writes it.",
    )
    ttl_seconds: PositiveInt = Field(default=3600, description="Of records that are made.")

    @model_validator(mode="after")
    def _check(self) -> Publishing:
        if self.provider == "rfc2136":
            if not self.server:
                raise values.fault("rfc2136 needs a server", "name the primary", at="server")
            values.nameserver(self.server)
        elif self.server or self.key_name or self.key_file:
            what = f"server and key are not for provider = {self.provider!r}"
            raise values.fault(what, 'set provider = "rfc2136", or leave them out', at="provider")
        return self

    def has(self, domain: str) -> bool:
        """Whether the records of a domain are changed here."""
        return any(
            pattern in ("*", domain) or (pattern[:2] == "*." and domain.endswith(pattern[1:]))
            for pattern in self.domains
        )
