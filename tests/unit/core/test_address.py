"""relay.core.address: paths of MAIL and RCPT, domains in A-labels, by our own grammar."""

from __future__ import annotations

import pytest

from relay.core.address import (
    MAX_PATH_OCTETS,
    NULL_PATH,
    Path,
    a_label,
    is_domain,
    parse_path,
)
from relay.core.errors import SyntaxFault


@pytest.mark.parametrize(
    ("octets", "domain"),
    [
        (b"jane@example.com", "example.com"),
        (b"Jane@EXAMPLE.com", "example.com"),
        (b"j.a.n.e@mail.example.com", "mail.example.com"),
        (b"!#$%&'*+-/=?^_`{|}~@example.com", "example.com"),
        (b"bounce+42=ann=sink.test@lists.example.net", "lists.example.net"),
        (b"SRS0=abcd=EF=example.net=jane@example.com", "example.com"),
        (b'"jane doe"@example.com', "example.com"),
        (b'"x <a@b>"@c', "c"),
        (b'"a\\"b\\\\c\\ d"@example.com', "example.com"),
        (b'"<>@,;:\\["@example.com', "example.com"),
        (b'""@example.com', "example.com"),
        (b"jane@[192.0.2.1]", "[192.0.2.1]"),
        (b"jane@[IPv6:2001:db8::1]", "[IPv6:2001:db8::1]"),
        (b"jane@[ipv6:::ffff:192.0.2.1]", "[ipv6:::ffff:192.0.2.1]"),
        (b"jane@localhost", "localhost"),
        (b"jane@my_host.example", "my_host.example"),
        (b"jane@_x.y_", "_x.y_"),
        (b"jane@1.2", "1.2"),
        (b"jane@a-b--c.example", "a-b--c.example"),
        ("jäne@example.com".encode(), "example.com"),
        ("jane@münchen.example".encode(), "xn--mnchen-3ya.example"),
        ("jane@MÜNCHEN.example".encode(), "xn--mnchen-3ya.example"),
        ('"jäne doe"@münchen.example'.encode(), "xn--mnchen-3ya.example"),
        (b"jane@xn--mnchen-3ya.example", "xn--mnchen-3ya.example"),
        (b"=?utf-8?q?jane?=@example.com", "example.com"),  # atom text, never decoded
    ],
)
def test_path_is_read(octets: bytes, domain: str) -> None:
    """The mailbox keeps its octets; only the domain is brought into the form it is compared in."""
    path = parse_path(octets)
    assert path == Path(octets, domain)
    assert path.is_ascii is octets.isascii()
    assert not path.is_null
    assert str(path) == octets.decode()


@pytest.mark.parametrize(
    ("octets", "mailbox"),
    [
        (b"@a.example:jane@example.com", b"jane@example.com"),
        (b"@a.example,@b.example:jane@example.com", b"jane@example.com"),
        ("@ä.example:jane@example.com".encode(), b"jane@example.com"),
    ],
)
def test_source_route_is_left_out(octets: bytes, mailbox: bytes) -> None:
    """RFC 5321 §3.6.1: read, never followed, and not passed on."""
    assert parse_path(octets) == Path(mailbox, "example.com")


def test_null_path() -> None:
    """DSNs and auto-replies come with it; it has no domain."""
    assert parse_path(b"") is NULL_PATH
    assert NULL_PATH.is_null
    assert NULL_PATH.is_ascii


@pytest.mark.parametrize("octets", [b"postmaster", b"Postmaster", b"POSTMASTER"])
def test_postmaster_needs_no_domain(octets: bytes) -> None:
    """RFC 5321 §4.1.1.3; in no other case of a missing domain."""
    assert parse_path(octets) == Path(octets, "")


@pytest.mark.parametrize(
    "octets",
    [
        b"jane",
        b"postmaster@",
        b"@example.com",
        b"jane@",
        b"@",
        b"jane@@example.com",
        b"jane@example.com@evil.example",
        b"ja ne@example.com",
        b"jane@exa mple.com",
        b" jane@example.com",
        b"jane@example.com ",
        b"jane@example.com,x@evil.example",
        b"jane@example.com>",
        b"<jane@example.com>",
        b"jane>@example.com",
        b"jane@example.com> RCPT TO:<x@evil.example",
        b".jane@example.com",
        b"jane.@example.com",
        b"ja..ne@example.com",
        b"jane@example..com",
        b"jane@.example.com",
        b"jane@example.com.",
        b"jane@-example.com",
        b"jane@example-.com",
        b"jane@exa/mple.com",
        b"jane@exa:mple.com",
        b'"jane@example.com',
        b'jane"@example.com',
        b'"ja"ne"@example.com',
        b'"jane\\"@example.com',
        b'"jane"doe@example.com',
        b'"jane".doe@example.com',
        b"(comment)jane@example.com",
        b"jane@example.com(comment)",
        b"jane@[]",
        b"jane@[192.0.2]",
        b"jane@[192.0.2.256]",
        b"jane@[192.0.2.01]",
        b"jane@[192.0.2.1",
        b"jane@[192.0.2.1].example.com",
        b"jane@[IPv6:192.0.2.1]",
        b"jane@[IPv6:2001:db8::1::2]",
        b"jane@[IPv6:fe80::1%eth0]",
        b"jane@[2001:db8::1]",
        b"jane@[tag:content]",
        b"@a.example",
        b"@a.example:",
        b"@a.example jane@example.com",
        b"a.example:jane@example.com",
        b"@a.example,b.example:jane@example.com",
        b"ja\r\nne@example.com",
        b"jane@example.com\r\n",
        b"jane@example.com\n",
        b"jane@example.com\r",
        b"jane\0@example.com",
        b"jane@example.com\0",
        b"jane@exam\tple.com",
        b'"ja\r\nne"@example.com',
        b'"ja\\\nne"@example.com',
        b'"ja\0ne"@example.com',
        b'"ja\tne"@example.com',
        b"jane\x7f@example.com",
        b'"jane\x7f"@example.com',
        b"jane\xff@example.com",
        b"jane@\xff.example",
        b"j\xc3@example.com",
        "jane@example.com\u2028".encode(),
        "jane@exa\uff20mple.com".encode(),
        "jane@exa\u3000mple.com".encode(),
        b"jane@xn--a.example",
        b"jane@" + b"x" * 64 + b".com",
        # aiosmtpd decodes these; here they are text outside the grammar
        b"=?utf-8?q?a=0d=0aRCPT_TO:=3cvictim=40x.y=3e?=@b.c",
        b"u@=?utf-8?q?good.com=3e=0d=0aRCPT_TO:=3cv=40x.y?=",
    ],
)
def test_other_paths_are_refused(octets: bytes) -> None:
    """Nothing is mended; the reason is printable and on one line."""
    with pytest.raises(SyntaxFault) as caught:
        parse_path(octets)
    assert str(caught.value).isprintable()


def test_path_at_its_limit() -> None:
    """RFC 5321 §4.5.3.1.3: 256 octets, the two brackets counted."""
    tail = b"@" + b".".join([b"x" * 60] * 3)
    exact = b"j" * (MAX_PATH_OCTETS - 2 - len(tail)) + tail
    assert parse_path(exact).octets == exact
    with pytest.raises(SyntaxFault):
        parse_path(b"j" + exact)


@pytest.mark.parametrize(
    "octets",
    [
        b"a." * 100_000 + b"@b.c",
        b"@" + b"a," * 100_000,
        b"a@" + b"-" * 200_000,
        b'"' * 200_000,
        b'"' + b"\\" * 200_000,
        b"a@" + b"a-" * 100_000,
    ],
)
def test_long_nonsense_is_refused_before_it_is_read(octets: bytes) -> None:
    """The limit stands before the grammar, so no grammar can be slow."""
    with pytest.raises(SyntaxFault, match="256"):
        parse_path(octets)


# Domains ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("domain", "label"),
    [
        ("example.com", "example.com"),
        ("EXAMPLE.Com", "example.com"),
        ("my_host", "my_host"),
        ("münchen.example", "xn--mnchen-3ya.example"),
        ("MÜNCHEN.EXAMPLE", "xn--mnchen-3ya.example"),
        ("mu\u0308nchen.example", "xn--mnchen-3ya.example"),  # composed by UTS 46
        ("xn--mnchen-3ya.example", "xn--mnchen-3ya.example"),
        ("XN--MNCHEN-3YA.example", "xn--mnchen-3ya.example"),
        ("faß.example", "xn--fa-hia.example"),  # IDNA 2008 keeps the sharp s
        ("ουτοπία.δπθ.gr", "xn--kxae4bafwg.xn--pxaix.gr"),
        ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
        ("例え。テスト", "xn--r8jz45g.xn--zckzah"),  # the ideographic full stop
        ("x" * 63 + ".example", "x" * 63 + ".example"),
    ],
)
def test_domain_in_a_labels(domain: str, label: str) -> None:
    """One form for comparing, signing and asking DNS; an A-label stays what it is."""
    assert a_label(domain) == label
    assert a_label(label) == label


@pytest.mark.parametrize(
    "domain",
    [
        "",
        ".",
        ".example.com",
        "example..com",
        "example.com.",
        "münchen.example.",
        "xn--mnchen-3ya.example.",
        "münchen。example。",
        "x" * 64,
        ".".join(["x" * 63] * 4),
        ".".join(["x"] * 128),
        "ü" * 64,
        "xn--",
        "xn--a.example",
        "xn--0.example",
        "-ü.example",
        "ü b.example",
        "a\u200db.example",
        "☃.example\u200b\u2028",
        "\ud800.example",
    ],
)
def test_other_texts_are_no_domain(domain: str) -> None:
    """Empty and overlong labels, and what IDNA 2008 does not permit."""
    with pytest.raises(SyntaxFault) as caught:
        a_label(domain)
    assert len(str(caught.value)) < 200
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "domain", ["exa mple.com", "example.com\n", "a\r\nb.example", "a\0b.example", "exa\tmple.com"]
)
def test_blank_and_control_are_in_no_domain(domain: str) -> None:
    """ASCII is looked at too: a line end in a domain would be a line end in a DKIM-Signature."""
    with pytest.raises(SyntaxFault):
        a_label(domain)


@pytest.mark.parametrize(
    ("octets", "is_one"),
    [
        (b"example.com", True),
        (b"my_host", True),
        (b"1.2.3.4", True),
        ("münchen.example".encode(), True),
        (b"", False),
        (b".", False),
        (b"example.com.", False),
        (b"-a.example", False),
        (b"a-.example", False),
        (b"[192.0.2.1]", False),
        (b"a b", False),
        (b"a\r\nb", False),
        (b"example.com\n", False),
        (b"a" * 255, True),
        (b"a" * 256, False),
    ],
)
def test_domain_by_grammar(octets: bytes, is_one: bool) -> None:
    """What a client may call itself in EHLO and be quoted in Received."""
    assert is_domain(octets) is is_one
