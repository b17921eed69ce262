"""relay.core.dkim.unsigned: none. Which domain signs nothing, from which client, and why."""

from __future__ import annotations

import pytest

from relay.core.dkim.alignment import author_of
from relay.core.dkim.unsigned import unsigned
from relay.core.dkim.verdict import Result, Verdict
from relay.core.reader import read_message


def judged(header: str, *local_domains: str) -> Verdict:
    """The verdict on a message with this header section."""
    message = read_message(header.replace("\n", "\r\n").encode() + b"\r\n\r\nx\r\n")
    return unsigned(message, author_of(message), local_domains)


@pytest.mark.parametrize(
    ("received", "words"),
    [
        (
            "Received: from app.local (app.local [192.0.2.7])\n\tby mx.example.net with ESMTP; x",
            ("first taken by mx.example.net", "from app.local (app.local [192.0.2.7])"),
        ),
        ("Received: by mx.example.net with SMTP", ("by mx.example.net", "not say from whom")),
        ("Received: nonsense", ("not say from whom",)),
        ("Received: from a by b\nReceived: from c by d", ("by d", "from c")),
        ("X: y", ("no Received field",)),
        ("Received: from \x1b[31m by \x07", ("first taken",)),
        ("Received: from " + "x" * 5000 + " by y", ("first taken",)),
    ],
)
def test_which_client(received: str, words: tuple[str, ...]) -> None:
    """Where the message came in first, as far as its trace says."""
    verdict = judged(f"From: jane@example.com\n{received}")
    assert verdict.result is Result.NONE
    assert "no DKIM-Signature" in verdict.cause
    assert "example.com" in verdict.cause
    assert verdict.cause.isprintable()
    assert len(verdict.cause) < 500
    for word in words:
        assert word in verdict.cause


@pytest.mark.parametrize(
    ("local_domains", "words"),
    [
        ((), ("keys new mail.example.com", "record alone signs nothing")),
        (("mail.example.com",), ("there are keys for mail.example.com", "through the relay")),
        (("example.com",), ("subdomains = true", "keys new mail.example.com")),
        (("ample.com", "other.example"), ("keys new mail.example.com",)),
    ],
)
def test_which_setting(local_domains: tuple[str, ...], words: tuple[str, ...]) -> None:
    """What to do depends on which keys there are."""
    verdict = judged("From: jane@mail.example.com", *local_domains)
    assert "explain" in verdict.fix
    for word in words:
        assert word in verdict.fix
    assert ("subdomains" in verdict.fix) is (local_domains == ("example.com",))


def test_without_an_author() -> None:
    """Without a From domain nothing could sign."""
    verdict = judged("To: x@example.com")
    assert "no From fields" in verdict.cause
    assert "one From field" in verdict.fix


@pytest.mark.parametrize("name", ["DomainKey-Signature", "X-Google-DKIM-Signature"])
def test_what_looks_like_a_signature(name: str) -> None:
    """Fields that people take for one."""
    verdict = judged(f"From: jane@example.com\n{name}: a=rsa-sha1; b=x")
    assert any(name in note for note in verdict.notes)
