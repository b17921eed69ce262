"""Whether a name is signed, and whether its signatures hold. IO. RFC 4033 §5, RFC 4035 §3.2 and §4.

Nothing is validated here: the configured resolver is asked. It sets AD for what it verified,
and answers SERVFAIL for what is bogus, unless checking is disabled (CD). AD is worth as much as the
way to that resolver.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol, cast

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.rdatatype
import dns.resolver

from relay.dns.resolver import stub


class DnssecState(StrEnum):
    """How a name stands with DNSSEC."""

    SECURE = "secure"  # the resolver verified the answer
    SIGNED = "signed"  # there are signatures; the resolver does not say that it verified them
    UNSIGNED = "unsigned"
    BOGUS = "bogus"  # SERVFAIL that goes away when checking is disabled
    UNKNOWN = "unknown"  # the resolver did not answer


class Dnssec(Protocol):
    """Asks for the state of a name."""

    async def state(self, name: str) -> DnssecState:
        """How the TXT records of a name stand; never raises but for cancellation."""


class ResolverDnssec:
    """Asks the configured resolver; a `Dnssec`."""

    def __init__(
        self,
        nameservers: Sequence[str] = (),
        *,
        timeout_seconds: float = 2.0,
        lifetime_seconds: float = 5.0,
    ) -> None:
        """Read the settings, as `DnsResolver` does; nothing is asked yet.

        Raises:
            ConfigError: not an address and port, or the system names no server.
        """
        checked, unchecked = (
            stub(
                nameservers,
                timeout_seconds=timeout_seconds,
                lifetime_seconds=lifetime_seconds,
                flags=dns.flags.RD | dns.flags.AD | flag,
                edns_flags=dns.flags.DO,
            )
            for flag in (0, dns.flags.CD)
        )
        self._checked, self._unchecked = checked, unchecked

    async def state(self, name: str) -> DnssecState:
        """How the TXT records of a name stand; never raises but for cancellation."""
        try:
            response = await _response(self._checked, name)
        except dns.resolver.NoNameservers:
            return await self._why_servfail(name)
        except (dns.exception.DNSException, UnicodeError, OSError):
            return DnssecState.UNKNOWN
        if response.flags & dns.flags.AD:
            return DnssecState.SECURE
        sections = (*response.answer, *response.authority)
        is_signed = any(rrset.rdtype == dns.rdatatype.RRSIG for rrset in sections)
        return DnssecState.SIGNED if is_signed else DnssecState.UNSIGNED

    async def _why_servfail(self, name: str) -> DnssecState:
        try:
            await _response(self._unchecked, name)
        except (dns.exception.DNSException, OSError):
            return DnssecState.UNKNOWN
        return DnssecState.BOGUS


async def _response(resolver: dns.asyncresolver.Resolver, name: str) -> dns.message.Message:
    """The response, a negative one included."""
    try:
        answer = await resolver.resolve(
            name, dns.rdatatype.TXT, raise_on_no_answer=False, search=False
        )
    except dns.resolver.NXDOMAIN as exc:
        return cast("dns.message.Message", next(iter(exc.kwargs["responses"].values())))
    return answer.response
