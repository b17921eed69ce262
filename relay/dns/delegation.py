"""The zone of a name, and where its servers are: asked of the configured resolver. IO.

RFC 1034 §4.2 (zones), RFC 2308 §2 (negative answers name their zone).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rdataclass
import dns.rdatatype
import dns.resolver
import dns.rrset
from dns.rdtypes.ANY.NS import NS

from relay.dns.resolver import stub

_MAX_SERVERS = 32  # of one zone; the root has 13


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone and where its servers are.

    Attributes:
        name: without a final dot; empty when it was not found.
        hosts: host name and address of each server, the address empty when there is none.
        problem: why there are no servers; empty when there are.
    """

    name: str = ""
    hosts: tuple[tuple[str, str], ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class _Failure:
    """No response of the resolver: why, and whether it is of no use to ask it more."""

    why: str
    is_final: bool = False


class Delegations:
    """Finds zones and their servers."""

    def __init__(
        self,
        nameservers: Sequence[str],
        slots: asyncio.Semaphore,
        *,
        timeout_seconds: float,
        lifetime_seconds: float,
    ) -> None:
        """Read the settings; nothing is asked yet.

        Args:
            nameservers: the resolver's, as `DnsResolver` takes them.
            slots: bounds the questions under way at once.
            timeout_seconds: for one of them to answer once.
            lifetime_seconds: for one question in all.

        Raises:
            ConfigError: not an address and port, or the system names no server.
        """
        # CD: a zone whose signatures are bogus still has servers to ask (RFC 4035 §3.2.2).
        self._resolver = stub(
            nameservers,
            timeout_seconds=timeout_seconds,
            lifetime_seconds=lifetime_seconds,
            flags=dns.flags.RD | dns.flags.CD,
        )
        self._lifetime_seconds = lifetime_seconds
        self._slots = slots

    async def zone_of(self, owner: dns.name.Name) -> Zone:
        """The zone that holds a name, with the addresses of its servers."""
        name, failure = owner, ""
        while True:
            response = await self._response(name, dns.rdatatype.SOA)
            if isinstance(response, dns.message.Message):
                apex = _apex(response, name)
                if apex is not None:
                    return await self._servers_of(apex)
            else:
                # What fails may be the target of a CNAME; the zone above can still be asked.
                failure = failure or response.why
            if name == dns.name.root or (isinstance(response, _Failure) and response.is_final):
                why = failure or "the resolver knows none"
                return Zone(problem=f"the zone of {name_text(owner)} was not found: {why}")
            name = name.parent()

    async def _servers_of(self, zone: dns.name.Name) -> Zone:
        response = await self._response(zone, dns.rdatatype.NS)
        if isinstance(response, _Failure):
            return Zone(name_text(zone), problem=f"NS records of {name_text(zone)}: {response.why}")
        found = find(response, zone, dns.rdatatype.NS)
        if found is None:
            return Zone(name_text(zone), problem=f"{name_text(zone)} has no NS records")
        hosts = sorted(cast("NS", rdata).target for rdata in found)[:_MAX_SERVERS]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._addresses(host)) for host in hosts]
        pairs = zip(hosts, (task.result() for task in tasks), strict=True)
        return Zone(
            name_text(zone),
            tuple((name_text(host), a) for host, addresses in pairs for a in addresses),
        )

    async def _addresses(self, host: dns.name.Name) -> list[str]:
        """The IPv4 and IPv6 addresses of a server; one empty text when it has none."""
        kinds = (dns.rdatatype.A, dns.rdatatype.AAAA)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._response(host, kind)) for kind in kinds]
        found: list[str] = []
        for task, kind in zip(tasks, kinds, strict=True):
            response = task.result()
            if isinstance(response, dns.message.Message):
                rrset = find(response, host, kind)
                found += sorted(rdata.to_text() for rdata in rrset or ())
        return found or [""]

    async def _response(
        self, name: dns.name.Name, kind: dns.rdatatype.RdataType
    ) -> dns.message.Message | _Failure:
        """The resolver's response, a negative one included; or why there is none."""
        async with self._slots:
            try:
                answer = await self._resolver.resolve(
                    name, kind, raise_on_no_answer=False, search=False
                )
            except dns.resolver.NXDOMAIN as exc:
                return cast("dns.message.Message", next(iter(exc.kwargs["responses"].values())))
            except dns.resolver.LifetimeTimeout:
                why = f"the resolver did not answer within {self._lifetime_seconds:g} s"
                return _Failure(why, is_final=True)
            except (dns.exception.DNSException, OSError) as exc:
                return _Failure(f"the resolver failed: {exc}")
        return answer.response


def _apex(response: dns.message.Message, name: dns.name.Name) -> dns.name.Name | None:
    """The zone of a name, as the response to its SOA question says (RFC 2308 §2)."""
    if find(response, name, dns.rdatatype.SOA) is not None:
        return name
    if find(response, name, dns.rdatatype.CNAME) is not None:
        return None  # what stands there besides is about the target
    for rrset in response.authority:
        if rrset.rdtype == dns.rdatatype.SOA and name.is_subdomain(rrset.name):
            return rrset.name.canonicalize()
    return None


def find(
    response: dns.message.Message, name: dns.name.Name, kind: dns.rdatatype.RdataType
) -> dns.rrset.RRset | None:
    """The records of a kind at a name in the answer section."""
    return response.get_rrset(dns.message.ANSWER, name, dns.rdataclass.IN, kind)


def name_text(name: dns.name.Name) -> str:
    """A name without its final dot."""
    return name.to_text(omit_final_dot=True) if name != dns.name.root else "."
