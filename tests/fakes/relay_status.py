"""A relay as it might be, and the processes of one, for tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

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

NOW = 1_790_000_000.0
KEY = KeyStatus(
    selector="s1",
    algorithm="rsa-sha256",
    bits=2048,
    role=KeyRole.SIGNS,
    record="matches",
    detail="s1._domainkey.example.com: it matches",
    record_name="s1._domainkey.example.com",
    record_text="v=DKIM1; k=rsa; p=AAAA",
    made_at=NOW - 86400,
    rotate_at=NOW + 89 * 86400,
)
DOMAIN = DomainStatus(domain="example.com", is_ready=True, keys=(KEY,))
UPSTREAM = UpstreamStatus(
    name="esp",
    url="smtp://smtp.example.net:587",
    reach=Reach.OK,
    connected_at=NOW - 5,
    secured="TLSv1.3",
    busy=1,
    idle=2,
)
TRANSACTION = TransactionStatus(
    at=NOW - 1,
    outcome="message.relayed",
    queue_id="q1",
    client="127.0.0.1",
    mail_from="bounces@example.com",
    from_address="a@example.com",
    rcpt_to=("b@example.net",),
    signatures=("s1/rsa-sha256",),
    upstream="esp",
    reply="250 2.0.0 Ok",
    reason="",
    size_octets=1000,
    total_seconds=0.02,
)


def status(**changes: Any) -> Status:
    """All is well, but for the changes."""
    well = Status(
        version="1.2.3",
        hostname="relay.example",
        at=NOW,
        started_at=NOW - 3600,
        processes=(100,),
        listeners=("127.0.0.1:2525",),
        connections=3,
        inflight_octets=1000,
        max_inflight_octets=1_000_000,
        domain_count=1,
        ready_domain_count=1,
        domains=(DOMAIN,),
        upstreams=(UPSTREAM,),
        certificates=(
            CertificateStatus(
                listener="0.0.0.0:587", names=("relay.example",), expires_at=NOW + 30 * 86400
            ),
        ),
        minutes=tuple(Minute(at=int(NOW) + 60 * n, signed=60 + n) for n in range(-59, 1)),
        transactions=(TRANSACTION,),
    )
    return replace(well, **changes)
