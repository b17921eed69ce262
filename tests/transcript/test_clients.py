"""Who a client is, and what it may do: rules of [[clients]] against real sessions."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest

from relay.core.errors import Reason
from relay.core.events import Noted, Outcome
from relay.core.policy import ClientRule
from relay.listener.endpoint import Endpoint
from tests.fakes.edge import Edge
from tests.fakes.smtp_client import MemoryClient

OK = b"250 2.1.0 OK"
NOT_PERMITTED = b"550 5.7.1 This client may not send mail here"
LOGIN_NEEDED = b"530 5.7.0 Authentication required"
SENDER = b"550 5.7.1 This client may not use this reverse-path"
FROM = b"550 5.7.1 This client may not use this From address"
QUEUED = b"250 2.0.0 Ok: queued as 4F"
LISTENER = "127.0.0.1:2525"


def rule(*networks: str, **criteria: object) -> ClientRule:
    """A rule for some networks."""
    made = ClientRule("rule", tuple(map(ip_network, networks)))
    return replace(made, **criteria)  # type: ignore[arg-type]  # as they are written there


def edge_for(*rules: ClientRule, address: str = LISTENER) -> Edge:
    """An edge with these rules."""
    return Edge(rules=rules, endpoint=Endpoint(address=address))


async def said_to_mail(client: MemoryClient, sender: bytes = b"<a@example.com>") -> bytes:
    """The reply to MAIL."""
    client.send(b"EHLO c\r\nMAIL FROM:" + sender + b"\r\nQUIT\r\n")
    *_, said, _ = (await client.rest()).splitlines()
    return said


# ---- who it is ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("networks", "address", "is_let_in"),
    [
        (("192.0.2.0/24",), "192.0.2.0", True),
        (("192.0.2.0/24",), "192.0.2.255", True),
        (("192.0.2.0/24",), "192.0.3.0", False),
        (("192.0.2.7/32",), "192.0.2.7", True),
        (("192.0.2.7/32",), "192.0.2.6", False),
        (("198.51.100.0/24", "192.0.2.0/24"), "192.0.2.1", True),
        (("192.0.2.0/24",), "::ffff:192.0.2.1", True),
        (("192.0.2.0/24",), "::ffff:192.0.3.1", False),
        (("::ffff:0:0/96",), "192.0.2.1", False),
        (("192.0.2.0/24",), "2001:db8::1", False),
        (("2001:db8::/32",), "2001:db8:ffff::1", True),
        (("2001:db8::/32",), "2001:db9::1", False),
        (("2001:db8::/32",), "192.0.2.1", False),
        (("fe80::/10",), "fe80::1%eth0", True),
        (("127.0.0.0/8", "::1/128"), "127.9.9.9", True),
        (("127.0.0.0/8", "::1/128"), "::1", True),
        (("127.0.0.0/8", "::1/128"), "::ffff:127.0.0.1", True),
        (("0.0.0.0/0",), "::1", False),
    ],
)
async def test_a_client_by_its_network(
    networks: tuple[str, ...], address: str, is_let_in: bool
) -> None:
    """IPv4, IPv6, and IPv4 as a socket for both shows it; whoever is in none is nobody."""
    edge = edge_for(rule(*networks))
    assert await said_to_mail(edge.client(address)) == (OK if is_let_in else NOT_PERMITTED)


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ((), NOT_PERMITTED),
        ((rule(listeners=frozenset({LISTENER})),), OK),
        ((rule(listeners=frozenset({"127.0.0.1:25", LISTENER})),), OK),
        ((rule(listeners=frozenset({"127.0.0.1:25"})),), NOT_PERMITTED),
        ((rule("127.0.0.0/8", listeners=frozenset({LISTENER})),), OK),
        ((rule("192.0.2.0/24", listeners=frozenset({LISTENER})),), NOT_PERMITTED),
        ((rule("127.0.0.0/8", listeners=frozenset({"[::1]:25"})),), NOT_PERMITTED),
        ((rule("127.0.0.0/8", uids=frozenset({0})),), NOT_PERMITTED),
        ((rule("127.0.0.0/8", certificates=frozenset({"a.example"})),), NOT_PERMITTED),
        ((rule("127.0.0.0/8", login="app"),), NOT_PERMITTED),
        ((rule("192.0.2.0/24"), rule("127.0.0.0/8")), OK),
    ],
)
async def test_every_criterion_must_hold(rules: tuple[ClientRule, ...], said: bytes) -> None:
    """What a rule does not name does not matter; what it names does; no rule, no mail."""
    assert await said_to_mail(edge_for(*rules).client()) == said


async def test_a_rule_without_a_criterion_lets_everybody_in() -> None:
    """It says so itself: the settings refuse it (relay.config), so that nobody writes it."""
    assert await said_to_mail(edge_for(rule()).client("203.0.113.9")) == OK


async def test_the_first_rule_that_matches_is_the_one() -> None:
    """A later one does not widen it."""
    narrow = rule("127.0.0.0/8", name="narrow", mail_from=("example.org",))
    wide = rule("127.0.0.0/8", name="wide")
    assert await said_to_mail(edge_for(narrow, wide).client()) == SENDER
    assert await said_to_mail(edge_for(wide, narrow).client()) == OK


async def test_who_is_nobody_is_told_to_the_log() -> None:
    """With its address, and what would let it in; and nothing of it gets upstream."""
    edge = edge_for(rule("192.0.2.0/24"))
    client = edge.client("203.0.113.9")
    client.send(b"EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.net>\r\nDATA\r\nQUIT\r\n")
    client.end()
    assert [line[:3] for line in (await client.rest()).splitlines()[-4:]] == [
        *(b"550", b"503", b"503", b"421")
    ]
    noted = [e for e in edge.events if isinstance(e, Noted)]
    [told] = [e for e in noted if e.name != "limit.reached"]
    assert told.name == "client.refused"
    assert dict(told.fields)["client"] == "203.0.113.9"
    assert "[[clients]]" in str(dict(told.fields)["detail"])
    assert not edge.upstream.begins


# ---- as whom -----------------------------------------------------------------------------------

PATTERNS = [
    (("*",), "a@example.com", True),
    (("example.com",), "a@example.com", True),
    (("example.com",), "a@EXAMPLE.com", True),
    (("example.com",), "a@sub.example.com", False),
    (("example.com",), "a@notexample.com", False),
    (("example.com",), "a@example.com.evil.example", False),
    (("*.example.com",), "a@sub.example.com", True),
    (("*.example.com",), "a@x.sub.example.com", True),
    (("*.example.com",), "a@example.com", False),
    (("*.example.com",), "a@notexample.com", False),
    (("a@example.com",), "a@example.com", True),
    (("a@example.com",), "A@example.com", False),
    (("a@example.com",), "b@example.com", False),
    (("a@example.com",), "a@sub.example.com", False),
    (("b@example.com", "example.com"), "a@example.com", True),
    (("xn--mnchen-3ya.example",), "a@xn--mnchen-3ya.example", True),
    ((), "a@example.com", False),
]


@pytest.mark.parametrize(("patterns", "sender", "allowed"), PATTERNS)
async def test_what_may_be_the_reverse_path(
    patterns: tuple[str, ...], sender: str, allowed: bool
) -> None:
    """A domain, all below one, an address, or anything; asked at MAIL."""
    edge = edge_for(rule("127.0.0.0/8", mail_from=patterns))
    said = await said_to_mail(edge.client(), f"<{sender}>".encode())
    assert said == (OK if allowed else SENDER)
    if not allowed:
        assert edge.ending.reason is Reason.REVERSE_PATH_NOT_PERMITTED
        assert edge.ending.outcome is Outcome.REJECTED


@pytest.mark.parametrize("patterns", [(), ("example.org",), ("*",)])
async def test_nobody_needs_leave_for_the_null_path(patterns: tuple[str, ...]) -> None:
    """Whoever may send may send notifications."""
    edge = edge_for(rule("127.0.0.0/8", mail_from=patterns))
    assert await said_to_mail(edge.client(), b"<>") == OK


@pytest.mark.parametrize(
    "sender",
    [
        b"<@example.org:a@example.com>",
        b'<"a@example.org"@example.com>',
        b'<"x>y"@example.com>',
        b"<example.org@example.com>",
        b"<a@[127.0.0.1]>",
        b"<a@example.com> SMTPUTF8",
    ],
)
async def test_a_reverse_path_that_looks_like_another(sender: bytes) -> None:
    """What counts is its domain: not a route, not what stands in quotes or in front of the @."""
    edge = edge_for(rule("127.0.0.0/8", mail_from=("example.org",)))
    assert await said_to_mail(edge.client(), sender) == SENDER


async def test_a_refused_sender_leaves_no_transaction() -> None:
    """The next MAIL is taken, and the refusal is no bad command: clients relay for many."""
    edge = edge_for(rule("127.0.0.0/8", mail_from=("example.com",)))
    client = edge.client()
    client.send(b"EHLO c\r\n" + b"MAIL FROM:<a@example.org>\r\n" * 10)
    client.send(b"RCPT TO:<b@example.net>\r\nMAIL FROM:<a@example.com>\r\nQUIT\r\n")
    said = (await client.rest()).splitlines()
    assert said[-13:-3] == [SENDER] * 10
    assert [line[:3] for line in said[-3:]] == [b"503", b"250", b"221"]


@pytest.mark.parametrize(("patterns", "author", "allowed"), PATTERNS)
async def test_what_may_stand_in_from(
    patterns: tuple[str, ...], author: str, allowed: bool
) -> None:
    """The same forms for the From field; the reverse-path does not help."""
    edge = edge_for(rule("127.0.0.0/8", from_addresses=patterns))
    client = edge.client()
    client.send(b"EHLO c\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n")
    client.send(f"From: Somebody <{author}>\r\n\r\nx\r\n.\r\nQUIT\r\n".encode())
    *_, said, _ = (await client.rest()).splitlines()
    if not allowed:
        assert said == FROM
        assert edge.ending.reason is Reason.FROM_NOT_PERMITTED
        assert "from_addresses" in edge.ending.detail
    elif author.lower().endswith("@example.com"):
        assert said == QUEUED
    else:  # it may, but no key is there
        assert said.startswith(b"550 5.7.1 No mail is signed for the From domain ")
    assert bool(edge.upstream.messages) is (said == QUEUED)


@pytest.mark.parametrize(
    "header",
    [
        b"From: a@example.com, a@closed.example\r\nSender: a@example.com\r\n",
        b"From: a@example.com, b@example.com\r\nSender: a@closed.example\r\n",
    ],
)
async def test_every_author_must_be_permitted(header: bytes) -> None:
    """One that may be used does not carry one that may not."""
    edge = edge_for(rule("127.0.0.0/8", from_addresses=("example.com",)))
    client = edge.client()
    client.send(b"EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n")
    client.send(header + b"\r\nx\r\n.\r\nQUIT\r\n")
    assert (await client.rest()).splitlines()[-2] == FROM
    assert not edge.upstream.messages
