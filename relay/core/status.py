"""How the relay is now: what health checks, metrics and the status page are made of. Pure.

A process makes its own; those of several are united by `relay.observe`. Times are in seconds since
1970. Nothing in it is a secret: no private key, no password, no content of messages.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class KeyRole(StrEnum):
    """What a key does now.

    Attributes:
        SIGNS: it signs, or would if mail came.
        READY: it could sign, and another is preferred.
        WAITS: its record was not seen yet.
        FAULTY: it cannot be used.
    """

    SIGNS = "signs"
    READY = "ready"
    WAITS = "waits"
    FAULTY = "faulty"


class Reach(StrEnum):
    """Whether an upstream can be reached, with TLS and AUTH as set.

    Attributes:
        UNTRIED: nothing was sent to it yet.
        OK: the last connection could be opened.
        FAILING: the last one could not, and none stands.
        LEFT_ALONE: so many could not that it is only probed now and then.
    """

    UNTRIED = "untried"
    OK = "ok"
    FAILING = "failing"
    LEFT_ALONE = "left_alone"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyStatus:
    """A key of a domain.

    Attributes:
        selector: in A-labels; empty when the fault is not one key's.
        algorithm, bits: rsa-sha256 or ed25519-sha256; empty and 0 when it could not be read.
        role: what it does now.
        record: the state of its record, in the words of `relay.dns`; empty when nobody looks.
        detail: the fault with its fix, or what is known about the record.
        record_name, record_text: what has to stand in DNS, to copy; empty when not known.
        made_at: when the key was made; None when not known.
        rotate_at: when it is due to be replaced; None when never, or not known.
    """

    selector: str
    algorithm: str
    bits: int
    role: KeyRole
    record: str = ""
    detail: str = ""
    record_name: str = ""
    record_text: str = ""
    made_at: float | None = None
    rotate_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Milestone:
    """A point of a domain's rotation, past or to come.

    Attributes:
        at: when.
        selector: of which key; empty for one that is not made yet.
        what: for people, such as "in use since" or "is to be replaced".
        is_due: its time has come, and somebody has to do it.
    """

    at: float
    selector: str
    what: str
    is_due: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainStatus:
    """A domain that we sign for.

    Attributes:
        domain: in A-labels.
        is_ready: a message of it would be signed now, as far as is known.
        is_read: its keys were read; until mail needs them they may not have been.
        keys: the preferred first.
        milestones: of its rotation, the earliest first.
    """

    domain: str
    is_ready: bool
    is_read: bool = True
    keys: tuple[KeyStatus, ...] = ()
    milestones: tuple[Milestone, ...] = ()

    @property
    def why_not(self) -> str:
        """Why it is not ready, with the fix; for people."""
        whys = (": ".join(filter(None, (key.selector, key.detail))) for key in self.keys)
        return "; ".join(whys) or f"it has no key: dkim-relay keys new {self.domain}"


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamStatus:
    """An upstream.

    Attributes:
        name, url: of the settings; the URL has no credentials.
        reach: whether it can be reached.
        connected_at: when a connection could be opened last, TLS and AUTH included.
        secured: how that one is secured, for people.
        failed_at, error: when one could not be opened last, and why.
        busy, idle, opening: connections with a transaction, kept for the next one, and not
            ready yet.
        waiting: transactions that wait for a connection.
    """

    name: str
    url: str
    reach: Reach = Reach.UNTRIED
    connected_at: float | None = None
    secured: str = ""
    failed_at: float | None = None
    error: str = ""
    busy: int = 0
    idle: int = 0
    opening: int = 0
    waiting: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateStatus:
    """A certificate of a listener: where it listens, for whom it is, until when it is valid."""

    listener: str
    names: tuple[str, ...]
    expires_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Minute:
    """How transactions ended within a minute that began at `at`.

    Attributes:
        signed, unsigned: relayed, with a signature of ours and without.
        refused: answered 5yz.
        deferred: answered 4yz, or left by the client.
        unknown: the connection was lost after the final dot.
    """

    at: int
    signed: int = 0
    unsigned: int = 0
    refused: int = 0
    deferred: int = 0
    unknown: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionStatus:
    """A transaction that has ended; no content. Fields as in `TransactionEnded`."""

    at: float
    outcome: str
    queue_id: str
    client: str
    mail_from: str
    from_address: str
    rcpt_to: tuple[str, ...]
    signatures: tuple[str, ...]
    upstream: str
    reply: str
    reason: str
    size_octets: int
    total_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The relay as a whole.

    Attributes:
        version, hostname: ours.
        at: when this was made.
        started_at: since when it serves.
        processes: ids of those that take mail.
        is_draining: it has been told to stop.
        listeners: where it listens, for people.
        connections: of clients.
        inflight_octets, max_inflight_octets: of messages in memory, and the budget.
        domain_count, ready_domain_count: of all domains.
        domains: some of them: first those that are not ready, then those of which a key has a
            fault or waits, then the others, each by name, up to a limit.
        upstreams: in the order of the settings.
        certificates: of listeners.
        minutes: of the last hour, the oldest first, without gaps.
        transactions: the last ones, the newest first.
    """

    version: str
    hostname: str
    at: float
    started_at: float
    processes: tuple[int, ...]
    is_draining: bool = False
    listeners: tuple[str, ...] = ()
    connections: int = 0
    inflight_octets: int = 0
    max_inflight_octets: int = 0
    domain_count: int = 0
    ready_domain_count: int = 0
    domains: tuple[DomainStatus, ...] = ()
    upstreams: tuple[UpstreamStatus, ...] = ()
    certificates: tuple[CertificateStatus, ...] = ()
    minutes: tuple[Minute, ...] = ()
    transactions: tuple[TransactionStatus, ...] = ()

    @property
    def not_ready(self) -> tuple[tuple[str, str], ...]:
        """The parts that no mail can pass now, and why; for people."""
        parts: list[tuple[str, str]] = []
        if self.is_draining:
            parts.append(("service", "it is stopping"))
        if not self.domain_count:
            parts.append(("keys", "there is no domain to sign for: dkim-relay keys new DOMAIN"))
        for domain in self.domains:
            if not domain.is_ready:
                parts.append((f"domain {domain.domain}", domain.why_not))
        for upstream in self.upstreams:
            if upstream.reach in (Reach.FAILING, Reach.LEFT_ALONE):
                parts.append((f"upstream {upstream.name}", upstream.error))
        return tuple(parts)

    @property
    def is_ready(self) -> bool:
        """Whether mail can pass at all: there is a domain with a key, and an upstream to try.

        One domain without a key is no reason to send the mail of all others elsewhere.
        """
        # One that fails is tried by the next message. One that is left alone is probed: only that
        # comes to an end by itself when no mail is sent here any more because of it.
        has_way = not self.upstreams or any(
            upstream.reach is not Reach.LEFT_ALONE for upstream in self.upstreams
        )
        return self.ready_domain_count > 0 and has_way and not self.is_draining
