"""relay.core.qualify: addresses without a domain get the author's, and nothing else changes."""

from __future__ import annotations

import pytest

from relay.core.qualify import qualify
from relay.core.reader import read_message


def qualified(value: bytes, name: bytes = b"To") -> bytes:
    """A field's value, completed."""
    message = read_message(name + b":" + value + b"\r\n\r\n")
    (field,) = qualify(message, "example.com").fields
    assert field.octets.startswith(name + b":")
    assert field.octets.endswith(b"\r\n")
    return field.value[:-2]


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (b" root", b" root@example.com"),
        (b"root", b"root@example.com"),
        (b" <root>", b" <root@example.com>"),
        (b" Charlie Root <root>", b" Charlie Root <root@example.com>"),
        (b' "a, b@c" <root>', b' "a, b@c" <root@example.com>'),
        (b" root (the (real) one)", b" root@example.com (the (real) one)"),
        (b" (x@y) root", b" (x@y) root@example.com"),
        (b' "odd name"', b' "odd name"@example.com'),
        (b" first.last", b" first.last@example.com"),
        (b" root, ann@b.test", b" root@example.com, ann@b.test"),
        (b" ann@b.test,\r\n root", b" ann@b.test,\r\n root@example.com"),
        (b" a , b,, c", b" a@example.com , b@example.com,, c@example.com"),
        (
            b" staff: root, ann@b.test;, ops",
            b" staff: root@example.com, ann@b.test;, ops@example.com",
        ),
        (b" J\xc3\xb6rg <j\xc3\xb6rg>", b" J\xc3\xb6rg <j\xc3\xb6rg@example.com>"),
    ],
)
def test_a_missing_domain(value: bytes, wanted: bytes) -> None:
    """It is put behind the local part, and every other octet stays."""
    assert qualified(value) == wanted


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b" ",
        b" ann@b.test",
        b" Ann <ann@b.test>",
        b" ann@b.test, bob@c.test",
        b' "a b"@c.test, Bob (no @) <bob@[192.0.2.1]>',
        b" undisclosed-recipients:;",
        b" undisclosed-recipients: ;",
        b" <@hop.test:ann@b.test>",
        b" two words",
        b" two words, and more",
        b" <>",
        b" Ann <ann",
        b" ann> root <",
        b" a..b",
        b" .",
        b" (a comment that does not end",
        b" root\x00 x"[:5] + b"\\",
        b" =?utf-8?q?root?= and others",
    ],
)
def test_everything_else_stays(value: bytes) -> None:
    """Whole addresses, empty groups, and what cannot be read."""
    assert qualified(value) == value


@pytest.mark.parametrize(
    "name",
    [b"To", b"CC", b"reply-to", b"Sender", b"Resent-To", b"Resent-Cc", b"Resent-From"],
)
def test_fields_with_addresses(name: bytes) -> None:
    """All that are signed; other fields are no addresses."""
    assert qualified(b" root", name) == b" root@example.com"
    assert qualified(b" root", b"X-" + name) == b" root"


def test_a_message_with_whole_addresses_stays_itself() -> None:
    """Not even a copy is made of it."""
    message = read_message(b"From: a@b.test\r\nTo: c@d.test\r\nCc: e@f.test, g@h.test\r\n\r\nx\r\n")
    assert qualify(message, "example.com") is message
