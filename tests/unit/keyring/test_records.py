"""The record to publish, and what may stand in it beside the key."""

from __future__ import annotations

import quopri

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from relay.core.dkim.algorithm import PublicKey
from relay.core.dkim.record import parse_record, record_text
from relay.core.errors import KeyFault
from relay.keyring.pem import public_half
from relay.keyring.records import (
    MAX_NOTE_OCTETS,
    RecordTerms,
    RecordType,
    delegated,
    record_of,
    revoked_record,
)


@pytest.fixture(params=["rsa", "ed25519"])
def public(
    request: pytest.FixtureRequest,
    rsa_key: rsa.RSAPrivateKey,
    ed25519_key: ed25519.Ed25519PrivateKey,
) -> PublicKey:
    """One key of each kind."""
    return public_half(rsa_key if request.param == "rsa" else ed25519_key)


def test_without_terms_it_is_the_key_alone(public: PublicKey) -> None:
    """v, k and p, as the gate and `dns check` compare it."""
    record = record_of(public, domain="example.com", selector="s1")
    assert record.name == "s1._domainkey.example.com"
    assert (record.value, record.kind) == (record_text(public), RecordType.TXT)
    assert record == record_of(public, domain="example.com", selector="s1", terms=RecordTerms())


def test_every_term_is_read_back(public: PublicKey) -> None:
    """RFC 6376 §3.6.1: h, s, t, n; v first and p last."""
    terms = RecordTerms(
        hashes=("sha256",), services=("email",), is_testing=True, is_strict=True, note="a; b = ü"
    )
    value = record_of(public, domain="example.com", selector="s1", terms=terms).value
    read = parse_record(value.encode())
    assert read.public == public
    assert (set(read.hashes), set(read.services)) == ({"sha256"}, {"email"})
    assert read.is_testing
    assert read.is_strict
    assert read.note == "a=3B b =3D =C3=BC"
    assert value.startswith("v=DKIM1; k=")
    assert value.rpartition("; ")[2].startswith("p=")


@given(note=st.text(max_size=25))
def test_a_note_is_quoted_printable(note: str, ed25519_key: ed25519.Ed25519PrivateKey) -> None:
    """Whatever it holds, the record stays a record of plain octets, and the note comes back."""
    terms = RecordTerms(note=note)
    public = public_half(ed25519_key)
    value = record_of(public, domain="example.com", selector="s1", terms=terms).value
    assert value.isascii()
    assert not set(value) & set('"\\$%{}`\r\n')
    read = parse_record(value.encode())
    assert read.public == public
    assert quopri.decodestring(read.note) == note.strip().encode("utf-8", "backslashreplace")


def test_a_note_that_is_too_long_is_refused(public: PublicKey) -> None:
    """Space in DNS is short: the fault says how much there is."""
    terms = RecordTerms(note="x" * (MAX_NOTE_OCTETS + 1))
    with pytest.raises(KeyFault, match=r"--note: .*201 octets.*at most 200"):
        record_of(public, domain="example.com", selector="s1", terms=terms)


def test_a_revoked_record() -> None:
    """RFC 6376 §3.6.1: p= is empty; it takes the place of the one that is there."""
    record = revoked_record(domain="example.com", selector="s1")
    assert parse_record(record.value.encode()).public is None
    assert record.name == "s1._domainkey.example.com"
    assert record.replaces


def test_a_delegation(public: PublicKey) -> None:
    """A CNAME at the name that is looked up, the record where it leads to."""
    record = record_of(public, domain="example.com", selector="s1")
    leads, there = delegated(record, "S1.Example-Com.keys.example.")
    assert (leads.name, leads.kind) == (record.name, RecordType.CNAME)
    assert leads.value == there.name == "s1.example-com.keys.example"
    assert (there.value, there.kind) == (record.value, RecordType.TXT)


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("s1._domainkey.example.com", "cannot lead to itself"),
        ("S1._domainkey.Example.com.", "cannot lead to itself"),
        ("a b", "not a host name"),
        ("", "not a host name"),
        ("../x", "not a host name"),
        ("a..b", "not a host name"),
    ],
)
def test_where_a_delegation_cannot_lead(public: PublicKey, target: str, says: str) -> None:
    """Names that are none, and the name itself."""
    with pytest.raises(KeyFault, match=says):
        delegated(record_of(public, domain="example.com", selector="s1"), target)
