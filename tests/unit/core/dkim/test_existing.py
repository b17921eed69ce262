"""relay.core.dkim.existing: what passes for signed by its author's domain, and what does not."""

from __future__ import annotations

import base64

import pytest

from relay.core.dkim.canonical import Canonicalization, hash_body
from relay.core.dkim.existing import is_signed_by_author
from relay.core.message import Message
from relay.core.reader import read_message

NOW = 1_795_168_800.0
BODY = b"Good  morning, \r\n\r\n"
RELAXED = hash_body([BODY])
SIMPLE = hash_body([BODY], Canonicalization.SIMPLE)


def organizational(domain: str) -> str | None:
    """The last two labels; `uk.test` is a public suffix."""
    labels = domain.split(".")
    count = 3 if domain.endswith(".uk.test") else 2
    return ".".join(labels[-count:]) if len(labels) >= count else None


def message(tags: str = "", *, body_hash: bytes = RELAXED, domain: str = "example.com") -> Message:
    """A message with one DKIM-Signature; `tags` are added to it."""
    bh = base64.b64encode(body_hash).decode()
    field = (
        f"DKIM-Signature: v=1; a=rsa-sha256; d={domain}; s=k; h=from:to; "
        f"c=relaxed/relaxed; bh={bh}; b=AAAA; {tags}\r\n"
    )
    return read_message(field.encode() + b"From: a@example.com\r\n\r\n" + BODY)


def is_signed(given: Message, author: str = "example.com") -> bool:
    """Whether it passes for signed."""
    return is_signed_by_author(
        given,
        author,
        organizational=organizational,
        relaxed_hash=hash_body(given.body),
        now=NOW,
    )


def test_a_signature_of_the_author() -> None:
    """Well formed, of this body, from this domain or one above it."""
    assert is_signed(message())
    assert is_signed(message(f"x={int(NOW) + 1}"))
    assert is_signed(message(), "mail.example.com")
    simple = message(body_hash=SIMPLE).octets().replace(b"relaxed/relaxed", b"relaxed/simple")
    assert is_signed(read_message(simple))


@pytest.mark.parametrize(
    "given",
    [
        read_message(b"From: a@example.com\r\n\r\n" + BODY),
        message(domain="other.test"),
        message(domain="mail.example.com"),
        message(domain="com"),
        message(body_hash=bytes(32)),
        message(body_hash=SIMPLE),
        message("l=5"),
        message(f"x={int(NOW) - 1}"),
        read_message(message().octets().replace(b"rsa-sha256", b"rsa-sha1")),
        read_message(message().octets().replace(b"h=from:to", b"h=to")),
        read_message(message().octets().replace(b"v=1; ", b"")),
    ],
    ids=[
        *("none", "foreign", "below", "above", "another body", "another canonicalization"),
        *("part of the body", "expired", "sha1", "no From", "malformed"),
    ],
)
def test_everything_else(given: Message) -> None:
    """A signature field alone is no signature: the message is signed as any other."""
    assert not is_signed(given)


def test_a_public_suffix_speaks_for_nobody() -> None:
    """d= above the organizational domain does not count."""
    given = message(domain="uk.test")
    assert not is_signed(given, "shop.uk.test")
    assert is_signed(message(domain="shop.uk.test"), "mail.shop.uk.test")
