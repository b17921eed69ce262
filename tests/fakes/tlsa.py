"""A DNS that has one answer about TLSA records; behind the same Protocol as the real one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from relay.core.certificate import public_key_info
from relay.core.dane import DANE_EE, Tlsa, TlsaAnswer, Vouched


@dataclass
class FakeTlsa:
    """Gives its answer, and keeps what it was asked for."""

    answer: TlsaAnswer
    asked: list[tuple[str, int]] = field(default_factory=list)

    async def tlsa(self, host: str, port: int) -> TlsaAnswer:
        """What DNS says."""
        self.asked.append((host, port))
        return self.answer


def vouched(*records: Tlsa, base: str = "localhost") -> FakeTlsa:
    """DNSSEC vouches for these."""
    return FakeTlsa(TlsaAnswer(Vouched.SECURE, base, records, "asked the fake"))


def nothing() -> FakeTlsa:
    """No record that DNSSEC vouches for."""
    return FakeTlsa(TlsaAnswer(Vouched.NONE, detail="asked the fake: not signed"))


def unknown() -> FakeTlsa:
    """No answer."""
    return FakeTlsa(TlsaAnswer(Vouched.UNKNOWN, detail="asked the fake: SERVFAIL"))


def key_record(certificate: bytes) -> Tlsa:
    """3 1 1, the usual record of a mail server."""
    return Tlsa(DANE_EE, 1, 1, hashlib.sha256(public_key_info(certificate)).digest())
