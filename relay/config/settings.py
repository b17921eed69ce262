"""What there is to set: a frozen model per section. No IO.

Descriptions are what operators read: they stand in config/relay.toml and in the README.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PositiveInt, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from relay.config import values
from relay.config.inbound import Client, Listener
from relay.config.outbound import Upstream
from relay.config.section import Section

MIB = 1024 * 1024


class Domain(Section):
    """A domain to sign for. A folder keys/DOMAIN/ is enough for the defaults."""

    subdomains: bool = Field(default=False, description="Sign for all subdomains with these keys.")
    selectors: tuple[Annotated[str, AfterValidator(values.selector_name)], ...] = Field(
        default=(), description="Only these selectors sign; empty for what lies in the folder."
    )


class Dns(Section):
    """How key records are looked up."""

    gate: Literal["published", "off"] = Field(
        default="published",
        description="published: a key signs once its record is seen in DNS. "
        "off: it signs without that.",
    )
    nameservers: tuple[Annotated[str, AfterValidator(values.nameserver)], ...] = Field(
        default=(), description='Empty for the system\'s; else for example ["127.0.0.1:5353"].'
    )
    timeout_seconds: values.Seconds = Field(default=5.0, description="For one look-up in all.")


class Signing(Section):
    """What is done to a message before it is signed, and what the signature says."""

    expire_seconds: int = Field(
        default=0, ge=0, description="x= is so much later than t=; 0 leaves it out."
    )
    existing: Literal["keep", "strip"] = Field(
        default="keep", description="DKIM-Signature fields that a message already has."
    )
    adapt: Literal["reencode", "refuse"] = Field(
        default="reencode",
        description="8-bit parts for a hop without 8BITMIME, and lines over 998 octets: given "
        "another transfer encoding, or refused.",
    )
    bare_newlines: Literal["refuse", "normalize"] = Field(
        default="refuse", description="A bare CR or LF: refused, or made CRLF before signing."
    )
    received: Literal["full", "anonymous", "off"] = Field(
        default="full",
        description="The Received field: with the client's address, without, or none.",
    )


class Limits(Section):
    """How much of anything is taken."""

    max_message_bytes: PositiveInt = Field(default=50 * MIB, description="A message (SIZE).")
    max_header_bytes: PositiveInt = Field(default=256 * 1024, description="A header section.")
    max_header_fields: PositiveInt = Field(default=2000, description="Fields in it.")
    max_header_field_bytes: PositiveInt = Field(default=100_000, description="One field.")
    max_recipients: PositiveInt = Field(
        default=1000, description="Recipients of one message; 452 beyond."
    )
    max_connections: PositiveInt = Field(
        default=2000, description="Connections of clients; 421 beyond."
    )
    max_connections_per_address: PositiveInt = Field(
        default=1000, description="The same for one address; 421 beyond."
    )
    max_messages_per_session: PositiveInt = Field(
        default=10_000, description="Messages on one connection; 421 beyond."
    )
    max_inflight_bytes: PositiveInt = Field(
        default=256 * MIB,
        description="All messages in memory together; reading is held back, then 452.",
    )
    max_command_bytes: PositiveInt = Field(default=2048, ge=512, description="A command line.")
    max_bad_commands: PositiveInt = Field(
        default=20, description="Commands that make no sense; then 421."
    )
    idle_seconds: values.Seconds = Field(
        default=300.0, description="A client silent for so long is sent 421 and closed."
    )
    command_seconds: values.Seconds = Field(
        default=60.0, description="For a whole command line, from its first octet; then 421."
    )
    memory_seconds: values.Seconds = Field(
        default=10.0, description="A message held back for so long for want of memory gets 452."
    )
    min_data_bytes_per_second: int = Field(
        default=100, ge=0, description="A message that comes more slowly, after 30 s, gets 421."
    )
    max_failed_logins: PositiveInt = Field(
        default=10, description="Of one address in ten minutes; then it is refused unheard."
    )


class Logging(Section):
    """The log, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least level that is written."
    )
    format: Literal["auto", "json", "console"] = Field(
        default="auto", description="auto: console on a terminal, else JSON."
    )


class Service(Section):
    """The process."""

    hostname: Annotated[str, AfterValidator(values.host_name)] = Field(
        default="", description="Our name in greeting, EHLO and Received; empty for the machine's."
    )
    drain_seconds: values.Seconds = Field(
        default=30.0, description="On SIGTERM, transactions in flight have so long to finish."
    )
    workers: int = Field(default=1, ge=1, le=1, description="Processes; one, for now.")


class Config(Section):
    """All settings."""

    keys_dir: str = Field(
        default="keys", min_length=1, description="Private keys: DOMAIN/SELECTOR.pem in here."
    )
    listeners: Annotated[tuple[Listener, ...], AfterValidator(values.some)] = (Listener(),)
    clients: tuple[Client, ...] = ()
    upstreams: tuple[Upstream, ...] = ()
    domains: dict[Annotated[str, AfterValidator(values.domain_name)], Domain] = Field(
        default_factory=dict
    )
    dns: Dns = Dns()
    signing: Signing = Signing()
    limits: Limits = Limits()
    logging: Logging = Logging()
    service: Service = Service()

    @model_validator(mode="after")
    def _check(self) -> Config:
        for _, what, fix in cross_faults(self.model_dump()):
            raise PydanticCustomError("cross", "{what}", {"what": what, "fix": fix})
        return self


def cross_faults(data: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    """What sections say against each other: (location, what is wrong, what to do).

    Args:
        data: the settings as they were given; other faults in them are passed over.
    """
    upstreams, listeners = data.get("upstreams"), data.get("listeners")
    if not upstreams or (isinstance(upstreams, list | tuple) and len(upstreams) > 1):
        found = "no upstream" if not upstreams else "several upstreams"
        fix = "set DKIM_RELAY_UPSTREAM__URL, or url in one [[upstreams]]"
        yield ("upstreams", 1), f"{found}, one is needed", fix
    # An open relay by configuration is the field's commonest incident: refuse to start.
    for index, given in enumerate(listeners if isinstance(listeners, list | tuple) else ()):
        address = given.get("address") if isinstance(given, Mapping) else None
        if isinstance(address, str) and not data.get("clients") and _is_open(address):
            what = f"listener {address} is open to others, and no client is named"
            fix = 'add [[clients]] with name and networks, or listen on "127.0.0.1:2525"'
            yield ("listeners", index, "address"), what, fix
    yield from _login_faults(data)


def _login_faults(data: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    clients, listeners = data.get("clients"), data.get("listeners", ())
    if not isinstance(clients, list | tuple) or not isinstance(listeners, list | tuple):
        return
    may_log_in = any(
        isinstance(given, Mapping)
        and (given.get("tls", "none") != "none" or given.get("insecure_auth") is True)
        for given in listeners
    )
    for index, given in enumerate(clients):
        if isinstance(given, Mapping) and given.get("login") and not may_log_in:
            what = f"login {given['login']!r}, and no listener lets anybody log in"
            fix = 'set tls = "starttls" and certificate_file of a listener'
            yield ("clients", index, "login"), what, fix


def _is_open(address: str) -> bool:
    try:
        return not Listener(address=address).is_local
    except ValidationError:
        return False
