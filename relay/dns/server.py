"""One authoritative server, asked for the TXT records of a name. IO, over dnspython.

RFC 2181 §5.4.1 and §6.1 (who is authoritative), RFC 6891 (EDNS), RFC 7766 (TCP). Without
recursion, over UDP, and after a truncated answer over TCP.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import cast

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
from dns.rdtypes.ANY.CNAME import CNAME

from relay.cancelling import heeding
from relay.core.dkim.query import TxtAnswer, TxtOutcome
from relay.dns.delegation import find, name_text
from relay.dns.resolver import EDNS_PAYLOAD_OCTETS, server_text, texts
from relay.dns.survey import ServerAnswer, Trouble

_TRIES = 2  # over UDP, which may lose a datagram
_OUTCOMES = {Trouble.TIMEOUT: TxtOutcome.TIMEOUT, Trouble.UNREACHABLE: TxtOutcome.TIMEOUT}


@dataclass(frozen=True, slots=True)
class Server:
    """A server at one of its addresses.

    Attributes:
        host: its name, without a final dot.
        address: empty when it has none.
        port: where it listens.
    """

    host: str
    address: str
    port: int

    @property
    def where(self) -> str:
        """Its address and port; empty when it has none."""
        return server_text(self.address, self.port) if self.address else ""

    async def ask(self, owner: dns.name.Name, *, timeout_seconds: float) -> ServerAnswer:
        """What it says of the TXT records of a name; never raises but for cancellation.

        Args:
            owner: the name.
            timeout_seconds: for it to answer once; it is asked twice over UDP.
        """
        response = await self._exchange(owner, timeout_seconds)
        if isinstance(response, dns.message.Message):
            return _read(response, owner, self)
        return _failed(name_text(owner), self, *response)

    def out_of_reach(self, owner: dns.name.Name) -> ServerAnswer | None:
        """Why it cannot be asked; None when it can."""
        if not self.address:
            return _failed(name_text(owner), self, Trouble.NO_ADDRESS, "its name has no address")
        if (problem := _no_route(self.address, self.port)) is not None:
            return _failed(name_text(owner), self, Trouble.UNREACHABLE, problem)
        return None

    async def _exchange(
        self, owner: dns.name.Name, timeout_seconds: float
    ) -> dns.message.Message | tuple[Trouble, str]:
        """The response of a server; or what went wrong."""
        wants_edns = True
        trouble = (Trouble.TIMEOUT, f"no answer within {_TRIES} x {timeout_seconds:g} s")
        for _ in range(_TRIES):
            query = _question(owner, wants_edns=wants_edns)
            try:
                response, _ = await heeding(
                    dns.asyncquery.udp_with_fallback(
                        query,
                        self.address,
                        timeout_seconds,
                        self.port,
                        ignore_unexpected=True,
                        ignore_errors=True,
                    )
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


def _read(response: dns.message.Message, owner: dns.name.Name, server: Server) -> ServerAnswer:
    """What a response says."""
    name, code = name_text(owner), response.rcode()
    match code:
        case dns.rcode.NOERROR | dns.rcode.NXDOMAIN:
            pass
        case dns.rcode.SERVFAIL:
            return _failed(name, server, Trouble.SERVFAIL, "it answers SERVFAIL")
        case dns.rcode.REFUSED:
            return _failed(name, server, Trouble.REFUSED, "it answers REFUSED")
        case _:
            text = f"it answers {dns.rcode.to_text(code)}"
            return _failed(name, server, Trouble.ERROR, text)
    if not response.flags & dns.flags.AA:
        return _failed(name, server, Trouble.LAME, "it does not answer as an authority")
    detail = f"asked {server.host} ({server.where}), {response.time * 1000:.0f} ms"
    cname = find(response, owner, dns.rdatatype.CNAME)
    if cname is not None:
        target = name_text(cast("CNAME", cname[0]).target.canonicalize())
        answer = TxtAnswer(TxtOutcome.NO_DATA, detail=f"{detail}, CNAME to {target}")
        return ServerAnswer(name, server.host, server.where, answer, cname=target)
    rrset = find(response, owner, dns.rdatatype.TXT)
    if rrset is not None:
        answer = TxtAnswer(TxtOutcome.FOUND, texts(rrset), f"{detail}, TTL {rrset.ttl} s")
    elif code == dns.rcode.NXDOMAIN:
        answer = TxtAnswer(TxtOutcome.NXDOMAIN, detail=detail)
    else:
        answer = TxtAnswer(TxtOutcome.NO_DATA, detail=detail)
    return ServerAnswer(name, server.host, server.where, answer)


def _failed(name: str, server: Server, trouble: Trouble, why: str) -> ServerAnswer:
    shown = f"{server.host} ({server.where})" if server.where else server.host
    outcome = _OUTCOMES.get(trouble, TxtOutcome.SERVFAIL)
    answer = TxtAnswer(outcome, detail=f"asked {shown}: {why}")
    return ServerAnswer(name, server.host, server.where, answer, trouble)


def _no_route(address: str, port: int) -> str | None:
    """Why no datagram can leave for an address, as without IPv6; None when one can."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address, port))  # sends nothing
    except OSError as exc:
        return f"no way there from here: {exc.strerror or exc}"
    return None
