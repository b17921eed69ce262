"""Where clients come in: listeners, limits, who may do what. Nothing of it is started."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path

from relay import clock
from relay.assembly.naming import hostname
from relay.config.inbound import Listener
from relay.config.limits import Limits
from relay.config.settings import Config
from relay.core.events import Event
from relay.core.policy import ClientRule
from relay.core.reader import ReadLimits
from relay.keyring.keyring import Keyring
from relay.listener.bind import Binding
from relay.listener.certificates import CertificateFiles, Certificates
from relay.listener.endpoint import Endpoint, ListenerTls
from relay.listener.limits import SessionLimits
from relay.listener.logins import LoginLimits, Logins
from relay.listener.memory import Memory
from relay.listener.sockets import Listeners
from relay.listener.station import Station, Way

Emit = Callable[[Event], None]
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
        is_traced=config.logging.wire,
    )
    return Listeners(
        station,
        make_session_limits(limits),
        rules=client_rules(config),
        max_connections=limits.max_connections,
        max_connections_per_address=limits.max_connections_per_address,
        backlog=limits.listen_backlog,
        logins=_logins(config),
        memory=Memory(limits.max_inflight_bytes),
    )


def make_session_limits(limits: Limits) -> SessionLimits:
    """How much one session may do."""
    return SessionLimits(
        max_recipients=limits.max_recipients,
        max_messages=limits.max_messages_per_session,
        max_command_octets=limits.max_command_bytes,
        max_bad_commands=limits.max_bad_commands,
        idle_seconds=limits.idle_seconds,
        command_seconds=limits.command_seconds,
        min_data_rate=limits.min_data_bytes_per_second,
        data_grace_seconds=limits.data_grace_seconds,
        memory_seconds=limits.memory_seconds,
        proxy_seconds=limits.proxy_header_seconds,
        handshake_seconds=limits.tls_handshake_seconds,
        goodbye_seconds=limits.tls_close_seconds,
        max_failed_logins=limits.max_failed_logins_per_session,
        ipv6_prefix=limits.ipv6_prefix,
    )


def make_login_limits(limits: Limits) -> LoginLimits:
    """How failed logins are met."""
    return LoginLimits(
        max_failures=limits.max_failed_logins,
        window_seconds=limits.failed_login_seconds,
        delay_seconds=limits.login_delay_seconds,
        max_delay_seconds=limits.max_login_delay_seconds,
        remember_seconds=limits.login_remember_seconds,
        max_remembered=limits.max_remembered_logins,
        max_addresses=limits.max_login_addresses,
        max_checks=limits.max_login_checks,
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
    return Logins(hashes, make_login_limits(config.limits), monotonic=time.monotonic)


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
