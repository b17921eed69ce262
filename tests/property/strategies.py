"""What the property tests draw: bodies, header fields and messages, of the awkward kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from hypothesis import strategies as st

from relay.core.errors import SyntaxFault

T = TypeVar("T")


def read_or_fault(read: Callable[[bytes], T], octets: bytes) -> T | SyntaxFault:
    """What octets read as, or why they do not; no other exception is one that may be raised."""
    try:
        return read(octets)
    except SyntaxFault as exc:
        return exc


# What canonicalization, the reader and the line length look at, and what they must not.
BODY_PIECES = (b"\r\n", b" ", b"\t", b"x", b".", b"  ", b"\r\n\r\n", b" \r\n", b"word", b"\xc3\xbc")
ODD_PIECES = (b"\x0b", b"\x0c", b"\x00", b"\xa0", b"\x85", b"\x1c")

bodies = st.lists(st.sampled_from(BODY_PIECES), max_size=30).map(b"".join)
odd_bodies = st.lists(st.sampled_from(BODY_PIECES + ODD_PIECES), max_size=30).map(b"".join)
big_bodies = st.lists(
    st.tuples(st.sampled_from(BODY_PIECES + ODD_PIECES), st.integers(1, 300)), max_size=30
).map(lambda runs: b"".join(piece * times for piece, times in runs))


@st.composite
def splits(draw: st.DrawFn, octets: st.SearchStrategy[bytes]) -> tuple[bytes, list[bytes]]:
    """Octets, and the same octets in blocks of any sizes, empty ones among them."""
    whole = draw(octets)
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    blocks = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    return whole, blocks


_VALUE_PIECES = (
    "a",
    "B",
    " ",
    "  ",
    "\t",
    "\r\n ",
    "\r\n\t",
    ":",
    ";",
    "=",
    "ü",
    "@x.example",
    '"',
)
values = st.lists(st.sampled_from(_VALUE_PIECES), max_size=8).map("".join).map(str.encode)

NAMES = (
    *("To", "TO", "Cc", "Subject", "Date", "Message-ID", "Reply-To", "Sender", "List-Id"),
    *("List-Unsubscribe", "Content-Type", "MIME-Version", "Resent-From", "References"),
)
UNSIGNED_NAMES = ("X-Mailer", "Received", "Comments", "Keywords", "Organization")
FROM = b"From: Jane <jane@example.com>\r\n"


@st.composite
def fields(draw: st.DrawFn, names: tuple[str, ...] = NAMES + UNSIGNED_NAMES) -> bytes:
    """One header field, folded and spaced in any way, with its CRLF."""
    name = draw(st.sampled_from(names)).encode()
    return name + b":" + draw(values) + b"\r\n"


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """A message with one From, whose lines end in CRLF, with nothing that is refused."""
    above = draw(st.lists(fields(), max_size=5))
    below = draw(st.lists(fields(), max_size=5))
    return b"".join([*above, FROM, *below]) + b"\r\n" + draw(bodies) + b"\r\n"
