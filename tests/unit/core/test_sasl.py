"""SASL responses on octets: base64, PLAIN, and what is none. RFC 4954 §4, RFC 4616 §2."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.errors import SyntaxFault
from relay.core.sasl import (
    LOGIN_PASSWORD,
    LOGIN_USERNAME,
    MAX_INITIAL_OCTETS,
    Credentials,
    decode_response,
    read_plain,
)

PARTS = st.binary(min_size=1, max_size=40).map(lambda octets: octets.replace(b"\0", b"x"))


def test_the_challenges_of_login() -> None:
    """What clients look for, some of them letter by letter."""
    assert base64.b64decode(LOGIN_USERNAME) == b"Username:"
    assert base64.b64decode(LOGIN_PASSWORD) == b"Password:"


def test_the_longest_response() -> None:
    """RFC 4954 §4."""
    assert MAX_INITIAL_OCTETS == 12_288


@pytest.mark.parametrize(
    ("octets", "decoded"),
    [
        (b"", b""),
        (b"=", b""),
        (b"AGEAYg==", b"\0a\0b"),
        (b"AGEAYmM=", b"\0a\0bc"),
        (b"AGEAYmNk", b"\0a\0bcd"),
        (b"/+//", b"\xff\xef\xff"),
    ],
)
def test_a_response(octets: bytes, decoded: bytes) -> None:
    """Base64 with its padding; "=" is a response of no octets."""
    assert decode_response(octets) == decoded


@pytest.mark.parametrize(
    "octets",
    [
        *(b"*", b"==", b"A", b"AA", b"AAA", b"AA=", b"=AAA", b"A=AA"),
        *(b"AA==AA==", b"AA==AAAA", b" AAAA", b"AAAA ", b"AA AA", b"AA\rAA", b"AA\nAA", b"AA\0A"),
        *(b"AAA-", b"AAA_", b"AAA.", b"AAA\xc3", b"\xff\xff\xff\xff", b"=\0"),
    ],
)
def test_what_is_no_response(octets: bytes) -> None:
    """Nothing is passed over: other alphabets, blanks, what stands behind the padding."""
    with pytest.raises(SyntaxFault):
        decode_response(octets)


@given(octets=st.binary(max_size=200))
def test_every_response_is_read_as_it_was_written(octets: bytes) -> None:
    """Any octets there and back."""
    assert decode_response(base64.b64encode(octets)) == octets


@given(octets=st.binary(max_size=60))
def test_any_octets(octets: bytes) -> None:
    """A response or a named error; and what was read is what is written, but for padding."""
    try:
        decoded = decode_response(octets)
    except SyntaxFault:
        return
    assert base64.b64encode(decoded).rstrip(b"=") == octets.rstrip(b"=")


@given(login=PARTS, password=PARTS, is_named=st.booleans())
def test_a_plain_message(login: bytes, password: bytes, is_named: bool) -> None:
    """Any octets but NUL, for oneself, with or without saying so."""
    authzid = login if is_named else b""
    assert read_plain(b"\0".join((authzid, login, password))) == Credentials(login, password)


@pytest.mark.parametrize(
    "response",
    [
        b"",
        b"\0",
        b"\0\0",
        b"app\0secret",
        b"\0app\0",
        b"\0\0secret",
        b"app\0\0secret",
        b"root\0app\0secret",
        b"APP\0app\0secret",
        b"\0app\0sec\0ret",
        b"\0\0app\0secret",
        b"\0app\0secret\0",
    ],
)
def test_what_is_no_plain_message(response: bytes) -> None:
    """Too few or too many parts, empty ones, or the identity of somebody else."""
    with pytest.raises(SyntaxFault):
        read_plain(response)


@given(response=st.binary(max_size=40))
def test_any_message(response: bytes) -> None:
    """Credentials or a named error."""
    try:
        credentials = read_plain(response)
    except SyntaxFault:
        return
    assert credentials.login
    assert credentials.password
    assert b"\0" not in credentials.login + credentials.password


def test_a_password_is_not_shown() -> None:
    """Neither in a repr, nor in a text, nor in a fault."""
    credentials = Credentials(b"app", b"hunter2")
    assert "hunter2" not in f"{credentials!r} {credentials}"
    with pytest.raises(SyntaxFault) as caught:
        read_plain(b"app\0hunter2")
    assert "hunter2" not in str(caught.value)
    with pytest.raises(SyntaxFault) as caught:
        decode_response(b"hunter2!")
    assert "hunter2" not in str(caught.value)
