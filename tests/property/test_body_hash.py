"""The body hash is dkimpy's, whatever the body and wherever it is split."""

from __future__ import annotations

import hashlib

import pytest
from dkim.canonicalization import Relaxed, Simple
from hypothesis import example, given
from hypothesis import strategies as st

from relay.core.dkim.canonical import (
    BodyHash,
    Canonicalization,
    hash_body,
    header_form,
    relaxed_fields,
)
from relay.core.message import Field
from tests.property.strategies import big_bodies, fields, odd_bodies, splits

DKIMPY = {Canonicalization.RELAXED: Relaxed, Canonicalization.SIMPLE: Simple}
METHODS = pytest.mark.parametrize("method", list(Canonicalization))


def by_dkimpy(body: bytes, method: Canonicalization) -> bytes:
    """The canonical body that dkimpy makes."""
    canonical: bytes = DKIMPY[method].canonicalize_body(body)
    return canonical


@METHODS
@given(body=odd_bodies.map(lambda body: body + b"\r\n"))
def test_every_split_of_a_small_body(method: Canonicalization, body: bytes) -> None:
    """Two blocks, at every point."""
    expected = hashlib.sha256(by_dkimpy(body, method)).digest()
    for position in range(len(body) + 1):
        assert hash_body((body[:position], body[position:]), method) == expected


@METHODS
@given(drawn=splits(big_bodies.map(lambda body: body + b"\r\n")))
def test_any_blocks_of_a_large_body(
    method: Canonicalization, drawn: tuple[bytes, list[bytes]]
) -> None:
    """Any number of blocks of any size."""
    body, blocks = drawn
    expected = hashlib.sha256(by_dkimpy(body, method)).digest()
    assert hash_body(blocks, method) == expected
    assert hash_body((body,), method) == expected


@METHODS
@given(drawn=splits(odd_bodies.map(lambda body: body + b"\r\n")), limit=st.integers(0, 80))
def test_limited_hash(
    method: Canonicalization, drawn: tuple[bytes, list[bytes]], limit: int
) -> None:
    """l= cuts the canonical body, not the body."""
    body, blocks = drawn
    expected = hashlib.sha256(by_dkimpy(body, method)[:limit]).digest()
    assert hash_body(blocks, method, limit_octets=limit) == expected


@METHODS
@given(octets=st.binary(max_size=60), cut=st.integers(0, 60))
def test_any_octets_at_all(method: Canonicalization, octets: bytes, cut: int) -> None:
    """Bare CR and LF never come this far; if they did, the split would still not matter."""
    whole = hash_body((octets,), method)
    assert hash_body((octets[:cut], octets[cut:]), method) == whole


@given(pieces=st.lists(st.sampled_from([b"\r", b"\n", b" ", b"x", b"\t"]), max_size=12))
def test_any_line_ends_at_all(pieces: list[bytes]) -> None:
    """The same for what is nothing but line ends, whole, half and wrong."""
    for method in Canonicalization:
        expected = hash_body((b"".join(pieces),), method)
        hasher = BodyHash(method)
        for piece in pieces:
            hasher.feed(piece)
        assert hasher.digest() == expected


@example(field=b"To:\r\n \r\n")
@given(field=fields())
def test_header_field(field: bytes) -> None:
    """Fields too, in both forms; blanks and tabs only, as the reader refuses VT and FF."""
    name, _, value = field.partition(b":")
    ours = Field(name.lower(), field)
    ((canonical_name, canonical_value),) = Relaxed.canonicalize_headers([(name, value)])
    relaxed = header_form(ours, Canonicalization.RELAXED)
    assert relaxed == canonical_name + b":" + canonical_value
    assert header_form(ours, Canonicalization.SIMPLE) == field
    assert relaxed_fields([ours, ours]) == relaxed * 2
    again = header_form(Field(name.lower(), relaxed), Canonicalization.RELAXED)
    assert again == relaxed
