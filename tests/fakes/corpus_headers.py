"""Messages whose header sections are of interest: folding, repetition, From, absence.

Pure. RFC 6376 §3.4.2 (relaxed header) and §5.4 (which fields), RFC 5322 §3 and §4.
"""

from __future__ import annotations

from functools import partial

from tests.fakes.corpus_case import IDN_DOMAIN, SIGNING_DOMAIN, TEXT, Case, compose

FOREIGN_SIGNATURE = (
    b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=lists.example.net; s=old;\r\n"
    b"\tt=1700000000; h=from:to:subject:date;\r\n"
    b"\tbh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;\r\n"
    b"\tb=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n"
    b"\tAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n"
)
RECEIVED = (
    b"Received: from host%d.example.net (host%d.example.net [192.0.2.%d])\r\n"
    b"\tby host%d.example.net with ESMTP id 4Xy%d;\r\n"
    b"\tFri, 20 Nov 2026 09:59:%02d +0000\r\n"
)


def _many_received() -> bytes:
    """Forty hops: under the fifty at which smarthosts see a loop."""
    hops = [RECEIVED % (n + 1, n + 1, n, n, n, n) for n in range(40, 0, -1)]
    return b"".join(hops) + compose()


def _long_references() -> bytes:
    """A References field of a hundred ids, one a line."""
    ids = [b"<%d.%d@mail.example.net>" % (n, n * 7919) for n in range(100)]
    field = b"References: " + b"\r\n ".join(ids) + b"\r\n"
    return compose(extra=b"In-Reply-To: " + ids[-1] + b"\r\n" + field)


def _many_fields() -> bytes:
    """Two hundred fields of no meaning."""
    return compose(extra=b"".join(b"X-Number-%d: %d\r\n" % (n, n) for n in range(200)))


def _header(name: str, extra: bytes) -> Case:
    """A case with further header lines."""
    return Case(name=name, build=partial(compose, extra=extra))


def _values(name: str, **values: bytes | None) -> Case:
    """A case with other values for standard fields; `_` in a field's name stands for `-`."""
    fields = {field.replace("_", "-"): value for field, value in values.items()}
    absent = tuple(
        field for field in ("Date", "Message-ID") if field in fields and fields[field] is None
    )
    return Case(name=name, build=partial(compose, fields=fields), added=absent)


FROM_FIELDS: tuple[Case, ...] = (
    _values("from-bare-address", From=b"jane@example.com"),
    _values("from-angle-address-only", From=b"<jane@example.com>"),
    _values("from-quoted-display-name", From=b'"Doe, Jane <x@example.net>" <jane@example.com>'),
    _values("from-display-name-with-escapes", From=b'"Jane \\"J\\\\D\\" Doe" <jane@example.com>'),
    _values("from-comments", From=b"(the (nested) boss) jane@example.com (x@example.net)"),
    _values("from-comment-inside", From=b"Jane <jane@(of)example.com>"),
    _values("from-quoted-local-part", From=b'Jane <"jane doe"@example.com>'),
    _values("from-local-part-with-at", From=b'<"x@example.net"@example.com>'),
    _values("from-folded", From=b"\r\n Jane\r\n\tDoe\r\n <jane@example.com>"),
    _values("from-upper-case-domain", From=b"Jane <Jane@EXAMPLE.COM>"),
    _values(
        "from-encoded-word", From=b"=?utf-8?q?J=C3=A4ne_=3Cx=40example=2Enet=3E?= <j@example.com>"
    ),
    _values("from-long-local-part", From=b"<" + b"j" * 64 + b"@example.com>"),
    Case(
        name="from-a-label-domain",
        build=partial(compose, fields={"From": b"Jane <jane@" + IDN_DOMAIN.encode() + b">"}),
        signing_domain=IDN_DOMAIN,
    ),
    Case(
        name="sender-of-another-domain",
        build=partial(compose, extra=b"Sender: Robot <robot@example.net>\r\n"),
        signing_domain=SIGNING_DOMAIN,
    ),
)

FOLDING: tuple[Case, ...] = (
    _values("folded-subject", Subject=b"the numbers\r\n of the week,\r\n\tfolded   twice"),
    _values("subject-folded-at-once", Subject=b"\r\n the numbers"),
    _values("subject-with-runs-of-blanks", Subject=b"  the \t numbers   \t"),
    _values("subject-with-colons", Subject=b"Re: Fwd: : b=bh=;h=from:to"),
    _values(
        "subject-of-encoded-words", Subject=b"=?utf-8?b?R3LDvMOfZQ==?=\r\n =?utf-8?q?_M=C3=BC?="
    ),
    _values("empty-subject", Subject=b""),
    _values("line-of-990-octets", Subject=b"s" * 981),
    _header("folded-to-many", b"Cc: a@example.net,\r\n b@example.net,\r\n\tc@example.net\r\n"),
    _header("no-blank-after-the-colon", b"X-Tight:value\r\nReply-To:jane@example.com\r\n"),
    _header("many-blanks-after-the-colon", b"X-Wide:     value    \r\n"),
    _header("white-space-only-continuation", b"X-Folded: one\r\n \r\n two\r\n"),
    _header("empty-fields", b"X-Empty:\r\nX-Blank: \r\nCc:\r\nReply-To: \r\n"),
    _header("odd-field-names", b"cC: b@example.net\r\nrEPLY-tO: j@example.com\r\nX!#$%&'*+: 1\r\n"),
    Case(name="long-folded-references", build=_long_references),
    Case(
        name="field-names-in-upper-case",
        build=lambda: (
            b"FROM: jane@example.com\r\nTO: ann@sink.test\r\nSUBJECT: loud\r\n"
            b"DATE: Fri, 20 Nov 2026 10:00:00 +0000\r\nMESSAGE-ID: <loud@example.com>\r\n\r\n"
            + TEXT
        ),
    ),
)

REPETITION: tuple[Case, ...] = (
    _header("repeated-fields", b"X-Tag: one\r\nX-Tag: two\r\nX-Tag: one\r\nKeywords: a\r\n"),
    _header("repeated-comments", b"Comments: first\r\nComments: second\r\nComments: first\r\n"),
    Case(name="many-received", build=_many_received),
    Case(name="two-hundred-fields", build=_many_fields),
    Case(name="signature-of-a-list", build=lambda: FOREIGN_SIGNATURE + compose()),
    Case(
        name="resent-message",
        build=lambda: (
            b"Resent-From: ann@example.net\r\nResent-To: bob@example.net\r\n"
            b"Resent-Date: Fri, 20 Nov 2026 11:00:00 +0000\r\n"
            b"Resent-Message-ID: <again@example.net>\r\n" + compose()
        ),
    ),
)

USES: tuple[Case, ...] = (
    _header(
        "mailing-list",
        b"List-Id: Numbers <numbers.example.com>\r\n"
        b"List-Unsubscribe: <mailto:off@example.com>,\r\n <https://example.com/off?u=1>\r\n"
        b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nPrecedence: bulk\r\n",
    ),
    _header(
        "answer",
        b"In-Reply-To: <0@example.net>\r\nReferences: <0@example.net>\r\n"
        b"Reply-To: Jane <jane@example.com>\r\nCc: Bob <bob@example.net>\r\n",
    ),
    _header("content-fields", b"Content-Description: text\r\nContent-ID: <part@example.com>\r\n"),
    _header(
        "mime-version-with-comment",
        b"MIME-Version: 1.0 (made by hand)\r\nContent-Type: text/plain\r\n",
    ),
    _values("missing-date", Date=None),
    _values("missing-message-id", Message_ID=None),
    _values("missing-date-and-message-id", Date=None, Message_ID=None),
    _values("missing-to", To=None),
    _values("missing-to-and-subject", To=None, Subject=None),
    Case(
        name="from-field-only",
        build=lambda: b"From: jane@example.com\r\n\r\n" + TEXT,
        added=("Date", "Message-ID"),
    ),
    Case(
        name="bcc",
        build=partial(compose, extra=b"Bcc: hidden@example.net,\r\n hidden-too@example.net\r\n"),
        removed=("Bcc",),
    ),
    Case(
        name="return-path-from-the-application",
        build=lambda: b"Return-Path: <old@example.net>\r\n" + compose(),
        removed=("Return-Path",),
    ),
)

HEADERS: tuple[Case, ...] = (*FROM_FIELDS, *FOLDING, *REPETITION, *USES)
