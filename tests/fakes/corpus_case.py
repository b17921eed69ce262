"""What a message of the corpus is, and how it is put together.

Pure. A case is built only when a test asks for it, so that collecting tests costs
nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

SIGNING_DOMAIN = "example.com"
IDN_DOMAIN = "xn--mnchen-3ya.example"  # A-label form of münchen.example, RFC 5890 §2.3.2.1

STANDARD_FIELDS: Mapping[str, bytes] = {
    "From": b"Jane Doe <jane@example.com>",
    "To": b"Ann <ann@sink.test>",
    "Subject": b"Numbers of the week",
    "Date": b"Fri, 20 Nov 2026 10:00:00 +0000",
    "Message-ID": b"<20261120100000.1@example.com>",
}
TEXT = b"Good morning,\r\n\r\nthe numbers are fine.\r\n\r\n-- \r\nJane\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One message with its envelope.

    Attributes:
        name: unique, in words joined by hyphens; it names the test.
        build: makes the message octets: CRLF line ends, no dot-stuffing.
        signing_domain: the `d=` that the signature must have.
        mail_from: reverse-path; empty for the null path.
        rcpt_to: forward-paths; none means the caller's usual one.
        mail_options: ESMTP parameters that MAIL needs.
        added: fields that are missing and must be there when the message is relayed.
        removed: fields that are there and must not be relayed.
        failed_by: verifiers that are known to say fail to a right signature of this
            message; the reason stands at the case.
    """

    name: str
    build: Callable[[], bytes]
    signing_domain: str = SIGNING_DOMAIN
    mail_from: str = "app@example.com"
    rcpt_to: tuple[str, ...] = ()
    mail_options: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    failed_by: tuple[str, ...] = ()

    def carried(self) -> bytes:
        """The octets with which the relayed message must end: all of it but removed fields."""
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


def mime(content_type: bytes, encoding: bytes | None = None) -> bytes:
    """The MIME header lines (RFC 2045 §3) for `compose`'s `extra`."""
    lines = b"MIME-Version: 1.0\r\nContent-Type: " + content_type + b"\r\n"
    if encoding is not None:
        lines += b"Content-Transfer-Encoding: " + encoding + b"\r\n"
    return lines


def lines_of(text: str) -> bytes:
    """Text with LF line ends as octets with CRLF, UTF-8."""
    return text.encode("utf-8").replace(b"\n", b"\r\n")
