"""TLSA questions to DNS, over dnspython, for DANE. IO. RFC 6698, RFC 7671, RFC 7672 §2.

Whether DNSSEC vouches for an answer is the resolver's word: its AD bit (RFC 4035 §3.2.3), which
is worth what the path to it is. So only servers that an operator has named are asked.

The order of RFC 7672 §2.1.3 and §2.2: first the addresses of the hop. Where DNSSEC does not
vouch for them, nothing more is asked: there are no records, and servers that choke on TLSA
questions are mostly those of unsigned zones. A CNAME that is vouched for leads to the name that
the records are looked for first (§2.2.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.resolver
from dns.rdtypes.ANY.TLSA import TLSA

from relay.cancelling import heeding
from relay.core.dane import Tlsa, TlsaAnswer, Vouched
from relay.dns.resolver import parse_nameserver

_EDNS_PAYLOAD_OCTETS = 1232  # fits every path without fragments; more comes over TCP


@dataclass(frozen=True, slots=True)
class _Found:
    """An answer, or the absence of one; `fault` when neither is known."""

    is_secure: bool = False
    records: tuple[object, ...] = ()
    name: dns.name.Name | None = None  # where CNAMEs lead to
    fault: str = ""


class TlsaResolver:
    """Asks validating resolvers; `relay.upstream.settings.TlsaLookup`."""

    def __init__(
        self,
        nameservers: Sequence[str],
        *,
        timeout_seconds: float = 1.0,
        lifetime_seconds: float = 5.0,
    ) -> None:
        """Read the settings; nothing is asked yet.

        Args:
            nameservers: "127.0.0.1:5353", "[::1]:53", "9.9.9.9" or "::1"; at least one.
            timeout_seconds: for one server to answer once.
            lifetime_seconds: for one question in all.

        Raises:
            ConfigError: not an address and port.
        """
        servers = [parse_nameserver(text) for text in nameservers]
        self._names = ", ".join(f"{host} port {port}" for host, port in servers)
        self._resolver = dns.asyncresolver.Resolver(configure=False)
        self._resolver.nameservers = [dns.nameserver.Do53Nameserver(h, p) for h, p in servers]
        self._resolver.timeout = min(timeout_seconds, lifetime_seconds)
        self._resolver.lifetime = lifetime_seconds
        self._resolver.use_edns(0, 0, _EDNS_PAYLOAD_OCTETS)
        # RFC 6840 §5.7: AD in a question asks for AD in the answer.
        self._resolver.flags = dns.flags.RD | dns.flags.AD

    async def tlsa(self, host: str, port: int) -> TlsaAnswer:
        """What DNS says, and whether DNSSEC vouches for it; never raises but for cancellation.

        Args:
            host: a name in A-labels.
            port: TCP.
        """
        try:
            name = dns.name.from_text(host).canonicalize()
        except (dns.exception.DNSException, UnicodeError) as exc:
            return TlsaAnswer(Vouched.NONE, detail=f"not a name in DNS: {exc}")
        addresses = await self._addresses(name)
        if addresses.fault:
            return TlsaAnswer(Vouched.UNKNOWN, detail=self._asked(name, addresses.fault))
        if not addresses.is_secure:
            what = "its addresses are not vouched for: the zone is not signed, or the resolver "
            return TlsaAnswer(Vouched.NONE, detail=self._asked(name, f"{what}does not validate"))
        for base in dict.fromkeys((addresses.name or name, name)):
            answer = await self._records(base, port)
            if answer.vouched is not Vouched.NONE:
                return answer
        return TlsaAnswer(Vouched.NONE, detail=self._asked(name, f"no TLSA record for port {port}"))

    async def _addresses(self, name: dns.name.Name) -> _Found:
        found = await self._ask(name, dns.rdatatype.A)
        if found.fault or found.records:
            return found
        return await self._ask(name, dns.rdatatype.AAAA)

    async def _records(self, base: dns.name.Name, port: int) -> TlsaAnswer:
        owner = dns.name.from_text(f"_{port}._tcp", base)  # RFC 6698 §3
        found = await self._ask(owner, dns.rdatatype.TLSA)
        if found.fault:
            return TlsaAnswer(Vouched.UNKNOWN, detail=self._asked(owner, found.fault))
        if not (found.records and found.is_secure):
            return TlsaAnswer(Vouched.NONE)
        given = (cast("TLSA", record) for record in found.records)
        records = [Tlsa(int(r.usage), int(r.selector), int(r.mtype), r.cert) for r in given]
        return TlsaAnswer(
            Vouched.SECURE,
            base.to_text(omit_final_dot=True),
            tuple(sorted(records, key=str)),
            self._asked(owner, "; ".join(sorted(map(str, records)))),
        )

    async def _ask(self, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> _Found:
        try:
            answer = await heeding(
                self._resolver.resolve(name, kind, raise_on_no_answer=False, search=False)
            )
        except dns.resolver.NXDOMAIN:
            return _Found()
        except dns.resolver.LifetimeTimeout:
            return _Found(fault=f"no answer within {self._resolver.lifetime:g} s")
        except dns.resolver.NoNameservers as exc:
            # SERVFAIL, which is also what a validating resolver says of forged answers.
            reasons = (str(reason) for _, _, _, reason, _ in exc.kwargs["errors"])
            return _Found(fault="; ".join(dict.fromkeys(reasons)))
        except (dns.exception.DNSException, OSError) as exc:
            return _Found(fault=str(exc))
        return _Found(
            is_secure=bool(answer.response.flags & dns.flags.AD),
            records=tuple(answer.rrset or ()),
            name=answer.canonical_name.canonicalize(),
        )

    def _asked(self, name: dns.name.Name, what: str) -> str:
        return f"asked {self._names} for {name.to_text(omit_final_dot=True)}: {what}"
