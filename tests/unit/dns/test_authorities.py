"""Authoritative servers that behave as no BIND does; the rest is in tests/interop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import cast

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from relay.dns.authorities import Authorities, ServerAnswer, Trouble

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
    elif query.question[0].rdtype == dns.rdatatype.SOA:
        name, kind, text = START[dns.rdatatype.SOA]
        response.authority.append(dns.rrset.from_text(name, 60, "IN", kind, text))
    return response


def txt_only(change: Answer) -> Answer:
    """The same but for TXT questions."""
    return lambda query: (
        change(query) if query.question[0].rdtype == dns.rdatatype.TXT else plain(query)
    )


class Server(asyncio.DatagramProtocol):
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


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """A server on loopback."""
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(Server, local_addr=("127.0.0.1", 0))
    yield protocol
    transport.close()
    await asyncio.sleep(0)


async def ask(server: Server) -> ServerAnswer:
    """What the one server says of the one name."""
    authorities = Authorities([f"127.0.0.1:{server.port}"], timeout_seconds=0.2)
    survey = await authorities.survey("x.example.test")
    assert survey.problem == ""
    (answer,) = survey.answers
    return answer


async def test_a_server_in_order(server: Server) -> None:
    """It is asked without recursion, and its name, address and answer are told."""
    answer = await ask(server)
    assert (answer.server, answer.trouble) == ("ns.example.test", Trouble.NONE)
    assert answer.address == f"127.0.0.1:{server.port}"
    assert answer.answer.records == (b"text",)
    asked = [q for q in server.questions if q.question[0].rdtype == dns.rdatatype.TXT]
    assert [q.flags & dns.flags.RD for q in asked] == [0]


async def test_a_server_from_before_edns(server: Server) -> None:
    """RFC 6891 §7: FORMERR means that it is asked again without EDNS."""

    def old(query: dns.message.Message) -> dns.message.Message:
        response = plain(query)
        if query.edns >= 0:
            response.answer.clear()
            response.set_rcode(dns.rcode.FORMERR)
        return response

    server.answer = txt_only(old)
    assert (await ask(server)).answer.records == (b"text",)


async def test_a_lost_datagram_is_asked_for_again(server: Server) -> None:
    """UDP may lose one."""
    lost: list[dns.message.Message] = []

    def forgetful(query: dns.message.Message) -> dns.message.Message | None:
        if lost:
            return plain(query)
        lost.append(query)
        return None

    server.answer = txt_only(forgetful)
    assert (await ask(server)).answer.records == (b"text",)


@pytest.mark.parametrize(
    ("rcode", "trouble"),
    [
        (dns.rcode.SERVFAIL, Trouble.SERVFAIL),
        (dns.rcode.REFUSED, Trouble.REFUSED),
        (dns.rcode.NOTAUTH, Trouble.ERROR),
        (dns.rcode.FORMERR, Trouble.ERROR),
    ],
)
async def test_response_codes(server: Server, rcode: dns.rcode.Rcode, trouble: Trouble) -> None:
    """Each has its own trouble, and none is absence."""

    def failing(query: dns.message.Message) -> dns.message.Message:
        response = dns.message.make_response(query)
        response.set_rcode(rcode)
        return response

    server.answer = txt_only(failing)
    assert (await ask(server)).trouble is trouble


async def test_a_zone_without_servers(server: Server) -> None:
    """That is a problem that is told."""

    def bare(query: dns.message.Message) -> dns.message.Message:
        response = plain(query)
        if query.question[0].rdtype == dns.rdatatype.NS:
            response.answer.clear()
        return response

    server.answer = bare
    survey = await Authorities([f"127.0.0.1:{server.port}"]).survey("x.example.test")
    assert survey.problem == "example.test has no NS records"
