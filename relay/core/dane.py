"""DANE for SMTP: what TLSA records say about the certificates that a hop shows. Pure.

RFC 6698 §2.1 (the record), RFC 7671 §5 (how it is used), RFC 7672 §3 (with SMTP).
Whether DNSSEC vouches for the records is decided where they are asked for.

Deviation: a DANE-TA(2) record matches only certificates that the hop shows, or that stand in
the record whole (2 0 0). RFC 7671 §5.2.2 has a hop show its trust anchor in all other cases.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto

from relay.core.certificate import public_key_info
from relay.core.errors import SyntaxFault

DANE_TA, DANE_EE = 2, 3  # RFC 7218 §2.1
_CERTIFICATE, _PUBLIC_KEY = 0, 1  # RFC 7218 §2.2
_FULL, _SHA256, _SHA512 = 0, 1, 2  # RFC 7218 §2.3
_DIGEST_OCTETS = {_SHA256: 32, _SHA512: 64}


@dataclass(frozen=True, slots=True)
class Tlsa:
    """One record (RFC 6698 §2.1): what it is about, which part of it, how given, and the octets."""

    usage: int
    selector: int
    matching: int
    data: bytes

    @property
    def is_usable(self) -> bool:
        """Whether it can be checked; PKIX-TA(0) and PKIX-EE(1) cannot (RFC 7672 §3.1.3)."""
        return (
            self.usage in (DANE_TA, DANE_EE)
            and self.selector in (_CERTIFICATE, _PUBLIC_KEY)
            and (self.matching == _FULL or _DIGEST_OCTETS.get(self.matching) == len(self.data))
        )

    def matches(self, certificate: bytes) -> bool:
        """Whether it names this certificate or its key (RFC 6698 §2.1.2 and §2.1.3)."""
        try:
            octets = certificate if self.selector == _CERTIFICATE else public_key_info(certificate)
        except SyntaxFault:
            return False
        if self.matching == _SHA256:
            octets = hashlib.sha256(octets).digest()
        elif self.matching == _SHA512:
            octets = hashlib.sha512(octets).digest()
        return octets == self.data

    def __str__(self) -> str:
        """The record as zone files have it, its data shortened."""
        data = self.data.hex()
        shown = data if len(data) <= 2 * _DIGEST_OCTETS[_SHA256] else f"{data[:32]}..."
        return f"{self.usage} {self.selector} {self.matching} {shown}"


class Vouched(Enum):
    """What DNS says, and how sure that is.

    Attributes:
        SECURE: DNSSEC vouches for the records.
        NONE: there are none that it vouches for.
        UNKNOWN: no answer, or one that was tampered with. Going on as without records would be
            what an attacker wants (RFC 7672 §2.1.2).
    """

    SECURE = auto()
    NONE = auto()
    UNKNOWN = auto()


@dataclass(frozen=True, slots=True)
class TlsaAnswer:
    """What DNS says about a hop.

    Attributes:
        vouched: see there.
        base: the name that the records are for: the hop's, or the one its CNAME leads to.
        records: those found, when secure.
        detail: who was asked for what, for the log.
    """

    vouched: Vouched
    base: str = ""
    records: tuple[Tlsa, ...] = ()
    detail: str = ""

    @property
    def usable(self) -> tuple[Tlsa, ...]:
        """The records that can be checked."""
        return tuple(record for record in self.records if record.is_usable)


def mismatch(
    chain: Sequence[bytes], records: Iterable[Tlsa], *, names: Sequence[str], now: float
) -> str:
    """Why a hop's certificates are not those that the records name; empty when they are.

    Args:
        chain: what the hop showed, DER, its own certificate first.
        records: usable ones.
        names: what it may be called; one of them has to stand in a certificate that is known
            only by its issuer.
        now: seconds since 1970, UTC.
    """
    reasons = []
    for record in records:
        if record.usage == DANE_EE:
            # RFC 7672 §3.1.1: neither names nor dates of the certificate count.
            if chain and record.matches(chain[0]):
                return ""
            reasons.append(f"{record}: not the server's certificate")
        else:
            reason = _not_issued_by(record, chain, names, now)
            if not reason:
                return ""
            reasons.append(f"{record}: {reason}")
    return "; ".join(reasons) or "no usable record"


def _not_issued_by(record: Tlsa, chain: Sequence[bytes], names: Sequence[str], now: float) -> str:
    """Why a trust anchor does not vouch for the chain (RFC 7672 §3.1.2); empty when it does."""
    anchors = [certificate for certificate in chain[1:] if record.matches(certificate)]
    if (record.selector, record.matching) == (_CERTIFICATE, _FULL) and record.data not in chain:
        anchors = [record.data]
    reason = "not among the issuers that the server shows"
    for anchor in anchors:
        for name in names:
            reason = _not_valid(chain, anchor, name, now)
            if not reason:
                return ""
    return reason


def _not_valid(chain: Sequence[bytes], anchor: bytes, name: str, now: float) -> str:
    # Here, because it takes 20 ms and nothing else needs it.
    from cryptography.x509 import (
        BasicConstraints,
        DNSName,
        SubjectAlternativeName,
        load_der_x509_certificate,
        verification,
    )

    # RFC 5280 §6.1; what browsers ask beyond that, private CAs of mail servers seldom keep.
    either = verification.Criticality.AGNOSTIC
    permissive = verification.ExtensionPolicy.permit_all()
    issuers = permissive.require_present(BasicConstraints, either, None)
    servers = permissive.require_present(SubjectAlternativeName, either, None)
    try:
        leaf, *intermediates = map(load_der_x509_certificate, chain)
        builder = verification.PolicyBuilder().time(datetime.fromtimestamp(now, UTC))
        builder = builder.store(verification.Store([load_der_x509_certificate(anchor)]))
        builder = builder.extension_policies(ca_policy=issuers, ee_policy=servers)
        builder.build_server_verifier(DNSName(name)).verify(leaf, intermediates)
    except (ValueError, verification.VerificationError) as exc:
        return f"it does not vouch for {name}: {exc}"
    return ""
