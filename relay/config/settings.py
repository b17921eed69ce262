"""What there is to set: a frozen model per section. No IO.

Descriptions are what operators read: they stand in config/relay.toml and in the README.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from relay.core.address import a_label, is_domain
from relay.core.errors import SyntaxFault

MIB = 1024 * 1024
Item = TypeVar("Item")
_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^\[\]:/\s]+):([0-9]{1,5})")
_URL = re.compile(r"(?i)(smtps?)://(\[[0-9a-f:.]+\]|[a-z0-9._\-]+)(?::([^/]*))?/?")
MAX_PORT = 65535
_SELECTOR = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.\-]*[A-Za-z0-9])?")


def fault(what: str, fix: str, *, at: str = "") -> PydanticCustomError:
    """A fault of a setting: what is wrong, what to do, and at which key of its section."""
    return PydanticCustomError("relay", "{what}", {"what": what, "fix": fix, "at": at})


def _domain(value: str) -> str:
    try:
        name = a_label(value)
    except SyntaxFault:
        name = ""
    if "." not in name or not is_domain(name.encode("ascii")):
        raise fault(f"{value!r} is not a domain name", 'write it like "example.com"')
    return name


def _selector(value: str) -> str:
    if _SELECTOR.fullmatch(value) is None:
        raise fault(f"{value!r} is not a selector", "letters, digits, hyphens, dots")
    return value.lower()


def split_host_port(value: str) -> tuple[str, int]:
    """Split "127.0.0.1:25" or "[::1]:25" into host and port.

    Raises:
        PydanticCustomError: it is neither.
    """
    found = _HOST_PORT.fullmatch(value)
    if found is None or int(found[2]) > MAX_PORT:
        raise fault(f"{value!r} is not HOST:PORT", 'for example "127.0.0.1:2525" or "[::1]:2525"')
    return found[1].strip("[]"), int(found[2])


def _listen_address(value: str) -> str:
    host, _ = split_host_port(value)
    try:
        ip_address(host)
    except ValueError as exc:
        raise fault(f"{host!r} is not an IP address", 'for example "127.0.0.1:2525"') from exc
    return value


def _nameserver(value: str) -> str:
    host = value if _is_ip(value) else split_host_port(value)[0]
    if not _is_ip(host):
        raise fault(f"{host!r} is not an IP address", 'for example "127.0.0.1:5353"')
    return value


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _network(value: str) -> str:
    try:
        network = ip_network(value)
    except ValueError as exc:
        raise fault(f"{value!r} is not a network", 'for example "10.0.0.0/8"') from exc
    if network.prefixlen == 0:
        raise fault(
            f"{value!r} would let everyone send as your domains",
            "name the networks of your own clients",
        )
    return value


def _from_address(value: str) -> str:
    if value == "*":
        return value
    head, at, domain = value.rpartition("@")
    wildcard = not at and domain.startswith("*.")
    try:
        name = _domain(domain[2:] if wildcard else domain)
    except PydanticCustomError:
        name = ""
    if not name or (at and ("@" in head or "*" in head or not head)):
        what = f'{value!r} is no domain, "*.domain" or address'
        raise fault(what, 'for example "example.com", "*.example.com" or "user@example.com"')
    return f"{head}@{name}" if at else ("*." if wildcard else "") + name


def _hostname(value: str) -> str:
    if value and not is_domain(value.encode("ascii", "replace")):
        raise fault(f"{value!r} is not a host name", 'for example "relay.example.net"')
    return value


def _split_url(url: str) -> tuple[str, str, int]:
    """Scheme and host in lower case, and the port, 0 when there is none."""
    found = _URL.fullmatch(url)
    if found is None:
        # Not shown: people put passwords into it.
        raise fault("url is not smtp://HOST:PORT", 'for example "smtp://smtp.example.net:587"')
    port = found[3]
    if port is not None and not (port.isdecimal() and 0 < int(port[:6]) <= MAX_PORT):
        raise fault("url has a bad port", "1 to 65535")
    return found[1].lower(), found[2].strip("[]").lower(), int(port or 0)


def _upstream_url(url: str) -> str:
    if "@" in url:
        raise fault("url has credentials in it", "put them into username and password")
    _split_url(url)
    return url


def _some(values: tuple[Item, ...]) -> tuple[Item, ...]:
    if not values:
        raise fault("is empty", "name at least one, or leave it out")
    return values


Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Section(BaseModel):
    """A section of the settings: frozen, and nothing unknown in it."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Listener(Section):
    """Where clients connect."""

    address: Annotated[str, AfterValidator(_listen_address)] = Field(
        default="127.0.0.1:2525",
        description='IP address and port, as "127.0.0.1:2525" or "[::1]:2525".',
    )

    @property
    def host_port(self) -> tuple[str, int]:
        """The address to bind to."""
        return split_host_port(self.address)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return ip_address(self.host_port[0]).is_loopback


class Client(Section):
    """Who may submit, and as whom. Without any, loopback may use every configured domain."""

    name: str = Field(min_length=1, description="For logs.")
    networks: Annotated[
        tuple[Annotated[str, AfterValidator(_network)], ...], AfterValidator(_some)
    ] = Field(description="Networks these clients connect from.")
    from_addresses: tuple[Annotated[str, AfterValidator(_from_address)], ...] = Field(
        default=("*",),
        description='What may stand in From: "example.com", "*.example.com", '
        '"user@example.com", or "*" for every configured domain.',
    )

    @property
    def ip_networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """The networks, read."""
        return tuple(map(ip_network, self.networks))


class Upstream(Section):
    """The smarthost that signed mail goes to."""

    name: str = Field(default="upstream", min_length=1, description="For logs.")
    url: Annotated[str, AfterValidator(_upstream_url)] = Field(
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
    idle_seconds: Seconds = Field(
        default=60.0, description="A connection unused for so long is closed."
    )
    connect_seconds: Seconds = Field(
        default=30.0, description="For connecting, TLS, EHLO and AUTH together."
    )
    acquire_seconds: Seconds = Field(
        default=30.0, description="How long a message waits for a free connection."
    )

    @model_validator(mode="after")
    def _check(self) -> Upstream:
        if self.url.lower().startswith("smtps:") and self.tls not in ("", "implicit"):
            what = f"tls = {self.tls!r} contradicts smtps:// of the url"
            raise fault(what, "use smtp://, or leave tls out", at="tls")
        if self.password.get_secret_value() and self.password_file:
            what = "password and password_file are both set"
            raise fault(what, "keep one", at="password_file")
        return self

    @property
    def host_port(self) -> tuple[str, int]:
        """Where it listens."""
        scheme, host, port = _split_url(self.url)
        return host, port or (465 if scheme == "smtps" else 25)

    @property
    def tls_mode(self) -> str:
        """`tls`, with its default resolved."""
        if self.tls:
            return self.tls
        return "implicit" if _split_url(self.url)[0] == "smtps" else "starttls"


class Domain(Section):
    """A domain to sign for. A folder keys/DOMAIN/ is enough for the defaults."""

    subdomains: bool = Field(default=False, description="Sign for all subdomains with these keys.")
    selectors: tuple[Annotated[str, AfterValidator(_selector)], ...] = Field(
        default=(), description="Only these selectors sign; empty for what lies in the folder."
    )


class Dns(Section):
    """How key records are looked up."""

    gate: Literal["published", "off"] = Field(
        default="published",
        description="published: a key signs once its record is seen in DNS. "
        "off: it signs without that.",
    )
    nameservers: tuple[Annotated[str, AfterValidator(_nameserver)], ...] = Field(
        default=(), description='Empty for the system\'s; else for example ["127.0.0.1:5353"].'
    )
    timeout_seconds: Seconds = Field(default=5.0, description="For one look-up in all.")


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
    max_recipients: PositiveInt = Field(
        default=1000, description="Recipients of one message; 452 beyond."
    )
    max_connections: PositiveInt = Field(
        default=2000, description="Connections of clients; 421 beyond."
    )
    max_command_bytes: PositiveInt = Field(default=2048, ge=512, description="A command line.")
    max_bad_commands: PositiveInt = Field(
        default=20, description="Commands that make no sense; then 421."
    )
    idle_seconds: Seconds = Field(
        default=300.0, description="A client silent for so long is sent 421 and closed."
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

    hostname: Annotated[str, AfterValidator(_hostname)] = Field(
        default="", description="Our name in greeting, EHLO and Received; empty for the machine's."
    )
    drain_seconds: Seconds = Field(
        default=30.0, description="On SIGTERM, transactions in flight have so long to finish."
    )
    workers: int = Field(default=1, ge=1, le=1, description="Processes; one, for now.")


class Config(Section):
    """All settings."""

    keys_dir: str = Field(
        default="keys", min_length=1, description="Private keys: DOMAIN/SELECTOR.pem in here."
    )
    listeners: Annotated[tuple[Listener, ...], AfterValidator(_some)] = (Listener(),)
    clients: tuple[Client, ...] = ()
    upstreams: tuple[Upstream, ...] = ()
    domains: dict[Annotated[str, AfterValidator(_domain)], Domain] = Field(default_factory=dict)
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


def _is_open(address: str) -> bool:
    try:
        return not Listener(address=address).is_loopback
    except ValidationError:
        return False
