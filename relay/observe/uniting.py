"""Several processes, one relay: their statuses made one. Pure.

Numbers are added up, times are the newest, and what is worse for mail counts: a client cannot
choose which process takes its message.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from relay.core.status import (
    CertificateStatus,
    DomainStatus,
    KeyRole,
    KeyStatus,
    Minute,
    Reach,
    Status,
    TransactionStatus,
    UpstreamStatus,
)
from relay.observe.recent import MINUTES, counted

Part = TypeVar("Part")
_ROLES = tuple(KeyRole)  # the best first
_MATCHES = "matches"


def unite(statuses: Sequence[Status]) -> Status:
    """One status of several processes that run with the same settings.

    Args:
        statuses: at least one; the first one's version and host name are taken.
    """
    first = statuses[0]
    if len(statuses) == 1:
        return first
    return replace(
        first,
        at=max(s.at for s in statuses),
        started_at=min(s.started_at for s in statuses),
        processes=tuple(sorted(pid for s in statuses for pid in s.processes)),
        is_draining=any(s.is_draining for s in statuses),
        listeners=tuple(dict.fromkeys(name for s in statuses for name in s.listeners)),
        connections=sum(s.connections for s in statuses),
        inflight_octets=sum(s.inflight_octets for s in statuses),
        max_inflight_octets=sum(s.max_inflight_octets for s in statuses),
        domain_count=max(s.domain_count for s in statuses),
        ready_domain_count=min(s.ready_domain_count for s in statuses),
        domains=_domains([s.domains for s in statuses]),
        upstreams=_each((u for s in statuses for u in s.upstreams), _upstream_name, _upstream),
        certificates=_each((c for s in statuses for c in s.certificates), _place, _certificate),
        minutes=_minutes(m for s in statuses for m in s.minutes),
        transactions=_transactions([s.transactions for s in statuses]),
    )


def by_need(domain: DomainStatus) -> tuple[int, str]:
    """What domains are ordered by: those that somebody has to look at first, then by name."""
    if not domain.is_ready:
        return 0, domain.domain
    needs = any(key.role in (KeyRole.WAITS, KeyRole.FAULTY) for key in domain.keys)
    return (1 if needs else 2), domain.domain


def _each(
    parts: Iterable[Part], name: Callable[[Part], object], one: Callable[[list[Part]], Part]
) -> tuple[Part, ...]:
    """Parts of the same name made one, in the order in which they come first."""
    groups: dict[object, list[Part]] = defaultdict(list)
    for part in parts:
        groups[name(part)].append(part)
    return tuple(one(group) for group in groups.values())


def _domains(lists: Sequence[tuple[DomainStatus, ...]]) -> tuple[DomainStatus, ...]:
    united = _each((d for domains in lists for d in domains), lambda d: d.domain, _domain)
    return tuple(sorted(united, key=by_need)[: max(map(len, lists))])


def _domain(group: list[DomainStatus]) -> DomainStatus:
    fullest = max(group, key=lambda d: (len(d.keys), len(d.milestones)))
    keys = _each((k for d in group for k in d.keys), lambda k: (k.selector, k.algorithm), _key)
    is_ready, is_read = all(d.is_ready for d in group), all(d.is_read for d in group)
    return replace(fullest, is_ready=is_ready, is_read=is_read, keys=keys)


def _key(group: list[KeyStatus]) -> KeyStatus:
    return max(group, key=lambda k: (_ROLES.index(k.role), k.record != _MATCHES))


def _upstream_name(upstream: UpstreamStatus) -> str:
    return upstream.name


def _upstream(group: list[UpstreamStatus]) -> UpstreamStatus:
    connected = max(group, key=lambda u: u.connected_at or 0.0)
    failed = max(group, key=lambda u: u.failed_at or 0.0)
    return replace(
        group[0],
        reach=_reach(group),
        connected_at=connected.connected_at,
        secured=connected.secured,
        failed_at=failed.failed_at,
        error=failed.error,
        busy=sum(u.busy for u in group),
        idle=sum(u.idle for u in group),
        opening=sum(u.opening for u in group),
        waiting=sum(u.waiting for u in group),
    )


def _reach(group: list[UpstreamStatus]) -> Reach:
    """The worst where a process leaves it alone; else what the last attempt of any has shown."""
    if any(u.reach is Reach.LEFT_ALONE for u in group):
        return Reach.LEFT_ALONE
    tried = [u for u in group if u.reach is not Reach.UNTRIED]
    if not tried:
        return Reach.UNTRIED
    return max(tried, key=lambda u: max(u.connected_at or 0.0, u.failed_at or 0.0)).reach


def _place(certificate: CertificateStatus) -> object:
    return certificate.listener


def _certificate(group: list[CertificateStatus]) -> CertificateStatus:
    return min(group, key=lambda c: c.expires_at)


def _minutes(minutes: Iterable[Minute]) -> tuple[Minute, ...]:
    counts: dict[int, dict[str, int]] = {}
    for minute in minutes:
        known = counts.setdefault(minute.at, {})
        for name, count in counted(minute).items():
            known[name] = known.get(name, 0) + count
    return tuple(Minute(at=at, **counts[at]) for at in sorted(counts)[-MINUTES:])


def _transactions(
    lists: Sequence[tuple[TransactionStatus, ...]],
) -> tuple[TransactionStatus, ...]:
    newest = sorted((t for some in lists for t in some), key=lambda t: t.at, reverse=True)
    return tuple(newest[: max(map(len, lists))])
