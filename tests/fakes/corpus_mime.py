"""Messages of many parts: structure, boundaries, attachments, messages within messages.

Pure. RFC 2045-2046, RFC 2231 (file names), RFC 2387 (related), RFC 3676 (flowed).
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from tests.fakes.corpus_case import (
    NOT_CONVERTIBLE,
    Case,
    Relayed,
    compose,
    lines_of,
    mime,
    with_mime,
)

ATTACHMENT_OCTETS = 5_000_000
PART = b"--b\r\n\r\npart\r\n"
END = b"--b--\r\n"

HTML_MULTIPART = """\
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

NESTED_MULTIPART = """\
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

RELATED = """\
--rel
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: 7bit

<img src="cid:logo@example.com" alt="logo"><img src=cid:dot@example.com>
--rel
Content-Type: image/gif; name="dot.gif"
Content-ID: <dot@example.com>
Content-Disposition: inline; filename="dot.gif"
Content-Transfer-Encoding: base64

R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7
--rel
Content-Type: image/svg+xml
Content-ID: <logo@example.com>
Content-Disposition: inline

<svg xmlns="http://www.w3.org/2000/svg"/>
--rel--
"""

# RFC 2231 §3 and §4: continuations, of which some are encoded; and what others do instead.
FILE_NAMES = """\
--b
Content-Type: application/pdf
Content-Transfer-Encoding: base64
Content-Disposition: attachment;
 filename*0*=utf-8''%C3%9Cbersicht%20der;
 filename*1=" Zahlen der";
 filename*2*=%20Woche.pdf

JVBERi0xLjQK
--b
Content-Type: application/pdf; name="=?utf-8?Q?=C3=9Cbersicht.pdf?="
Content-Transfer-Encoding: base64
Content-Disposition: attachment; filename="=?utf-8?Q?=C3=9Cbersicht.pdf?="

JVBERi0xLjQK
--b--
"""

CALENDAR = """\
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

FLOWED = """\
A paragraph that goes on \nin the next line, and ends here.
 From is space-stuffed.
> > quoted \n> > text
-- \nJane
"""

DIGEST = """\
--b

From: a@example.net
Subject: one

first
--b

From: b@example.net
Subject: two

second
--b--
"""


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


def _forwarded(depth: int) -> bytes:
    """Messages within messages, each forwarded whole."""
    inner = compose(b"the innermost text\r\n", extra=mime(b"text/plain", b"7bit"))
    for level in range(depth):
        inner = compose(
            inner,
            fields={"Subject": b"Fwd: " * (level + 1) + b"numbers"},
            extra=mime(b"message/rfc822"),
        )
    return inner


def _multipart(name: str, parameters: bytes, body: str | bytes, **more: Any) -> Case:
    octets = lines_of(body) if isinstance(body, str) else body
    return with_mime(name, b"multipart/" + parameters, octets, **more)


STRUCTURE: tuple[Case, ...] = (
    _multipart("html-multipart", b'alternative;\r\n\tboundary="=_alternative"', HTML_MULTIPART),
    _multipart(
        "nested-multipart-with-attached-message", b"mixed; boundary=outer", NESTED_MULTIPART
    ),
    _multipart("multipart-part-without-header", b"mixed; boundary=b", PART + END),
    _multipart("inline-images", b'related; boundary="rel"; type="text/html"', RELATED),
    _multipart("file-names-of-rfc-2231", b"mixed; boundary=b", FILE_NAMES),
    _multipart("digest", b"digest; boundary=b", DIGEST),
    _multipart("multipart-of-unknown-subtype", b"x-unknown; boundary=b", PART + PART + END),
    _multipart("multipart-without-parts", b"mixed; boundary=b", b"preamble\r\n" + END),
    _multipart(
        "multipart-with-empty-parts", b"mixed; boundary=b", b"--b\r\n\r\n\r\n--b\r\n\r\n" + END
    ),
    _multipart("multipart-cut-short", b"mixed; boundary=b", PART + PART),
    _multipart("multipart-without-its-boundary", b"mixed; boundary=other", PART + END),
    _multipart("multipart-without-a-boundary-parameter", b"mixed", PART + END),
    # RFC 2046 §5.1.1: blanks after a delimiter are padding.
    _multipart("padded-delimiters", b"mixed; boundary=b", b"--b  \t\r\n\r\npart\r\n--b-- \r\n"),
    _multipart(
        "boundary-of-seventy-odd-characters",
        b'mixed; boundary="' + b"'()+_,-./:=? " * 5 + b"'()+_" + b'"',
        b"--"
        + b"'()+_,-./:=? " * 5
        + b"'()+_\r\n\r\npart\r\n--"
        + b"'()+_,-./:=? " * 5
        + b"'()+_--\r\n",
    ),
    _multipart(
        "boundary-that-begins-another",
        b"mixed; boundary=b",
        b"--b\r\nContent-Type: multipart/mixed; boundary=bb\r\n\r\n--bb\r\n\r\nin\r\n--bb--\r\n"
        + END,
    ),
    with_mime("message-forwarded-whole", b"message/rfc822", compose(b"text\r\n")),
    Case(name="forwarded-five-times", build=lambda: _forwarded(5)),
    with_mime(
        "partial-message", b'message/partial; id="1@example.com"; number=1; total=2', compose()
    ),
    with_mime(
        "external-body",
        b'message/external-body; access-type=URL;\r\n URL="https://example.com/a.pdf"',
        b"Content-Type: application/pdf\r\nContent-ID: <1@example.com>\r\n\r\n",
    ),
    with_mime("flowed-text", b"text/plain; charset=us-ascii; format=flowed", lines_of(FLOWED)),
    with_mime(
        "calendar-invitation",
        b"text/calendar; method=REQUEST; charset=utf-8",
        lines_of(CALENDAR),
        b"7bit",
    ),
    # RFC 2045 §5.1 knows no such Content-Type; nothing has to be done about it.
    with_mime("unreadable-content-type", b"text", b"text\r\n"),
    with_mime("unknown-encoding", b"text/plain", b"text\r\n", b"x-rot13"),
    Case(name="base64-attachment-of-5-mb", build=_attachment),
)

EIGHT_BIT: tuple[Case, ...] = (
    _multipart(
        "eight-bit-parts",
        b"mixed; boundary=b",
        "--b\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n"
        "Grüße\n--b\nContent-Type: application/json\n\n{“a”: 1}\n--b\n\nplain\n--b--\n",
        at_bare_hop=Relayed.REENCODED,
    ),
    _multipart(
        "eight-bit-part-five-deep",
        b"mixed; boundary=b1",
        "".join(
            f"--b{n}\nContent-Type: multipart/mixed; boundary=b{n + 1}\n"
            "Content-Transfer-Encoding: 8bit\n\n"
            for n in range(1, 5)
        )
        + "--b5\nContent-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n"
        + "<p>Grüße</p>\n"
        + "".join(f"--b{n}--\n" for n in range(5, 0, -1)),
        encoding=b"8bit",
        at_bare_hop=Relayed.REENCODED,
    ),
    _multipart(
        "eight-bit-within-a-forwarded-message",
        b"mixed; boundary=b",
        "--b\nContent-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n\n"
        "From: ann@example.net\nSubject: before\nMIME-Version: 1.0\n"
        "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n"
        "Grüße\n--b--\n",
        encoding=b"8bit",
        at_bare_hop=Relayed.REENCODED,
    ),
    # Header fields of parts have no encoding of their own.
    _multipart(
        "eight-bit-file-name",
        b"mixed; boundary=b",
        '--b\nContent-Type: text/plain; name="Grüße.txt"\n\ntext\n--b--\n',
        at_bare_hop=NOT_CONVERTIBLE,
    ),
    _multipart(
        "eight-bit-preamble",
        b"mixed; boundary=b",
        "Dies ist für Ältere.\n--b\n\ntext\n--b--\n",
        at_bare_hop=NOT_CONVERTIBLE,
    ),
    # RFC 2045 §6.4: a composite type cannot be in base64.
    _multipart(
        "eight-bit-in-a-multipart-in-base64",
        b"mixed; boundary=b",
        "--b\n\nGrüße\n--b--\n",
        encoding=b"base64",
        at_bare_hop=NOT_CONVERTIBLE,
    ),
    # RFC 2046 §5.2.2: fragments are put together as they are.
    with_mime(
        "eight-bit-partial-message",
        b'message/partial; id="1@example.com"; number=2; total=2',
        lines_of("Grüße\n"),
        at_bare_hop=NOT_CONVERTIBLE,
    ),
)

MIME: tuple[Case, ...] = (*STRUCTURE, *EIGHT_BIT)
