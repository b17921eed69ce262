"""TXT questions to DNS, over dnspython. IO. RFC 1035, RFC 6376 §3.6.2.2, RFC 8020.

Absence (NXDOMAIN, no TXT record) is told apart from having no answer (SERVFAIL, timeout),
because the one is permanent and the other is not. Nothing is cached here. A CNAME that the
server does not follow itself, as an authoritative one does not beyond its zone, is followed.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from ipaddress import ip_address
from typing import Protocol, cast

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.resolver
import dns.rrset
from dns.rdtypes.ANY.TXT import TXT

from relay.cancelling import heeding
from relay.core.dkim.query import TxtAnswer, TxtOutcome
from relay.core.errors import ConfigError, Fault

MAX_CNAMES = 8
DNS_PORT = 53
_SERVER = re.compile(r"(?:\[([^\[\]]+)\]|([^:\[\]]+))(?::([0-9]{1,5}))?")
EDNS_PAYLOAD_OCTETS = 1232  # fits every path without fragments; more comes over TCP


class Resolver(Protocol):
    """Asks DNS."""

    async def txt(self, name: str) -> TxtAnswer:
        """The TXT records of a name in A-labels; never raises but for cancellation."""


class DnsResolver:
    """A stub resolver: asks the servers it is given, or those of the system."""

    def __init__(
        self,
        nameservers: Sequence[str] = (),
        *,
        timeout_seconds: float = 1.0,
        lifetime_seconds: float = 5.0,
        max_concurrent: int = 32,
    ) -> None:
        """Read the settings; nothing is asked yet.

        Args:
            nameservers: "127.0.0.1:5353", "[::1]:53", "9.9.9.9" or "::1"; empty: the system's.
            timeout_seconds: for one server to answer once.
            lifetime_seconds: for one question in all, CNAMEs excepted.
            max_concurrent: questions under way at once: more only overrun the server.

        Raises:
            ConfigError: not an address and port, or the system names no server.
        """
        self._resolver = stub(
            nameservers, timeout_seconds=timeout_seconds, lifetime_seconds=lifetime_seconds
        )
        self._slots = asyncio.Semaphore(max_concurrent)

    async def txt(self, name: str) -> TxtAnswer:
        """The TXT records of a name in A-labels; never raises but for cancellation."""
        try:
            absolute = dns.name.from_text(name).canonicalize()
        except (dns.exception.DNSException, UnicodeError) as exc:
            # No server could have such a name.
            return TxtAnswer(TxtOutcome.NXDOMAIN, detail=f"not a name in DNS: {exc}")
        seen = [absolute]
        while True:
            async with self._slots:
                step = await self._ask(seen[-1])
            if isinstance(step, TxtAnswer):
                return _with_cnames(step, seen)
            if step in seen or len(seen) > MAX_CNAMES:
                return _with_cnames(TxtAnswer(TxtOutcome.SERVFAIL, detail="a CNAME loop"), seen)
            seen.append(step)

    async def _ask(self, name: dns.name.Name) -> TxtAnswer | dns.name.Name:
        """The answer, or the name that has to be asked for instead."""
        try:
            answer = await heeding(
                self._resolver.resolve(
                    name, dns.rdatatype.TXT, raise_on_no_answer=False, search=False
                )
            )
        except (dns.exception.DNSException, OSError) as exc:
            return self._mapped(exc)
        canonical = answer.canonical_name.canonicalize()
        if answer.rrset is None and canonical != name:
            return canonical
        server = server_text(str(answer.nameserver), answer.port or DNS_PORT)
        detail = f"asked {server}, {answer.response.time * 1000:.0f} ms"
        if answer.rrset is not None:
            detail += f", TTL {answer.rrset.ttl} s"
        if canonical != name:
            detail += f", CNAME to {canonical.to_text(omit_final_dot=True)}"
        if answer.rrset is None:
            return TxtAnswer(TxtOutcome.NO_DATA, detail=detail)
        return TxtAnswer(TxtOutcome.FOUND, texts(answer.rrset), detail)

    def _mapped(self, exc: Exception) -> TxtAnswer:
        """An exception that dnspython raised as one of our outcomes."""
        asked = f"asked {', '.join(_server_texts(self._resolver.nameservers))}"
        match exc:
            case dns.resolver.NXDOMAIN():
                return TxtAnswer(TxtOutcome.NXDOMAIN, detail=asked)
            case dns.resolver.LifetimeTimeout():
                wait = f"no answer within {self._resolver.lifetime:g} s"
                return TxtAnswer(TxtOutcome.TIMEOUT, detail=f"{asked}, {wait}")
            case dns.resolver.NoNameservers():
                errors = exc.kwargs["errors"]
                reasons = "; ".join(f"{server}: {reason}" for server, _, _, reason, _ in errors)
                return TxtAnswer(TxtOutcome.SERVFAIL, detail=f"{asked}: {reasons}")
            case _:
                return TxtAnswer(TxtOutcome.SERVFAIL, detail=f"{asked}: {exc}")


def texts(rrset: dns.rrset.RRset) -> tuple[bytes, ...]:
    """TXT records as `TxtAnswer` has them: strings joined, in the order of their octets."""
    return tuple(sorted(b"".join(cast("TXT", rdata).strings) for rdata in rrset))


def stub(
    nameservers: Sequence[str],
    *,
    timeout_seconds: float,
    lifetime_seconds: float,
    flags: int = dns.flags.RD,
    edns_flags: int = 0,
) -> dns.asyncresolver.Resolver:
    """The configured resolver of dnspython.

    Args:
        nameservers: see `DnsResolver`, as for the next two.
        timeout_seconds: for one server to answer once.
        lifetime_seconds: for one question in all.
        flags: of the header of each question (RFC 1035 §4.1.1, RFC 4035 §3.2).
        edns_flags: such as DO (RFC 3225).

    Raises:
        ConfigError: not an address and port, or the system names no server.
    """
    resolver = _configured(nameservers)
    resolver.timeout = min(timeout_seconds, lifetime_seconds)
    resolver.lifetime = lifetime_seconds
    resolver.flags = flags
    resolver.use_edns(0, edns_flags, EDNS_PAYLOAD_OCTETS)
    return resolver


def _configured(nameservers: Sequence[str]) -> dns.asyncresolver.Resolver:
    if not nameservers:
        try:
            return dns.asyncresolver.Resolver()
        except (dns.resolver.NoResolverConfiguration, ValueError) as exc:
            what = "empty, and /etc/resolv.conf names no server that can be used"
            fix = 'set it, for example to ["127.0.0.1:53"]'
            raise ConfigError((Fault("dns.nameservers", what, fix),)) from exc
    resolver = dns.asyncresolver.Resolver(configure=False)
    servers = [parse_nameserver(text) for text in nameservers]
    resolver.nameservers = [dns.nameserver.Do53Nameserver(host, port) for host, port in servers]
    return resolver


def parse_nameserver(text: str) -> tuple[str, int]:
    """The address and port of a name server; the port is 53 when it is left out.

    Raises:
        ConfigError: neither an IP address, nor one with a port.
    """
    found = _SERVER.fullmatch(text)
    # An IPv6 address without brackets has no place for a port.
    host, port = (found[1] or found[2], int(found[3] or DNS_PORT)) if found else (text, DNS_PORT)
    try:
        address = str(ip_address(host))
    except ValueError as exc:
        raise _not_a_server(text) from exc
    if not 0 < port < 65536:
        raise _not_a_server(text)
    return address, port


def _not_a_server(text: str) -> ConfigError:
    fix = 'write "127.0.0.1:5353", "[::1]:5353" or "9.9.9.9"'
    return ConfigError((Fault("dns.nameservers", f"{text!r} is not an address and port", fix),))


def _server_texts(servers: Iterable[str | dns.nameserver.Nameserver]) -> Iterator[str]:
    for server in servers:
        if isinstance(server, dns.nameserver.AddressAndPortNameserver):
            yield server_text(server.address, server.port)
        else:
            yield str(server)


def server_text(host: str, port: int) -> str:
    """Address and port as the settings have them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _with_cnames(answer: TxtAnswer, seen: Sequence[dns.name.Name]) -> TxtAnswer:
    if len(seen) == 1:
        return answer
    path = " to ".join(name.to_text(omit_final_dot=True) for name in seen[1:])
    return replace(answer, detail=f"{answer.detail}, CNAME to {path}")
