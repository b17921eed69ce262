"""How many questions it takes to find the servers of many names; see `relay.dns.delegation`."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import pytest

from relay.dns.authorities import Authorities
from relay.dns.delegation import MAX_KEPT_SECONDS, Delegations, Zone
from tests.fakes.name_server import NameServer, name_server, plain

TTL_SECONDS = 60  # of everything that the fake answers


@pytest.fixture
async def server() -> AsyncIterator[NameServer]:
    """Resolver and authority in one."""
    async with name_server() as running:
        yield running


class Finder:
    """Finds zones by asking the server, at a time that only the test moves."""

    def __init__(self, server: NameServer, *, max_kept: int = 1000) -> None:
        self.seconds = 0.0
        self._server = server
        self.delegations = Delegations(
            [f"127.0.0.1:{server.port}"],
            asyncio.Semaphore(8),
            timeout_seconds=1.0,
            lifetime_seconds=1.0,
            max_kept=max_kept,
            monotonic=lambda: self.seconds,
        )

    async def zone_of(self, name: str) -> Zone:
        """The zone of a name."""
        return await self.delegations.zone_of(dns.name.from_text(name))

    def asked(self) -> Counter[str]:
        """How often which kind of question was asked, since it was last looked at."""
        kinds = Counter(dns.rdatatype.to_text(q.question[0].rdtype) for q in self._server.questions)
        self._server.questions.clear()
        return kinds


async def test_the_servers_of_many_names_in_one_zone(server: NameServer) -> None:
    """They are asked for once; each name only costs the question whether there is a cut."""
    names = [f"s1._domainkey.customer{number}.example.test" for number in range(300)]
    authorities = Authorities([f"127.0.0.1:{server.port}"])
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(authorities.survey(name)) for name in names]
    assert {hop.zone for task in tasks for hop in task.result().hops} == {"example.test"}
    assert all(len(task.result().answers) == 1 for task in tasks)
    asked = Counter((q.question[0].rdtype, q.question[0].name) for q in server.questions)
    kinds = Counter(dns.rdatatype.to_text(kind) for kind, _ in asked.elements())
    assert kinds == {"SOA": 300, "NS": 1, "A": 1, "AAAA": 1, "TXT": 300}
    above = {dns.name.root, dns.name.from_text("test"), dns.name.from_text("example.test")}
    assert {(kind, name) for kind, name in asked if name in above} == {
        (dns.rdatatype.NS, dns.name.from_text("example.test"))
    }


async def test_servers_are_asked_for_again_when_their_ttl_is_over(server: NameServer) -> None:
    """A server that moved is found within the TTL; the fake's is 60 s, and absence 5 s."""
    find = Finder(server)
    await find.zone_of("a.example.test")
    assert find.asked() == {"SOA": 1, "NS": 1, "A": 1, "AAAA": 1}
    find.seconds = 4.9
    await find.zone_of("b.example.test")
    assert find.asked() == {"SOA": 1}
    find.seconds = 5.0  # the minimum of the SOA: it may have an IPv6 address by now
    await find.zone_of("c.example.test")
    assert find.asked() == {"SOA": 1, "A": 1, "AAAA": 1}
    find.seconds = TTL_SECONDS
    await find.zone_of("d.example.test")
    assert find.asked() == {"SOA": 1, "NS": 1, "A": 1, "AAAA": 1}
    assert MAX_KEPT_SECONDS >= TTL_SECONDS


async def test_a_resolver_that_leaves_the_soa_record_out(server: NameServer) -> None:
    """As systemd-resolved does: the zone is found at its apex, and its servers are kept too."""

    def bare(query: dns.message.Message) -> dns.message.Message:
        response = plain(query)
        response.authority = []
        return response

    server.answer = bare
    find = Finder(server)
    for name in ("a.example.test", "b.example.test"):
        assert (await find.zone_of(name)).name == "example.test"
    assert find.asked() == {"SOA": 4, "NS": 1, "A": 1, "AAAA": 1}


async def test_only_so_much_is_kept(server: NameServer) -> None:
    """What was pushed out is asked for again, and nothing else changes."""

    def each_its_own(query: dns.message.Message) -> dns.message.Message:
        """Every name is a zone."""
        response = plain(query)
        name = query.question[0].name
        if query.question[0].rdtype in (dns.rdatatype.SOA, dns.rdatatype.NS):
            response.answer = [
                dns.rrset.from_text(name, 60, "IN", "SOA", "ns. h. 1 2 3 4 5")
                if query.question[0].rdtype == dns.rdatatype.SOA
                else dns.rrset.from_text(name, 60, "IN", "NS", "ns.example.test.")
            ]
            response.authority = []
        return response

    server.answer = each_its_own
    find = Finder(server, max_kept=2)
    for name in ("a.test", "b.test", "c.test"):
        assert (await find.zone_of(name)).hosts == (("ns.example.test", "127.0.0.1"),)
    assert find.asked() == {"SOA": 3, "NS": 3, "A": 1, "AAAA": 1}
    await find.zone_of("c.test")
    assert find.asked() == {"SOA": 1}
    await find.zone_of("a.test")
    assert find.asked() == {"SOA": 1, "NS": 1}


@pytest.mark.parametrize("kind", [dns.rdatatype.NS, dns.rdatatype.A, dns.rdatatype.AAAA])
async def test_a_failure_is_not_kept(server: NameServer, kind: dns.rdatatype.RdataType) -> None:
    """The next name has another try."""

    def failing(query: dns.message.Message) -> dns.message.Message:
        response = plain(query)
        if query.question[0].rdtype == kind:
            response.answer.clear()
            response.set_rcode(dns.rcode.SERVFAIL)
        return response

    server.answer = failing
    find = Finder(server)
    await find.zone_of("a.example.test")
    server.answer = plain
    find.asked()
    zone = await find.zone_of("b.example.test")
    assert zone == Zone("example.test", (("ns.example.test", "127.0.0.1"),))
    assert find.asked()[dns.rdatatype.to_text(kind)] == 1
