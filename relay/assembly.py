"""From settings to parts: each made here once, nothing of it started."""

from __future__ import annotations

import secrets
import socket
import time
import tomllib
from collections.abc import Callable, Iterable
from importlib import resources
from ipaddress import ip_network
from pathlib import Path

from publicsuffixlist import PublicSuffixList

from relay import clock
from relay.config.inbound import Listener
from relay.config.outbound import Upstream
from relay.config.settings import Config
from relay.core.address import is_domain
from relay.core.errors import ConfigError, Fault
from relay.core.events import Event
from relay.core.message import ReadLimits
from relay.core.policy import ClientRule, SigningDomains
from relay.core.profile import Profile, parse_profile, suggest
from relay.dns.gate import Gate, OpenGate, RecordGate
from relay.dns.resolver import DnsResolver
from relay.flow import Terms
from relay.keyring.keyring import Keyring
from relay.listener.bind import Binding
from relay.listener.certificates import CertificateFiles, Certificates
from relay.listener.endpoint import Endpoint, ListenerTls
from relay.listener.logins import LoginLimits, Logins
from relay.listener.memory import Memory
from relay.listener.session import SessionLimits
from relay.listener.sockets import Listeners
from relay.listener.transit import Station
from relay.upstream.pool import Pool
from relay.upstream.settings import Tls, UpstreamSettings

Emit = Callable[[Event], None]
_LOOPBACK = ClientRule("loopback", (ip_network("127.0.0.0/8"), ip_network("::1/128")))


def make_listeners(
    config: Config, keyring: Keyring, pool: Pool, profile: Profile, emit: Emit
) -> Listeners:
    """The inbound edge, not bound yet."""
    limits = config.limits
    station = Station(
        terms=make_terms(config, keyring.domains, profile),
        keys=keyring,
        upstream=pool,
        read_limits=make_read_limits(config),
        hostname=hostname(config),
        received=config.signing.received,
        now=clock.now,
        monotonic=time.monotonic,
        unique=lambda: secrets.token_hex(8),
        emit=emit,
    )
    return Listeners(
        station,
        SessionLimits(
            max_recipients=limits.max_recipients,
            max_messages=limits.max_messages_per_session,
            max_command_octets=limits.max_command_bytes,
            max_bad_commands=limits.max_bad_commands,
            idle_seconds=limits.idle_seconds,
            command_seconds=limits.command_seconds,
            min_data_rate=limits.min_data_bytes_per_second,
            memory_seconds=limits.memory_seconds,
        ),
        rules=client_rules(config),
        max_connections=limits.max_connections,
        max_connections_per_address=limits.max_connections_per_address,
        logins=_logins(config),
        memory=Memory(limits.max_inflight_bytes),
    )


def make_terms(config: Config, domains: Iterable[str], profile: Profile) -> Terms:
    """The settings of a message's path, for the domains that there are keys or settings for."""
    subdomains = {name: domain.subdomains for name, domain in config.domains.items()}
    return Terms(
        domains=SigningDomains(
            {name: subdomains.get(name, False) for name in domains},
            organizational=_organizational(config),
        ),
        profile=profile,
        expire_seconds=config.signing.expire_seconds,
        strip_existing=config.signing.existing == "strip",
        may_reencode=config.signing.adapt == "reencode",
    )


def make_read_limits(config: Config) -> ReadLimits:
    """How much of a message is read."""
    return ReadLimits(
        max_message_octets=config.limits.max_message_bytes,
        max_header_octets=config.limits.max_header_bytes,
        max_header_fields=config.limits.max_header_fields,
        max_field_octets=config.limits.max_header_field_bytes,
        normalize_newlines=config.signing.bare_newlines == "normalize",
    )


def _logins(config: Config) -> Logins | None:
    hashes = {c.login: c.password_hash.get_secret_value() for c in config.clients if c.login}
    if not hashes:
        return None
    limits = LoginLimits(max_failures=config.limits.max_failed_logins)
    return Logins(hashes, limits, monotonic=time.monotonic)


def binding(listener: Listener) -> Binding:
    """A listener of the settings, ready to bind.

    Raises:
        ConfigError: its certificate cannot be loaded.
    """
    certificates = None
    if listener.tls != "none":
        certificates = Certificates(
            CertificateFiles(
                certificate=Path(listener.certificate_file),
                key=Path(listener.key_file) if listener.key_file else None,
                client_ca=Path(listener.client_ca_file) if listener.client_ca_file else None,
            )
        )
    endpoint = Endpoint(
        address=listener.address,
        tls=ListenerTls(listener.tls),
        certificates=certificates,
        requires_tls=listener.require_tls,
        may_auth_in_clear=listener.insecure_auth,
        proxies=tuple(map(ip_network, listener.proxy_from)),
    )
    return Binding(
        address=listener.address,
        endpoint=endpoint,
        mode=int(listener.unix_mode, 8),
        owner=listener.unix_owner,
    )


def client_rules(config: Config) -> tuple[ClientRule, ...]:
    """Who may submit; without [[clients]], whoever is on this machine."""
    named = (
        ClientRule(
            client.name,
            client.ip_networks,
            client.from_addresses,
            mail_from=client.mail_from,
            listeners=frozenset(client.listeners),
            login=client.login,
            certificates=frozenset(name.lower() for name in client.certificates),
            uids=frozenset(client.uids),
        )
        for client in config.clients
    )
    local = frozenset(
        listener.address for listener in config.listeners if listener.address.startswith("unix:")
    )
    sockets = (ClientRule("socket", listeners=local),) if local else ()
    return tuple(named) or (_LOOPBACK, *sockets)


def hostname(config: Config) -> str:
    """Our name in greeting, EHLO and Received; never looked up in DNS."""
    name = config.service.hostname or socket.gethostname()
    return name if is_domain(name.encode("ascii", "replace")) else "localhost"


def make_gate(config: Config) -> Gate:
    """What decides whether a key may sign."""
    if config.dns.gate == "off":
        return OpenGate()
    return RecordGate(
        DnsResolver(config.dns.nameservers, lifetime_seconds=config.dns.timeout_seconds)
    )


def upstream_settings(config: Config) -> UpstreamSettings:
    """The one upstream's settings, as its pool takes them."""
    upstream: Upstream = config.upstreams[0]
    host, port = upstream.host_port
    return UpstreamSettings(
        name=upstream.name,
        host=host,
        port=port,
        tls=Tls(upstream.tls_mode),
        username=upstream.username,
        password=upstream.password.get_secret_value(),
        ehlo_name=hostname(config),
        ca_file=upstream.ca_file,
        insecure_auth=upstream.insecure_auth,
        max_connections=upstream.max_connections,
        max_messages_per_connection=upstream.max_messages_per_connection,
        idle_seconds=upstream.idle_seconds,
        acquire_seconds=upstream.acquire_seconds,
        connect_seconds=upstream.connect_seconds,
    )


def load_profile(name: str) -> Profile:
    """A profile of `relay/profiles` by its name.

    Raises:
        ConfigError: there is none of that name; the fix lists those there are.
    """
    known = profile_names()
    if name not in known:
        fault = Fault("upstreams[0].profile", f"no profile {name!r}", f"one of {', '.join(known)}")
        raise ConfigError((fault,))
    text = (resources.files("relay.profiles") / f"{name}.toml").read_text("utf-8")
    return parse_profile(name, tomllib.loads(text))


def profile_names() -> tuple[str, ...]:
    """The profiles there are, by name."""
    names = (file.name for file in resources.files("relay.profiles").iterdir())
    return tuple(sorted(n.removesuffix(".toml") for n in names if n.endswith(".toml")))


def profile_hints(config: Config) -> tuple[str, ...]:
    """What an operator should know of the profile that is set, and of one that fits better.

    Raises:
        ConfigError: there is no such profile.
    """
    upstream = config.upstreams[0]
    profile = load_profile(upstream.profile)
    host, _ = upstream.host_port
    fitting = suggest(host, [load_profile(name) for name in profile_names()])
    hints = [f"profile {profile.name}: {warning}" for warning in profile.warnings]
    if fitting is not None and fitting != profile.name:
        hints.append(f'{host} looks like {fitting}: consider profile = "{fitting}"')
    return tuple(hints)


def _organizational(config: Config) -> Callable[[str], str | None]:
    """The public suffix list is read only when a parent domain may sign."""
    if not any(domain.subdomains for domain in config.domains.values()):
        return lambda _domain: None
    suffixes = PublicSuffixList()

    def organizational(domain: str) -> str | None:
        found = suffixes.privatesuffix(domain)
        return str(found) if found else None

    return organizational
