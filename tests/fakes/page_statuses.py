"""Statuses to look at: a relay in good order, and one with every kind of trouble. Pure."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace

from relay.core.status import (
    CertificateStatus,
    DomainStatus,
    KeyRole,
    KeyStatus,
    Milestone,
    Minute,
    Reach,
    Status,
    TransactionStatus,
    UpstreamStatus,
)

NOW = 1_795_278_005.0  # 2026-11-21 16:20:05 UTC
DAY = 86400.0
_NAMES = ("example.com", "example.net", "news.example.org", "xn--bcher-kva.example")


def record_of(selector: str, domain: str) -> tuple[str, str]:
    """The name and text of a record, as long as that of an RSA key of 2,048 bits."""
    octets = b"".join(hashlib.sha512(f"{selector}{n}{domain}".encode()).digest() for n in range(5))
    text = base64.b64encode(octets[:294]).decode()
    return f"{selector}._domainkey.{domain}", f"v=DKIM1; k=rsa; p={text}"


def rsa(selector: str, domain: str) -> KeyStatus:
    """An RSA key that signs."""
    name, text = record_of(selector, domain)
    return KeyStatus(
        selector=selector,
        algorithm="rsa-sha256",
        bits=2048,
        role=KeyRole.SIGNS,
        record="matches",
        record_name=name,
        record_text=text,
        made_at=NOW - 59 * DAY,
    )


def ed25519(selector: str, domain: str) -> KeyStatus:
    """An Ed25519 key that signs."""
    text = base64.b64encode(hashlib.sha256(domain.encode()).digest()).decode()
    return replace(
        rsa(selector, domain),
        algorithm="ed25519-sha256",
        bits=256,
        record_text=f"v=DKIM1; k=ed25519; p={text}",
    )


def domain(name: str) -> DomainStatus:
    """A domain in good order."""
    return DomainStatus(
        domain=name,
        is_ready=True,
        keys=(rsa("s2026b", name), ed25519("e2026b", name)),
        milestones=(
            Milestone(at=NOW - 149 * DAY, selector="s2026a", what="in use since"),
            Milestone(at=NOW - 58 * DAY, selector="s2026b", what="in use since"),
            Milestone(at=NOW - 50.5 * DAY, selector="s2026a", what="ended"),
            Milestone(at=NOW + 32 * DAY, selector="s2026b", what="is to be replaced"),
        ),
    )


def unready_domain(name: str) -> DomainStatus:
    """A domain whose only key waits for its record."""
    waiting = replace(
        rsa("s2026c", name),
        role=KeyRole.WAITS,
        record="missing",
        made_at=NOW - 3456,
        detail=f"s2026c._domainkey.{name}: there is no record; publish the one shown below, "
        "then it is seen within a minute",
    )
    return DomainStatus(domain=name, is_ready=False, keys=(waiting,))


def upstream(name: str = "postmark") -> UpstreamStatus:
    """An upstream that works."""
    return UpstreamStatus(
        name=name,
        url=f"smtp://smtp.{name}.example:587",
        reach=Reach.OK,
        connected_at=NOW - 14,
        secured="TLSv1.3, verified",
        busy=2,
        idle=3,
    )


def broken_upstream(name: str = "backup") -> UpstreamStatus:
    """An upstream that does not answer."""
    return replace(
        upstream(name),
        reach=Reach.LEFT_ALONE,
        connected_at=NOW - 4000,
        failed_at=NOW - 41,
        error=f"smtp.{name}.example:587: the connection was refused; is the server running there?",
        busy=0,
        idle=0,
        waiting=4,
    )


def minutes() -> tuple[Minute, ...]:
    """An hour with a bit of everything."""
    first = int(NOW // 60 - 59) * 60
    return tuple(
        Minute(
            at=first + 60 * index,
            signed=(7 * index * index + 11 * index) % 23 + (index % 9 if index > 30 else 0),
            unsigned=2 if index % 17 == 3 else 0,
            deferred=6 if 40 <= index <= 43 else 0,
            refused=1 if index % 13 == 5 else 0,
            unknown=1 if index == 42 else 0,
        )
        for index in range(60)
    )


def transaction(number: int = 0) -> TransactionStatus:
    """A message that was signed and relayed."""
    return TransactionStatus(
        at=NOW - 9 - 13 * number,
        outcome="message.relayed",
        queue_id=f"9f3c01d27ab4{number:04d}",
        client="10.20.0.14",
        mail_from="bounces+7841@mail.example.com",
        from_address="orders@example.com",
        rcpt_to=("anna.lindqvist@customer.example",),
        signatures=("s2026b/rsa-sha256", "e2026b/ed25519-sha256"),
        upstream="postmark",
        reply="250 2.0.0 Ok: queued as 9F3A2C07",
        reason="",
        size_octets=14_530 + 1_777 * number,
        total_seconds=0.084 + 0.03 * number,
    )


def transactions() -> tuple[TransactionStatus, ...]:
    """The last ones, some of which did not go well."""
    refused = replace(
        transaction(2),
        outcome="message.rejected",
        from_address="root@web-3.internal",
        mail_from="root@web-3.internal",
        signatures=(),
        upstream="",
        reply="550 5.7.1 web-3.internal is not a domain that this relay signs for",
        reason="domain_not_configured",
    )
    deferred = replace(
        transaction(4),
        outcome="message.deferred",
        rcpt_to=tuple(f"reader{number}@list.example" for number in range(41)),
        signatures=(),
        upstream="backup",
        reply="451 4.4.1 The next server cannot be reached now; try again later",
        reason="upstream_unreachable",
    )
    unknown = replace(
        transaction(5),
        outcome="message.outcome_unknown",
        reply="451 4.4.2 The connection to the next server was lost",
    )
    unsigned = replace(transaction(7), signatures=(), mail_from="")
    special = {2: refused, 4: deferred, 5: unknown, 7: unsigned}
    return tuple(special.get(number) or transaction(number) for number in range(12))


def good_status() -> Status:
    """A relay with nothing to complain about."""
    recovered = replace(
        upstream("backup"),
        busy=0,
        failed_at=NOW - 9 * 3600,
        error="smtp.backup.example:587: no answer within 30 s",
    )
    certificate = CertificateStatus(
        listener="[::]:587",
        names=("mail-relay-1.example.net", "smtp.example.net"),
        expires_at=NOW + 61 * DAY,
    )
    return Status(
        version="0.9.0",
        hostname="mail-relay-1.example.net",
        at=NOW,
        started_at=NOW - 3.4 * DAY,
        processes=(4117, 4118),
        listeners=("127.0.0.1:2525", "[::]:587 (STARTTLS)", "unix:/run/dkim-relay.sock"),
        connections=17,
        inflight_octets=3_250_000,
        max_inflight_octets=256 * 1024 * 1024,
        domain_count=len(_NAMES),
        ready_domain_count=len(_NAMES),
        domains=tuple(domain(name) for name in _NAMES),
        upstreams=(upstream("postmark"), recovered),
        certificates=(certificate,),
        minutes=minutes(),
        transactions=transactions(),
    )


def bad_status() -> Status:
    """The same with trouble of every kind."""
    good = good_status()
    due = Milestone(at=NOW - 2 * DAY, selector="s2026b", what="is to be replaced", is_due=True)
    late = replace(domain("example.net"), milestones=(*domain("").milestones[:2], due))
    ending = CertificateStatus(
        listener="[::]:465", names=("smtp.example.net",), expires_at=NOW + 3.2 * DAY
    )
    return replace(
        good,
        domain_count=20_000,
        ready_domain_count=19_998,
        domains=(
            unready_domain("shop.example.com"),
            DomainStatus(domain="void.example", is_ready=False),
            late,
            *good.domains[2:],
            replace(domain("zz.example"), is_read=False, keys=(), milestones=()),
        ),
        upstreams=(upstream("postmark"), broken_upstream("backup")),
        certificates=(*good.certificates, ending),
    )
