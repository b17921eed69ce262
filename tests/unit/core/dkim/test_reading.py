"""relay.core.dkim.reading: messages from files and strangers, and what is said of them."""

from __future__ import annotations

import pytest

from relay.core.dkim.canonical import relaxed_field
from relay.core.dkim.reading import MAX_HEADER_OCTETS, LooseReader, Reading
from relay.core.dkim.verdict import Result
from relay.core.errors import SyntaxFault
from relay.core.reader import read_message
from tests.fakes.foreign import message_of, only_verdict, sign_as, zone_of
from tests.fakes.keys import FakeKey, rsa_private

KEY = FakeKey(rsa_private(), "example.com", "s1")
MESSAGE = b"From: jane@example.com\r\nSubject: x\r\n y\r\n\r\none\r\n\r\ntwo\r\n"


def read(*blocks: bytes) -> Reading:
    """A message from blocks."""
    reader = LooseReader()
    for block in blocks:
        reader.feed(block)
    return reader.finish()


def test_well_formed_message_has_no_notes() -> None:
    """It is what the strict reader makes of it."""
    reading = read(MESSAGE)
    strict = read_message(MESSAGE)
    assert reading.notes == ()
    assert reading.message.fields == strict.fields
    assert reading.message.octets() == MESSAGE


@pytest.mark.parametrize(
    ("octets", "came", "note"),
    [
        (MESSAGE.replace(b"\r\n", b"\n"), MESSAGE, "line ends are LF"),
        (MESSAGE.replace(b"one\r\n", b"one\n"), MESSAGE, "1 line of 7 end in LF"),
        (MESSAGE.removesuffix(b"\r\n"), MESSAGE, ""),
        (MESSAGE.replace(b"\r\n", b"\n").removesuffix(b"\n"), MESSAGE, "line ends are LF"),
        (b"\xef\xbb\xbf" + MESSAGE, MESSAGE, "byte order mark"),
        (b"\r\n\r\n" + MESSAGE, MESSAGE, "blank lines in front"),
        (b"\xef\xbb\xbf\n\n" + MESSAGE, MESSAGE, "blank lines in front"),
        (b"From jane@example.com Fri Nov 20 10:00:00 2026\n" + MESSAGE, MESSAGE, "mbox"),
        (b">From jane@example.com Fri Nov 20 10:00:00 2026\n" + MESSAGE, MESSAGE, "mbox"),
        (b"From: a@b\r\nX: y", b"From: a@b\r\nX: y\r\n\r\n", "no blank line"),
        (b"From: a@b\r\n\r\n", b"From: a@b\r\n\r\n", ""),
        (MESSAGE + b"\0\r\n", MESSAGE + b"\0\r\n", "NUL"),
        (MESSAGE + b"a\rb\r\n", MESSAGE + b"a\rb\r\n", "1 CR octet"),
        (MESSAGE + b"a\r", MESSAGE + b"a\r\r\n", "CR octet"),
    ],
)
@pytest.mark.parametrize("step", [1, 2, 3, 1000])
def test_what_is_supposed_is_said(octets: bytes, came: bytes, note: str, step: int) -> None:
    """The same message and the same note, however the octets were split."""
    reading = read(*(octets[i : i + step] for i in range(0, len(octets), step)))
    assert reading.message.octets() == came
    assert [note in n for n in reading.notes if note].count(True) == bool(note)
    if not note:
        assert reading.notes == ()


@pytest.mark.parametrize("octets", [b"", b"\r\n", b"\n\n\n", b"\xef\xbb\xbf\r\n"])
def test_nothing_is_no_message(octets: bytes) -> None:
    """An empty file is said to be empty."""
    with pytest.raises(SyntaxFault, match="empty"):
        read(octets)


def test_disk_image_is_no_message() -> None:
    """Memory ends where no header section could go on."""
    with pytest.raises(SyntaxFault, match="no message"):
        read(*[b"x" * 1_000_000] * (MAX_HEADER_OCTETS // 1_000_000 + 2))


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        (b"Subject : x\r\n", b"subject", b" x\r\n"),
        (b"Subject \t:x\r\n y\r\n", b"subject", b"x\r\n y\r\n"),
        (b"From : jane@example.com\r\n", b"from", b" jane@example.com\r\n"),
    ],
)
def test_obsolete_blank_before_the_colon(line: bytes, key: bytes, value: bytes) -> None:
    """RFC 5322 §4.5: the field is that field, its octets stay, and it is said."""
    reading = read(line + b"To: x\r\n\r\n")
    field = reading.message.fields[0]
    assert (field.key, field.value, field.octets) == (key, value, line)
    assert relaxed_field(field).startswith(key + b":")
    assert "blank before its colon" in reading.notes[0]


@pytest.mark.parametrize("c", ["relaxed/relaxed", "simple/simple"])
def test_obsolete_field_is_verified(c: str) -> None:
    """Relaxed takes the blank away (RFC 6376 §3.4.2), simple keeps it: both verify."""
    spaced = message_of().octets().replace(b"Subject:", b"Subject \t:")
    signed = sign_as(read(spaced).message, KEY, c=c)
    reading = read(signed.octets().replace(b"DKIM-Signature:", b"DKIM-Signature :"))
    verdict = only_verdict(reading.message, zone_of(KEY))
    expected = Result.PASS if c.startswith("relaxed") else Result.FAIL
    assert verdict.result is expected  # simple: the name of the signature field itself changed
    assert only_verdict(read(signed.octets()).message, zone_of(KEY)).result is Result.PASS


@pytest.mark.parametrize(
    "line", [b"no colon\r\n", b": no name\r\n", b" first line is folded\r\n", b"\xff\r\n"]
)
def test_line_that_is_no_field(line: bytes) -> None:
    """It stays where it is, belongs to no field, and is said."""
    reading = read(line + MESSAGE)
    assert reading.message.octets() == line + MESSAGE
    assert reading.message.fields[0].key == b""
    assert "line 1 of the header section is no field" in reading.notes[0]


def test_notes_are_few() -> None:
    """A thousand faults are five notes and a number."""
    reading = read(b"".join(b"nothing %d\r\n" % i for i in range(1000)) + MESSAGE)
    assert len(reading.notes) == 6
    assert "995" in reading.notes[-1]


def test_notes_are_harmless() -> None:
    """A stranger's octets reach no terminal."""
    reading = read(b"\x1b]0;x\x07 \x9b31m\r\n" + MESSAGE)
    assert all(note.isprintable() for note in reading.notes)
