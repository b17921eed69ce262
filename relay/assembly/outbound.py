"""Where mail goes: pools of connections, and the routes over them. Nothing of it is started."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Set
from dataclasses import replace
from functools import partial
from pathlib import Path

from relay.assembly.naming import hostname
from relay.assembly.profiles import load_profile
from relay.assembly.signing import make_terms
from relay.config.outbound import Route, Upstream
from relay.config.settings import Config
from relay.config.values import per_second
from relay.core.routing import RouteRule, SigningPolicy
from relay.dns.tlsa import TlsaResolver
from relay.listener.station import Way
from relay.upstream.events import UpstreamEvent, file_teller
from relay.upstream.oauth import FixedToken, Grant, Tokens, TokenSource
from relay.upstream.pool import Pool
from relay.upstream.route import Route as UpstreamRoute
from relay.upstream.secret import Secret
from relay.upstream.settings import Auth, Dane, Tls, UpstreamSettings

TellUpstream = Callable[[UpstreamEvent], None]
TellLine = Callable[[str, str], None]  # the upstream's name, and a line of a dialogue


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


def make_pools(config: Config, tell: TellUpstream, trace: TellLine) -> dict[str, Pool]:
    """A pool for each upstream, by its name.

    Args:
        config: the settings.
        tell: hears what happens to connections.
        trace: hears their dialogues, if the settings want that.

    Raises:
        ConfigError: there is no such profile.
    """
    pools = {}
    for index, upstream in enumerate(config.upstreams):
        settings = upstream_settings(config, index, emit=tell)
        if config.logging.wire:
            settings = replace(settings, trace=partial(trace, upstream.name))
        pools[upstream.name] = Pool(settings, emit=tell)
    return pools


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
