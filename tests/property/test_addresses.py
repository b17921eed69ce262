"""Addresses: by grammar or not at all, and nothing in one can be a command or a line."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from relay.core.address import a_label, is_domain, parse_path
from relay.core.envelope import parse_mail, parse_rcpt
from relay.core.errors import SyntaxFault
from relay.core.mailboxes import parse_mailboxes
from tests.property.strategies import read_or_fault

PIECES = (
    *('"', "\\", "<", ">", "@", ",", ":", ";", ".", "(", ")", "[", "]", " ", "\t", "\r\n "),
    *("\r", "\n", "\0", "a", "b.example", "=?utf-8?q?=3e=0d=0a?=", "ü", "\x7f", "-", "_"),
    *("example.com", "IPv6:::1", "192.0.2.1", "xn--", "postmaster", "RCPT TO:", "\u3002"),
)
texts = st.lists(st.sampled_from(PIECES), max_size=12).map("".join).map(str.encode)
likely = st.tuples(texts, texts).map(lambda parts: parts[0] + b"@" + parts[1])
paths = st.one_of(texts, likely, st.binary(max_size=20), likely.map(lambda p: p + b"example.com"))
CONTROLS = re.compile(rb"[\x00-\x1f\x7f]")
QUOTED = re.compile(rb'"(?:[^"\\]|\\.)*"')


@example(octets=b'"x <a@b>"@c')
@example(octets=b"=?utf-8?q?a=0d=0aRCPT_TO:=3cvictim=40x.y=3e?=@b.c")
@example(octets="u@münchen。example。".encode())
@given(octets=paths)
def test_accepted_path_is_one_path(octets: bytes) -> None:
    """No control character, no ">" outside quotes, valid UTF-8, and it reads as itself again."""
    path = read_or_fault(parse_path, octets)
    if isinstance(path, SyntaxFault):
        assert str(path).isprintable()
        return
    assert octets.endswith(path.octets)
    assert CONTROLS.search(path.octets) is None
    assert not set(b"<>, ") & set(QUOTED.sub(b"", path.octets))
    path.octets.decode("utf-8")
    assert parse_path(path.octets) == path
    assert path.domain.isascii()
    assert not path.domain.endswith(".")
    assert path.domain == "" or path.domain[0] == "[" or is_domain(path.domain.encode())


@given(octets=paths, rest=texts, smtputf8=st.booleans())
def test_accepted_argument_is_one_command(octets: bytes, rest: bytes, smtputf8: bool) -> None:
    """What MAIL or RCPT accept is a path of the grammar, and nothing of it is a line end."""
    for argument in (b"<" + octets + b">", b"<" + octets + b">" + rest, octets + rest):
        try:
            path = parse_rcpt(b"TO:" + argument, smtputf8=smtputf8).forward_path
        except SyntaxFault:
            continue
        assert parse_path(path.octets) == path
        assert b"<" + path.octets + b">" in b"TO:" + argument or b":" + path.octets in argument
        assert CONTROLS.search(argument) is None
        if parse_path(path.octets).domain:
            mail = parse_mail(b"FROM:" + argument + b" SMTPUTF8")
            assert mail.reverse_path == path


ATOMS = ("jane", "j+x", "a.b", "ü", "=?utf-8?q?x?=", "o'neil", "_", '"a b"', '"x <y@z>"', '"\\""')
DOMAINS = ("example.com", "EXAMPLE.com", "a.b.c", "münchen.example", "xn--mnchen-3ya.example")
COMMENTS = ("", " ", "(c)", "((x@y) <z@w>)", "\r\n ", "\t", "(\\))", '(")')
PHRASES = ("", "Jane", '"Doe, J." ', "J. Q.", '"<x@evil.example>"', "=?utf-8?b?PHhAeT4=?=", "Jäne")
blank = st.sampled_from(COMMENTS)


@st.composite
def dressed(draw: st.DrawFn) -> tuple[bytes, bytes, str]:
    """A mailbox in any dress that RFC 5322 permits, with its local part and domain."""
    local, domain = draw(st.sampled_from(ATOMS)), draw(st.sampled_from(DOMAINS))
    spec = f"{draw(blank)}{local}{draw(blank)}@{draw(blank)}{domain}{draw(blank)}"
    if draw(st.booleans()):
        spec = f"{draw(blank)}{draw(st.sampled_from(PHRASES))}{draw(blank)}<{spec}>{draw(blank)}"
    return spec.encode(), local.encode(), a_label(domain)


@given(boxes=st.lists(dressed(), min_size=1, max_size=4))
def test_mailbox_in_any_dress(boxes: list[tuple[bytes, bytes, str]]) -> None:
    """Comments, folding, names and quotes change nothing of whose mailboxes these are."""
    found = parse_mailboxes(b",".join(octets for octets, _, _ in boxes))
    assert [(m.local_part, m.domain) for m in found] == [(lp, d) for _, lp, d in boxes]


@given(octets=paths)
def test_accepted_mailboxes_are_mailboxes(octets: bytes) -> None:
    """Any octets: mailboxes that can be shown on a line, or one printable reason."""
    found = read_or_fault(parse_mailboxes, octets)
    if isinstance(found, SyntaxFault):
        assert str(found).isprintable()
        return
    assert found
    for mailbox in found:
        assert CONTROLS.search(mailbox.local_part.replace(b"\t", b"")) is None
        assert mailbox.domain.isascii()
        assert mailbox.domain.isprintable()
        assert "@" not in mailbox.domain
        assert octets.count(b"@") >= len(found)
        again = parse_mailboxes(b"<" + mailbox.local_part + b"@" + mailbox.domain.encode() + b">")
        assert again == (mailbox,)


@given(domain=st.one_of(st.text(max_size=20), texts.map(lambda t: t.decode("utf-8", "replace"))))
def test_a_label_is_a_form_that_stays(domain: str) -> None:
    """Lower-case ASCII without white space or control characters, and its own A-label."""
    try:
        label = a_label(domain)
    except SyntaxFault:
        return
    assert label.isascii()
    assert label == label.lower()
    assert label.isprintable()
    assert " " not in label
    assert all(0 < len(part) < 64 for part in label.split("."))
    assert a_label(label) == label


@given(domain=st.lists(st.sampled_from(PIECES), max_size=3).map("".join).map(str.encode))
def test_domain_by_grammar_is_harmless(domain: bytes) -> None:
    """What may be quoted in a Received field needs no quoting."""
    assert not is_domain(domain) or re.fullmatch(rb"[A-Za-z0-9._\-\x80-\xff]+", domain)
