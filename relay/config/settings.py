"""What there is to set: a frozen model per section. No IO.

Descriptions are what operators read: they stand in config/relay.toml and in the README.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from relay.config import values
from relay.config.admin import Admin
from relay.config.inbound import Client, Listener
from relay.config.keys import Publishing, Rotation
from relay.config.limits import Limits
from relay.config.outbound import Route, Upstream
from relay.config.routes import route_faults
from relay.config.section import Section

_MAX_WORKERS = 1024
_MANY_DIGITS = 20  # Python refuses to read numbers of thousands
_MAX_CONNECTIONS: int = Upstream.model_fields["max_connections"].default


class Domain(Section):
    """A domain to sign for. A folder keys/DOMAIN/ is enough for the defaults."""

    subdomains: bool = Field(default=False, description="Sign for all subdomains with these keys.")
    selectors: tuple[Annotated[str, AfterValidator(values.selector_name)], ...] = Field(
        default=(), description="Only these selectors sign; empty for what lies in the folder."
    )
    passphrase_file: str = Field(
        default="", description="In place of keys_passphrase_file, for this domain."
    )
    rotation: Annotated[str, AfterValidator(values.rotation)] = Field(
        default="", description='In place of rotation.every, for example "90d"; or "never".'
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
    grace: Annotated[str, AfterValidator(values.duration)] = Field(
        default="7d",
        description="A key whose record was seen within this time signs at once after a start "
        "(with state_dir); an older sighting counts once DNS does not answer.",
    )
    start_seconds: values.Seconds = Field(
        default=10.0, description="A start waits so long for records that were never seen."
    )
    recheck_seconds: values.Seconds = Field(
        default=300.0, description="How often a record that matches is looked at again."
    )
    silent_seconds: values.Seconds = Field(
        default=3600.0,
        description="A name server that does not answer holds a new key up for so long.",
    )


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


class Logging(Section):
    """The log, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least level that is written."
    )
    format: Literal["auto", "json", "console"] = Field(
        default="auto", description="auto: console on a terminal, else JSON."
    )
    privacy: bool = Field(
        default=False,
        description="Mask local parts of addresses, and all but the network of clients.",
    )
    wire: bool = Field(
        default=False,
        description="Every SMTP command and reply, without secrets and messages: to find a fault.",
    )


def _workers(value: int | str) -> int | str:
    """A number of processes, which a variable gives as text; or "auto"."""
    if value == "auto":
        return value
    number = _whole(value)
    if not 0 < number <= _MAX_WORKERS:
        fix = f'1 to {_MAX_WORKERS}, or "auto"'
        raise values.fault(f"{value!r} is no number of processes", fix)
    return number


class Service(Section):
    """The process."""

    hostname: Annotated[str, AfterValidator(values.host_name)] = Field(
        default="", description="Our name in greeting, EHLO and Received; empty for the machine's."
    )
    drain_seconds: values.Seconds = Field(
        default=30.0, description="On SIGTERM, transactions in flight have so long to finish."
    )
    workers: Annotated[int | str, AfterValidator(_workers)] = Field(
        default=1,
        description='Processes that share the listeners; "auto": one for each CPU that may be '
        "used. Limits and rates hold for all of them together.",
    )
    stall_seconds: Annotated[float, Field(ge=2, allow_inf_nan=False)] = Field(
        default=30.0,
        description="A worker that does nothing at all for so long is killed and started again.",
    )


class Config(Section):
    """All settings."""

    keys_dir: str = Field(
        default="keys", min_length=1, description="Private keys: DOMAIN/SELECTOR.pem in here."
    )
    keys_passphrase_file: str = Field(
        default="", description="Has the passphrase of encrypted keys, on one line."
    )
    keys_reload_seconds: values.Pause = Field(
        default=10.0, description="Keys are looked at so often for changes; 0: at start only."
    )
    state_dir: str = Field(
        default="", description="For what should outlive a restart; empty: nothing does."
    )
    listeners: Annotated[tuple[Listener, ...], AfterValidator(values.some)] = (Listener(),)
    clients: tuple[Client, ...] = ()
    upstreams: tuple[Upstream, ...] = ()
    routes: tuple[Route, ...] = ()
    domains: dict[Annotated[str, AfterValidator(values.domain_name)], Domain] = Field(
        default_factory=dict
    )
    dns: Dns = Dns()
    rotation: Rotation = Rotation()
    publishing: tuple[Publishing, ...] = ()
    signing: Signing = Signing()
    limits: Limits = Limits()
    logging: Logging = Logging()
    service: Service = Service()
    admin: Admin = Admin()

    @model_validator(mode="after")
    def _check(self) -> Config:
        for _, what, fix in cross_faults(self.model_dump()):
            raise PydanticCustomError("cross", "{what}", {"what": what, "fix": fix})
        return self

    def passphrase_file_of(self, domain: str) -> Path | None:
        """What opens the encrypted keys of a domain (in A-labels); None when none is set."""
        own = self.domains[domain].passphrase_file if domain in self.domains else ""
        path = own or self.keys_passphrase_file
        return Path(path) if path else None


def cross_faults(data: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    """What sections say against each other: (location, what is wrong, what to do).

    Args:
        data: the settings as they were given; other faults in them are passed over.
    """
    yield from route_faults(data)
    listeners = data.get("listeners")
    # An open relay by configuration is the field's commonest incident: refuse to start.
    for index, given in enumerate(listeners if isinstance(listeners, list | tuple) else ()):
        address = given.get("address") if isinstance(given, Mapping) else None
        if isinstance(address, str) and not data.get("clients") and _is_open(address):
            what = f"listener {address} is open to others, and no client is named"
            fix = (
                "set networks in [[clients]] (DKIM_RELAY_CLIENT__NETWORKS), or listen on 127.0.0.1"
            )
            yield ("listeners", index, "address"), what, fix
    yield from _door_faults(data)
    yield from _login_faults(data)
    yield from _dane_faults(data)
    yield from _worker_faults(data)


def _door_faults(data: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    """Who is known by nothing but an open listener is everybody."""
    clients = data.get("clients")
    for index, given in enumerate(clients if isinstance(clients, list | tuple) else ()):
        if not isinstance(given, Mapping) or any(
            given.get(name) for name in ("networks", "login", "certificates", "uids")
        ):
            continue
        doors = given.get("listeners")
        for address in doors if isinstance(doors, list | tuple) else ():
            if isinstance(address, str) and _is_open(address):
                what = f"listeners names {address} alone: whoever comes there is let in"
                fix = "add networks, a login or certificates"
                yield ("clients", index, "listeners"), what, fix


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


def _dane_faults(data: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    """The AD bit is worth what the path to the resolver is: it is named, not found somewhere."""
    dns, upstreams = data.get("dns", {}), data.get("upstreams")
    has_nameservers = bool(dns.get("nameservers")) if isinstance(dns, Mapping) else True
    for index, given in enumerate(upstreams if isinstance(upstreams, list | tuple) else ()):
        dane = given.get("dane", "off") if isinstance(given, Mapping) else "off"
        if dane in ("opportunistic", "required") and not has_nameservers:
            what = f"dane = {dane!r} needs a validating resolver that you trust"
            fix = 'name it in dns.nameservers, for example "127.0.0.1"'
            yield ("upstreams", index, "dane"), what, fix


def _worker_faults(data: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    """Connections are divided among workers; one without any could hand nothing over."""
    service, upstreams = data.get("service", {}), data.get("upstreams")
    workers = _whole(service.get("workers")) if isinstance(service, Mapping) else 0
    for index, given in enumerate(upstreams if isinstance(upstreams, list | tuple) else ()):
        most = _whole(given.get("max_connections")) if isinstance(given, Mapping) else 0
        most = most or _MAX_CONNECTIONS
        if most < workers:
            what = f"max_connections = {most} for {workers} workers leaves some without any"
            fix = f"raise it, or set service.workers to {most} at most"
            yield ("upstreams", index, "max_connections"), what, fix


def _whole(given: object) -> int:
    """A number as a file or the environment gives it; 0 for what is none, and for nothing."""
    text = str(given)
    return int(text) if text.isdecimal() and len(text) < _MANY_DIGITS else 0


def _is_open(address: str) -> bool:
    try:
        return not Listener(address=address).is_local
    except ValidationError:
        return False
