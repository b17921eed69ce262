"""What a message of the corpus is, and how it is put together.

Pure. A case is built only when a test asks for it, so that collecting tests costs
nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from typing import Any

SIGNING_DOMAIN = "example.com"
IDN_DOMAIN = "xn--mnchen-3ya.example"  # A-label form of münchen.example, RFC 5890 §2.3.2.1
# Longer than a header line should be: dkimpy folds such a d= in its middle, and fails itself.
LONG_DOMAIN = ".".join(letter * 60 for letter in "abc") + ".example"

STANDARD_FIELDS: Mapping[str, bytes] = {
    "From": b"Jane Doe <jane@example.com>",
    "To": b"Ann <ann@sink.test>",
    "Subject": b"Numbers of the week",
    "Date": b"Fri, 20 Nov 2026 10:00:00 +0000",
    "Message-ID": b"<20261120100000.1@example.com>",
}
TEXT = b"Good morning,\r\n\r\nthe numbers are fine.\r\n\r\n-- \r\nJane\r\n"


class Relayed(Enum):
    """The message arrives, signed."""

    AS_IT_IS = auto()  # it ends in the octets of `Case.carried()`
    FOLDED = auto()  # the same but for long header lines, which are folded at white space
    REENCODED = auto()  # body parts have another encoding and the same decoded content


@dataclass(frozen=True, slots=True)
class Refused:
    """The client hears this code and enhanced code (RFC 3463), and nothing goes out."""

    code: int
    enhanced: str


Expectation = Relayed | Refused

ILL_FORMED = Refused(554, "5.6.0")  # not a message that can be signed as it is
TOO_LARGE = Refused(552, "5.3.4")  # its header section is over a limit
NOT_CONVERTIBLE = Refused(554, "5.6.3")  # what the hop cannot carry may not be re-encoded
BAD_AUTHOR = Refused(550, "5.6.0")  # From or Sender is not as RFC 5322 wants it
NOT_OURS = Refused(550, "5.7.1")  # a From domain without a key here
NEEDS_SMTPUTF8 = Refused(550, "5.6.7")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One message with its envelope, and what must become of it.

    Attributes:
        name: unique, in words joined by hyphens; it names the test.
        build: makes the message octets: CRLF line ends, no dot-stuffing.
        signing_domain: the `d=` that the signature must have.
        mail_from: reverse-path; empty for the null path.
        rcpt_to: forward-paths; none means the caller's usual one.
        mail_options: ESMTP parameters that MAIL needs.
        added: fields that are missing and must be there when the message is relayed.
        removed: fields that are there and must not be relayed.
        becomes: the octets in which the relayed message ends, where that is neither
            the message nor the message without removed fields.
        expected: what happens.
        at_bare_hop: the same, where the smarthost has neither 8BITMIME nor SMTPUTF8;
            None when that makes no difference.
    """

    name: str
    build: Callable[[], bytes]
    signing_domain: str = SIGNING_DOMAIN
    mail_from: str = "app@example.com"
    rcpt_to: tuple[str, ...] = ()
    mail_options: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    becomes: Callable[[], bytes] | None = None
    expected: Expectation = Relayed.AS_IT_IS
    at_bare_hop: Expectation | None = None

    def carried(self) -> bytes:
        """The octets with which the relayed message must end: all of it but removed fields."""
        if self.becomes is not None:
            return self.becomes()
        header, blank, body = self.build().partition(b"\r\n\r\n")
        for name in self.removed:
            field = rb"(?im)^" + name.encode() + rb":.*\r\n(?:[ \t].*\r\n)*"
            header = re.sub(field, b"", header + b"\r\n").removesuffix(b"\r\n")
        return header + blank + body


def compose(
    body: bytes = TEXT,
    *,
    fields: Mapping[str, bytes | None] | None = None,
    extra: bytes = b"",
) -> bytes:
    """Put a message together.

    Args:
        body: octets after the blank line.
        fields: values that replace the standard fields', in their places; None leaves
            a field out.
        extra: header lines as they are, each ending in CRLF, after the standard ones.

    Returns:
        The message; `: ` between names and values.
    """
    values = {**STANDARD_FIELDS, **(fields or {})}
    lines = [
        name.encode("ascii") + b": " + value + b"\r\n"
        for name, value in values.items()
        if value is not None
    ]
    return b"".join(lines) + extra + b"\r\n" + body


def with_body(name: str, body: bytes, **more: Any) -> Case:
    """A case with nothing special but its plain body; `more` are attributes of `Case`."""
    return Case(name=name, build=partial(compose, body), **more)


def with_header(name: str, extra: bytes, **more: Any) -> Case:
    """A case with further header lines."""
    return Case(name=name, build=partial(compose, extra=extra), **more)


def with_values(name: str, /, more: Mapping[str, Any] | None = None, **values: Any) -> Case:
    """A case with other values for standard fields.

    Args:
        name: of the case.
        more: further attributes of `Case`.
        values: octets for each field, None to leave it out; `_` in a name stands for `-`.
    """
    fields = {field.replace("_", "-"): value for field, value in values.items()}
    absent = [name for name in ("Date", "Message-ID") if name in fields and fields[name] is None]
    attributes = {"added": tuple(absent), **(more or {})}
    return Case(name=name, build=partial(compose, fields=fields), **attributes)


def with_mime(
    name: str, content_type: bytes, body: bytes, encoding: bytes | None = None, **more: Any
) -> Case:
    """A case with a MIME body."""
    build = partial(compose, body, extra=mime(content_type, encoding))
    return Case(name=name, build=build, **more)


def whole(name: str, text: str | bytes, **more: Any) -> Case:
    """A case whose whole message is given: text with LF line ends, or octets as they are."""
    octets = lines_of(text) if isinstance(text, str) else text
    return Case(name=name, build=lambda: octets, **more)


def mime(content_type: bytes, encoding: bytes | None = None) -> bytes:
    """The MIME header lines (RFC 2045 §3) for `compose`'s `extra`."""
    lines = b"MIME-Version: 1.0\r\nContent-Type: " + content_type + b"\r\n"
    if encoding is not None:
        lines += b"Content-Transfer-Encoding: " + encoding + b"\r\n"
    return lines


def lines_of(text: str) -> bytes:
    """Text with LF line ends as octets with CRLF, UTF-8."""
    return text.encode("utf-8").replace(b"\n", b"\r\n")
