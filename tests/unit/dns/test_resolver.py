"""Asking DNS: one contract for the real resolver and the fake one; then what only one has."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import dns.asyncquery
import dns.message
import dns.rdatatype
import dns.resolver
import pytest

from relay.core.dkim.query import TxtAnswer, TxtOutcome
from relay.core.errors import ConfigError
from relay.demo.dns_server import DnsServer, Misbehaviour
from relay.dns.resolver import DnsResolver, Resolver, parse_nameserver
from tests.fakes.resolver import FakeResolver

LONG = "v=DKIM1; k=rsa; p=" + "A" * 3000  # comes over TCP: too long for a datagram
RECORDS = {
    "one.example": ["v=DKIM1; p="],
    "two.example": ["second", "first"],
    "long.example": [LONG],
    "target.example": ["through a CNAME"],
    "empty.example": [],
    "below.above.example": ["text"],
}
CNAMES = {
    "alias.example": "target.example",
    "alias2.example": "alias.example",
    "alias-to-nothing.example": "nothing.example",
    "loop-a.example": "loop-b.example",
    "loop-b.example": "loop-a.example",
}


@pytest.fixture(params=["fake", "recursive", "authoritative"])
async def resolver(request: pytest.FixtureRequest) -> AsyncIterator[Resolver]:
    """The fake; the real one before a server that follows CNAMEs, and before one that does not."""
    if request.param == "fake":
        yield FakeResolver(dict(RECORDS), CNAMES, {"broken.example"}, {"silent.example"})
        return
    misbehaviours = {
        "broken.example": Misbehaviour.SERVFAIL,
        "silent.example": Misbehaviour.DROP,
    }
    server = DnsServer(
        dict(RECORDS),
        cnames=dict(CNAMES),
        misbehaviours=misbehaviours,
        follows_cnames=request.param == "recursive",
    )
    async with server:
        yield DnsResolver([server.address], timeout_seconds=0.1, lifetime_seconds=0.2)


class TestContract:
    """What holds for every resolver."""

    @pytest.mark.parametrize(
        ("name", "records"),
        [
            ("one.example", (b"v=DKIM1; p=",)),
            ("ONE.Example", (b"v=DKIM1; p=",)),
            ("two.example", (b"first", b"second")),
            ("long.example", (LONG.encode(),)),
            ("alias.example", (b"through a CNAME",)),
            ("alias2.example", (b"through a CNAME",)),
        ],
    )
    async def test_records_are_joined_and_sorted(
        self, resolver: Resolver, name: str, records: tuple[bytes, ...]
    ) -> None:
        """Strings of one record are joined; several records stay apart; CNAMEs are followed."""
        answer = await resolver.txt(name)
        assert (answer.outcome, answer.records) == (TxtOutcome.FOUND, records)

    @pytest.mark.parametrize(
        ("name", "outcome"),
        [
            ("nothing.example", TxtOutcome.NXDOMAIN),
            ("alias-to-nothing.example", TxtOutcome.NXDOMAIN),
            ("empty.example", TxtOutcome.NO_DATA),
            ("above.example", TxtOutcome.NO_DATA),  # RFC 8020: a name below it exists
            ("broken.example", TxtOutcome.SERVFAIL),
            ("loop-a.example", TxtOutcome.SERVFAIL),
            ("silent.example", TxtOutcome.TIMEOUT),
        ],
    )
    async def test_absence_is_told_apart_from_having_no_answer(
        self, resolver: Resolver, name: str, outcome: TxtOutcome
    ) -> None:
        """Each way of finding nothing has its own outcome, and none raises."""
        answer = await resolver.txt(name)
        assert (answer.outcome, answer.records) == (outcome, ())

    async def test_a_cname_is_named(self, resolver: Resolver) -> None:
        """The detail says through which name the record was found."""
        assert "target.example" in (await resolver.txt("alias.example")).detail


async def _ask(name: str, *servers: str) -> TxtAnswer:
    return await DnsResolver(servers, timeout_seconds=0.1, lifetime_seconds=0.3).txt(name)


@pytest.mark.parametrize("name", ["a..example", "x" * 64 + ".example", "a" + ".b" * 130])
async def test_what_is_no_name_does_not_exist(name: str) -> None:
    """A name that no server could have is answered without asking."""
    async with DnsServer() as server:
        answer = await _ask(name, server.address)
    assert answer.outcome is TxtOutcome.NXDOMAIN
    assert "not a name" in answer.detail


@pytest.mark.parametrize("misbehaviour", [Misbehaviour.REFUSED, Misbehaviour.SERVFAIL])
async def test_the_next_server_is_asked(misbehaviour: Misbehaviour) -> None:
    """A server that will not answer is passed over."""
    first = DnsServer(misbehaviours={"one.example": misbehaviour})
    async with first, DnsServer({"one.example": ["text"]}) as second:
        answer = await _ask("one.example", first.address, second.address)
    assert answer.records == (b"text",)
    assert second.address in answer.detail


async def test_garbage_is_no_answer() -> None:
    """Octets that are no DNS message neither answer nor raise."""
    async with DnsServer(misbehaviours={"one.example": Misbehaviour.GARBAGE}) as server:
        answer = await _ask("one.example", server.address)
    assert answer.outcome in (TxtOutcome.TIMEOUT, TxtOutcome.SERVFAIL)


async def test_a_port_where_nobody_listens_is_named() -> None:
    """A wrong dns.nameservers is a temporary failure whose detail names the server."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as held:
        held.bind(("127.0.0.1", 0))  # bound, so that nobody else is, and never answering
        address = f"127.0.0.1:{held.getsockname()[1]}"
        answer = await _ask("one.example", address)
    assert answer.outcome is TxtOutcome.TIMEOUT
    assert address in answer.detail


def _has_ipv6_loopback() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


IPV6 = pytest.mark.skipif(not _has_ipv6_loopback(), reason="this machine has no ::1")


@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("::1", marks=IPV6)])
async def test_the_server_is_named_as_the_settings_name_it(host: str) -> None:
    """Whether there is an answer or none, and with brackets around an IPv6 address."""
    async with DnsServer({"one.example": ["text"]}, host=host) as server:
        found = await _ask("one.example", server.address)
        absent = await _ask("two.example", server.address)
    assert found.detail.startswith(f"asked {server.address}, ")
    assert absent.detail == f"asked {server.address}"


@pytest.mark.parametrize("error", [dns.resolver.NoResolverConfiguration, ValueError])
def test_a_system_without_name_servers_is_a_fault_of_the_settings(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody to ask: said at the start, with what to set."""

    def read(*_: object) -> None:
        raise error

    monkeypatch.setattr(dns.resolver.BaseResolver, "read_resolv_conf", read)
    with pytest.raises(ConfigError, match=r"resolv\.conf names no server"):
        DnsResolver()


async def test_many_questions_at_once_are_all_answered() -> None:
    """The number of questions under way is bounded, so that none is lost in a burst."""
    names = [f"n{i}.example" for i in range(200)]
    async with DnsServer({name: [name] for name in names}) as server:
        resolver = DnsResolver([server.address], max_concurrent=8)
        answers = await asyncio.gather(*map(resolver.txt, names))
    assert [answer.records for answer in answers] == [(name.encode(),) for name in names]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:5353", ("127.0.0.1", 5353)),
        ("9.9.9.9", ("9.9.9.9", 53)),
        ("[::1]:5353", ("::1", 5353)),
        ("[::1]", ("::1", 53)),
        ("2001:db8::1", ("2001:db8::1", 53)),
    ],
)
def test_nameservers_are_addresses_with_or_without_a_port(
    text: str, expected: tuple[str, int]
) -> None:
    """Each way to write one, as DESIGN.md has it."""
    assert parse_nameserver(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "ns.example", "ns.example:53", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "[::1",
     "[::1]x", "[::1]:x", "127.0.0.1:53:53", "127.0.0.1:99999999999999999999", "1.2.3.4:५३"],
)  # fmt: skip
def test_what_is_no_nameserver_is_a_fault_of_the_settings(text: str) -> None:
    """The fault names the setting and the text."""
    with pytest.raises(ConfigError) as caught:
        parse_nameserver(text)
    (fault,) = caught.value.faults
    assert fault.where == "dns.nameservers"
    assert repr(text) in fault.what


class TestDnsServer:
    """The server itself, asked by dnspython directly."""

    async def test_zone_may_change_while_it_runs(self) -> None:
        """A record that is added or removed is seen by the next question."""
        async with DnsServer() as server:
            resolver = DnsResolver([server.address])
            assert (await resolver.txt("new.example")).outcome is TxtOutcome.NXDOMAIN
            server.records["New.Example."] = ["text"]
            assert (await resolver.txt("new.example")).records == (b"text",)
            del server.records["New.Example."]
            assert (await resolver.txt("new.example")).outcome is TxtOutcome.NXDOMAIN

    async def test_long_texts_are_split_in_strings(self) -> None:
        """RFC 1035 §3.3.14: a string has at most 255 octets; TCP carries what UDP cannot."""
        async with DnsServer({"long.example": [LONG]}) as server:
            host, _, port = server.address.rpartition(":")
            query = dns.message.make_query("long.example", "TXT")
            truncated = await dns.asyncquery.udp(query, host, 1, int(port))
            whole = await dns.asyncquery.tcp(query, host, 1, int(port))
        assert truncated.flags & 0x0200  # TC
        assert not truncated.answer
        strings = whole.answer[0][0].strings
        assert [len(text) for text in strings] == [255] * (len(LONG) // 255) + [len(LONG) % 255]

    async def test_other_types_and_cname_questions(self) -> None:
        """A name without the type asked for has no data; a CNAME can be asked for itself."""
        async with DnsServer({"t.example": ["text"]}, cnames={"c.example": "t.example"}) as server:
            host, _, port = server.address.rpartition(":")
            query = dns.message.make_query("t.example", "A", use_edns=0)
            no_data = await dns.asyncquery.udp(query, host, 1, int(port))
            query = dns.message.make_query("c.example", "CNAME")
            cname = await dns.asyncquery.udp(query, host, 1, int(port))
        assert (no_data.rcode(), no_data.answer) == (0, [])
        assert no_data.edns == 0
        assert cname.answer[0].rdtype == dns.rdatatype.CNAME

    @pytest.mark.parametrize("wire", [b"", b"\x00", b"\xff" * 12, b"\x00" * 600])
    async def test_what_is_no_question_is_not_answered(self, wire: bytes) -> None:
        """Octets that are no question, and answers, get none: no loop between two servers."""
        reply = DnsServer().reply(wire, over_tcp=False)
        assert reply is None or dns.message.from_wire(reply).rcode() == 1  # FORMERR

    async def test_both_transports_share_a_port_and_it_is_free_again(self) -> None:
        """Everything is closed on the way out, so the same port can be taken again."""
        async with DnsServer({"a.example": ["1"]}) as server:
            address = server.address
            host, _, port = address.rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
        assert await reader.read() == b""  # closed with the server
        writer.close()
        async with DnsServer({"a.example": ["2"]}, port=int(port)) as again:
            assert again.address == address
            assert (await DnsResolver([address]).txt("a.example")).records == (b"2",)
