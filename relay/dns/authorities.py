"""Every authoritative server of a name, asked directly. IO.

The configured resolver finds the zone, its name servers and their addresses (`delegation`); each
address is then asked by itself (`server`). A CNAME is followed to the servers of its target. No
answer about a record is ever cached.

Port: servers are asked on port 53, as DNS has no other. In closed networks name servers stand on
loopback addresses with ports of their own: an authority on a loopback address is asked on the
port of the configured resolver, when that is on a loopback address too. Several such servers
share one port, at 127.0.0.2, 127.0.0.3 and so on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

import dns.exception
import dns.name

from relay.dns.delegation import Delegations
from relay.dns.resolver import DNS_PORT, MAX_CNAMES, parse_nameserver
from relay.dns.server import Server
from relay.dns.survey import Hop, ServerAnswer, Survey


@dataclass(slots=True)
class Authorities:
    """Asks every authoritative server over the network; an `Authority`.

    Attributes:
        nameservers: the resolver's, as `DnsResolver` takes them.
        timeout_seconds: for one server to answer once; it is asked twice over UDP.
        lifetime_seconds: for one question to the resolver.
        max_concurrent: questions under way at once.
    """

    nameservers: Sequence[str] = ()
    timeout_seconds: float = 2.0
    lifetime_seconds: float = 5.0
    max_concurrent: int = 32
    _delegations: Delegations = field(init=False, repr=False)
    _slots: asyncio.Semaphore = field(init=False, repr=False)
    _loopback_port: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Read the settings; nothing is asked yet.

        Raises:
            ConfigError: not an address and port, or the system names no server.
        """
        self._slots = asyncio.Semaphore(self.max_concurrent)
        self._delegations = Delegations(
            self.nameservers,
            self._slots,
            timeout_seconds=self.timeout_seconds,
            lifetime_seconds=self.lifetime_seconds,
        )
        servers = map(parse_nameserver, self.nameservers)
        self._loopback_port = next((p for h, p in servers if _is_loopback(h)), DNS_PORT)

    async def survey(self, name: str) -> Survey:
        """What each says of the TXT records of a name; never raises but for cancellation."""
        hops: list[Hop] = []
        waiting = [name]
        while waiting:
            current = waiting.pop(0).lower()
            if len(hops) > MAX_CNAMES:
                hops.append(Hop(current, problem=f"over {MAX_CNAMES} CNAMEs follow each other"))
                break
            hops.append(await self._hop(current))
            targets = {one.cname for one in hops[-1].servers if one.cname}
            known = {*waiting, *(hop.name for hop in hops)}
            if loops := targets & {hop.name for hop in hops}:
                hops.append(Hop(min(loops), problem=f"a CNAME loop at {min(loops)}"))
                break
            waiting += sorted(targets - known)
        return Survey(tuple(hops))

    async def _hop(self, name: str) -> Hop:
        try:
            owner = dns.name.from_text(name).canonicalize()
        except (dns.exception.DNSException, UnicodeError) as exc:
            return Hop(name, problem=f"not a name in DNS: {exc}")
        zone = await self._delegations.zone_of(owner)
        if zone.problem:
            return Hop(name, zone.name, problem=zone.problem)
        async with asyncio.TaskGroup() as group:
            asked = [
                group.create_task(self._ask(owner, host, address)) for host, address in zone.hosts
            ]
        return Hop(name, zone.name, tuple(task.result() for task in asked))

    async def _ask(self, owner: dns.name.Name, host: str, address: str) -> ServerAnswer:
        """What one address says."""
        port = self._loopback_port if address and _is_loopback(address) else DNS_PORT
        server = Server(host, address, port)
        if (failed := server.out_of_reach(owner)) is not None:
            return failed
        async with self._slots:
            return await server.ask(owner, timeout_seconds=self.timeout_seconds)


def _is_loopback(address: str) -> bool:
    return ip_address(address).is_loopback
