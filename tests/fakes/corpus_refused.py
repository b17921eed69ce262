"""What is no message that can be signed: refused, with the reason.

Pure. RFC 5321 §2.3.8 and §4.1.1.4 (line ends), RFC 5322 §2 and §3.6 (header section). Where
verifiers read such octets in different ways, no signature could hold for all (LIBRARIES.md §C).
"""

from __future__ import annotations

from tests.fakes.corpus_case import (
    BAD_AUTHOR,
    ILL_FORMED,
    TOO_LARGE,
    Case,
    compose,
    whole,
    with_body,
    with_header,
)

OVER_HEADER_OCTETS = 256 * 1024
OVER_HEADER_FIELDS = 2001


def _line(name: str, line: bytes) -> Case:
    """A header section with a line that is no header field."""
    return with_header(name, line + b"\r\n", expected=ILL_FORMED)


REFUSED: tuple[Case, ...] = (
    # Mail::DKIM fails on these, dkimpy and OpenDKIM pass; smarthosts turn them into CRLF.
    with_body("bare-lf-in-the-body", b"one\ntwo\r\n", expected=ILL_FORMED),
    with_body("lf-lines-only-in-the-body", b"one\ntwo\n\nthree\n", expected=ILL_FORMED),
    # OpenDKIM fails on these, the others pass.
    with_body("bare-cr-in-the-body", b"one\rtwo\r\n", expected=ILL_FORMED),
    with_body("cr-before-crlf", b"one\r\r\ntwo\r\n", expected=ILL_FORMED),
    with_body("bare-cr-at-the-end", b"one\r\n\r", expected=ILL_FORMED),
    _line("bare-cr-in-a-field", b"X-Note: one\rtwo"),
    _line("bare-lf-in-a-field", b"X-Note: one\n two"),
    # Two messages to a server that ends data at LF.LF (CVE-2023-51764).
    with_body("lf-dot-lf", b"one\n.\nMAIL FROM:<x@example.net>\r\n", expected=ILL_FORMED),
    # OpenDKIM's C strings end there.
    with_body("nul-in-the-body", b"one\0two\r\n", expected=ILL_FORMED),
    _line("nul-in-a-field", b"X-Note: one\0two"),
    # dkimpy strips VT at the end of a field, RFC 6376 §3.4.2 does not; FF is like it.
    _line("vertical-tab-at-the-end-of-a-field", b"X-Note: one\x0b"),
    _line("form-feed-in-a-field", b"Keywords: one\x0ctwo"),
    _line("form-feed-that-looks-like-folding", b"X-Note: one\r\n\x0ctwo"),
    _line("line-without-a-colon", b"no field"),
    _line("blank-before-the-colon", b"X-Note : one"),  # obsolete; verifiers disagree
    # dkimpy takes it for the first line of a mailbox file.
    whole(
        "blank-before-the-colon-of-from", b"From : jane@example.com\r\n\r\n", expected=ILL_FORMED
    ),
    _line("empty-field-name", b": one"),
    _line("field-name-that-is-no-ascii", "Größe: one".encode()),
    _line("field-name-with-a-control-character", b"X-\x7fNote: one"),
    _line("mbox-line-within-the-header-section", b"From jane@example.com Fri Nov 20 2026"),
    whole("first-line-folded", b" folded\r\n" + compose(), expected=ILL_FORMED),
    whole("no-header-section", b"\r\nonly text\r\n", expected=BAD_AUTHOR),
    with_header(
        "too-many-fields",
        b"".join(b"X-%d: 1\r\n" % number for number in range(OVER_HEADER_FIELDS)),
        expected=TOO_LARGE,
    ),
    with_header(
        "header-section-too-large",
        (b"X-Note: " + b"y" * 900 + b"\r\n") * (OVER_HEADER_OCTETS // 900),
        expected=TOO_LARGE,
    ),
    with_header(
        "header-section-without-end",
        b"X-Note: " + b"y" * OVER_HEADER_OCTETS + b"\r\n",
        expected=TOO_LARGE,
    ),
)
