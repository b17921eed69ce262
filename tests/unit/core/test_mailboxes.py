"""relay.core.mailboxes: whose mail this is, by grammar alone, whatever a stranger writes."""

from __future__ import annotations

import pytest

from relay.core.errors import SyntaxFault
from relay.core.mailboxes import Mailbox, parse_mailboxes


def one(value: bytes) -> str:
    """The only mailbox of a field, as text."""
    (mailbox,) = parse_mailboxes(value)
    return str(mailbox)


@pytest.mark.parametrize(
    ("value", "address"),
    [
        # RFC 5322 §3.4, as people write it
        (b" jane@example.com\r\n", "jane@example.com"),
        (b"jane@example.com", "jane@example.com"),
        (b" <jane@example.com>\r\n", "jane@example.com"),
        (b" Jane Doe <jane@example.com>\r\n", "jane@example.com"),
        (b' "Doe, Jane" <jane@example.com>\r\n', "jane@example.com"),
        (b' "Jane" Q "Doe" <jane@example.com>\r\n', "jane@example.com"),
        (b" \r\n Jane\r\n\tDoe\r\n <jane@example.com>\r\n", "jane@example.com"),
        (b" Jane Doe<jane@example.com>\r\n", "jane@example.com"),
        (b" jane+tag=x@example.com\r\n", "jane+tag=x@example.com"),
        (b" j.a.n.e@mail.example.com\r\n", "j.a.n.e@mail.example.com"),
        (b" !#$%&'*+-/=?^_`{|}~@example.com\r\n", "!#$%&'*+-/=?^_`{|}~@example.com"),
        (b" Jane@EXAMPLE.Com\r\n", "Jane@example.com"),
        # quoted strings: nothing in them is structure
        (b' "jane doe"@example.com\r\n', '"jane doe"@example.com'),
        (b' "x <a@b>"@c\r\n', '"x <a@b>"@c'),
        (b' <"x <a@b>"@c>\r\n', '"x <a@b>"@c'),
        (b' "a@evil.example" <jane@example.com>\r\n', "jane@example.com"),
        (b' "<a@evil.example>" <jane@example.com>\r\n', "jane@example.com"),
        (b' "a\\"<b@evil.example>" <jane@example.com>\r\n', "jane@example.com"),
        (b' "a\\\\" <jane@example.com>\r\n', "jane@example.com"),
        (b' "jane, (not a comment)"@example.com\r\n', '"jane, (not a comment)"@example.com'),
        (b' ""@example.com\r\n', '""@example.com'),
        (b' "" <jane@example.com>\r\n', "jane@example.com"),
        # comments: nothing in them is structure either
        (b" (boss) jane@example.com (x@evil.example)\r\n", "jane@example.com"),
        (b" (a (b (c) d) e) jane@example.com\r\n", "jane@example.com"),
        (b" jane(comment)@(comment)example.com\r\n", "jane@example.com"),
        (b" jane@example(comment).(comment)com\r\n", "jane@example.com"),
        (b" Jane <jane@(of)example.com(here)>\r\n", "jane@example.com"),
        (b" (\\) <a@evil.example>) <jane@example.com>\r\n", "jane@example.com"),
        (b' (" ) <jane@example.com> (")\r\n', "jane@example.com"),
        (b" (=?utf-8?q?=28?=) jane@example.com\r\n", "jane@example.com"),
        (b" (\xc3\xbc) jane@example.com\r\n", "jane@example.com"),
        (b" jane@example.com (folded\r\n comment)\r\n", "jane@example.com"),
        # encoded words: atoms like others, never decoded (RFC 2047 §5)
        (b" =?utf-8?q?J=C3=A4ne?= <jane@example.com>\r\n", "jane@example.com"),
        (b" =?utf-8?b?PGFAZXZpbC5leGFtcGxlPg==?= <jane@example.com>\r\n", "jane@example.com"),
        (b" =?utf-8?q?x=40evil=2Eexample?= <jane@example.com>\r\n", "jane@example.com"),
        (
            b" =?utf-8?q?a=0D=0AFrom=3A?= =?utf-8?q?=22?= <jane@example.com>\r\n",
            "jane@example.com",
        ),
        (b" <=?utf-8?q?jane?=@example.com>\r\n", "=?utf-8?q?jane?=@example.com"),
        # RFC 6532 and IDN
        (" Jäne <jäne@example.com>\r\n".encode(), "jäne@example.com"),
        (" Jäne <jane@münchen.example>\r\n".encode(), "jane@xn--mnchen-3ya.example"),
        (" <jane@MÜNCHEN.example>\r\n".encode(), "jane@xn--mnchen-3ya.example"),
        (b" <jane@xn--mnchen-3ya.example>\r\n", "jane@xn--mnchen-3ya.example"),
        (b" <jane@XN--MNCHEN-3YA.example>\r\n", "jane@xn--mnchen-3ya.example"),
        (b" J\xfcrgen <jane@example.com>\r\n", "jane@example.com"),  # Latin-1 in a name
        # RFC 5322 §4.4: the obsolete forms
        (b" John Q. Public <john@example.com>\r\n", "john@example.com"),
        (b" jane . doe @ example . com\r\n", "jane.doe@example.com"),
        (b' jane."doe x".y@example.com\r\n', 'jane."doe x".y@example.com'),
        (b" Jane <@a.example:jane@example.com>\r\n", "jane@example.com"),
        (b" ,, jane@example.com , \r\n", "jane@example.com"),
        # literals: read, though no domain of ours
        (b" jane@[192.0.2.1]\r\n", "jane@[192.0.2.1]"),
        (b" jane@[IPv6:2001:db8::1]\r\n", "jane@[IPv6:2001:db8::1]"),
        (b" jane@localhost\r\n", "jane@localhost"),
    ],
)
def test_one_mailbox_is_read(value: bytes, address: str) -> None:
    """The domain that signs is that of the addr-spec, wherever other addresses stand."""
    assert one(value) == address


@pytest.mark.parametrize(
    ("value", "addresses"),
    [
        (b" a@b.c, d@e.f\r\n", ["a@b.c", "d@e.f"]),
        (b' "x, y" <a@b.c>, (,) D <d@e.f>,\r\n', ["a@b.c", "d@e.f"]),
        (b" a@b.c,, ,d@e.f", ["a@b.c", "d@e.f"]),
        (b" <a@b.c>,\r\n\t<d@e.f>,\r\n <g@h.i>\r\n", ["a@b.c", "d@e.f", "g@h.i"]),
        (b' "a@b.c, d"@e.f, g@h.i', ['"a@b.c, d"@e.f', "g@h.i"]),
    ],
)
def test_every_mailbox_is_read(value: bytes, addresses: list[str]) -> None:
    """Several authors are several: none is passed over for the first or the last."""
    assert [str(m) for m in parse_mailboxes(value)] == addresses


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b" \r\n",
        b" (only a comment)\r\n",
        b",",
        b" jane\r\n",
        b" Jane Doe\r\n",
        b" jane@\r\n",
        b" @example.com\r\n",
        b" <>\r\n",
        b" Jane <>\r\n",
        b" <jane>\r\n",
        b" jane@example.com jane@example.com\r\n",
        b" jane@example.com@evil.example\r\n",
        b" jane@evil.example@example.com\r\n",
        b" <jane@example.com\r\n",
        b" jane@example.com>\r\n",
        b" <<jane@example.com>>\r\n",
        b" <jane@example.com> <x@evil.example>\r\n",
        b" <jane@example.com><x@evil.example>\r\n",
        b" <jane@example.com> x\r\n",
        b" <jane@example.com>x@evil.example\r\n",
        b" x@evil.example <jane@example.com>\r\n",  # an address for a name, without quotes
        b" <x@evil.example> jane@example.com\r\n",
        b" Doe, Jane <jane@example.com>\r\n",  # a comma in a name, without quotes
        b" [x] <jane@example.com>\r\n",
        b" jane.@example.com\r\n",
        b" .jane@example.com\r\n",
        b" ja..ne@example.com\r\n",
        b" jane@example..com\r\n",
        b" jane@.example.com\r\n",
        b" jane@example.com.\r\n",
        b" jane doe@example.com\r\n",
        b" jane@example com\r\n",
        b" jane@exam\r\n ple.com\r\n",
        b' jane@"example.com"\r\n',
        b" jane@example.com,evil.example\r\n",
        b" jane@[192.0.2.1].example.com\r\n",
        b" jane@[192.0.2.1\r\n",
        b" jane@[a[b]]\r\n",
        # groups (RFC 5322 §3.4, RFC 6854): nobody signs for a group
        b" Friends: jane@example.com;\r\n",
        b" Friends: jane@example.com, x@evil.example;\r\n",
        b" Undisclosed recipients:;\r\n",
        b" Friends: ;\r\n",
        b" jane@example.com, Friends: x@evil.example;\r\n",
        b' "Friends": <jane@example.com>;\r\n',
        b" Friends:jane@example.com\r\n",
        b" jane@example.com;\r\n",
        b" jane@example.com; x@evil.example\r\n",
        # routes that do not end, or are none
        b" <@a.example jane@example.com>\r\n",
        b" <@:jane@example.com>\r\n",
        b" <@a.example:>\r\n",
        b" @a.example:jane@example.com\r\n",
        b" <a.example:jane@example.com>\r\n",
        # quoted strings and comments that do not end, or end too soon
        b' "jane@example.com\r\n',
        b' "jane\\"@example.com\r\n',
        b' "a" "b"@example.com\r\n',
        b' "a"b@example.com\r\n',
        b" (jane@example.com\r\n",
        b" (jane\\)@example.com\r\n",
        b" jane@example.com (a (b)\r\n",
        b" jane@example.com)\r\n",
        b" jane@example.com \\\r\n",
        b" ja\\ne@example.com\r\n",
        # controls and NUL
        b" jane\0@example.com\r\n",
        b' "jane\0"@example.com\r\n',
        b' "jane\\\0"@example.com\r\n',
        b" jane\x01@example.com\r\n",
        b" jane@exam\x7fple.com\r\n",
        b" jane\x0b@example.com\r\n",
        b" jane@example.com\x0c\r\n",
        b" \x1b[0m <jane@example.com>\r\n",
        # domains that are none
        b" jane@xn--a.example\r\n",
        b" jane@\xff.example\r\n",
        b" jane@" + b"x" * 64 + b".example\r\n",
        b" jane@" + b"x." * 130 + b"example\r\n",
        "jane@exa\u200dmple.com".encode(),
        "jane@example.com\u202e".encode(),
        "jane@a\uff20evil.example".encode(),  # a wide "@"
    ],
)
def test_other_values_are_refused(value: bytes) -> None:
    """Outside the grammar nobody knows who wrote it; the reason is one short line for the log."""
    with pytest.raises(SyntaxFault) as caught:
        parse_mailboxes(value)
    assert 0 < len(str(caught.value)) < 400
    assert str(caught.value).isprintable()


def test_folding_in_a_quoted_string_is_no_part_of_it() -> None:
    """RFC 5322 §3.2.4: the CRLF of folding is invisible; it must not reach logs or rules."""
    (mailbox,) = parse_mailboxes(b' "jane\r\n doe"@example.com\r\n')
    assert mailbox == Mailbox(b'"jane doe"', "example.com")


def test_domain_with_a_final_dot_is_refused_in_every_script() -> None:
    """A dot at the end is outside RFC 5321 §4.1.2; U+3002 and A-labels are no way around it."""
    for value in ("jane@münchen.example。", "jane@example。", "jane@münchen。example。"):
        with pytest.raises(SyntaxFault):
            parse_mailboxes(value.encode())


@pytest.mark.parametrize(
    ("value", "address"),
    [
        pytest.param(b"(" * 10_000 + b")" * 10_000 + b"a@b.c", "a@b.c", id="nested comments"),
        pytest.param(b"a@b.c" + b"(x)" * 10_000, "a@b.c", id="many comments"),
        pytest.param(b'"' + b"\\\\" * 50_000 + b'" <a@b.c>', "a@b.c", id="escapes"),
        pytest.param(b'"x" ' * 10_000 + b"<a@b.c>", "a@b.c", id="quoted words"),
        pytest.param(b" " * 200_000 + b"a@b.c" + b"\r\n " * 50_000, "a@b.c", id="blanks"),
        pytest.param(b"," * 50_000 + b"a@b.c" + b"," * 50_000, "a@b.c", id="commas"),
        pytest.param(b"x. " * 20_000 + b"<a@b.c>", "a@b.c", id="dots in a name"),
    ],
)
def test_huge_value_is_read(value: bytes, address: str) -> None:
    """No recursion, and no work that grows faster than the field."""
    assert one(value) == address


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"(" * 100_000, id="comments that do not end"),
        pytest.param(b"(\\" * 100_000, id="escapes in a comment that does not end"),
        pytest.param(b'"' * 100_001, id="quotes"),
        pytest.param(b'"\\' * 100_000, id="escapes in quotes that do not end"),
        pytest.param(b"[" * 100_000, id="literals that do not end"),
        pytest.param(b"<" * 30_000 + b"a@b.c" + b">" * 30_000, id="angle brackets"),
        pytest.param(b"a@" * 30_000 + b"b", id="at signs"),
        pytest.param(b":" * 50_000 + b"<a@b.c>", id="colons"),
        pytest.param(b"a." * 50_000 + b"@b", id="dots"),
        pytest.param(b"x@" + b"y." * 50_000 + b"z", id="labels"),
        pytest.param(b"x@" + "ü.".encode() * 20_000 + b"z", id="U-labels"),
        pytest.param(b"x@" + "ü".encode() * 50_000, id="one U-label"),
        pytest.param(b"x@xn--" + b"a" * 100_000, id="one A-label"),
        pytest.param(b"<@" + b"a:@" * 20_000 + b"b@c>", id="routes"),
    ],
)
def test_huge_nonsense_is_refused(value: bytes) -> None:
    """Hostile values end in the same fault as small ones, not in a RecursionError or a hang."""
    with pytest.raises(SyntaxFault) as caught:
        parse_mailboxes(value)
    assert len(str(caught.value)) < 400


def test_mailbox_is_shown_on_one_line() -> None:
    """What is not UTF-8 is escaped, so that it can be logged."""
    assert str(Mailbox(b"j\xff", "example.com")) == "j\\xff@example.com"
