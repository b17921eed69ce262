"""A small authoritative DNS server on loopback, for the demo and for tests. IO.

UDP and TCP on one port (RFC 1035 §4.2, RFC 7766), EDNS (RFC 6891). It answers TXT and CNAME
from dictionaries that may be changed while it runs; messages are dnspython's to encode.
Deviation: it has no zones, so no SOA and no delegation; each answer is authoritative.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Mapping, MutableMapping
from enum import StrEnum
from typing import Self, TypeVar, cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.TXT
import dns.rrset

from relay.core.dkim.record import TXT_STRING_OCTETS

_MAX_UDP_OCTETS = 1232
_PLAIN_UDP_OCTETS = 512  # RFC 1035 §4.2.1: without EDNS
_MAX_TCP_OCTETS = 65535
_TTL_SECONDS = 60
_BIND_ATTEMPTS = 20
_MAX_CNAMES = 16

_T = TypeVar("_T")


class Misbehaviour(StrEnum):
    """What the server does to a name instead of answering."""

    SERVFAIL = "servfail"
    REFUSED = "refused"
    DROP = "drop"  # no answer at all
    GARBAGE = "garbage"  # octets that are no DNS message


class DnsServer:
    """The server; an async context manager that listens while it is entered.

    Attributes:
        records: owner name to the texts of its TXT records. A name with an empty list exists
            without TXT records, as does a name above another.
        cnames: owner name to canonical name.
        misbehaviours: owner name to what happens to questions about it.
        follows_cnames: answer with the records of the canonical name too, when they are here.
    """

    def __init__(
        self,
        records: MutableMapping[str, list[str]] | None = None,
        *,
        cnames: MutableMapping[str, str] | None = None,
        misbehaviours: MutableMapping[str, Misbehaviour] | None = None,
        follows_cnames: bool = True,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        """Set up; nothing listens yet.

        Args:
            records: kept, not copied, as are the next two; see above.
            cnames: see above.
            misbehaviours: see above.
            follows_cnames: see above.
            host: an IP address of the loopback interface.
            port: 0 for any that is free.
        """
        self.records = {} if records is None else records
        self.cnames = {} if cnames is None else cnames
        self.misbehaviours = {} if misbehaviours is None else misbehaviours
        self.follows_cnames = follows_cnames
        self._host, self._port = host, port
        self._server: asyncio.Server | None = None
        self._datagrams: asyncio.DatagramTransport | None = None
        self._streams: set[asyncio.Transport] = set()

    @property
    def address(self) -> str:
        """Address and port, as `dns.nameservers` has them."""
        host = f"[{self._host}]" if ipaddress.ip_address(self._host).version == 6 else self._host
        return f"{host}:{self._port}"

    async def __aenter__(self) -> Self:
        """Listen."""
        loop = asyncio.get_running_loop()
        for attempt in range(_BIND_ATTEMPTS):
            server = await loop.create_server(
                lambda: _Stream(self, self._streams), self._host, self._port
            )
            port = server.sockets[0].getsockname()[1]
            try:
                self._datagrams, _ = await loop.create_datagram_endpoint(
                    lambda: _Datagrams(self), local_addr=(self._host, port)
                )
            except OSError:  # the port is free for TCP only: take another
                server.close()
                if self._port or attempt == _BIND_ATTEMPTS - 1:
                    raise
            else:
                self._server, self._port = server, port
                break
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close every socket."""
        if self._server is not None:
            self._server.close()
        if self._datagrams is not None:
            self._datagrams.close()
        for stream in list(self._streams):
            stream.abort()
        await asyncio.sleep(0)  # transports close in the next round of the loop

    def reply(self, wire: bytes, *, over_tcp: bool) -> bytes | None:
        """The answer to a question, both in wire form; None when it is to have none."""
        try:
            query = dns.message.from_wire(wire)
        except (dns.exception.DNSException, ValueError):
            return None
        if query.flags & dns.flags.QR:  # RFC 5358: never answer an answer
            return None
        response = dns.message.make_response(query, our_payload=_MAX_UDP_OCTETS)
        response.flags |= dns.flags.AA
        match self._fill(query, response):
            case Misbehaviour.DROP:
                return None
            case Misbehaviour.GARBAGE:
                return b"\xff" * 5
            case Misbehaviour.SERVFAIL:
                response.set_rcode(dns.rcode.SERVFAIL)
            case Misbehaviour.REFUSED:
                response.set_rcode(dns.rcode.REFUSED)
            case None:
                pass
        return _encoded(response, _MAX_TCP_OCTETS if over_tcp else _udp_limit(query))

    def _fill(
        self, query: dns.message.Message, response: dns.message.Message
    ) -> Misbehaviour | None:
        """Put the answer in, or say what to do instead."""
        if len(query.question) != 1:
            response.set_rcode(dns.rcode.FORMERR)
            return None
        question = query.question[0]
        cnames, misbehaviours = _by_name(self.cnames), _by_name(self.misbehaviours)
        name = question.name
        for _ in range(_MAX_CNAMES):
            if misbehaviour := misbehaviours.get(_key(name)):
                return misbehaviour
            target = cnames.get(_key(name))
            if target is None or question.rdtype == dns.rdatatype.CNAME:
                break
            response.answer.append(_rrset(name, _cname(target)))
            if not self.follows_cnames:
                return None
            name = dns.name.from_text(target)
        if found := self._found(_key(name), question.rdtype):
            response.answer.append(_rrset(name, *found))
        elif not self._exists(_key(name)):
            response.set_rcode(dns.rcode.NXDOMAIN)
        return None

    def _found(self, key: str, rdtype: dns.rdatatype.RdataType) -> list[dns.rdata.Rdata]:
        if rdtype == dns.rdatatype.TXT:
            return [_txt(text) for text in _by_name(self.records).get(key, [])]
        if rdtype == dns.rdatatype.CNAME and key in (cnames := _by_name(self.cnames)):
            return [_cname(cnames[key])]
        return []

    def _exists(self, key: str) -> bool:
        """Whether there is something at the name or below it (RFC 8020)."""
        known = [*_by_name(self.records), *_by_name(self.cnames)]
        return any(name == key or name.endswith(f".{key}") for name in known)


class _Datagrams(asyncio.DatagramProtocol):
    """Questions over UDP."""

    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
        reply = self._server.reply(data, over_tcp=False)
        if reply is not None and self._transport is not None:
            self._transport.sendto(reply, addr)


class _Stream(asyncio.Protocol):
    """Questions over TCP, each after its length in two octets (RFC 1035 §4.2.2)."""

    def __init__(self, server: DnsServer, streams: set[asyncio.Transport]) -> None:
        self._server = server
        self._streams = streams
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._streams.add(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._streams.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while len(self._received) >= 2:
            end = 2 + int.from_bytes(self._received[:2], "big")
            if len(self._received) < end:
                return
            reply = self._server.reply(bytes(self._received[2:end]), over_tcp=True)
            del self._received[:end]
            if reply is not None and self._transport is not None:
                self._transport.write(len(reply).to_bytes(2, "big") + reply)


def _udp_limit(query: dns.message.Message) -> int:
    """How many octets the asker takes over UDP (RFC 6891 §6.2.3)."""
    if query.edns < 0:
        return _PLAIN_UDP_OCTETS
    return min(max(query.payload, _PLAIN_UDP_OCTETS), _MAX_UDP_OCTETS)


def _encoded(response: dns.message.Message, max_octets: int) -> bytes:
    try:
        return response.to_wire(max_size=max_octets)
    except dns.exception.TooBig:
        response.answer.clear()
        response.flags |= dns.flags.TC  # RFC 2181 §9: ask again over TCP
        return response.to_wire(max_size=max_octets)


def _by_name(mapping: Mapping[str, _T]) -> dict[str, _T]:
    """The mapping with its names as they are compared; it may have changed since last time."""
    return {name.rstrip(".").lower(): value for name, value in mapping.items()}


def _key(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower()


def _rrset(name: dns.name.Name, *rdatas: dns.rdata.Rdata) -> dns.rrset.RRset:
    return dns.rrset.from_rdata(name, _TTL_SECONDS, *rdatas)


def _cname(target: str) -> dns.rdata.Rdata:
    text = dns.name.from_text(target).to_text()
    return dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.CNAME, text)


def _txt(text: str) -> dns.rdata.Rdata:
    """A TXT record, in strings of at most 255 octets (RFC 1035 §3.3.14)."""
    octets = text.encode("utf-8")
    starts = range(0, max(len(octets), 1), TXT_STRING_OCTETS)
    strings = [octets[start : start + TXT_STRING_OCTETS] for start in starts]
    return dns.rdtypes.ANY.TXT.TXT(dns.rdataclass.IN, dns.rdatatype.TXT, strings)
