"""How domains and their keys are now: which to look at, and what there is to say of one. No IO."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterator
from dataclasses import dataclass

from relay.assembly.milestones import course_of
from relay.core.address import a_label
from relay.core.dkim.record import record_name, record_text
from relay.core.errors import SyntaxFault
from relay.core.status import DomainStatus, KeyRole, KeyStatus
from relay.dns.gate import Gate
from relay.dns.judge import RecordState
from relay.keyring.keyring import Keyring
from relay.keyring.loading import DomainKeys, Failed
from relay.keyring.stored import StoredKey
from relay.rotation.journal import Journal
from relay.rotation.plan import KeyFacts, Policy

_IN_A_TURN = 500  # domains: about a millisecond


@dataclass(frozen=True, slots=True)
class Chosen:
    """The domains that are listed.

    Attributes:
        names: in A-labels.
        count, ready_count: of all domains, listed or not.
    """

    names: tuple[str, ...]
    count: int
    ready_count: int


async def choose(keyring: Keyring, gate: Gate, *, max_domains: int, wanted: str) -> Chosen:
    """The domains to list: those in need first, then by name.

    Args:
        keyring: of the process.
        gate: whether keys may sign.
        max_domains: how many.
        wanted: one that is listed in any case, if there is one of that name; empty for none.
    """
    ready_count, ranked = 0, []
    names = tuple(keyring.domains)
    for number, name in enumerate(names, 1):
        is_ready, needs = _need(keyring, gate, name)
        ready_count += is_ready
        ranked.append((0 if not is_ready else 1 if needs else 2, name))
        if number % _IN_A_TURN == 0:
            await asyncio.sleep(0)
    listed = [name for _, name in heapq.nsmallest(max_domains, ranked)]
    wanted = _named(wanted)
    if wanted in keyring.domains and wanted not in listed:
        listed[-1] = wanted
    return Chosen(tuple(listed), len(names), ready_count)


def _named(text: str) -> str:
    try:
        return a_label(text) if text else ""
    except SyntaxFault:
        return ""


def _need(keyring: Keyring, gate: Gate, domain: str) -> tuple[bool, bool]:
    """Whether mail would be signed, and whether somebody should look at a key."""
    loaded = keyring.keys_of(domain)
    if loaded is None:
        listed = keyring.listed.get(domain)
        return listed is not None and bool(listed.found), False
    is_open = [gate.is_open(key) for key in loaded.keys]
    return any(is_open), bool(loaded.failed) or not all(is_open)


def domain_status(
    domain: str, keyring: Keyring, gate: Gate, *, journal: Journal, policy: Policy, now: float
) -> DomainStatus:
    """What there is to say of a domain.

    Args:
        domain: in A-labels.
        keyring: of the process.
        gate: whether its keys may sign.
        journal: of its rotation.
        policy: what the settings say about that.
        now: seconds since 1970.
    """
    is_ready, _ = _need(keyring, gate, domain)
    loaded = keyring.keys_of(domain)
    if loaded is None:
        return DomainStatus(domain=domain, is_ready=is_ready, is_read=False)
    facts = [
        KeyFacts(k.selector, k.public, k.modified_seconds, gate.is_open(k)) for k in loaded.keys
    ]
    course = course_of(facts, journal, policy, now)
    keys = (
        _key(key, role, gate, course.made_at[key.selector], course.rotate_at.get(key.selector))
        for key, role in _roles(loaded, gate)
    )
    return DomainStatus(
        domain=domain,
        is_ready=is_ready,
        keys=(*keys, *map(_failed, loaded.failed)),
        milestones=course.milestones,
    )


def _roles(loaded: DomainKeys, gate: Gate) -> Iterator[tuple[StoredKey, KeyRole]]:
    """The keys in their order; of each algorithm the first that may sign does."""
    signing = {
        id(next((key for key in ranked if gate.is_open(key)), None)) for ranked in loaded.ranked
    }
    for key in loaded.keys:
        if not gate.is_open(key):
            yield key, KeyRole.WAITS
        else:
            yield key, KeyRole.SIGNS if id(key) in signing else KeyRole.READY


def _key(
    key: StoredKey, role: KeyRole, gate: Gate, made_at: float, rotate_at: float | None
) -> KeyStatus:
    state = gate.state(key)
    return KeyStatus(
        selector=key.selector,
        algorithm=key.public.algorithm.value,
        bits=key.public.bits,
        role=role,
        record="" if state is RecordState.UNCHECKED else state.value,
        detail=gate.detail(key),
        record_name=record_name(key.selector, key.domain),
        record_text=record_text(key.public),
        made_at=made_at,
        rotate_at=rotate_at,
    )


def _failed(failed: Failed) -> KeyStatus:
    fault = failed.fault
    return KeyStatus(
        selector=failed.selector, algorithm="", bits=0, role=KeyRole.FAULTY, detail=str(fault)
    )
