"""relay.core.explain: the reasons of what the stages did."""

from __future__ import annotations

import pytest
from publicsuffixlist import PublicSuffixList

from relay.core.adapt import adapt
from relay.core.capabilities import Capabilities
from relay.core.complete import complete
from relay.core.dkim.sign import fields_to_sign
from relay.core.explain import (
    Difference,
    How,
    Treatment,
    choose_domain,
    choose_fields,
    differ,
    reencoded_parts,
)
from relay.core.policy import SigningDomains
from relay.core.profile import GENERIC
from relay.core.reader import read_message

SUFFIXES = PublicSuffixList()
DOMAINS = SigningDomains(
    {"example.com": True, "exact.example": False, "co.uk": True, "shop.co.uk": False},
    lambda domain: SUFFIXES.privatesuffix(domain),
)


@pytest.mark.parametrize(
    ("domain", "how", "signing", "words"),
    [
        ("example.com", How.EXACT, "example.com", ("configured itself",)),
        ("a.b.example.com", How.PARENT, "example.com", ("nearest parent", "subdomains = true")),
        ("www.exact.example", How.NONE, None, ("exact.example is", "without subdomains")),
        ("other.example", How.NONE, None, ("not configured", "no parent")),
        ("new.co.uk", How.NONE, None, ("co.uk is", "above new.co.uk")),
        ("www.shop.co.uk", How.NONE, None, ("shop.co.uk is", "without subdomains")),
    ],
)
def test_domain(domain: str, how: How, signing: str | None, words: tuple[str, ...]) -> None:
    """Exact, parent or none, as `SigningDomains` decides; and why."""
    choice = choose_domain(domain, DOMAINS)
    assert (choice.how, choice.signing_domain) == (how, signing)
    assert choice.signing_domain == DOMAINS.signing_domain(domain)
    for word in words:
        assert word in choice.why


def test_fields() -> None:
    """Each name once, with what h= does and one reason; h= is what the signer really names."""
    message = read_message(
        b"Received: a\r\nReceived: b\r\nFROM: jane@example.com\r\nSubject: x\r\nSender: y\r\n"
        b"Date: z\r\nX-Own: 1\r\nKeywords: k\r\nDKIM-Signature: v=1\r\n\r\n"
    )
    rewritten = {b"date": "profile ses, verified"}
    names = fields_to_sign(message.fields, never=frozenset(rewritten))
    choices = {c.name: c for c in choose_fields(message.fields, names, rewritten=rewritten)}
    assert {name: choice.treatment for name, choice in choices.items()} == {
        "Received": Treatment.LEFT_OUT,
        "FROM": Treatment.OVERSIGNED,
        "Subject": Treatment.OVERSIGNED,
        "Sender": Treatment.SIGNED,
        "Date": Treatment.LEFT_OUT,
        "X-Own": Treatment.LEFT_OUT,
        "Keywords": Treatment.LEFT_OUT,
        "DKIM-Signature": Treatment.LEFT_OUT,
        **dict.fromkeys(
            (
                *("to", "cc", "reply-to", "mime-version"),
                *("content-type", "content-transfer-encoding"),
            ),
            Treatment.OVERSIGNED,
        ),
    }
    assert (choices["Received"].present, choices["Received"].named) == (2, 0)
    assert (choices["FROM"].present, choices["FROM"].named) == (1, 2)
    assert (choices["to"].present, choices["to"].named) == (0, 1)
    for name, word in (
        ("Received", "each hop adds one"),
        ("to", "absent"),
        ("FROM", "none can be added"),
        ("Sender", "may be added"),
        ("Date", "profile ses, verified"),
        ("X-Own", "receivers do not rely on it"),
        ("Keywords", "§5.4.1"),
        ("DKIM-Signature", "do not sign each other"),
    ):
        assert word in choices[name].reason, name


def test_difference_of_complete() -> None:
    """What was added and taken out, field by field; nothing where nothing changed."""
    before = read_message(b"From: a@example.com\r\nBcc: x@y\r\nDate: x\r\n\r\n")
    after = complete(
        before,
        author_domain="example.com",
        signing_domain="example.com",
        now=0,
        unique="u",
        trace=None,
    )
    assert differ(before, after) == Difference(("Message-ID: <u@example.com>",), ("Bcc: x@y",))
    assert differ(before, before) == Difference()


def test_difference_is_short_and_harmless() -> None:
    """A field of any content."""
    before = read_message(b"From: a@example.com\r\n\r\n")
    after = read_message(b"From: a@example.com\r\nX: \x1b[31m" + b"y" * 5000 + b"\r\n\r\n")
    (shown,) = differ(before, after).added
    assert shown.isprintable()
    assert len(shown) < 90


def test_parts_that_are_re_encoded() -> None:
    """Which, from what to what; the rest is not mentioned."""
    before = read_message(
        b"From: a@example.com\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n'
        b"--b\r\nContent-Type: text/plain\r\n\r\nplain\r\n"
        b"--b\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: 8bit\r\n\r\n\xc3\xbc\r\n--b--\r\n"
    )
    after = adapt(before, Capabilities(), GENERIC)
    told = reencoded_parts(before, after)
    assert told[0] == "part 2: 8bit to quoted-printable"
    assert "octets then" in told[-1]
    assert len(told) == 2
    assert reencoded_parts(before, before) == ()
