"""Messages whose lines no hop may be trusted with: re-encoded before they are signed, or folded.

Pure. RFC 5322 §2.1.1 (998 octets), RFC 2045 §6.7-6.8. VT and FF are white space to some
verifiers and to others not, so they leave as quoted-printable or base64 (LIBRARIES.md §C).
"""

from __future__ import annotations

import base64
from typing import Any

from tests.fakes.corpus_case import (
    ILL_FORMED,
    NOT_CONVERTIBLE,
    Case,
    Relayed,
    lines_of,
    with_body,
    with_mime,
    with_values,
)

LONG = b"x" * 999  # one octet over what a line may have
REENCODED = Relayed.REENCODED
HTML = b"<p>" + b"All in one line, as generators of newsletters like it. " * 100 + b"</p>\r\n"


def _mixed(name: str, *parts: bytes, **more: Any) -> Case:
    body = b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n"
    return with_mime(name, b"multipart/mixed; boundary=b", body, **more)


LONG_LINES: tuple[Case, ...] = (
    with_body("line-of-999-octets", b"text\r\n" + LONG + b"\r\n", expected=REENCODED),
    with_body("line-of-100000-octets", b"y z" * 33333 + b"\r\n", expected=REENCODED),
    with_body("line-of-999-blanks", b"x\r\n" + b" " * 999 + b"\r\nx\r\n", expected=REENCODED),
    with_body("line-of-999-dots", b"." * 999 + b"\r\n.\r\n", expected=REENCODED),
    with_body("line-of-999-equals-signs", b"=" * 999 + b"\r\n", expected=REENCODED),
    with_mime("html-in-one-line", b"text/html; charset=utf-8", HTML, b"7bit", expected=REENCODED),
    with_mime(
        "eight-bit-html-in-one-line",
        b"text/html; charset=utf-8",
        HTML.replace(b"generators", "Generatoren für Größeres".encode()),
        b"8bit",
        expected=REENCODED,
    ),
    with_mime(
        "base64-in-one-line",
        b"application/pdf",
        base64.b64encode(bytes(range(256)) * 8) + b"\r\n",
        b"base64",
        expected=REENCODED,
    ),
    with_mime(
        "quoted-printable-in-one-line",
        b"text/plain; charset=utf-8",
        b"Gr=C3=BC=C3=9Fe " * 80 + b"\r\n",
        b"quoted-printable",
        expected=REENCODED,
    ),
    with_mime(
        "octet-stream-of-long-lines",
        b"application/octet-stream",
        LONG + b"\r\n" + LONG + b"\r\n",
        b"7bit",
        expected=REENCODED,
    ),
    _mixed(
        "one-long-part-among-others",
        b"Content-Type: text/plain\r\n\r\nshort  and  \r\n.\r\n",
        b"Content-Type: text/html\r\n\r\n" + LONG + b"\r\n",
        b"Content-Type: text/csv\r\n\r\n1;2\r\n",
        expected=REENCODED,
    ),
    _mixed(
        "long-line-in-a-forwarded-message",
        b"Content-Type: message/rfc822\r\n\r\nSubject: before\r\n\r\n" + LONG + b"\r\n",
        expected=REENCODED,
    ),
    _mixed("long-line-in-a-part-without-header", b"\r\n" + LONG, expected=REENCODED),
    # Nothing may be put in there without changing what it is.
    with_mime(
        "long-line-in-an-unknown-encoding",
        b"text/plain",
        LONG + b"\r\n",
        b"x-rot13",
        expected=NOT_CONVERTIBLE,
    ),
    with_mime(
        "long-line-in-damaged-base64",
        b"application/pdf",
        b"A" * 997 + b"!" + b"\r\n" + b"A" * 999 + b"\r\n",
        b"base64",
        expected=NOT_CONVERTIBLE,
    ),
    with_mime(
        "long-line-between-parts",
        b"multipart/mixed; boundary=b",
        LONG + b"\r\n--b\r\n\r\npart\r\n--b--\r\n",
        expected=NOT_CONVERTIBLE,
    ),
    _mixed(
        "long-line-in-the-header-of-a-part",
        b"Content-Type: text/plain; x=" + LONG + b"\r\n\r\ntext",
        expected=NOT_CONVERTIBLE,
    ),
    with_mime(
        "long-line-in-a-multipart-without-boundary",
        b"multipart/mixed",
        LONG + b"\r\n",
        expected=NOT_CONVERTIBLE,
    ),
)

CONTROLS: tuple[Case, ...] = (
    with_body("form-feed", b"page one\x0cpage two\r\n", expected=REENCODED),
    with_body(
        "form-feed-at-the-end-of-a-line",
        b"page one\x0c\r\n\x0c\r\npage two \x0c\r\n",
        expected=REENCODED,
    ),
    with_body("vertical-tab", b"a\x0bb\r\nc \x0b \r\n\x0b\r\n", expected=REENCODED),
    with_mime(
        "form-feed-in-eight-bit-text",
        b"text/plain; charset=utf-8",
        lines_of("Grüße\x0c\n"),
        b"8bit",
        expected=REENCODED,
    ),
    with_mime(
        "vertical-tab-in-quoted-printable",
        b"text/plain; charset=utf-8",
        b"a=C3=BC \x0b\r\n",
        b"quoted-printable",
        expected=REENCODED,
    ),
    _mixed(
        "form-feed-in-one-part",
        b"\r\npage one\x0cpage two",
        b"Content-Type: application/x-print\r\n\r\n\x0c\x0b\x0c",
        expected=REENCODED,
    ),
    with_mime(
        "form-feed-in-an-encoding-that-is-no-ascii",
        b"text/plain",
        b"page one\x0cpage two\r\n",
        b"b\xe4se64",
        expected=NOT_CONVERTIBLE,
    ),
    # RFC 5322: without a Content-Type it is said to be US-ASCII, which it is not.
    with_body(
        "form-feed-in-eight-bit-without-mime", b"Gr\xfc\xdfe\x0c\r\n", expected=NOT_CONVERTIBLE
    ),
)

LONG_FIELDS: tuple[Case, ...] = (
    with_values("header-line-of-998-octets", Subject=b"s" * (998 - len("Subject: "))),
    # At the blank after the colon.
    with_values(
        "header-word-of-997-octets",
        {"expected": Relayed.FOLDED},
        Subject=b"s" * 997,
    ),
    # A hop that breaks such a line itself puts a blank in where none was.
    with_values("header-word-of-998-octets", {"expected": ILL_FORMED}, Subject=b"s" * 998),
    with_values(
        "header-line-of-5400-octets",
        {"expected": Relayed.FOLDED},
        Subject=b"numbers and \t more numbers of the week " * 135,
    ),
    with_values(
        "to-of-two-hundred-in-one-line",
        {"expected": Relayed.FOLDED},
        To=b", ".join(b"r%03d@sink.test" % number for number in range(200)),
    ),
    with_values(
        "long-lines-in-a-folded-field",
        {"expected": Relayed.FOLDED},
        Subject=b"short\r\n " + b"long " * 300 + b"\r\n\tshort",
    ),
    # Folded at one of its last blanks there would be a line of blanks only.
    with_values(
        "header-word-and-blanks-at-the-end",
        {"expected": ILL_FORMED},
        Subject=b"s" * 987 + b" " * 10,
    ),
)

REENCODING: tuple[Case, ...] = (*LONG_LINES, *CONTROLS, *LONG_FIELDS)
