"""Messages whose header sections are of interest: folding, blanks, repetition, absence, size.

Pure. RFC 6376 §3.4.2 (relaxed header) and §5.4 (which fields), RFC 5322 §3 and §4. From and
Sender have a file of their own.
"""

from __future__ import annotations

from tests.fakes.corpus_case import (
    ILL_FORMED,
    TEXT,
    Case,
    compose,
    whole,
    with_header,
    with_values,
)

RECEIVED = (
    b"Received: from host%d.example.net (host%d.example.net [192.0.2.%d])\r\n"
    b"\tby host%d.example.net with ESMTP id 4Xy%d;\r\n"
    b"\tFri, 20 Nov 2026 09:59:%02d +0000\r\n"
)
# Under the fifty at which smarthosts see a loop.
FORTY_HOPS = b"".join(RECEIVED % (n + 1, n + 1, n, n, n, n) for n in range(40, 0, -1))


def _references(ids: int) -> bytes:
    """In-Reply-To, and a References field with so many ids, one a line."""
    names = [b"<%d.%06d@mail.example.net>" % (n, n * 7919) for n in range(ids)]
    return b"In-Reply-To: " + names[-1] + b"\r\nReferences: " + b"\r\n ".join(names) + b"\r\n"


FOLDING: tuple[Case, ...] = (
    with_values("folded-subject", Subject=b"the numbers\r\n of the week,\r\n\tfolded   twice"),
    with_values("subject-folded-at-once", Subject=b"\r\n the numbers"),
    with_values("subject-with-runs-of-blanks", Subject=b"  the \t numbers   \t"),
    with_values("subject-with-colons", Subject=b"Re: Fwd: : b=bh=;h=from:to"),
    with_values("empty-subject", Subject=b""),
    with_values("subject-of-blanks", Subject=b"  \t "),
    with_header("folded-cc", b"Cc: a@example.net,\r\n b@example.net,\r\n\tc@example.net\r\n"),
    with_header("folded-within-quotes", b'Reply-To: "Jane\r\n  Doe" <jane@example.com>\r\n'),
    with_header("folded-after-every-word", b"X-Words: a\r\n b\r\n c\r\n\td\r\n\t\te\r\n"),
    with_header("folded-with-trailing-blanks", b"X-Words: a \r\n b\t \r\n\t c \t\r\n"),
    # RFC 5322 §4.2 obs-FWS: a line of white space only goes on with the field.
    with_header("white-space-only-continuation", b"X-Folded: one\r\n \r\n two\r\n"),
    with_header("white-space-only-last-line", b"List-Id: one\r\n \t \r\n"),
    with_header("white-space-only-lines-alone", b"Cc:\r\n \r\n\t\r\n"),
    with_header("no-blank-after-the-colon", b"X-Tight:value\r\nReply-To:jane@example.com\r\n"),
    with_header("tab-after-the-colon", b"X-Tab:\tvalue\r\nReply-To:\t\tjane@example.com\r\n"),
    with_header("many-blanks-after-the-colon", b"X-Wide:     value    \r\n"),
    with_header("empty-fields", b"X-Empty:\r\nX-Blank: \r\nCc:\r\nReply-To: \r\n"),
    with_header("colons-in-values", b"X-A::\r\nX-B: :\r\nX-C:: x: y\r\n"),
)

NAMES: tuple[Case, ...] = (
    with_header(
        "odd-field-names", b"cC: b@example.net\r\nrEPLY-tO: j@example.com\r\nX!#$%&'*+: 1\r\n"
    ),
    with_header("field-name-of-one-octet", b"X: 1\r\n~: 2\r\n"),
    with_header("field-name-of-900-octets", b"X-" + b"n" * 898 + b": 1\r\n"),
    with_header(
        "field-names-like-signatures", b"DKIM-Signature-Old: v=1\r\nX-DKIM-Signature: b=\r\n"
    ),
    # Oversigned fields that are there in another case; the names in h= are in lower case.
    whole(
        "field-names-in-upper-case",
        b"FROM: jane@example.com\r\nTO: ann@sink.test\r\nSUBJECT: loud\r\n"
        b"DATE: Fri, 20 Nov 2026 10:00:00 +0000\r\nMESSAGE-ID: <loud@example.com>\r\n\r\n" + TEXT,
    ),
    whole(
        "field-names-in-lower-case",
        b"from: jane@example.com\r\nto: ann@sink.test\r\nsubject: quiet\r\nmime-version: 1.0\r\n"
        b"date: Fri, 20 Nov 2026 10:00:00 +0000\r\nmessage-id: <quiet@example.com>\r\n\r\n" + TEXT,
    ),
)

REPETITION: tuple[Case, ...] = (
    with_header("repeated-fields", b"X-Tag: one\r\nX-Tag: two\r\nX-Tag: one\r\nKeywords: a\r\n"),
    with_header("repeated-comments", b"Comments: first\r\nComments: second\r\nComments: first\r\n"),
    # RFC 5322 §3.6 permits one of each; no verifier minds these.
    with_header("second-date", b"Date: Fri, 20 Nov 2026 11:00:00 +0000\r\n", expected=ILL_FORMED),
    with_header(
        "second-reply-to",
        b"Reply-To: a@example.net\r\nReply-To: b@example.net\r\n",
        expected=ILL_FORMED,
    ),
    with_header(
        "second-references",
        b"References: <1@x>\r\nReferences: <1@x> <2@x>\r\n",
        expected=ILL_FORMED,
    ),
    with_header(
        "second-content-type",
        b"Content-Type: text/plain\r\nContent-Type: text/html\r\n",
        expected=ILL_FORMED,
    ),
    with_header("repeated-list-fields", b"List-Post: NO\r\nList-Post: <mailto:a@b.c>\r\n"),
    whole("many-received", FORTY_HOPS + compose()),
    whole(
        "resent-message",
        b"Resent-From: ann@example.net\r\nResent-To: bob@example.net\r\n"
        b"Resent-Date: Fri, 20 Nov 2026 11:00:00 +0000\r\n"
        b"Resent-Message-ID: <again@example.net>\r\n" + compose(),
    ),
    # RFC 5322 §3.6.6: a block of fields for each time.
    whole(
        "message-resent-twice",
        b"".join(
            b"Resent-From: %b@example.net\r\nResent-To: bob@example.net\r\n"
            b"Resent-Date: Fri, 20 Nov 2026 11:00:00 +0000\r\n" % name
            for name in (b"bob", b"ann")
        )
        + compose(),
    ),
)

SIZES: tuple[Case, ...] = (
    with_header("references-of-a-hundred-ids", _references(100)),
    # Near 64 KiB, at which OpenDKIM's default ends.
    with_header("references-of-60-kb", _references(1700)),
    with_header("two-thousand-fields", b"".join(b"X-%d: %d\r\n" % (n, n) for n in range(1994))),
    with_header("sixty-list-fields", b"".join(b"List-%d: %d\r\n" % (n, n) for n in range(60))),
)

USES: tuple[Case, ...] = (
    with_header(
        "mailing-list",
        b"List-Id: Numbers <numbers.example.com>\r\n"
        b"List-Unsubscribe: <mailto:off@example.com>,\r\n <https://example.com/off?u=1>\r\n"
        b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nPrecedence: bulk\r\n",
    ),
    with_header(
        "answer",
        b"In-Reply-To: <0@example.net>\r\nReferences: <0@example.net>\r\n"
        b"Reply-To: Jane <jane@example.com>\r\nCc: Bob <bob@example.net>\r\n",
    ),
    with_header(
        "content-fields", b"Content-Description: text\r\nContent-ID: <part@example.com>\r\n"
    ),
    with_header(
        "mime-version-with-comment",
        b"MIME-Version: 1.0 (made by hand)\r\nContent-Type: text/plain\r\n",
    ),
    with_values("undisclosed-recipients", To=b"undisclosed-recipients:;"),
    with_values("group-in-to", To=b"A Group: ann@sink.test, Bob <bob@sink.test>;"),
    with_values("date-of-old-form", Date=b"Fri, 20 Nov 26 10:00:00 GMT (whenever)"),
    with_values("date-that-is-none", Date=b"today"),
    with_values("message-id-without-brackets", Message_ID=b"20261120.1@example.com"),
)

ABSENCE: tuple[Case, ...] = (
    with_values("missing-date", Date=None),
    with_values("missing-message-id", Message_ID=None),
    with_values("missing-date-and-message-id", Date=None, Message_ID=None),
    with_values("missing-to", To=None),
    with_values("missing-to-and-subject", To=None, Subject=None),
    whole(
        "from-field-only", b"From: jane@example.com\r\n\r\n" + TEXT, added=("Date", "Message-ID")
    ),
    # RFC 5322 §3.5: a message may end with its header section; on the wire a blank line ends it.
    whole(
        "header-only", compose().partition(b"\r\n\r\n")[0] + b"\r\n", becomes=lambda: compose(b"")
    ),
    with_header(
        "bcc", b"Bcc: hidden@example.net,\r\n hidden-too@example.net\r\n", removed=("Bcc",)
    ),
    with_header("empty-bcc", b"Bcc:\r\n", removed=("Bcc",)),
    with_header("resent-bcc", b"Resent-Bcc: hidden@example.net\r\n", removed=("Resent-Bcc",)),
    whole(
        "return-path-from-the-application",
        b"Return-Path: <old@example.net>\r\n" + compose(),
        removed=("Return-Path",),
    ),
    # What mailbox files have in front; no header field, so it does not go out.
    whole(
        "mbox-line",
        b"From jane@example.com Fri Nov 20 10:00:00 2026\r\n" + compose(),
        becomes=compose,
    ),
    whole("escaped-mbox-line", b">From jane@example.com\r\n" + compose(), becomes=compose),
)

HEADERS: tuple[Case, ...] = (*FOLDING, *NAMES, *REPETITION, *SIZES, *USES, *ABSENCE)
