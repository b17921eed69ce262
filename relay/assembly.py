"""From settings to parts: each made here once, nothing of it started."""

from __future__ import annotations

import secrets
import socket
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import replace
from importlib import resources
from ipaddress import ip_network
from pathlib import Path

from publicsuffixlist import PublicSuffixList

from relay import clock
from relay.config.inbound import Listener
from relay.config.outbound import Route, Upstream
from relay.config.settings import Config
from relay.config.values import duration_seconds, per_second
from relay.core.address import is_domain
from relay.core.errors import ConfigError, Fault
from relay.core.events import Event
from relay.core.message import ReadLimits
from relay.core.policy import ClientRule, SigningDomains
from relay.core.profile import Profile, parse_profile, suggest
from relay.core.routing import RouteRule, SigningPolicy
from relay.dns.authorities import Authorities
from relay.dns.gate import Gate, OpenGate, Pace, RecordGate
from relay.dns.memory import Memory as RecordMemory
from relay.dns.resolver import DnsResolver
from relay.dns.tlsa import TlsaResolver
from relay.flow import Terms
from relay.keyring.keyring import Introduce, Keyring, Report
from relay.keyring.loading import KeySource
from relay.listener.bind import Binding
from relay.listener.certificates import CertificateFiles, Certificates
from relay.listener.endpoint import Endpoint, ListenerTls
from relay.listener.logins import LoginLimits, Logins
from relay.listener.memory import Memory
from relay.listener.session import SessionLimits
from relay.listener.sockets import Listeners
from relay.listener.transit import Station, Way
from relay.upstream.events import UpstreamEvent, file_teller
from relay.upstream.oauth import FixedToken, Grant, Tokens, TokenSource
from relay.upstream.pool import Pool
from relay.upstream.route import Route as UpstreamRoute
from relay.upstream.secret import Secret
from relay.upstream.settings import Auth, Dane, Tls, UpstreamSettings

Emit = Callable[[Event], None]
TellUpstream = Callable[[UpstreamEvent], None]
_LOOPBACK = ClientRule("loopback", (ip_network("127.0.0.0/8"), ip_network("::1/128")))


def make_listeners(
    config: Config, keyring: Keyring, ways: tuple[Way, ...], emit: Emit
) -> Listeners:
    """The inbound edge, not bound yet."""
    limits = config.limits
    station = Station(
        ways=ways,
        keys=keyring,
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


def make_ways(
    config: Config, domains: Set[str], pools: Mapping[str, Pool], tell: TellUpstream
) -> tuple[Way, ...]:
    """Where mail goes, by the routes; without any, all of it takes all upstreams in order."""
    names = tuple(upstream.name for upstream in config.upstreams)
    terms = make_terms(config, domains)
    return tuple(
        Way(
            rule=RouteRule(
                name=route.name,
                listeners=frozenset(route.listeners),
                clients=frozenset(route.clients),
                mail_from=route.mail_from,
                rcpt_to=route.rcpt_to,
            ),
            upstream=UpstreamRoute([pools[name] for name in route.upstreams], emit=tell),
            terms=replace(terms, signing=SigningPolicy(route.signing)),
        )
        for route in config.routes or (Route(name="default", upstreams=names),)
    )


def make_terms(config: Config, domains: Set[str]) -> Terms:
    """The settings of a message's path, for the domains that there are keys or settings for.

    Args:
        config: the settings.
        domains: in A-labels; may change while mail flows.
    """
    subdomains = {name: domain.subdomains for name, domain in config.domains.items()}
    return Terms(
        domains=SigningDomains(
            _Configured(domains, subdomains),
            organizational=_organizational(config),
        ),
        expire_seconds=config.signing.expire_seconds,
        strip_existing=config.signing.existing == "strip",
        may_reencode=config.signing.adapt == "reencode",
    )


class _Configured(Mapping[str, bool]):
    """The domains as they are at the moment → whether each signs for its subdomains too."""

    def __init__(self, domains: Set[str], subdomains: Mapping[str, bool]) -> None:
        self._domains = domains
        self._subdomains = subdomains

    def __getitem__(self, domain: str) -> bool:
        if domain not in self._domains:
            raise KeyError(domain)
        return self._subdomains.get(domain, False)

    def __contains__(self, domain: object) -> bool:
        return domain in self._domains

    def __iter__(self) -> Iterator[str]:
        return iter(self._domains)

    def __len__(self) -> int:
        return len(self._domains)


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


def make_keyring(config: Config, gate: Gate, *, report: Report, introduce: Introduce) -> Keyring:
    """The keyring, which has not looked into its folder yet."""
    passphrase = config.keys_passphrase_file
    source = KeySource(
        Path(config.keys_dir),
        config.domains,
        passphrase_file=Path(passphrase) if passphrase else None,
    )
    return Keyring(source, gate=gate, report=report, introduce=introduce)


def make_gate(config: Config, warn: Callable[[Fault], None] = lambda fault: None) -> Gate:
    """What decides whether a key may sign.

    Args:
        config: the settings.
        warn: told what is wrong with what it keeps in the state folder.
    """
    dns = config.dns
    if dns.gate == "off":
        return OpenGate()
    memory = RecordMemory(Path(config.state_dir) if config.state_dir else None, warn=warn)
    memory.load()
    pace = Pace(
        settled_seconds=dns.recheck_seconds,
        grace_seconds=duration_seconds(dns.grace),
        silent_seconds=dns.silent_seconds,
    )
    return RecordGate(
        DnsResolver(dns.nameservers, lifetime_seconds=dns.timeout_seconds),
        Authorities(dns.nameservers, lifetime_seconds=dns.timeout_seconds),
        memory=memory,
        pace=pace,
    )


def make_pools(config: Config, tell: TellUpstream) -> dict[str, Pool]:
    """A pool for each upstream, by its name.

    Raises:
        ConfigError: there is no such profile.
    """
    return {
        upstream.name: Pool(upstream_settings(config, index, emit=tell), emit=tell)
        for index, upstream in enumerate(config.upstreams)
    }


def upstream_settings(
    config: Config, index: int = 0, *, emit: TellUpstream = lambda event: None
) -> UpstreamSettings:
    """One upstream's settings, as its pool takes them; `emit` hears of changed secrets.

    Raises:
        ConfigError: there is no such profile.
    """
    upstream = config.upstreams[index]
    host, port = upstream.host_port
    told = file_teller(upstream.name, emit)
    return UpstreamSettings(
        name=upstream.name,
        host=host,
        port=port,
        socket_path=upstream.socket_path,
        is_lmtp=upstream.is_lmtp,
        max_recipients=upstream.max_recipients_per_message,
        tls=Tls(upstream.tls_mode),
        tls_min_version=upstream.tls_min_version,
        tls_fingerprints=frozenset(upstream.tls_fingerprints),
        ca_file=upstream.ca_file,
        client_certificate_file=upstream.client_certificate_file,
        client_key_file=upstream.client_key_file,
        dane=Dane(upstream.dane),
        tlsa=_tlsa_lookup(config, upstream),
        auth=Auth(upstream.auth),
        username=upstream.username,
        password=_secret(upstream, "password", told),
        tokens=_token_source(upstream, told),
        ehlo_name=hostname(config),
        profile=load_profile(upstream.profile, f"upstreams[{index}].profile"),
        insecure_auth=upstream.insecure_auth,
        max_connections=upstream.max_connections,
        max_messages_per_connection=upstream.max_messages_per_connection,
        idle_seconds=upstream.idle_seconds,
        keepalive_seconds=upstream.keepalive_seconds,
        acquire_seconds=upstream.acquire_seconds,
        connect_seconds=upstream.connect_seconds,
        min_idle_connections=upstream.min_idle_connections,
        rate_per_second=per_second(upstream.rate),
        rate_burst=upstream.rate_burst,
        breaker_failures=upstream.breaker_failures,
        breaker_seconds=upstream.breaker_seconds,
        backoff_seconds=upstream.backoff_seconds,
    )


def _secret(upstream: Upstream, name: str, told: Callable[[str, bool], None]) -> Secret:
    path = getattr(upstream, f"{name}_file")
    return Secret(
        getattr(upstream, name).get_secret_value(),
        path=Path(path) if path else None,
        setting=name,
        told=told,
    )


def _token_source(upstream: Upstream, told: Callable[[str, bool], None]) -> TokenSource | None:
    given = _secret(upstream, "oauth_token", told)
    if given.is_set:
        return FixedToken(given)
    if not upstream.oauth_token_url:
        return None
    grant = Grant(
        url=upstream.oauth_token_url,
        client_id=upstream.oauth_client_id,
        client_secret=_secret(upstream, "oauth_client_secret", told),
        refresh_token=_secret(upstream, "oauth_refresh_token", told),
        scope=upstream.oauth_scope,
        ca_file=upstream.oauth_ca_file,
    )
    return Tokens(grant, monotonic=time.monotonic)


def _tlsa_lookup(config: Config, upstream: Upstream) -> TlsaResolver | None:
    if upstream.dane == "off":
        return None
    return TlsaResolver(config.dns.nameservers, lifetime_seconds=config.dns.timeout_seconds)


def load_profile(name: str, where: str = "profile") -> Profile:
    """A profile of `relay/profiles` by its name.

    Args:
        name: for example "ses".
        where: the setting or option that names it.

    Raises:
        ConfigError: there is none of that name; the fix lists those there are.
    """
    known = profile_names()
    if name not in known:
        fault = Fault(where, f"no profile {name!r}", f"one of {', '.join(known)}")
        raise ConfigError((fault,))
    text = (resources.files("relay.profiles") / f"{name}.toml").read_text("utf-8")
    return parse_profile(name, tomllib.loads(text))


def profile_names() -> tuple[str, ...]:
    """The profiles there are, by name."""
    names = (file.name for file in resources.files("relay.profiles").iterdir())
    return tuple(sorted(n.removesuffix(".toml") for n in names if n.endswith(".toml")))


def profile_hints(config: Config) -> tuple[str, ...]:
    """What an operator should know of the profiles that are set, and of those that fit better.

    Raises:
        ConfigError: there is no such profile.
    """
    known = [load_profile(name) for name in profile_names()]
    hints: list[str] = []
    for index, upstream in enumerate(config.upstreams):
        profile = load_profile(upstream.profile, f"upstreams[{index}].profile")
        host, _ = upstream.host_port
        fitting = suggest(host, known)
        hints += [f"profile {profile.name}: {warning}" for warning in profile.warnings]
        if fitting is not None and fitting != profile.name:
            hints.append(f'{host} looks like {fitting}: consider profile = "{fitting}"')
    return tuple(dict.fromkeys(hints))


def _organizational(config: Config) -> Callable[[str], str | None]:
    """The public suffix list is read only when a parent domain may sign."""
    if not any(domain.subdomains for domain in config.domains.values()):
        return lambda _domain: None
    suffixes = PublicSuffixList()

    def organizational(domain: str) -> str | None:
        found = suffixes.privatesuffix(domain)
        return str(found) if found else None

    return organizational
