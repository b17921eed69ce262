"""The composition root: builds everything once, in one TaskGroup; start → run → drain → stop."""

from __future__ import annotations

import asyncio
import secrets
import socket
import time
import tomllib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib import resources
from ipaddress import ip_network
from pathlib import Path

from publicsuffixlist import PublicSuffixList

from relay import __version__, clock
from relay.config.settings import Config, Upstream
from relay.core.address import is_domain
from relay.core.errors import ConfigError, Fault
from relay.core.events import Event, Noted
from relay.core.message import ReadLimits
from relay.core.policy import ClientRule, SigningDomains
from relay.core.profile import Profile, parse_profile, suggest
from relay.dns.gate import Gate, OpenGate, RecordChange, RecordGate, RecordState
from relay.dns.resolver import DnsResolver
from relay.flow import Terms
from relay.keyring.keyring import Keyring
from relay.listener.session import SessionLimits
from relay.listener.sockets import Listeners
from relay.listener.transit import Station
from relay.upstream.events import Happened, UpstreamEvent
from relay.upstream.pool import Pool
from relay.upstream.settings import Tls, UpstreamSettings

Emit = Callable[[Event], None]
_LOOPBACK = ClientRule("loopback", (ip_network("127.0.0.0/8"), ip_network("::1/128")))


@asynccontextmanager
async def running(config: Config, emit: Emit) -> AsyncIterator[Listeners]:
    """The relay at work: from bound sockets to drained sessions.

    Args:
        config: the settings.
        emit: is told every event.

    Yields:
        The listeners, for their addresses.

    Raises:
        ConfigError: something in the settings cannot be had: an address, a profile.
    """
    profile = load_profile(config.upstreams[0].profile)
    gate = make_gate(config)
    keyring = await asyncio.to_thread(
        Keyring.load, Path(config.keys_dir), domains=config.domains, gate=gate
    )
    _tell_keys(keyring, emit)
    for hint in profile_hints(config):
        emit(Noted("upstream.questionable", "warning", (("detail", hint),)))
    changed = _record_teller(emit)
    for change in await gate.check(keyring.keys):
        changed(change)
    pool = Pool(upstream_settings(config), emit=_upstream_teller(emit))
    listeners = _listeners(config, keyring, pool, profile, emit)
    await listeners.open([listener.host_port for listener in config.listeners])
    failure: Exception | None = None
    async with asyncio.TaskGroup() as tasks:
        background = [
            tasks.create_task(gate.watch(lambda: keyring.keys, changed)),
            tasks.create_task(listeners.sweep()),
        ]
        try:
            emit(Noted("service.started", "info", _started_fields(config, keyring, listeners)))
            yield listeners
        except Exception as exc:  # the caller's own, which a group would wrap
            failure = exc
        finally:
            cut_off = await listeners.close(config.service.drain_seconds)
            await pool.close()
            for task in background:
                task.cancel()
            level = "warning" if cut_off else "info"
            emit(Noted("service.stopped", level, (("sessions_cut_off", cut_off),)))
    if failure is not None:
        raise failure


def _listeners(
    config: Config, keyring: Keyring, pool: Pool, profile: Profile, emit: Emit
) -> Listeners:
    limits = config.limits
    subdomains = {name: domain.subdomains for name, domain in config.domains.items()}
    station = Station(
        terms=Terms(
            domains=SigningDomains(
                {name: subdomains.get(name, False) for name in keyring.domains},
                organizational=_organizational(config),
            ),
            profile=profile,
            expire_seconds=config.signing.expire_seconds,
            strip_existing=config.signing.existing == "strip",
            may_reencode=config.signing.adapt == "reencode",
        ),
        keys=keyring,
        upstream=pool,
        read_limits=ReadLimits(
            max_message_octets=limits.max_message_bytes,
            max_header_octets=limits.max_header_bytes,
            max_header_fields=limits.max_header_fields,
            normalize_newlines=config.signing.bare_newlines == "normalize",
        ),
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
            max_command_octets=limits.max_command_bytes,
            max_bad_commands=limits.max_bad_commands,
            idle_seconds=limits.idle_seconds,
        ),
        rules=client_rules(config),
        max_connections=limits.max_connections,
    )


def client_rules(config: Config) -> tuple[ClientRule, ...]:
    """Who may submit; without [[clients]], whoever is on this machine."""
    named = (ClientRule(c.name, c.ip_networks, c.from_addresses) for c in config.clients)
    return tuple(named) or (_LOOPBACK,)


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


def _tell_keys(keyring: Keyring, emit: Emit) -> None:
    for key in keyring.keys:
        fields = (("domain", key.domain), ("selector", key.selector), ("path", str(key.path)))
        emit(Noted("key.loaded", "info", fields))
    for warning in keyring.warnings:
        emit(Noted("key.questionable", "warning", _fault_fields(warning)))
    for fault in keyring.faults:
        emit(Noted("key.failed", "error", _fault_fields(fault)))


def _fault_fields(fault: Fault) -> tuple[tuple[str, object], ...]:
    return (("where", fault.where), ("detail", fault.what), ("fix", fault.fix))


def _record_teller(emit: Emit) -> Callable[[RecordChange], None]:
    def tell(change: RecordChange) -> None:
        fields = (
            ("domain", change.domain),
            ("selector", change.selector),
            ("state", change.after.value),
            ("signs", change.is_open),
            ("detail", change.detail),
        )
        match change.after:
            case RecordState.MATCHES:
                emit(Noted("key.matched", "info", fields))
            case RecordState.TEMPERROR | RecordState.UNCHECKED:
                emit(Noted("key.unanswered", "warning", fields))
            case _:
                emit(Noted("key.mismatched", "error", fields))

    return tell


def _upstream_teller(emit: Emit) -> Callable[[UpstreamEvent], None]:
    def tell(event: UpstreamEvent) -> None:
        fields = (
            ("upstream", event.upstream),
            ("detail", event.detail),
            ("seconds", event.seconds),
            ("transactions", event.transactions),
        )
        match event.happened:
            case Happened.FAILED:
                level = "warning"
            case Happened.OPENED | Happened.CLOSED | Happened.REPLAYED:
                level = "debug"
        emit(Noted(event.happened.value, level, fields))

    return tell


def _started_fields(
    config: Config, keyring: Keyring, listeners: Listeners
) -> tuple[tuple[str, object], ...]:
    return (
        ("version", __version__),
        ("listening", [f"{host}:{port}" for host, port in listeners.addresses]),
        ("upstream", config.upstreams[0].url),
        ("domains", len(keyring.domains)),
        ("keys", len(keyring.keys)),
    )
