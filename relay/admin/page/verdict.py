"""The relay in one glance: whether everything signs, else what is wrong and what to do. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Final

from relay.admin.page import marks
from relay.admin.page.marks import Tone
from relay.admin.page.words import DAY, absolute, octets, of_kind, relative
from relay.core.status import (
    CertificateStatus,
    DomainStatus,
    KeyStatus,
    Reach,
    Status,
    UpstreamStatus,
)

CERTIFICATE_WARN_SECONDS: Final = 14 * DAY
_MEMORY_WARN_SHARE: Final = 0.9


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong.

    Attributes:
        tone: BAD when mail cannot pass because of it, WARN when it still can.
        what: the part and what it does not do.
        why: the reason; empty when `what` says it.
        todo: what to do.
        command: that says or does it; empty for none.
        part: the name of the part on the page that shows it.
    """

    tone: Tone
    what: str
    why: str
    todo: str
    part: str
    command: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The state of the whole.

    Attributes:
        tone: of the worst.
        headline: a few words, the same for as long as the state is.
        problems: the worst first.
    """

    tone: Tone
    headline: str
    problems: tuple[Problem, ...]


def judge(status: Status, *, now: float) -> Verdict:
    """Say how the relay is.

    Args:
        status: the relay.
        now: in seconds since 1970.
    """
    found = chain(
        _first_steps(status),
        *(_domain_problems(domain) for domain in status.domains),
        *(_upstream_problems(upstream) for upstream in status.upstreams),
        *(_certificate_problems(certificate, now) for certificate in status.certificates),
        _memory_problems(status),
    )
    problems = sorted(found, key=lambda problem: problem.tone is not Tone.BAD)
    tone, headline = _headline(status, problems)
    return Verdict(tone, headline, tuple(problems))


def _headline(status: Status, problems: list[Problem]) -> tuple[Tone, str]:
    if status.is_draining:
        return Tone.BAD, "Stopping: no new mail is taken"
    if not status.domain_count:
        return Tone.BAD, "There is no domain to sign for"
    if not status.is_ready:
        return Tone.BAD, "No mail can pass"
    if failing := _failing(status):
        return Tone.BAD, failing
    if any(problem.tone is Tone.BAD for problem in problems):
        return Tone.BAD, "Everything signs, but something is broken"
    if problems:
        return Tone.WARN, f"Everything signs, with {of_kind(len(problems), 'thing')} to look at"
    return Tone.GOOD, "Everything signs"


def _failing(status: Status) -> str:
    """Which mail does not pass while other mail does; empty when all passes."""
    unready = status.domain_count - status.ready_domain_count
    down = sum(upstream.reach in (Reach.FAILING, Reach.LEFT_ALONE) for upstream in status.upstreams)
    clauses = []
    if unready:
        verb = "does" if unready == 1 else "do"
        clauses.append(f"{of_kind(unready, 'domain')} {verb} not sign")
    if down:
        clauses.append(f"{of_kind(down, 'upstream')} cannot be reached")
    return ", ".join(clauses)


def _first_steps(status: Status) -> Iterator[Problem]:
    if not status.domain_count:
        command = "dkim-relay keys new DOMAIN"
        yield Problem(Tone.BAD, "No key was found", "", "Make one:", "domains", command)


def _domain_problems(domain: DomainStatus) -> Iterator[Problem]:
    name, part = domain.domain, f"domain {domain.domain}"
    if not domain.is_ready:
        yield _unready(domain, part)
        return
    for key in filter(marks.has_trouble, domain.keys):
        what = f"{name}: key {key.selector or '?'}: {_trouble(key)}"
        yield Problem(Tone.WARN, what, key.detail, "", part)
    for milestone in domain.milestones:
        if milestone.is_due:
            key_name = f"key {milestone.selector}" if milestone.selector else "its next key"
            what = f"{name}: {key_name} {milestone.what}"
            command = f"dkim-relay keys status {name}"
            yield Problem(Tone.WARN, what, "", "See the next step:", part, command)


def _unready(domain: DomainStatus, part: str) -> Problem:
    what = f"{domain.domain} does not sign: its mail is answered 451, so clients keep it"
    if not domain.keys:
        command = f"dkim-relay keys new {domain.domain}"
        return Problem(Tone.BAD, what, "it has no key", "Make one:", part, command)
    why = "; ".join(key.detail or f"{key.selector} {_trouble(key)}" for key in domain.keys[:3])
    is_published_next = any(marks.waits_for_record(key) for key in domain.keys)
    todo = "Publish the record that is shown with the key." if is_published_next else ""
    return Problem(Tone.BAD, what, why, todo, part)


def _trouble(key: KeyStatus) -> str:
    role, record = marks.of_role(key), marks.of_record(key)
    return role.word if role.tone is Tone.BAD else record.word


def _upstream_problems(upstream: UpstreamStatus) -> Iterator[Problem]:
    if upstream.reach in (Reach.FAILING, Reach.LEFT_ALONE):
        yield Problem(
            Tone.BAD,
            f"{upstream.name} cannot be reached",
            upstream.error,
            "It is tried again by itself. What no other upstream takes is answered 451, "
            "so clients keep it.",
            f"upstream {upstream.name}",
        )


def _certificate_problems(certificate: CertificateStatus, now: float) -> Iterator[Problem]:
    left = certificate.expires_at - now
    if left > CERTIFICATE_WARN_SECONDS:
        return
    has_ended = left <= 0
    yield Problem(
        Tone.BAD if has_ended else Tone.WARN,
        f"The certificate of {certificate.listener} {'has ended' if has_ended else 'ends soon'}",
        f"{relative(certificate.expires_at, now)}, at {absolute(certificate.expires_at)}",
        "Put a new one in its place.",
        "certificates",
    )


def _memory_problems(status: Status) -> Iterator[Problem]:
    budget = status.max_inflight_octets
    if budget and status.inflight_octets >= _MEMORY_WARN_SHARE * budget:
        held = f"{octets(status.inflight_octets)} of {octets(budget)} are taken"
        yield Problem(
            Tone.WARN,
            "The memory for messages is nearly full",
            f"{held}; when it is full, clients are held back, then answered 452",
            "Allow more with limits.max_inflight_bytes, or find the client that sends so much.",
            "relay",
        )
