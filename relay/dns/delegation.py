"""The zone of a name, and where its servers are: asked of the configured resolver. IO.

RFC 1034 §4.2 (zones), RFC 2308 §2 (negative answers name their zone). Which zone a name lies in
is asked for each name, because there may be a cut anywhere. The servers of a zone and their
addresses are kept for as long as their TTL permits: of 20,000 domains in one zone, and of as many
zones at one provider, only the first asks for them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
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
from dns.rdtypes.ANY.SOA import SOA

from relay.cancelling import heeding
from relay.dns.cache import Cache
from relay.dns.resolver import stub

_MAX_SERVERS = 32  # of one zone; the root has 13
MAX_KEPT = 50_000  # zones, and hosts: at most some 20 MB of each
MAX_KEPT_SECONDS = 3600.0  # TTLs of name servers are often days: one that moved is found sooner
_UNTOLD_SECONDS = 60.0  # absence counts for so long where the resolver leaves out the SOA record


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
class _Servers:
    """The host names of a zone's servers, or why there are none."""

    hosts: tuple[str, ...] = ()
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
        max_kept: int = MAX_KEPT,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read the settings; nothing is asked yet.

        Args:
            nameservers: the resolver's, as `DnsResolver` takes them.
            slots: bounds the questions under way at once.
            timeout_seconds: for one of them to answer once.
            lifetime_seconds: for one question in all.
            max_kept: zones of which the servers are kept, and hosts of which the addresses are.
            monotonic: a clock that is never set, in seconds.

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
        self._zones: Cache[_Servers] = Cache(max_kept, MAX_KEPT_SECONDS, monotonic)
        self._hosts: Cache[tuple[str, ...]] = Cache(max_kept, MAX_KEPT_SECONDS, monotonic)

    async def zone_of(self, owner: dns.name.Name) -> Zone:
        """The zone that holds a name, with the addresses of its servers."""
        name, failure = owner, ""
        while True:
            response = await self._response(name, dns.rdatatype.SOA)
            if isinstance(response, dns.message.Message):
                apex = _apex(response, name)
                if apex is not None:
                    return await self._zone(apex)
            else:
                # What fails may be the target of a CNAME; the zone above can still be asked.
                failure = failure or response.why
            if name == dns.name.root or (isinstance(response, _Failure) and response.is_final):
                why = failure or "the resolver knows none"
                return Zone(problem=f"the zone of {name_text(owner)} was not found: {why}")
            name = name.parent()

    async def _zone(self, apex: dns.name.Name) -> Zone:
        name = name_text(apex)
        servers = await self._zones.get(name, lambda: self._servers_of(apex))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._addresses(host)) for host in servers.hosts]
        pairs = zip(servers.hosts, (task.result() for task in tasks), strict=True)
        hosts = tuple((host, address) for host, addresses in pairs for address in addresses)
        return Zone(name, hosts, servers.problem)

    async def _servers_of(self, zone: dns.name.Name) -> tuple[_Servers, float]:
        """The servers of a zone, and for how long they may be kept."""
        response = await self._response(zone, dns.rdatatype.NS)
        if isinstance(response, _Failure):
            return _Servers(problem=f"NS records of {name_text(zone)}: {response.why}"), 0.0
        found = find(response, zone, dns.rdatatype.NS)
        if found is None:
            return _Servers(problem=f"{name_text(zone)} has no NS records"), 0.0
        hosts = sorted(cast("NS", rdata).target for rdata in found)[:_MAX_SERVERS]
        return _Servers(tuple(map(name_text, hosts))), found.ttl

    async def _addresses(self, host: str) -> tuple[str, ...]:
        """The IPv4 and IPv6 addresses of a server; one empty text when it has none."""
        return await self._hosts.get(host, lambda: self._addresses_of(dns.name.from_text(host)))

    async def _addresses_of(self, host: dns.name.Name) -> tuple[tuple[str, ...], float]:
        kinds = (dns.rdatatype.A, dns.rdatatype.AAAA)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._response(host, kind)) for kind in kinds]
        found: list[str] = []
        seconds = []
        for task, kind in zip(tasks, kinds, strict=True):
            response = task.result()
            if isinstance(response, _Failure):
                seconds.append(0.0)
                continue
            rrset = find(response, host, kind)
            found += sorted(rdata.to_text() for rdata in rrset or ())
            seconds.append(_absent_seconds(response) if rrset is None else rrset.ttl)
        return tuple(found) or ("",), min(seconds)

    async def _response(
        self, name: dns.name.Name, kind: dns.rdatatype.RdataType
    ) -> dns.message.Message | _Failure:
        """The resolver's response, a negative one included; or why there is none."""
        async with self._slots:
            try:
                answer = await heeding(
                    self._resolver.resolve(name, kind, raise_on_no_answer=False, search=False)
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


def _absent_seconds(response: dns.message.Message) -> float:
    """For how long it counts that something is not there (RFC 2308 §5)."""
    found = (rrset for rrset in response.authority if rrset.rdtype == dns.rdatatype.SOA)
    times = (min(rrset.ttl, cast("SOA", rrset[0]).minimum) for rrset in found)
    return min(times, default=_UNTOLD_SECONDS)


def find(
    response: dns.message.Message, name: dns.name.Name, kind: dns.rdatatype.RdataType
) -> dns.rrset.RRset | None:
    """The records of a kind at a name in the answer section."""
    return response.get_rrset(dns.message.ANSWER, name, dns.rdataclass.IN, kind)


def name_text(name: dns.name.Name) -> str:
    """A name without its final dot."""
    return name.to_text(omit_final_dot=True) if name != dns.name.root else "."
