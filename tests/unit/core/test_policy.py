"""relay.core.policy: who may submit as whom, and which domain signs (DESIGN, "Which key")."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from publicsuffixlist import PublicSuffixList

from relay.core.address import parse_path
from relay.core.errors import Reason, Rejection
from relay.core.mailboxes import Mailbox
from relay.core.message import Message
from relay.core.policy import (
    Admission,
    ClientRule,
    Identity,
    SigningDomains,
    admit,
    find_rule,
    login_would_help,
)
from relay.core.reader import read_message

SUFFIXES = PublicSuffixList()
CONFIGURED = {
    "example.com": True,
    "exact.example.com": False,
    "deep.example.com": True,
    "example.net": False,
    "co.uk": True,  # a public suffix, configured by mistake
    "shop.co.uk": True,
    "xn--mnchen-3ya.example": True,
    "com": True,
}
DOMAINS = SigningDomains(CONFIGURED, SUFFIXES.privatesuffix)
ANYONE = ClientRule("anyone", (ip_network("127.0.0.0/8"),))


def client(*from_addresses: str) -> ClientRule:
    """A client that may have these in From."""
    return ClientRule("app", (ip_network("192.0.2.0/24"),), from_addresses)


def message(*lines: str) -> Message:
    """A message with these header lines."""
    return read_message("".join(line + "\r\n" for line in lines).encode() + b"\r\nbody\r\n")


def rejection(
    sent: Message, rule: ClientRule = ANYONE, domains: SigningDomains = DOMAINS
) -> Rejection:
    """How a message is rejected; what is public is one short line of printable ASCII."""
    with pytest.raises(Rejection) as caught:
        admit(sent, rule, domains)
    (line,) = caught.value.reply.lines
    assert line.isascii()
    assert line.decode().isprintable()
    assert len(caught.value.reply.wire()) <= 512  # RFC 5321 §4.5.3.1.5
    assert caught.value.detail
    return caught.value


def reply(rejected: Rejection) -> str:
    """Code and text, as the client sees them."""
    return rejected.reply.wire().decode().removesuffix("\r\n")


# Which domain signs -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("from_domain", "signing_domain"),
    [
        ("example.com", "example.com"),
        ("exact.example.com", "exact.example.com"),  # exact first, whatever its parent has
        ("mail.example.com", "example.com"),
        ("a.b.c.example.com", "example.com"),
        ("deep.example.com", "deep.example.com"),
        ("a.deep.example.com", "deep.example.com"),  # the nearest parent
        ("a.exact.example.com", "example.com"),  # its nearest parent does not take it: the next
        ("example.net", "example.net"),
        ("mail.example.net", None),  # subdomains = false
        ("shop.co.uk", "shop.co.uk"),
        ("mail.shop.co.uk", "shop.co.uk"),
        ("other.co.uk", None),  # never above the organizational domain
        ("mail.other.co.uk", None),
        ("co.uk", "co.uk"),  # exactly what is configured
        ("uk", None),
        ("other.com", None),  # "com" is configured, and is a public suffix
        ("badexample.com", None),  # a suffix of text is no parent
        ("example.com.evil.example", None),
        ("xn--mnchen-3ya.example", "xn--mnchen-3ya.example"),
        ("mail.xn--mnchen-3ya.example", "xn--mnchen-3ya.example"),
        ("localhost", None),
        ("[192.0.2.1]", None),
        ("", None),
    ],
)
def test_domain_that_signs(from_domain: str, signing_domain: str | None) -> None:
    """Exact first, then the nearest configured parent that takes subdomains, within bounds."""
    assert DOMAINS.signing_domain(from_domain) == signing_domain


def test_domain_without_organizational_domain_has_no_parent() -> None:
    """Where no bound is known, nothing is looked for above."""
    domains = SigningDomains({"example.com": True}, lambda _: None)
    assert domains.signing_domain("mail.example.com") is None
    assert domains.signing_domain("example.com") == "example.com"


def test_organizational_domain_elsewhere_ends_the_search() -> None:
    """An answer that is no parent of the domain makes no endless loop."""
    domains = SigningDomains({"b.c": True}, lambda _: "x.y")
    assert domains.signing_domain("a.b.c") == "b.c"
    assert domains.signing_domain("a.d.c") is None


# Which client may what --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "matches"),
    [
        ("192.0.2.1", True),
        ("192.0.3.1", False),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
        ("::ffff:192.0.2.1", False),
    ],
)
def test_client_by_network(address: str, matches: bool) -> None:
    """Networks of both families stand side by side."""
    rule = ClientRule("app", (ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")))
    assert rule.matches(Identity(address=ip_address(address))) is matches


WHO = Identity(
    address=ip_address("192.0.2.1"),
    listener="127.0.0.1:2525",
    login="app",
    certificate=frozenset({"app.example.com", "sha256:00ff"}),
    uid=1000,
)
HERE = (ip_network("192.0.2.0/24"),)


@pytest.mark.parametrize(
    ("rule", "matches"),
    [
        (ClientRule("r", HERE), True),
        (ClientRule("r", (ip_network("198.51.100.0/24"),)), False),
        (ClientRule("r", listeners=frozenset({"127.0.0.1:2525", "127.0.0.1:25"})), True),
        (ClientRule("r", listeners=frozenset({"127.0.0.1:25"})), False),
        (ClientRule("r", login="app"), True),
        (ClientRule("r", login="App"), False),
        (ClientRule("r", certificates=frozenset({"app.example.com"})), True),
        (ClientRule("r", certificates=frozenset({"sha256:00ff", "x"})), True),
        (ClientRule("r", certificates=frozenset({"example.com"})), False),
        (ClientRule("r", uids=frozenset({1000, 0})), True),
        (ClientRule("r", uids=frozenset({0})), False),
        (ClientRule("r", HERE, login="app", uids=frozenset({1000})), True),
        (ClientRule("r", HERE, login="other", uids=frozenset({1000})), False),
        (ClientRule("r", HERE, login="app", uids=frozenset({1})), False),
    ],
)
def test_every_criterion_must_hold(rule: ClientRule, matches: bool) -> None:
    """Two criteria in one rule are both asked; one of several values of each is enough."""
    assert rule.matches(WHO) is matches


@pytest.mark.parametrize(
    "rule",
    [
        ClientRule("r", (ip_network("0.0.0.0/0"), ip_network("::/0"))),
        ClientRule("r", listeners=frozenset({"127.0.0.1:2525"})),
        ClientRule("r", login="app"),
        ClientRule("r", certificates=frozenset({"app.example.com"})),
        ClientRule("r", uids=frozenset({0})),
    ],
)
def test_who_is_not_known_matches_nothing(rule: ClientRule) -> None:
    """What is missing in an identity is never taken for what a rule asks."""
    assert not rule.matches(Identity())
    assert find_rule([rule], Identity()) is None


def test_first_rule_counts() -> None:
    """In the order of the settings."""
    first, second = ClientRule("a", HERE, login="other"), ClientRule("b", HERE)
    assert find_rule([first, second, ClientRule("c", HERE)], WHO) is second
    assert find_rule([], WHO) is None


@pytest.mark.parametrize(
    ("rules", "login", "helps"),
    [
        ([ClientRule("a", HERE, login="app")], "", True),
        ([ClientRule("a", HERE, login="app")], "other", False),  # it has logged in already
        ([ClientRule("a", (), login="app", uids=frozenset({7}))], "", False),
        ([ClientRule("a", HERE, listeners=frozenset({"x"}))], "", False),
        ([], "", False),
    ],
)
def test_login_that_would_help(rules: list[ClientRule], login: str, helps: bool) -> None:
    """530 is said only where a login is all that is missing."""
    identity = Identity(address=ip_address("192.0.2.1"), login=login)
    assert login_would_help(rules, identity) is helps


@pytest.mark.parametrize(
    ("patterns", "path", "permits"),
    [
        (("*",), "jane@other.example", True),
        (("example.com",), "", True),  # DSNs and auto-replies
        ((), "", True),
        ((), "jane@example.com", False),
        (("example.com",), "jane@example.com", True),
        (("example.com",), "jane@EXAMPLE.com", True),
        (("example.com",), "jane@mail.example.com", False),
        (("*.example.com",), "jane@mail.example.com", True),
        (("jane@example.com",), "jane@example.com", True),
        (("jane@example.com",), "ann@example.com", False),
        (("b@c",), '"a@b"@c', False),
        (('"a@b"@c',), '"a@b"@c', True),
        (("xn--mnchen-3ya.example",), "jane@münchen.example", True),
    ],
)
def test_reverse_path(patterns: tuple[str, ...], path: str, permits: bool) -> None:
    """The same forms as for From; the null path needs no leave."""
    rule = ClientRule("r", HERE, mail_from=patterns)
    assert rule.permits_reverse_path(parse_path(path.encode())) is permits


@pytest.mark.parametrize(
    ("pattern", "mailbox", "permits"),
    [
        ("*", "jane@example.com", True),
        ("*", "jane@other.example", True),  # every configured domain; admit asks for the domain
        ("example.com", "jane@example.com", True),
        ("example.com", "jane@mail.example.com", False),
        ("example.com", "jane@badexample.com", False),
        ("example.com", "jane@example.com.evil.example", False),
        ("*.example.com", "jane@mail.example.com", True),
        ("*.example.com", "jane@a.b.example.com", True),
        ("*.example.com", "jane@example.com", False),
        ("*.example.com", "jane@badexample.com", False),
        ("jane@example.com", "jane@example.com", True),
        ("jane@example.com", "ann@example.com", False),
        ("jane@example.com", "jane@mail.example.com", False),
        ("jane@example.com", "Jane@example.com", False),  # local parts have a case
        ("jane@example.com", '"jane"@example.com', False),  # as written; refused is safe
        ('"a@b"@example.com', '"a@b"@example.com', True),
        ('"a@b"@example.com', '"a@b"@other.example', False),
        ("jäne@example.com", "jäne@example.com", True),
        ("*@example.com", "jane@example.com", False),  # no pattern of ours
    ],
)
def test_from_addresses(pattern: str, mailbox: str, permits: bool) -> None:
    """A domain, what is below it, one address, or everything; nothing by the end of a text."""
    local_part, _, domain = mailbox.rpartition("@")
    assert client(pattern).permits(Mailbox(local_part.encode(), domain)) is permits


def test_client_without_from_addresses_may_nothing() -> None:
    """An empty list is not everything."""
    rejected = rejection(message("From: jane@example.com"), client())
    assert rejected.reason is Reason.FROM_NOT_PERMITTED


# admit ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "address", "domain"),
    [
        (["From: jane@example.com"], "jane@example.com", "example.com"),
        (["FROM:jane@mail.example.com"], "jane@mail.example.com", "example.com"),
        (["from: <jane@EXAMPLE.net>"], "jane@example.net", "example.net"),
        (["From:", "\t<jane@example.com>"], "jane@example.com", "example.com"),
        (
            ["From: J <jane@münchen.example>"],
            "jane@xn--mnchen-3ya.example",
            "xn--mnchen-3ya.example",
        ),
        (["From: jane@example.com", "Sender: x@evil.example"], "jane@example.com", "example.com"),
        (["From: jane@example.com", "Sender: nonsense"], "jane@example.com", "example.com"),
        (["From: jane@example.com", "Reply-To: x@evil.example"], "jane@example.com", "example.com"),
        (
            ["Resent-From: x@evil.example", "From: jane@example.com"],
            "jane@example.com",
            "example.com",
        ),
        (['From: "x@evil.example" <jane@example.com>'], "jane@example.com", "example.com"),
        (
            ['From: "x <a@evil.example>"@example.com'],
            '"x <a@evil.example>"@example.com',
            "example.com",
        ),
        (
            ["From: a@example.com, b@example.net", "Sender: c@mail.example.com"],
            "c@mail.example.com",
            "example.com",
        ),
        (
            ["From: a@example.com, b@example.net", "Sender: b@example.net"],
            "b@example.net",
            "example.net",
        ),
    ],
)
def test_message_is_admitted(lines: list[str], address: str, domain: str) -> None:
    """From decides; where it has several mailboxes, Sender does."""
    found = admit(message(*lines), ANYONE, DOMAINS)
    assert found == Admission(found.from_address, domain)
    assert str(found.from_address) == address


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ([], "550 5.6.0 The From header field must stand exactly once"),
        (["Sender: jane@example.com"], "550 5.6.0 The From header field must stand exactly once"),
        (
            ["From: jane@example.com", "From: jane@example.com"],
            "550 5.6.0 The From header field must stand exactly once",
        ),
        (
            ["From: jane@example.com", "X: y", "fROM: x@evil.example"],
            "550 5.6.0 The From header field must stand exactly once",
        ),
        (["From:"], "550 5.6.0 The From header field is not a valid address field"),
        (["From: Jane"], "550 5.6.0 The From header field is not a valid address field"),
        (
            ["From: x@evil.example <jane@example.com>"],
            "550 5.6.0 The From header field is not a valid address field",
        ),
        (
            ["From: Friends: jane@example.com;"],
            "550 5.6.0 The From header field is not a valid address field",
        ),
        (
            ["From: a@example.com, b@example.com"],
            "550 5.6.0 The Sender header field must stand exactly once",
        ),
        (
            [
                "From: a@example.com, b@example.com",
                "Sender: c@example.com",
                "sender: d@example.com",
            ],
            "550 5.6.0 The Sender header field must stand exactly once",
        ),
        (
            ["From: a@example.com, b@example.com", "Sender: c@example.com, d@example.com"],
            "550 5.6.0 The Sender header field must have exactly one address",
        ),
        (
            ["From: a@example.com, b@example.com", "Sender: nobody"],
            "550 5.6.0 The Sender header field is not a valid address field",
        ),
    ],
)
def test_from_that_cannot_be_signed_for(lines: list[str], text: str) -> None:
    """Exactly one From with exactly one mailbox, or a Sender that answers for all."""
    rejected = rejection(message(*lines))
    assert reply(rejected) == text
    assert rejected.reason is Reason.FROM_FIELD


@pytest.mark.parametrize(
    ("lines", "domain"),
    [
        (["From: jane@other.example"], "other.example"),
        (["From: jane@mail.example.net"], "mail.example.net"),
        (["From: jane@münchen.test"], "xn--mnchen-3ya.test"),
        (["From: jane@[192.0.2.1]"], "[192.0.2.1]"),
        (["From: jane@localhost"], "localhost"),
        (["From: a@example.com, b@other.example", "Sender: a@example.com"], "other.example"),
        (["From: a@other.example, b@example.com", "Sender: b@example.com"], "other.example"),
        (["From: a@example.com, b@example.net", "Sender: c@other.example"], "other.example"),
    ],
)
def test_domain_that_is_not_configured(lines: list[str], domain: str) -> None:
    """550 5.7.1 names the domain, and the log names the fix; every author must be one of ours."""
    rejected = rejection(message(*lines))
    assert reply(rejected) == f"550 5.7.1 No mail is signed for the From domain {domain} here"
    assert rejected.reason is Reason.DOMAIN_NOT_CONFIGURED
    assert f"dkim-relay keys new {domain}" in rejected.detail
    assert "subdomains" in rejected.detail


@pytest.mark.parametrize(
    "lines",
    [
        ["From: ann@example.com"],
        ["From: jane@example.net"],
        ["From: jane@example.com, ann@example.com", "Sender: jane@example.com"],
        ["From: jane@example.com, jane@example.com", "Sender: ann@example.com"],
        ["From: jane@other.example"],  # what is not permitted is not looked up either
    ],
)
def test_from_that_the_client_may_not_use(lines: list[str]) -> None:
    """550 5.7.1, the same for every address: the reply tells nothing of what is configured."""
    rejected = rejection(message(*lines), client("jane@example.com"))
    assert reply(rejected) == "550 5.7.1 This client may not use this From address"
    assert rejected.reason is Reason.FROM_NOT_PERMITTED
    assert "'app'" in rejected.detail
    assert "from_addresses" in rejected.detail


def test_mail_from_decides_nothing() -> None:
    """There is no envelope in the arguments: a null reverse-path is signed like any other."""
    admitted = admit(
        message("From: postmaster@example.com", "Auto-Submitted: auto-replied"), ANYONE, DOMAINS
    )
    assert admitted.signing_domain == "example.com"


@pytest.mark.parametrize(
    "value",
    [
        "jane@[" + "x" * 5000 + "]",
        "jane@" + ".".join(["x" * 60] * 4),
        "jane@" + "x" * 70_000,
        "x" * 70_000,
        "<" * 70_000,
    ],
)
def test_huge_from_makes_a_short_reply(value: str) -> None:
    """What a stranger put into From does not fill our reply (512 octets, RFC 5321 §4.5.3.1.5)."""
    rejected = rejection(message(f"From: {value}"))
    assert len(rejected.detail) < 2000


def test_log_of_a_rejection_is_on_one_line() -> None:
    """Octets of strangers reach the log without their control characters."""
    for value in ('"a\r\n b"@other.example', "a@[x\x7fy]", "a@[\x80]", "\x1b"):
        sent = read_message(b"From: " + value.encode("latin-1") + b"\r\n\r\n")
        assert rejection(sent).detail.isprintable()
