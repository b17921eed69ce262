"""Which parts are re-encoded, how, and which are refused with what words."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

import pytest

from relay.core.adapt import adapt
from relay.core.capabilities import Capabilities
from relay.core.errors import Rejection
from relay.core.message import Message
from relay.core.mime import split_multipart
from relay.core.profile import GENERIC
from relay.core.reader import read_message
from relay.core.reencode import MAX_DEPTH, base64_lines, quoted_printable

EIGHT_BIT_HOP = Capabilities({"8BITMIME": ()})
SEVEN_BIT_HOP = Capabilities()
LONG = b"x" * 999


def mime(rest: bytes) -> Message:
    """A message with a From, MIME-Version and what is given."""
    return read_message(b"From: a@example.com\r\nMIME-Version: 1.0\r\n" + rest)


def test_text_becomes_quoted_printable_and_says_so() -> None:
    """A text part keeps its charset and gets a new transfer encoding in the old one's place."""
    before = mime(
        b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
        b"Subject: x\r\n\r\nh\xc3\xa9llo = 1 \r\n"
    )
    after = adapt(before, SEVEN_BIT_HOP, GENERIC)
    assert after.octets() == (
        b"From: a@example.com\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: quoted-printable\r\n"
        b"Subject: x\r\n\r\nh=C3=A9llo =3D 1=20\r\n"
    )


def test_anything_else_becomes_base64() -> None:
    """A binary part is base64, 76 to a line, and decodes to the same octets."""
    content = bytes(b for b in range(256) if b not in b"\0\r\n") * 3 + b"\r\n"
    before = mime(b"Content-Type: image/png\r\n\r\n" + content)
    after = adapt(before, SEVEN_BIT_HOP, GENERIC)
    assert after.has(b"content-transfer-encoding")
    (body,) = after.body
    assert body.endswith(b"\r\n")
    assert base64.b64decode(body) == content


def test_unwrapped_base64_is_wrapped() -> None:
    """A long line of base64 stays base64, also for text: its content needs no other encoding."""
    encoded = base64.b64encode(b"hello " * 1000)
    before = mime(b"Content-Type: text/html\r\nContent-Transfer-Encoding: BASE64\r\n\r\n" + encoded)
    after = adapt(before, EIGHT_BIT_HOP, GENERIC)
    (body,) = after.body
    assert max(map(len, body.split(b"\r\n"))) == 76
    assert base64.b64decode(body) == b"hello " * 1000


def test_an_octet_stream_towards_an_eight_bit_hop_is_not_touched() -> None:
    """8-bit octets in short lines are what 8BITMIME is for."""
    before = mime(b"Content-Type: image/png\r\n\r\n\xff\xfe\r\n")
    assert adapt(before, EIGHT_BIT_HOP, GENERIC) is before


def test_only_the_part_that_needs_it_changes() -> None:
    """Neighbours keep their octets; the multipart is 7bit afterwards."""
    before = mime(
        b"Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
        b"--b\r\n\r\nplain  \r\n--b\r\n\r\nh\xc3\xa9\r\n--b--\r\n"
    )
    after = adapt(before, SEVEN_BIT_HOP, GENERIC)
    assert after.octets().endswith(
        b"Content-Transfer-Encoding: 7bit\r\n\r\n"
        b"--b\r\n\r\nplain  \r\n"
        b"--b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nh=C3=A9\r\n--b--\r\n"
    )


def test_a_message_without_mime_fields_gets_them() -> None:
    """Long lines of plain ASCII mail are encoded, and the message says that it is MIME now."""
    before = read_message(b"From: a@example.com\r\n\r\n" + LONG + b"\r\n")
    after = adapt(before, EIGHT_BIT_HOP, GENERIC)
    assert after.has(b"mime-version")
    assert binascii.a2b_qp(after.body[0]) == LONG + b"\r\n"


def test_a_digest_holds_messages() -> None:
    """The default type of a digest's parts is message/rfc822 (RFC 2046 §5.1.5)."""
    before = mime(
        b"Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\n"
        b"From: x@example.org\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"MIME-Version: 1.0\r\n\r\nh\xc3\xa9\r\n--b--\r\n"
    )
    after = adapt(before, SEVEN_BIT_HOP, GENERIC)
    assert b"From: x@example.org" in after.body[0]
    assert b"Content-Transfer-Encoding: quoted-printable\r\n\r\nh=C3=A9" in after.body[0]


@dataclass(frozen=True)
class Refused:
    """A message that cannot be made fit, and the words that say why."""

    rest: bytes
    text: str


REFUSED = {
    "smime": Refused(
        b"Content-Type: application/pkcs7-mime\r\n\r\n\xff\r\n",
        "The body cannot be re-encoded: application/pkcs7-mime is signed or encrypted",
    ),
    "encrypted": Refused(
        b"Content-Type: multipart/encrypted; boundary=b\r\n\r\n--b\r\n\r\n\xff\r\n--b--\r\n",
        "The body cannot be re-encoded: multipart/encrypted is signed or encrypted",
    ),
    "signed part": Refused(
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nok\r\n--b\r\n"
        b"Content-Type: multipart/signed; boundary=c\r\n\r\n--c\r\n\r\n\xff\r\n--c--\r\n"
        b"\r\n--b--\r\n",
        "Part 2 cannot be re-encoded: multipart/signed is signed or encrypted",
    ),
    "inline pgp": Refused(
        b"Content-Type: text/plain\r\n\r\n-----BEGIN PGP SIGNED MESSAGE-----\r\n\xff\r\n",
        "The body cannot be re-encoded: inline PGP is signed or encrypted",
    ),
    "preamble": Refused(
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n\xff\r\n--b\r\n\r\nx\r\n--b--\r\n",
        "The body cannot be re-encoded: text outside its parts needs it",
    ),
    "part header": Refused(
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nX: \xff\r\n\r\nx\r\n--b--\r\n",
        "Part 1 cannot be re-encoded: its header section needs it",
    ),
    "no boundary": Refused(
        b"Content-Type: multipart/mixed\r\n\r\n\xff\r\n",
        "The body cannot be re-encoded: its boundary is not known",
    ),
    "boundary not there": Refused(
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n\xff\r\n",
        "The body cannot be re-encoded: its boundary is not found",
    ),
    "external": Refused(
        b"Content-Type: message/partial\r\n\r\n\xff\r\n",
        "The body cannot be re-encoded: message/partial may not be changed",
    ),
    "encoded multipart": Refused(
        b"Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        b"\xff\r\n",
        "The body cannot be re-encoded: multipart/mixed with the encoding 'base64'",
    ),
    "unknown encoding": Refused(
        b"Content-Type: text/plain\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\n\xff\r\n",
        "The body cannot be re-encoded: its encoding 'x-uuencode' cannot be read",
    ),
    "damaged base64": Refused(
        b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + b"A" * 1001
        + b"\r\n",
        "The body cannot be re-encoded: its base64 is damaged",
    ),
    "two types": Refused(
        b"Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\n\xff\r\n",
        "The body cannot be re-encoded: its content-type field stands twice",
    ),
    "bad type": Refused(
        b"Content-Type: text\r\n\r\n\xff\r\n",
        "The body cannot be re-encoded: its Content-Type cannot be read",
    ),
    "embedded header": Refused(
        b"Content-Type: message/rfc822\r\n\r\nSubject: \xff\r\n\r\nx\r\n",
        "Part 1 cannot be re-encoded: its header section needs it",
    ),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
def test_what_may_not_change_is_refused_naming_the_part(case: Refused) -> None:
    """554 5.6.3, the part and the reason."""
    with pytest.raises(Rejection) as caught:
        adapt(mime(case.rest), SEVEN_BIT_HOP, GENERIC)
    assert str(caught.value.reply) == f"554 5.6.3 {case.text}"


def test_eight_bit_without_any_mime_field_is_refused() -> None:
    """Nobody knows what those octets mean, so no label can be true."""
    before = read_message(b"From: a@example.com\r\n\r\n\xff\r\n")
    with pytest.raises(Rejection, match="no Content-Type says what they are"):
        adapt(before, SEVEN_BIT_HOP, GENERIC)


def test_nesting_has_a_bound() -> None:
    """One level more than `MAX_DEPTH` is refused; so many levels are not."""

    def nested(depth: int) -> Message:
        head = b"Content-Type: message/rfc822\r\n\r\n" * depth
        return mime(head + b"Content-Type: text/plain; charset=utf-8\r\n\r\nh\xc3\xa9\r\n")

    adapt(nested(MAX_DEPTH), SEVEN_BIT_HOP, GENERIC)
    with pytest.raises(Rejection, match="nested too deeply"):
        adapt(nested(MAX_DEPTH + 1), SEVEN_BIT_HOP, GENERIC)


def test_refusing_can_be_chosen() -> None:
    """`adapt = "refuse"` changes nothing, ever."""
    text = mime(b"Content-Type: text/plain; charset=utf-8\r\n\r\nh\xc3\xa9\r\n")
    with pytest.raises(Rejection) as caught:
        adapt(text, SEVEN_BIT_HOP, GENERIC, may_reencode=False)
    assert str(caught.value.reply) == "554 5.6.3 The next hop takes no 8-bit body"
    long = mime(b"Content-Type: text/plain\r\n\r\n" + LONG + b"\r\n")
    with pytest.raises(Rejection) as caught:
        adapt(long, EIGHT_BIT_HOP, GENERIC, may_reencode=False)
    assert str(caught.value.reply) == "554 5.6.0 A line is longer than 998 octets"


def test_long_header_lines_are_folded_where_there_is_white_space() -> None:
    """The unfolded field is the same, octet for octet; lines fit; nothing else is touched."""
    ids = b" ".join(b"<%050d@example.com>" % n for n in range(60))
    before = read_message(b"From: a@example.com\r\nReferences: " + ids + b"\r\n\r\nx\r\n")
    after = adapt(before, EIGHT_BIT_HOP, GENERIC)
    folded = after.fields[1].octets
    assert folded.replace(b"\r\n", b"") == b"References: " + ids
    assert max(map(len, folded.split(b"\r\n"))) <= 998
    assert after.fields[0] is before.fields[0]


def test_a_long_header_line_without_white_space_is_refused() -> None:
    """A hop would break it in the middle of a word."""
    before = read_message(b"From: a@example.com\r\nX: " + LONG + b"\r\n\r\nx\r\n")
    with pytest.raises(Rejection, match="998"):
        adapt(before, EIGHT_BIT_HOP, GENERIC)


@pytest.mark.parametrize(
    ("content", "encoded"),
    [
        (b"", b""),
        (b"a b\r\n", b"a b\r\n"),
        (b"a \r\n\tb\t", b"a=20\r\n\tb=09"),
        (b"=", b"=3D"),
        (b"x" * 76, b"x" * 76),
        (b"x" * 77, b"x" * 75 + b"=\r\nxx"),
        (b"x" * 74 + "é".encode(), b"x" * 74 + b"=\r\n=C3=A9"),
        (b"x" * 73 + "é".encode(), b"x" * 73 + b"=\r\n=C3=A9"),
        (b"x" * 72 + "é".encode(), b"x" * 72 + b"=C3=\r\n=A9"),
        (b"\x7f\x01", b"=7F=01"),
    ],
)
def test_quoted_printable(content: bytes, encoded: bytes) -> None:
    """RFC 2045 §6.7: blanks at line ends, soft breaks at 76, no escape is split."""
    assert quoted_printable(content) == encoded
    assert binascii.a2b_qp(encoded) == content


def test_base64_lines() -> None:
    """76 to a line, CRLF between, none at the end."""
    assert base64_lines(b"") == b""
    assert base64_lines(b"\xff" * 58) == b"/" * 76 + b"\r\n/w=="


@pytest.mark.parametrize(
    ("body", "between", "parts"),
    [
        (b"--b\r\nx\r\n--b--\r\n", (b"--b\r\n", b"\r\n--b--\r\n"), (b"x",)),
        (b"p\r\n--b \r\n\r\n--b--", (b"p\r\n--b \r\n", b"\r\n--b--"), (b"",)),
        (b"--b\r\n--b\r\nx\r\n", (b"--b\r\n", b"--b\r\n", b""), (b"", b"x\r\n")),
        (b"--b\r\n--bc\r\n--b--\r\n--b\r\n", (b"--b\r\n", b"\r\n--b--\r\n--b\r\n"), (b"--bc",)),
    ],
)
def test_parts_and_what_is_between(
    body: bytes, between: tuple[bytes, ...], parts: tuple[bytes, ...]
) -> None:
    """RFC 2046 §5.1.1: joined again they are the body."""
    found = split_multipart(body, b"b")
    assert (found.between, found.parts) == (between, parts)
    assert found.joined(found.parts) == body
