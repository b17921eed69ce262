"""Messages whose plain bodies are of interest: line ends, blanks, dots, control characters, sizes.

Pure. RFC 6376 §3.4.4 (relaxed body), RFC 5321 §4.5.2 (transparency).
"""

from __future__ import annotations

from functools import partial

from tests.fakes.corpus_case import Case, Relayed, compose, with_body

RELAY_BLOCK_OCTETS = 65536  # a power of two at which readers like to cut
MAX_LINE_OCTETS = 998  # RFC 5322 §2.1.1, CRLF excluded


def _of_size(message_octets: int) -> bytes:
    """A message of exactly this many octets, of lines of text."""
    line = b"all work and no play makes Jack a dull boy\r\n"
    head = compose(b"")
    text = head + line * ((message_octets - len(head)) // len(line) - 1)
    return text + b"z" * (message_octets - len(text) - 2) + b"\r\n"


def _blanks_at_a_block_boundary() -> bytes:
    """Blanks, a line end and a blank line just where the first block ends."""
    head = compose(b"")
    filler = b"." + b"x" * 62 + b"\r\n"
    count = (RELAY_BLOCK_OCTETS - len(head)) // len(filler) - 1
    rest = RELAY_BLOCK_OCTETS - len(head) - count * len(filler)
    return head + filler * count + b"y" * (rest - 3) + b" \t \t\r\n\r\n  \r\nz\r\n"


BLANKS: tuple[Case, ...] = (
    with_body("empty-body", b""),
    with_body("body-of-one-line-end", b"\r\n"),
    with_body("body-of-blank-lines", b"\r\n" * 7),
    with_body("body-of-one-octet", b"x\r\n"),
    with_body("body-of-a-thousand-blank-lines", b"\r\n" * 1000),
    with_body("body-ending-in-blank-lines", b"text\r\n" + b"\r\n" * 9),
    with_body("body-ending-in-white-space-lines", b"text\r\n \r\n\t\t\r\n\r\n"),
    with_body("body-beginning-with-blank-lines", b"\r\n\r\n\r\ntext\r\n"),
    with_body("body-beginning-with-white-space-lines", b" \r\n\t\r\n text\r\n"),
    with_body("every-other-line-blank", b"x\r\n\r\n" * 20000),
    with_body("trailing-white-space", b"one \r\ntwo\t\r\nthree \t \t\r\nfour\r\n"),
    with_body("tabs-and-runs-of-blanks", b"a  b\tc\t\td \t e\r\n  f\r\n\tg\r\n"),
    with_body("lines-of-990-blanks", (b" " * 990 + b"x\r\n") * 20),
    with_body("line-of-998-blanks", b"text\r\n" + b" " * MAX_LINE_OCTETS + b"\r\ntext\r\n"),
    with_body(
        # About 100 KB; relaxed canonicalization has work in every line.
        "long-text-with-runs-of-blanks",
        b"The  quick brown fox\tjumps over \t the lazy dog. \r\n\r\n \r\n" * 2000,
    ),
    # Verifiers disagree on bodies of white space only: rspamd keeps a line end (LIBRARIES §C).
    with_body("body-of-white-space-lines", b" \r\n\t\r\n \t \r\n", expected=Relayed.REENCODED),
    with_body("body-of-one-blank", b" \r\n", expected=Relayed.REENCODED),
    with_body("body-of-blank-lines-and-one-tab", b"\r\n\r\n\t\r\n\r\n", expected=Relayed.REENCODED),
)

DOTS: tuple[Case, ...] = (
    with_body(
        "lines-beginning-with-dots", b".\r\n..\r\n...three\r\n.one\r\n. \r\n\t.\r\ntext.\r\n"
    ),
    with_body("body-of-one-dot", b".\r\n"),
    with_body("body-of-dot-lines", b".\r\n" * 100),
    with_body("body-ending-in-a-dot-line", b"text\r\n.\r\n"),
    with_body("body-ending-in-a-dot-line-and-blank-lines", b"text\r\n.\r\n\r\n\r\n"),
    with_body("dots-across-every-block-boundary", b".\r\n" * (RELAY_BLOCK_OCTETS // 2)),
    with_body("lines-of-998-octets-with-dots", (b"." * MAX_LINE_OCTETS + b"\r\n") * 3),
    with_body(
        "smtp-commands-in-the-body", b"QUIT\r\nRSET\r\n.QUIT\r\nMAIL FROM:<x@example.net>\r\n"
    ),
)

TEXT_LINES: tuple[Case, ...] = (
    with_body("plain-text", b"Good morning,\r\n\r\nthe numbers are fine.\r\n"),
    with_body("lines-of-900-octets", (b"x" * 900 + b"\r\n") * 5),
    with_body("lines-of-998-octets", (b"y" * MAX_LINE_OCTETS + b"\r\n") * 3),
    # Mailbox files escape such lines; mail on its way keeps them.
    with_body(
        "from-lines", b"From here on\r\n>From there\r\nFrom jane Fri Nov 20 10:00:00 2026\r\n"
    ),
    with_body("lines-like-header-fields", b"Subject: no\r\nFrom: x@example.net\r\n\r\nBcc: y\r\n"),
    with_body(
        "lines-like-a-multipart", b"--boundary\r\nContent-Type: text/plain\r\n\r\n--boundary--\r\n"
    ),
    with_body(
        "lines-like-signatures", b"DKIM-Signature: v=1; a=rsa-sha256\r\n\tb=AAAA\r\n-- \r\nJane\r\n"
    ),
    with_body("escape-and-delete", b"text \x1b[1mbold\x1b[0m\x7f\r\n"),
    # All of C0 but NUL, TAB, LF, VT, FF, CR; Python's str takes 0x1C to 0x1F for line ends.
    with_body(
        "control-characters",
        bytes([*range(1, 9), *range(14, 32), 127]) + b"\r\n\x1c\r\n \x1f\r\n\x1a\r\n",
    ),
    with_body("uuencoded", b'begin 644 a.txt\r\n.9F]O"@``\r\n`\r\nend\r\n'),
)

SIZES: tuple[Case, ...] = (
    Case(name="one-octet-less-than-a-block", build=partial(_of_size, RELAY_BLOCK_OCTETS - 1)),
    Case(name="exactly-a-block", build=partial(_of_size, RELAY_BLOCK_OCTETS)),
    Case(name="one-octet-more-than-a-block", build=partial(_of_size, RELAY_BLOCK_OCTETS + 1)),
    Case(name="blanks-at-a-block-boundary", build=_blanks_at_a_block_boundary),
)

BODIES: tuple[Case, ...] = (*BLANKS, *DOTS, *TEXT_LINES, *SIZES)
