"""Re-encoding changes how parts travel and nothing of what they say."""

from __future__ import annotations

from email.message import Message as EmailMessage
from email.parser import BytesParser
from email.policy import compat32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.adapt import adapt
from relay.core.capabilities import Capabilities
from relay.core.errors import Rejection
from relay.core.message import MAX_LINE_OCTETS, Message
from relay.core.profile import GENERIC
from relay.core.reader import read_message
from relay.core.reencode import base64_lines, quoted_printable

SEVEN_BIT_HOP = Capabilities()
EIGHT_BIT_HOP = Capabilities({"8BITMIME": ()})
PIECES = [
    b"a",
    b" ",
    b"\t",
    b"=",
    b".",
    b"--b0",
    b"From ",
    "é漢".encode(),
    b"x" * 400,
    b"\r\n",
    b"z",
]
TEXT = st.lists(st.sampled_from(PIECES), max_size=14).map(b"".join)
TYPES = st.sampled_from(
    [b"text/plain; charset=utf-8", b"text/html", b"application/octet-stream", b"image/png"]
)
IDENTITY = st.sampled_from([b"", b"Content-Transfer-Encoding: 8bit\r\n"])


@st.composite
def leaves(draw: st.DrawFn) -> bytes:
    """A leaf part: header section, blank line, content."""
    kind, encoding, content = draw(TYPES), draw(IDENTITY), draw(TEXT)
    if draw(st.booleans()) and draw(st.booleans()):
        content = base64_lines(content).replace(b"\r\n", b"")  # one long line, as some apps do
        encoding = b"Content-Transfer-Encoding: base64\r\n"
    elif draw(st.booleans()) and draw(st.booleans()):
        content, encoding = (
            quoted_printable(content),
            b"Content-Transfer-Encoding: QUOTED-Printable\r\n",
        )
    return b"Content-Type: " + kind + b"\r\n" + encoding + b"X-Kept:  as  is\r\n\r\n" + content


@st.composite
def multiparts(draw: st.DrawFn, inner: st.SearchStrategy[bytes], *, depth: int) -> bytes:
    """A multipart of one to three parts; boundaries of outer levels are not prefixes of inner."""
    boundary = b"=_%d_%s" % (depth, draw(st.sampled_from([b"b", b"'(b)+_,-./:=?"])))
    parts = draw(st.lists(inner, min_size=1, max_size=3))
    has_preamble = draw(st.booleans())
    lines = [b"preamble\r\n"] if has_preamble else []
    for part in parts:
        lines += [b"--" + boundary + draw(st.sampled_from([b"", b" "])) + b"\r\n", part, b"\r\n"]
    closing = [b"--" + boundary + b"--\r\n"] if draw(st.integers(0, 4)) else []
    has_epilogue = draw(st.booleans())
    epilogue = [b"epilogue\r\n"] if closing and has_epilogue else []
    kind = draw(st.sampled_from([b"mixed", b"alternative", b"related"]))
    encoding = draw(st.sampled_from([b"", b"Content-Transfer-Encoding: 8bit\r\n"]))
    header = b'Content-Type: multipart/%b;\r\n\tboundary="%b"\r\n%b\r\n' % (
        kind,
        boundary,
        encoding,
    )
    return header + b"".join([*lines, *closing, *epilogue])


def embedded(part: bytes) -> bytes:
    """A message/rfc822 part around a message."""
    return (
        b"Content-Type: message/rfc822\r\n\r\nFrom: x@example.org\r\nMIME-Version: 1.0\r\n" + part
    )


TREES = st.one_of(
    leaves(),
    multiparts(st.one_of(leaves(), leaves().map(embedded), multiparts(leaves(), depth=2)), depth=1),
    multiparts(multiparts(leaves().map(embedded), depth=2).map(embedded), depth=1),
)


def _read(tree: bytes) -> Message:
    octets = b"From: a@example.com\r\nMIME-Version: 1.0\r\n" + tree
    return read_message(octets if octets.endswith(b"\r\n") else octets + b"\r\n")


def _parse(message: Message) -> EmailMessage:
    return BytesParser(policy=compat32).parsebytes(message.octets())


def _content(part: EmailMessage) -> bytes:
    # A lenient parser counts the CRLF in front of an end that has no delimiter as content.
    payload = part.get_payload(decode=True)
    return payload.rstrip(b"\r\n") if isinstance(payload, bytes) else b""


@given(tree=TREES)
def test_every_part_says_what_it_said(tree: bytes) -> None:
    """Same tree, same types, same decoded content; fit for the hop afterwards."""
    before = _read(tree)
    after = adapt(before, SEVEN_BIT_HOP, GENERIC)
    octets = after.octets()
    assert octets[octets.index(b"\r\n\r\n") :].isascii()
    assert max(map(len, octets.split(b"\r\n"))) <= MAX_LINE_OCTETS
    one, other = list(_parse(before).walk()), list(_parse(after).walk())
    assert [p.get_content_type() for p in one] == [p.get_content_type() for p in other]
    assert [p.get_boundary() for p in one] == [p.get_boundary() for p in other]
    for was, now in zip(one, other, strict=True):
        if not was.is_multipart():
            assert _content(now) == _content(was)
        assert was.get_all("X-Kept") == now.get_all("X-Kept")


@given(tree=TREES)
def test_what_the_hop_carries_is_not_touched(tree: bytes) -> None:
    """With 8BITMIME and short lines the message is the very same object's octets."""
    before = _read(tree)
    after = adapt(before, EIGHT_BIT_HOP, GENERIC)
    if not (before.traits.long_body_line or before.traits.is_ambiguous):
        assert after is before


@given(content=TEXT)
def test_nothing_inside_a_signed_part_changes(content: bytes) -> None:
    """multipart/signed is carried as it is or refused."""
    part = b"Content-Type: text/plain\r\n\r\n" + content + b"\r\n"
    before = _read(
        b'Content-Type: multipart/signed; boundary="s"\r\n\r\n--s\r\n' + part + b"--s--\r\n"
    )
    fits = content.isascii() and not before.traits.long_body_line
    if fits:
        assert adapt(before, SEVEN_BIT_HOP, GENERIC) is before
    else:
        with pytest.raises(Rejection, match="signed or encrypted"):
            adapt(before, SEVEN_BIT_HOP, GENERIC)
