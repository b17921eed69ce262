"""relay.core.dkim.alignment: RFC 7489 §3.1.1, with the public suffix list."""

from __future__ import annotations

import pytest
from publicsuffixlist import PublicSuffixList

from relay.core.dkim.alignment import Alignment, align, aligning, author_of
from relay.core.reader import read_message

SUFFIXES = PublicSuffixList()


def organizational(domain: str) -> str | None:
    """As the command line has it."""
    found = SUFFIXES.privatesuffix(domain)
    return str(found) if found else None


@pytest.mark.parametrize(
    ("signing", "author", "expected"),
    [
        ("example.com", "example.com", Alignment.STRICT),
        ("mail.example.com", "example.com", Alignment.RELAXED),
        ("example.com", "mail.example.com", Alignment.RELAXED),
        ("a.example.com", "b.example.com", Alignment.RELAXED),
        ("example.net", "example.com", Alignment.NO),
        ("evilexample.com", "example.com", Alignment.NO),
        ("a.co.uk", "b.co.uk", Alignment.NO),
        ("x.a.co.uk", "a.co.uk", Alignment.RELAXED),
        ("co.uk", "a.co.uk", Alignment.NO),
        ("co.uk", "co.uk", Alignment.STRICT),
        ("com", "example.com", Alignment.NO),
        ("one.github.io", "two.github.io", Alignment.NO),
        ("localhost", "localhost", Alignment.STRICT),
        ("xn--mnchen-3ya.example", "mail.xn--mnchen-3ya.example", Alignment.RELAXED),
    ],
)
def test_alignment(signing: str, author: str, expected: Alignment) -> None:
    """Strict is the same domain; relaxed the same organization, never a public suffix."""
    assert align(signing, author, organizational) is expected


def test_what_would_align() -> None:
    """The From domain itself, its organization, and the keys that lie here."""
    told = aligning(
        "news.example.com", organizational, {"example.com", "mail.example.com", "esp.example"}
    )
    assert "d=news.example.com would align" in told
    assert "d=example.com" in told
    assert "there are keys for example.com, mail.example.com" in told
    assert "esp.example" not in told


def test_what_would_align_without_keys() -> None:
    """Nothing is promised that is not there."""
    assert "keys" not in aligning("example.com", organizational)


@pytest.mark.parametrize(
    ("header", "domain", "problem"),
    [
        ("From: Jane <jane@Example.com>", "example.com", ""),
        ("From: a@example.com, b@example.com", "example.com", ""),
        ("From: a@example.com, b@example.net", None, "2 domains"),
        ("From: a@example.com\r\nFrom: b@example.com", None, "2 From fields"),
        ("To: a@example.com", None, "no From fields"),
        ("From: nobody", None, "not a valid address"),
        ("From: a@[192.0.2.1]", None, "address literal"),
        ("From: j\u00f6rg@m\u00fcnchen.example", "xn--mnchen-3ya.example", ""),
    ],
)
def test_author(header: str, domain: str | None, problem: str) -> None:
    """One domain, or why there is none."""
    author = author_of(read_message(f"{header}\r\n\r\n".encode()))
    assert author.domain == domain
    assert problem in author.problem
    assert bool(author.problem) is (domain is None)
