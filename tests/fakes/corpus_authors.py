"""Who wrote a message: From and Sender, those that are signed and those that are refused.

Pure. RFC 5322 §3.4, §3.6.2 and §4.4 (addresses), RFC 6854 (groups), RFC 8616 (IDN).
"""

from __future__ import annotations

from functools import partial

from tests.fakes.corpus_case import (
    BAD_AUTHOR,
    IDN_DOMAIN,
    LONG_DOMAIN,
    NEEDS_SMTPUTF8,
    NOT_OURS,
    Case,
    Expectation,
    Relayed,
    compose,
    with_header,
    with_values,
)

IDN_DOMAIN_AS_TEXT = "münchen.example"  # the same in U-labels
AS_IT_IS = Relayed.AS_IT_IS


def _authors(expected: Expectation, values: dict[str, bytes | None]) -> tuple[Case, ...]:
    """A case for each value of From."""
    return tuple(
        with_values(f"from-{name}", {"expected": expected}, From=value)
        for name, value in values.items()
    )


SIGNED: tuple[Case, ...] = _authors(
    AS_IT_IS,
    {
        "bare-address": b"jane@example.com",
        "angle-address-only": b"<jane@example.com>",
        "quoted-display-name": b'"Doe, Jane <x@example.net>" <jane@example.com>',
        "display-name-with-escapes": b'"Jane \\"J\\\\D\\" Doe" <jane@example.com>',
        "display-name-with-dots": b"Jane Q. Doe <jane@example.com>",  # obs-phrase
        "empty-display-name": b'"" <jane@example.com>',
        "comments": b"(the (nested) boss) jane@example.com (x@example.net)",
        "comment-inside": b"Jane <jane@(of)example.com>",
        "comment-for-a-name": b"jane@example.com (Jane \\) Doe)",
        "quoted-local-part": b'Jane <"jane doe"@example.com>',
        "local-part-with-at": b'<"x@example.net"@example.com>',
        "local-part-with-a-whole-address": b'"x <a@example.net>"@example.com',
        "local-part-with-dots": b"<jane.q.doe+tag=1@example.com>",
        "obsolete-blanks": b"Jane < jane @ example . com >",
        "obsolete-route": b"Jane <@example.net:jane@example.com>",
        "folded": b"\r\n Jane\r\n\tDoe\r\n <jane@example.com>",
        "upper-case-domain": b"Jane <Jane@EXAMPLE.COM>",
        "encoded-word": b"=?utf-8?q?J=C3=A4ne_=3Cx=40example=2Enet=3E?= <j@example.com>",
        "long-local-part": b"<" + b"j" * 64 + b"@example.com>",
        "list-with-empty-members": b", jane@example.com ,,",  # obs-mbox-list
    },
)

REFUSED: tuple[Case, ...] = (
    *_authors(
        BAD_AUTHOR,
        {
            "missing": None,
            "empty": b"",
            "blank": b"  ",
            "no-address": b"Jane Doe",
            "local-part-only": b"jane",
            "null-address": b"<>",
            # RFC 6854 permits groups, and then nobody is the author.
            "group": b"Authors: jane@example.com;",
            "empty-group": b"Nobody:;",
            "unclosed-comment": b"jane@example.com (",
            "unclosed-quote": b'"Jane <jane@example.com>',
            "unclosed-bracket": b"Jane <jane@example.com",
            "two-angle-addresses": b"<jane@example.net> <jane@example.com>",
            "at-in-a-display-name": b"x@example.net <jane@example.com>",
            "two-ats": b"jane@example.net@example.com",
            "two-mailboxes": b"jane@example.com, bob@example.com",  # and no Sender
        },
    ),
    *_authors(
        NOT_OURS,
        {
            "other-domain": b"jane@example.net",
            "subdomain": b"jane@sub.example.com",
            "parent-domain": b"jane@com",
            "domain-with-our-suffix": b"jane@evilexample.com",
            "address-literal": b"jane@[127.0.0.1]",
            "our-address-in-the-comment": b"jane@example.net (jane@example.com)",
            "our-address-in-the-name": b'"jane@example.com" <jane@example.net>',
        },
    ),
    with_header("second-from", b"From: jane@example.com\r\n", expected=BAD_AUTHOR),
    with_header("second-from-in-other-case", b"fROM: x@example.net\r\n", expected=BAD_AUTHOR),
)

TWO = b"Jane <jane@example.com>, Bob <bob@example.com>"

SENDERS: tuple[Case, ...] = (
    with_header("sender-of-another-domain", b"Sender: Robot <robot@example.net>\r\n"),
    with_header(
        "sender-without-a-domain",
        b"Sender: Robot\r\n",
        becomes=partial(compose, extra=b"Sender: Robot@example.com\r\n"),
    ),
    with_header("sender-that-is-no-address", b"Sender: Robot and others\r\n"),
    with_values(
        "recipients-without-a-domain",
        {"becomes": partial(compose, fields={"To": b"Ann <root@example.com>, ops@example.com"})},
        To=b"Ann <root>, ops",
    ),
    with_values("two-authors-and-a-sender", From=TWO + b"\r\nSender: jane@example.com"),
    with_values(
        "two-authors-and-two-senders",
        {"expected": BAD_AUTHOR},
        From=TWO + b"\r\nSender: jane@example.com\r\nSender: bob@example.com",
    ),
    with_values(
        "two-authors-and-a-sender-elsewhere",
        {"expected": NOT_OURS},
        From=TWO + b"\r\nSender: x@example.net",
    ),
    with_values(
        "authors-here-and-elsewhere",
        {"expected": NOT_OURS},
        From=b"jane@example.com, x@example.net\r\nSender: jane@example.com",
    ),
    with_values(
        "authors-of-two-of-our-domains",
        {"signing_domain": IDN_DOMAIN},
        From=b"jane@example.com, hans@"
        + IDN_DOMAIN.encode()
        + b"\r\nSender: hans@"
        + IDN_DOMAIN.encode(),
    ),
)

IDN: tuple[Case, ...] = (
    with_values(
        "from-a-label-domain",
        {"signing_domain": IDN_DOMAIN},
        From=b"Jane <jane@" + IDN_DOMAIN.upper().encode() + b">",
    ),
    # UTF-8 in an address without SMTPUTF8 is against RFC 6532, and what some applications send.
    with_values(
        "from-u-label-domain",
        {"signing_domain": IDN_DOMAIN, "at_bare_hop": NEEDS_SMTPUTF8},
        From=f"Jörg <jörg@{IDN_DOMAIN_AS_TEXT}>".encode(),
    ),
    with_values(
        "from-u-label-domain-in-upper-case",
        {"signing_domain": IDN_DOMAIN, "at_bare_hop": NEEDS_SMTPUTF8},
        From=f"<hans@{IDN_DOMAIN_AS_TEXT.upper()}>".encode(),
    ),
    with_values(
        "from-domain-of-190-octets",
        {"signing_domain": LONG_DOMAIN},
        From=f"Jane <jane@{LONG_DOMAIN}>".encode(),
    ),
    with_values(
        "from-domain-that-is-no-utf-8", {"expected": BAD_AUTHOR}, From=b"jane@m\xfcnchen.example"
    ),
)

AUTHORS: tuple[Case, ...] = (*SIGNED, *REFUSED, *SENDERS, *IDN)
