"""Every authoritative server of a name, asked directly. IO, over dnspython.

RFC 2181 §5.4.1 and §6.1 (who is authoritative), RFC 7766 (TCP). The configured resolver finds the
zone, its name servers and their addresses; each address is then asked by itself, without
recursion, over UDP and after a truncated answer over TCP. A CNAME is followed to the servers of
its target. Nothing is cached.

Port: servers are asked on port 53, as DNS has no other. In closed networks name servers stand on
loopback addresses with ports of their own: an authority on a loopback address is asked on the
port of the configured resolver, when that is on a loopback address too. Several such servers
share one port, at 127.0.0.2, 127.0.0.3 and so on.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address
from typing import Protocol, cast

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
from dns.rdtypes.ANY.CNAME import CNAME

from relay.core.dkim.query import TxtAnswer, TxtOutcome
from relay.dns.delegation import Delegations, find, name_text
from relay.dns.resolver import (
    EDNS_PAYLOAD_OCTETS,
    MAX_CNAMES,
    parse_nameserver,
    server_text,
    texts,
)

DNS_PORT = 53
_TRIES = 2  # over UDP, which may lose a datagram


class Trouble(StrEnum):
    """Why a server gave no authoritative answer."""

    NONE = "none"
    TIMEOUT = "timeout"
    SERVFAIL = "servfail"
    REFUSED = "refused"
    LAME = "lame"  # it answers, but not as an authority of the zone (RFC 1912 §2.8)
    UNREACHABLE = "unreachable"  # there is no way to its address from this machine
    NO_ADDRESS = "no_address"  # its name has no address
    ERROR = "error"  # another response code, or no DNS message


_OUTCOMES = {Trouble.TIMEOUT: TxtOutcome.TIMEOUT, Trouble.UNREACHABLE: TxtOutcome.TIMEOUT}


@dataclass(frozen=True, slots=True)
class ServerAnswer:
    """What one server says of a name.

    Attributes:
        name: the owner name that was asked for, without a final dot.
        server: the host name of the server.
        address: its address and port; "" when it has none.
        answer: SERVFAIL or TIMEOUT when there is a trouble; NO_DATA when there is a `cname`.
        trouble: why there is no authoritative answer.
        cname: the name that has to be asked for instead; empty for none.
    """

    name: str
    server: str
    address: str
    answer: TxtAnswer
    trouble: Trouble = Trouble.NONE
    cname: str = ""

    @property
    def shown(self) -> str:
        """The server, for people."""
        return f"{self.server} ({self.address})" if self.address else self.server


@dataclass(frozen=True, slots=True)
class Hop:
    """One name on the way to the record: the name itself, then targets of CNAMEs.

    Attributes:
        name: the owner name, without a final dot.
        zone: the zone that it lies in; empty when that could not be found out.
        servers: what each address of each server says.
        problem: why nobody was asked; empty when somebody was.
    """

    name: str
    zone: str = ""
    servers: tuple[ServerAnswer, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Survey:
    """What all authoritative servers say of a name.

    Attributes:
        hops: the name, then the targets of CNAMEs that any server gave.
    """

    hops: tuple[Hop, ...]

    @property
    def answers(self) -> tuple[ServerAnswer, ...]:
        """What every server says, CNAMEs followed.

        An address that cannot be reached from here does not count beside another of its server.
        """
        return tuple(
            one
            for hop in self.hops
            for one in hop.servers
            if not one.cname
            and not (
                one.trouble is Trouble.UNREACHABLE
                and any(
                    o.server == one.server and o.trouble is not one.trouble for o in hop.servers
                )
            )
        )

    @property
    def problem(self) -> str:
        """Why the servers of some name on the way were not asked; empty when all were."""
        return next((hop.problem for hop in self.hops if hop.problem), "")

    @property
    def cnames(self) -> tuple[str, ...]:
        """The names behind the first."""
        return tuple(hop.name for hop in self.hops[1:])


class Authority(Protocol):
    """Asks every authoritative server."""

    async def survey(self, name: str) -> Survey:
        """What each says of the TXT records of a name; never raises but for cancellation."""


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
        name = name_text(owner)
        if not address:
            return _failed(name, host, "", Trouble.NO_ADDRESS, "its name has no address")
        port = self._loopback_port if _is_loopback(address) else DNS_PORT
        where = server_text(address, port)
        if (problem := _no_route(address, port)) is not None:
            return _failed(name, host, where, Trouble.UNREACHABLE, problem)
        async with self._slots:
            response = await self._exchange(owner, address, port)
        if not isinstance(response, dns.message.Message):
            return _failed(name, host, where, *response)
        return _read(response, owner, host, where)

    async def _exchange(
        self, owner: dns.name.Name, address: str, port: int
    ) -> dns.message.Message | tuple[Trouble, str]:
        """The response of a server; or what went wrong."""
        wants_edns = True
        trouble = (Trouble.TIMEOUT, f"no answer within {_TRIES} x {self.timeout_seconds:g} s")
        for _ in range(_TRIES):
            query = _question(owner, wants_edns=wants_edns)
            try:
                response, _ = await dns.asyncquery.udp_with_fallback(
                    query,
                    address,
                    self.timeout_seconds,
                    port,
                    ignore_unexpected=True,
                    ignore_errors=True,
                )
            except dns.exception.Timeout:
                continue
            except (dns.exception.DNSException, OSError, EOFError) as exc:
                trouble = (Trouble.ERROR, f"{type(exc).__name__}: {exc}")
                continue
            # RFC 6891 §7: a server from before EDNS.
            if wants_edns and response.rcode() in (dns.rcode.FORMERR, dns.rcode.NOTIMP):
                trouble = (Trouble.ERROR, f"it answers {dns.rcode.to_text(response.rcode())}")
                wants_edns = False
                continue
            return response
        return trouble


def _question(owner: dns.name.Name, *, wants_edns: bool) -> dns.message.QueryMessage:
    """For the TXT records of a name, without RD: no server has to ask others for us."""
    if not wants_edns:
        return dns.message.make_query(owner, dns.rdatatype.TXT, use_edns=False, flags=0)
    return dns.message.make_query(
        owner, dns.rdatatype.TXT, use_edns=0, payload=EDNS_PAYLOAD_OCTETS, flags=0
    )


def _read(
    response: dns.message.Message, owner: dns.name.Name, host: str, where: str
) -> ServerAnswer:
    """What a response says."""
    name, code = name_text(owner), response.rcode()
    match code:
        case dns.rcode.NOERROR | dns.rcode.NXDOMAIN:
            pass
        case dns.rcode.SERVFAIL:
            return _failed(name, host, where, Trouble.SERVFAIL, "it answers SERVFAIL")
        case dns.rcode.REFUSED:
            return _failed(name, host, where, Trouble.REFUSED, "it answers REFUSED")
        case _:
            text = f"it answers {dns.rcode.to_text(code)}"
            return _failed(name, host, where, Trouble.ERROR, text)
    if not response.flags & dns.flags.AA:
        return _failed(name, host, where, Trouble.LAME, "it does not answer as an authority")
    detail = f"asked {host} ({where}), {response.time * 1000:.0f} ms"
    cname = find(response, owner, dns.rdatatype.CNAME)
    if cname is not None:
        target = name_text(cast("CNAME", cname[0]).target.canonicalize())
        answer = TxtAnswer(TxtOutcome.NO_DATA, detail=f"{detail}, CNAME to {target}")
        return ServerAnswer(name, host, where, answer, cname=target)
    rrset = find(response, owner, dns.rdatatype.TXT)
    if rrset is not None:
        answer = TxtAnswer(TxtOutcome.FOUND, texts(rrset), f"{detail}, TTL {rrset.ttl} s")
    elif code == dns.rcode.NXDOMAIN:
        answer = TxtAnswer(TxtOutcome.NXDOMAIN, detail=detail)
    else:
        answer = TxtAnswer(TxtOutcome.NO_DATA, detail=detail)
    return ServerAnswer(name, host, where, answer)


def _failed(name: str, host: str, where: str, trouble: Trouble, why: str) -> ServerAnswer:
    shown = f"{host} ({where})" if where else host
    outcome = _OUTCOMES.get(trouble, TxtOutcome.SERVFAIL)
    answer = TxtAnswer(outcome, detail=f"asked {shown}: {why}")
    return ServerAnswer(name, host, where, answer, trouble)


def _no_route(address: str, port: int) -> str | None:
    """Why no datagram can leave for an address, as without IPv6; None when one can."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address, port))  # sends nothing
    except OSError as exc:
        return f"no way there from here: {exc.strerror or exc}"
    return None


def _is_loopback(address: str) -> bool:
    return ip_address(address).is_loopback


def trouble_of(answers: Iterable[ServerAnswer]) -> tuple[ServerAnswer, ...]:
    """Those that gave no authoritative answer."""
    return tuple(one for one in answers if one.trouble is not Trouble.NONE)
