"""A name server on loopback that answers as a test tells it: resolver and authority in one. IO."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

import dns.flags
import dns.message
import dns.rdatatype
import dns.rrset

Answer = Callable[[dns.message.Message], dns.message.Message | None]
START = {
    dns.rdatatype.SOA: ("example.test.", "SOA", "ns. h. 1 2 3 4 5"),
    dns.rdatatype.NS: ("example.test.", "NS", "ns.example.test."),
    dns.rdatatype.A: ("ns.example.test.", "A", "127.0.0.1"),
    dns.rdatatype.TXT: ("x.example.test.", "TXT", '"text"'),
}


def plain(query: dns.message.Message) -> dns.message.Message:
    """The answer of a server that is in order: resolver and authority in one."""
    response = dns.message.make_response(query)
    response.flags |= dns.flags.AA
    name, kind, text = START.get(query.question[0].rdtype, ("", "", ""))
    if query.question[0].name.to_text() == name:
        response.answer.append(dns.rrset.from_text(name, 60, "IN", kind, text))
    else:  # absent (RFC 2308 §2)
        name, kind, text = START[dns.rdatatype.SOA]
        response.authority.append(dns.rrset.from_text(name, 60, "IN", kind, text))
    return response


class NameServer(asyncio.DatagramProtocol):
    """Answers over UDP as it is told."""

    def __init__(self) -> None:
        self.answer: Answer = plain
        self.questions: list[dns.message.Message] = []
        self._transport: asyncio.DatagramTransport | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._transport is not None
        return int(self._transport.get_extra_info("sockname")[1])

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer one question."""
        query = dns.message.from_wire(data)
        self.questions.append(query)
        response = self.answer(query)
        if response is not None and self._transport is not None:
            self._transport.sendto(response.to_wire(), addr)


@asynccontextmanager
async def name_server() -> AsyncIterator[NameServer]:
    """A server on a free port of loopback."""
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(
        NameServer, local_addr=("127.0.0.1", 0)
    )
    yield protocol
    transport.close()
    await asyncio.sleep(0)
