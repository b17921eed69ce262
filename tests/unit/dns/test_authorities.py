"""Authoritative servers that behave as no BIND does; the rest is in tests/interop."""

from __future__ import annotations

from collections.abc import AsyncIterator

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from relay.dns.authorities import Authorities
from relay.dns.survey import ServerAnswer, Trouble
from tests.fakes.name_server import Answer, NameServer, name_server, plain


def txt_only(change: Answer) -> Answer:
    """The same but for TXT questions."""
    return lambda query: (
        change(query) if query.question[0].rdtype == dns.rdatatype.TXT else plain(query)
    )


@pytest.fixture
async def server() -> AsyncIterator[NameServer]:
    """A server on loopback."""
    async with name_server() as running:
        yield running


async def ask(server: NameServer) -> ServerAnswer:
    """What the one server says of the one name."""
    authorities = Authorities([f"127.0.0.1:{server.port}"], timeout_seconds=0.2)
    survey = await authorities.survey("x.example.test")
    assert survey.problem == ""
    (answer,) = survey.answers
    return answer


async def test_a_server_in_order(server: NameServer) -> None:
    """It is asked without recursion, and its name, address and answer are told."""
    answer = await ask(server)
    assert (answer.server, answer.trouble) == ("ns.example.test", Trouble.NONE)
    assert answer.address == f"127.0.0.1:{server.port}"
    assert answer.answer.records == (b"text",)
    asked = [q for q in server.questions if q.question[0].rdtype == dns.rdatatype.TXT]
    assert [q.flags & dns.flags.RD for q in asked] == [0]


async def test_a_server_from_before_edns(server: NameServer) -> None:
    """RFC 6891 §7: FORMERR means that it is asked again without EDNS."""

    def old(query: dns.message.Message) -> dns.message.Message:
        response = plain(query)
        if query.edns >= 0:
            response.answer.clear()
            response.set_rcode(dns.rcode.FORMERR)
        return response

    server.answer = txt_only(old)
    assert (await ask(server)).answer.records == (b"text",)


async def test_a_lost_datagram_is_asked_for_again(server: NameServer) -> None:
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
async def test_response_codes(server: NameServer, rcode: dns.rcode.Rcode, trouble: Trouble) -> None:
    """Each has its own trouble, and none is absence."""

    def failing(query: dns.message.Message) -> dns.message.Message:
        response = dns.message.make_response(query)
        response.set_rcode(rcode)
        return response

    server.answer = txt_only(failing)
    assert (await ask(server)).trouble is trouble


async def test_a_zone_without_servers(server: NameServer) -> None:
    """That is a problem that is told."""

    def bare(query: dns.message.Message) -> dns.message.Message:
        response = plain(query)
        if query.question[0].rdtype == dns.rdatatype.NS:
            response.answer.clear()
        return response

    server.answer = bare
    survey = await Authorities([f"127.0.0.1:{server.port}"]).survey("x.example.test")
    assert survey.problem == "example.test has no NS records"
