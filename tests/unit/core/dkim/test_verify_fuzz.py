"""Verifying and explaining take whatever comes: an answer, never an exception.

Two laws: octets of any kind are read, judged and explained; and a signed message in which a few
octets were replaced either passes or has its cause, with changes that are printable and short.
"""

from __future__ import annotations

from functools import cache

from hypothesis import given
from hypothesis import strategies as st

from relay.core.dkim.alignment import author_of
from relay.core.dkim.diagnose.changes import find_changes
from relay.core.dkim.query import TxtAnswer, TxtOutcome
from relay.core.dkim.reading import LooseReader
from relay.core.dkim.unsigned import unsigned
from relay.core.dkim.verdict import Result
from relay.core.dkim.verify import find_signatures, record_names, verify
from relay.core.errors import SyntaxFault
from relay.core.message import Message
from tests.fakes.foreign import NOW, message_of, sign_as, zone_of
from tests.fakes.keys import FakeKey, ed25519_private, rsa_private

KEYS = (
    FakeKey(rsa_private(), "example.com", "s1"),
    FakeKey(ed25519_private(), "example.com", "s2"),
)
ZONE = zone_of(*KEYS)
METHODS = ("relaxed/relaxed", "relaxed/simple", "simple/relaxed", "simple/simple")
EXTRA = (
    b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n'
    b"Content-Transfer-Encoding: 8bit\r\n"
)
BODY = (
    b"--b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    b"a=3Db \r\n..c\r\n>From d\r\n--b\r\n\r\nx\r\n--b--\r\n"
)
PIECES = st.one_of(
    st.binary(max_size=20),
    st.sampled_from(
        [
            *(b"\r\n", b"\n", b"\r", b"\r\n\r\n", b" ", b"\t", b";", b"=", b":", b"--b\r\n"),
            *(b"DKIM-Signature: v=1; a=rsa-sha256;", b"From: x\r\n", b"l=5;", b"z=From:x;"),
            *(b"x=1;", b"c=simple;", b"\0", b"\xff", "\u00fc".encode(), b"=\r\n", b"bh="),
        ]
    ),
)
Edits = list[tuple[int, int, bytes]]


@cache
def signed(method: str) -> bytes:
    """A message with two signatures."""
    message = message_of(BODY, extra=EXTRA)
    for key in KEYS:
        message = sign_as(message, key, c=method, h="from:from:subject:to:content-type:cc")
    return message.octets()


def read(octets: bytes) -> Message | None:
    """The message, if it is one."""
    reader = LooseReader()
    try:
        reader.feed(octets)
        return reader.finish().message
    except SyntaxFault:
        return None


def judge_and_explain(message: Message, original: Message | None = None) -> list[Result]:
    """Everything that `verify` does in the core; the results."""
    signatures = find_signatures(message)
    answers = {n: ZONE.get(n, TxtAnswer(TxtOutcome.NXDOMAIN)) for n in record_names(signatures)}
    verdicts = verify(message, signatures, answers, NOW)
    author = author_of(message)
    for verdict in (*verdicts, unsigned(message, author)):
        for text in (verdict.cause, verdict.fix, *verdict.notes):
            assert text.isprintable()
            assert len(text) < 2000
        for change in find_changes(message, verdict, original):
            assert change.what.isprintable()
            assert len(change.what) < 2000
        assert verdict.passed or verdict.fix
    return [verdict.result for verdict in verdicts]


@given(st.lists(PIECES, max_size=40))
def test_any_octets(pieces: list[bytes]) -> None:
    """There is a verdict for each field that calls itself a signature."""
    message = read(b"".join(pieces))
    if message is not None:
        results = judge_and_explain(message)
        assert len(results) == sum(f.key == b"dkim-signature" for f in message.fields)


@given(
    st.sampled_from(METHODS),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 30), PIECES), max_size=4),
    st.booleans(),
)
def test_edited_message(method: str, edits: Edits, is_compared: bool) -> None:
    """Unedited it passes; edited it has an answer, with the original or without."""
    whole = signed(method)
    octets = whole
    for position, length, piece in edits:
        start = position % (len(octets) + 1)
        octets = octets[:start] + piece + octets[start + length :]
    message = read(octets)
    if message is None:
        return
    results = judge_and_explain(message, read(whole) if is_compared else None)
    if octets == whole:
        assert results == [Result.PASS, Result.PASS]
