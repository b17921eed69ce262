"""Messages whose bodies are of interest: encodings, line ends, blanks, dots, sizes.

Pure. RFC 6376 §3.4.4 (relaxed body), RFC 5321 §4.5.2 (transparency), RFC 2045-2046.
"""

from __future__ import annotations

import base64
import hashlib
from functools import partial

from tests.fakes.corpus_case import Case, compose, lines_of, mime

ATTACHMENT_OCTETS = 5_000_000
RELAY_BLOCK_OCTETS = 65536  # a power of two at which readers like to cut
MAX_LINE_OCTETS = 998  # RFC 5322 §2.1.1, CRLF excluded

HTML_MULTIPART = lines_of(
    """\
This is a multi-part message in MIME format.
--=_alternative
Content-Type: text/plain; charset=us-ascii

The numbers are fine.

--=_alternative
Content-Type: text/html; charset=us-ascii

<html><body><p>The   numbers are <b>fine</b>.</p></body></html>

--=_alternative--

epilogue
"""
)

NESTED_MULTIPART = lines_of(
    """\
--outer
Content-Type: multipart/alternative; boundary="inner"

--inner
Content-Type: text/plain

text
--inner
Content-Type: text/html

<p>text</p>
--inner--
--outer
Content-Type: message/rfc822
Content-Disposition: attachment

From: other@example.net
To: jane@example.com
Subject: the message before
DKIM-Signature: v=1; a=rsa-sha256; this one is text, not a field of the message
Bcc: hidden@example.net

.its body
--outer--
"""
)

CALENDAR = lines_of(
    """\
BEGIN:VCALENDAR
VERSION:2.0
METHOD:REQUEST
BEGIN:VEVENT
UID:1@example.com
DTSTART:20261120T100000Z
SUMMARY:numbers\\, once more
DESCRIPTION:a line that is folded in the way of calendars, with a blank that
  belongs to the text
END:VEVENT
END:VCALENDAR
"""
)


def _attachment() -> bytes:
    """A message with a base64 attachment of five million octets."""
    data = hashlib.shake_256(b"attachment").digest(ATTACHMENT_OCTETS)
    encoded = base64.encodebytes(data).replace(b"\n", b"\r\n")
    body = (
        b"--part\r\nContent-Type: text/plain\r\n\r\nattached\r\n"
        b"--part\r\nContent-Type: application/octet-stream; name=numbers.bin\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n" + encoded + b"--part--\r\n"
    )
    return compose(body, extra=mime(b"multipart/mixed; boundary=part"))


def _of_size(message_octets: int) -> bytes:
    """A message of exactly this many octets, of lines of text."""
    line = b"all work and no play makes Jack a dull boy\r\n"
    head = compose(b"")
    text = head + line * ((message_octets - len(head)) // len(line) - 1)
    return text + b"z" * (message_octets - len(text) - 2) + b"\r\n"


def _long_text() -> bytes:
    """About 100 KB of text with runs of blanks and blank lines."""
    paragraph = b"The  quick brown fox\tjumps over \t the lazy dog. \r\n\r\n \r\n"
    return compose(paragraph * 2000)


def _body(name: str, body: bytes) -> Case:
    """A case with nothing special but its plain body."""
    return Case(name=name, build=partial(compose, body))


BODIES: tuple[Case, ...] = (
    _body("plain-text", b"Good morning,\r\n\r\nthe numbers are fine.\r\n"),
    Case(
        name="html-multipart",
        build=partial(
            compose,
            HTML_MULTIPART,
            extra=mime(b'multipart/alternative;\r\n\tboundary="=_alternative"'),
        ),
    ),
    Case(
        name="nested-multipart-with-attached-message",
        build=partial(compose, NESTED_MULTIPART, extra=mime(b"multipart/mixed; boundary=outer")),
    ),
    Case(
        name="multipart-part-without-header",
        build=partial(
            compose,
            b"--b\r\n\r\nonly part\r\n--b--\r\n",
            extra=mime(b"multipart/mixed; boundary=b"),
        ),
    ),
    Case(
        name="calendar-invitation",
        build=partial(
            compose, CALENDAR, extra=mime(b"text/calendar; method=REQUEST; charset=utf-8", b"7bit")
        ),
    ),
    Case(
        name="eight-bit-utf-8",
        build=partial(
            compose,
            lines_of("Grüße aus München, 100 €\n日本語の本文\n"),
            extra=mime(b"text/plain; charset=utf-8", b"8bit"),
        ),
    ),
    Case(
        name="eight-bit-latin-1",
        build=partial(
            compose,
            b"Gr\xfc\xdfe aus M\xfcnchen\xa0!\r\n",
            extra=mime(b"text/plain; charset=iso-8859-1", b"8bit"),
        ),
    ),
    Case(
        name="eight-bit-every-octet",
        build=partial(
            compose,
            bytes(range(0x80, 0x100)) + b"\r\n",
            extra=mime(b"text/plain; charset=windows-1252", b"8bit"),
        ),
    ),
    Case(
        name="quoted-printable",
        build=partial(
            compose,
            b"Gr=C3=BC=C3=9Fe =E2=82=AC=20\r\na soft line =\r\nbreak\r\n=2E\r\n",
            extra=mime(b"text/plain; charset=utf-8", b"quoted-printable"),
        ),
    ),
    Case(name="base64-attachment-of-5-mb", build=_attachment),
    Case(name="long-text-with-runs-of-blanks", build=_long_text),
    _body("empty-body", b""),
    _body("body-of-one-line-end", b"\r\n"),
    _body("body-of-blank-lines", b"\r\n" * 7),
    Case(
        name="body-of-white-space-lines",
        build=partial(compose, b" \r\n\t\r\n \t \r\n"),
        # rspamd 3.4 does not reduce such a body to the empty one (RFC 6376 §3.4.4).
        failed_by=("rspamd",),
    ),
    _body("body-ending-in-blank-lines", b"text\r\n" + b"\r\n" * 9),
    _body("body-ending-in-white-space-lines", b"text\r\n \r\n\t\t\r\n\r\n"),
    _body("body-beginning-with-blank-lines", b"\r\n\r\n\r\ntext\r\n"),
    _body("lines-beginning-with-dots", b".\r\n..\r\n...three\r\n.one\r\n. \r\n\t.\r\ntext.\r\n"),
    _body("body-of-one-dot", b".\r\n"),
    _body("body-ending-in-a-dot-line", b"text\r\n.\r\n"),
    _body("dots-across-every-block-boundary", b".\r\n" * (RELAY_BLOCK_OCTETS // 2)),
    _body("smtp-commands-in-the-body", b"QUIT\r\nRSET\r\n.QUIT\r\nMAIL FROM:<x@example.net>\r\n"),
    _body("lines-of-900-octets", (b"x" * 900 + b"\r\n") * 5),
    _body("lines-of-998-octets", (b"y" * MAX_LINE_OCTETS + b"\r\n") * 3),
    _body("lines-of-998-octets-with-dots", (b"." * MAX_LINE_OCTETS + b"\r\n") * 3),
    _body("lines-of-990-blanks", (b" " * 990 + b"x\r\n") * 20),
    _body("trailing-white-space", b"one \r\ntwo\t\r\nthree \t \t\r\nfour\r\n"),
    _body("tabs-and-runs-of-blanks", b"a  b\tc\t\td \t e\r\n  f\r\n\tg\r\n"),
    _body("from-lines", b"From here on\r\n>From there\r\nFrom jane Fri Nov 20 10:00:00 2026\r\n"),
    _body("escape-and-delete", b"text \x1b[1mbold\x1b[0m\x7f\r\n"),
    Case(
        name="form-feed",
        build=partial(compose, b"page one\x0cpage two\r\n"),
        # rspamd 3.4 takes it for white space; WSP is SP and HTAB (RFC 6376 §2.8).
        failed_by=("rspamd",),
    ),
    _body("lines-like-header-fields", b"Subject: no\r\nFrom: x@example.net\r\n\r\nBcc: y\r\n"),
    _body("every-other-line-blank", b"x\r\n\r\n" * 20000),
    Case(name="one-octet-less-than-a-block", build=partial(_of_size, RELAY_BLOCK_OCTETS - 1)),
    Case(name="exactly-a-block", build=partial(_of_size, RELAY_BLOCK_OCTETS)),
    Case(name="one-octet-more-than-a-block", build=partial(_of_size, RELAY_BLOCK_OCTETS + 1)),
)
