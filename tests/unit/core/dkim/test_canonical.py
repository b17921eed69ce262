"""relay.core.dkim.canonical: RFC 6376 §3.4 in blocks, beside what dkimpy makes of the same."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from collections.abc import Iterator

import pytest
from dkim.canonicalization import Relaxed, Simple

from relay.core.dkim.canonical import (
    BodyHash,
    Canonicalization,
    hash_body,
    header_form,
    relaxed_field,
    relaxed_fields,
    select_fields,
)
from relay.core.message import Field, parse_header

RELAXED, SIMPLE = Canonicalization.RELAXED, Canonicalization.SIMPLE
DKIMPY = {RELAXED: Relaxed, SIMPLE: Simple}

# RFC 6376 §3.4.5, <SP> <HTAB> <CRLF> written out.
RFC_HEADER = b"A: X\r\nB : Y\t\r\n\tZ  \r\n"
RFC_BODY = b" C \r\nD \t E\r\n\r\n\r\n"


def sha256(*octets: bytes) -> bytes:
    """The digest of octets."""
    return hashlib.sha256(b"".join(octets)).digest()


def by_dkimpy(body: bytes, method: Canonicalization) -> bytes:
    """The digest of the canonical body that dkimpy makes."""
    return sha256(DKIMPY[method].canonicalize_body(body))


def linear_relaxed(body: bytes) -> bytes:
    """The relaxed body, line by line: dkimpy's own takes seconds for a hostile one."""
    lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in body.split(b"\r\n")]
    while lines and not lines[-1]:
        lines.pop()
    return b"".join(line + b"\r\n" for line in lines)


def two_blocks(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    """A body in two blocks, in every way."""
    for position in range(len(body) + 1):
        yield body[:position], body[position:]


# Examples of RFC 6376 -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "canonical"), [(RELAXED, b" C\r\nD E\r\n"), (SIMPLE, b" C \r\nD \t E\r\n")]
)
def test_example_body_of_the_rfc(method: Canonicalization, canonical: bytes) -> None:
    """RFC 6376 §3.4.5, wherever the body is split."""
    for blocks in two_blocks(RFC_BODY):
        assert hash_body(blocks, method) == sha256(canonical)


def test_example_header_of_the_rfc() -> None:
    """RFC 6376 §3.4.5; "B :" of the example is refused before it gets here, so "B:" stands."""
    a, b = parse_header(RFC_HEADER.replace(b"B :", b"B:"), max_fields=2)
    assert relaxed_field(a) == header_form(a, RELAXED) == b"a:X\r\n"
    assert relaxed_field(b) == header_form(b, RELAXED) == b"b:Y Z\r\n"
    assert header_form(a, SIMPLE) == b"A: X\r\n"
    assert header_form(b, SIMPLE) == b"B: Y\t\r\n\tZ  \r\n"


@pytest.mark.parametrize(
    ("method", "digest"),
    [
        (SIMPLE, "frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY="),  # of CRLF
        (RELAXED, "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),  # of nothing
    ],
)
@pytest.mark.parametrize("body", [(), (b"",), (b"\r\n",), (b"\r", b"\n"), (b"\r\n\r\n\r\n",)])
def test_empty_body(method: Canonicalization, digest: str, body: tuple[bytes, ...]) -> None:
    """RFC 6376 §3.4.3 and §3.4.4 give these two values."""
    assert base64.b64encode(hash_body(body, method)).decode() == digest


@pytest.mark.parametrize(
    ("body", "canonical"),
    [
        (b" \r\n", b""),
        (b"\t\r\n \r\n\r\n", b""),
        (b" ", b""),
        (b"\r\n x\r\n", b"\r\n x\r\n"),
        (b"x", b"x\r\n"),
        (b"x ", b"x\r\n"),
        (b"x\t \t\r\n\r\n", b"x\r\n"),
        (b"x\r\n \r\n\t\r\ny\r\n", b"x\r\n\r\n\r\ny\r\n"),
        (b"\tx\t\ty \r\n", b" x y\r\n"),
        (b"\x0bx\x0c\r\n", b"\x0bx\x0c\r\n"),  # §2.8: VT and FF are not white space
        (b"x\x0b \x0c\r\n", b"x\x0b \x0c\r\n"),
        (b"\x0c\r\n\r\n", b"\x0c\r\n"),
        (b"x\xa0\r\n", b"x\xa0\r\n"),
        (b"\xc2\xa0 \xe2\x80\xa8 \r\n", b"\xc2\xa0 \xe2\x80\xa8\r\n"),
        (b"\0 \0\r\n", b"\0 \0\r\n"),
    ],
)
def test_relaxed_body(body: bytes, canonical: bytes) -> None:
    """Blanks in runs, at the ends of lines, and lines at the end; nothing else (§3.4.4)."""
    assert hash_body((body,), RELAXED) == sha256(canonical)
    for blocks in two_blocks(body):
        assert hash_body(blocks, RELAXED) == sha256(canonical)


@pytest.mark.parametrize(
    ("body", "canonical"),
    [
        (b"x", b"x\r\n"),
        (b"x \r\n\r\n", b"x \r\n"),
        (b" \r\n\r\n", b" \r\n"),
        (b"x\r\n \r\n\r\n", b"x\r\n \r\n"),
        (b"\r\n\r\nx\r\n", b"\r\n\r\nx\r\n"),
        (b"\x0c\r\n\r\n", b"\x0c\r\n"),
    ],
)
def test_simple_body(body: bytes, canonical: bytes) -> None:
    """Only empty lines at the end go, and white space is no empty line (§3.4.3)."""
    for blocks in two_blocks(body):
        assert hash_body(blocks, SIMPLE) == sha256(canonical)


@pytest.mark.parametrize(
    ("field", "canonical"),
    [
        (b"Subject: x\r\n", b"subject:x\r\n"),
        (b"SUBJECT:x\r\n", b"subject:x\r\n"),
        (b"Subject:\r\n", b"subject:\r\n"),
        (b"Subject: \t \r\n", b"subject:\r\n"),
        (b"Subject:\r\n x\r\n", b"subject:x\r\n"),
        (b"Subject: a\r\n b\r\n\tc\r\n", b"subject:a b c\r\n"),
        (b"Subject: a  \r\n  b\r\n", b"subject:a b\r\n"),
        (b"Subject: a\r\n \r\n b\r\n", b"subject:a b\r\n"),
        (b"Subject: a\r\n \r\n", b"subject:a\r\n"),
        (b"Subject: a : b ;\t\tc\r\n", b"subject:a : b ; c\r\n"),
        (b"Subject: a\x0b\r\n", b"subject:a\x0b\r\n"),
        (b"Subject: \x0c a \x0c\r\n", b"subject:\x0c a \x0c\r\n"),
        (b"Subject: gr\xc3\xbc\xdfe \xa0 x\r\n", b"subject:gr\xc3\xbc\xdfe \xa0 x\r\n"),
        (b"X-\xc3: Y\r\n", b"x-\xc3:Y\r\n"),  # only ASCII letters have a lower case here
    ],
)
def test_relaxed_header_field(field: bytes, canonical: bytes) -> None:
    """Name in lower case, unfolded, blanks in runs and at both ends of the value (§3.4.2)."""
    name = field.partition(b":")[0].lower()
    assert relaxed_field(Field(name, field)) == canonical
    assert relaxed_fields([Field(name, field)] * 2) == canonical * 2
    assert header_form(Field(name, field), SIMPLE) == field


# Beside dkimpy ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", list(Canonicalization))
def test_every_short_body_is_hashed_as_dkimpy_does(method: Canonicalization) -> None:
    """All bodies of up to five pieces of these, split everywhere: the same digest."""
    pieces = (b"\r\n", b" ", b"\t", b"x", b"\x0c")
    checked = 0
    for length in range(6):
        for chosen in itertools.product(pieces, repeat=length):
            body = b"".join(chosen)
            if method is RELAXED and not body.endswith(b"\r\n"):
                body += b"\r\n"  # dkimpy keeps a blank at the very end of an unfinished line
            expected = by_dkimpy(body, method)
            assert method is SIMPLE or sha256(linear_relaxed(body)) == expected
            assert hash_body((body,), method) == expected, body
            for blocks in two_blocks(body):
                assert hash_body(blocks, method) == expected, blocks
            singles = [body[i : i + 1] for i in range(len(body))]
            assert hash_body(singles, method) == expected, body
            checked += 1
    assert checked == 3906


@pytest.mark.parametrize("method", list(Canonicalization))
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"a  b" * 1000 + b"\r\n", id="many runs in one line"),
        pytest.param(b"a  b \r\n" * 1000, id="many runs in many lines"),
        pytest.param(b"a" + b" " * 199 + b"b\r\n", id="one run"),
        pytest.param((b"a  b" * 99 + b"\r\n") * 5, id="around the limit of few runs"),
        pytest.param((b"a   b" * 100 + b" \r\n") * 5, id="around it, three at a time"),
        pytest.param(b"\r\n" * 5000 + b"x\r\n", id="blank lines, then text"),
        pytest.param(b"x\r\n" + b" \r\n\t\r\n" * 2000, id="white lines at the end"),
        pytest.param(b"\t" * 3000 + b"\r\n", id="tabs"),
        pytest.param(b"x" * 3000 + b"\r\n" + b" " * 3000 + b"y\r\n", id="long lines"),
    ],
)
def test_long_body_is_hashed_as_dkimpy_does(method: Canonicalization, body: bytes) -> None:
    """Whole, and in blocks of many sizes."""
    expected = by_dkimpy(body, method)
    for size in (1, 2, 3, 7, 64, 199, 200, 201, 1000, len(body)):
        blocks = (body[i : i + size] for i in range(0, len(body), size))
        assert hash_body(blocks, method) == expected, size


# l= -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", list(Canonicalization))
def test_limited_body_hash(method: Canonicalization) -> None:
    """l= counts canonical octets, from none to more than there are, wherever blocks split."""
    canonical = DKIMPY[method].canonicalize_body(RFC_BODY)
    for limit in range(len(canonical) + 3):
        expected = sha256(canonical[:limit])
        assert hash_body((RFC_BODY,), method, limit_octets=limit) == expected
        for blocks in two_blocks(RFC_BODY):
            assert hash_body(blocks, method, limit_octets=limit) == expected


def test_limit_may_have_76_digits() -> None:
    """RFC 6376 §3.5 permits them; no memory is set aside for them."""
    assert hash_body((b"x\r\n",), RELAXED, limit_octets=10**76 - 1) == sha256(b"x\r\n")


# What is held and what is hashed ------------------------------------------------------------------


class _Counted:
    """A hash that counts what it is given."""

    def __init__(self) -> None:
        self.octets = 0
        self.calls = 0
        self._hash = hashlib.sha256()

    def update(self, data: bytes, /) -> None:
        self.octets += len(data)
        self.calls += 1
        self._hash.update(data)

    def digest(self) -> bytes:
        return self._hash.digest()


HOSTILE = [
    pytest.param(b" ", id="blanks"),
    pytest.param(b"\t", id="tabs"),
    pytest.param(b"\r\n", id="line ends"),
    pytest.param(b" \r\n", id="white lines"),
    pytest.param(b"x ", id="single blanks"),
    pytest.param(b"x  ", id="runs"),
    pytest.param(b" x", id="blanks before"),
    pytest.param(b"x\r\n\r\n", id="every other line blank"),
    pytest.param(b"x \t\r\n", id="white ends"),
    pytest.param(b"x", id="no line end"),
    pytest.param(b" " * 990 + b"x\r\n", id="990 blanks a line"),
]


@pytest.mark.parametrize("piece", HOSTILE)
@pytest.mark.parametrize("size", [1, 100, 65536])
def test_hostile_body_is_hashed_once(piece: bytes, size: int) -> None:
    """Each octet is hashed once at most, in two steps a block at most, and two are held at most."""
    body = piece * (60_000 // len(piece)) + b"x\r\n"
    hasher, counted = BodyHash(), _Counted()
    hasher._hash = counted
    blocks = 0
    for start in range(0, len(body), size):
        hasher.feed(body[start : start + size])
        blocks += 1
        assert len(hasher._held) <= 2
    assert hasher.digest() == sha256(linear_relaxed(body))
    assert counted.octets <= len(body)
    assert counted.calls <= 2 * blocks + 1


def test_bare_line_ends_at_the_end_of_blocks_are_content() -> None:
    """The message reader refuses them; if they came, they would be hashed, not dropped."""
    for body in (b"x\r", b"x\n", b"x\r\r\n", b"x\r\n\r", b"\r", b"x\r \r\n", b"x\n\r\n\r\n"):
        digests = {hash_body(blocks, SIMPLE) for blocks in two_blocks(body)}
        assert len(digests) == 1
        assert digests != {hash_body((body.replace(b"\r", b"").replace(b"\n", b""),), SIMPLE)}


# select_fields ------------------------------------------------------------------------------------


def fields(*lines: bytes) -> tuple[Field, ...]:
    """Fields from their lines."""
    return parse_header(b"".join(line + b"\r\n" for line in lines), max_fields=100)


@pytest.mark.parametrize(
    ("names", "selected"),
    [
        ([], []),
        ([b"x"], [b"X: 3"]),
        ([b"x", b"x"], [b"X: 3", b"x: 2"]),
        ([b"x", b"x", b"x"], [b"X: 3", b"x: 2", b"X: 1"]),
        ([b"x", b"x", b"x", b"x", b"x"], [b"X: 3", b"x: 2", b"X: 1"]),
        ([b"y", b"x", b"y", b"x"], [b"Y: 1", b"X: 3", b"x: 2"]),
        ([b"z", b"y"], [b"Y: 1"]),
        ([b"x", b"z", b"x"], [b"X: 3", b"x: 2"]),
    ],
)
def test_fields_are_selected_from_the_bottom(names: list[bytes], selected: list[bytes]) -> None:
    """§5.4.2: each name takes the lowest field not yet taken, in the order of h=, or nothing."""
    section = fields(b"X: 1", b"Y: 1", b"x: 2", b"X: 3")
    assert [f.octets for f in select_fields(section, names)] == [s + b"\r\n" for s in selected]
