"""Records in the forms that people paste, read back by what will read them."""

from __future__ import annotations

import json

import dns.rdatatype
import dns.zone
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from dns.rdtypes.ANY.TXT import TXT

from relay.core.dkim.algorithm import PublicKey
from relay.core.dkim.record import parse_record
from relay.keyring import records
from relay.keyring.pem import public_half
from relay.keyring.records import Record, record_of


@pytest.fixture(params=["rsa", "ed25519"])
def public(
    request: pytest.FixtureRequest,
    rsa_key: rsa.RSAPrivateKey,
    ed25519_key: ed25519.Ed25519PrivateKey,
) -> PublicKey:
    """One key of each kind."""
    return public_half(rsa_key if request.param == "rsa" else ed25519_key)


@pytest.fixture
def record(public: PublicKey) -> Record:
    """Its record."""
    return record_of(public, domain="example.com", selector="s1")


def zone_text(text: str) -> bytes:
    """The TXT record of s1 in a zone file, its strings joined."""
    zone = dns.zone.from_text(text, origin="example.com.", check_origin=False)
    ((_, _, rdata),) = zone.iterate_rdatas(dns.rdatatype.TXT)
    assert isinstance(rdata, TXT)
    assert all(len(string) <= 255 for string in rdata.strings)
    return b"".join(rdata.strings)


def test_text(record: Record, public: PublicKey) -> None:
    """Name, type and value on a line each; the value is the whole record."""
    name, kind, value = records.as_text(record).splitlines()
    assert (name, kind) == ("name:  s1._domainkey.example.com", "type:  TXT")
    assert parse_record(value.removeprefix("value: ").encode()).public == public


def test_a_zone_file(record: Record, public: PublicKey) -> None:
    """A name server reads the same key out of it; no string is over 255 octets."""
    assert records.as_bind(record).startswith("s1._domainkey.example.com. ")
    assert parse_record(zone_text(records.as_bind(record))).public == public


def test_the_file_beside_a_key_is_a_zone_file(record: Record, public: PublicKey) -> None:
    """Comments for people, and a line that can be included as it stands."""
    text = records.record_file(record)
    assert parse_record(zone_text(text)).public == public
    assert f"; value: {record.value}\n" in text


def test_json(record: Record) -> None:
    """Owner name to a list of texts; keys of one name stand together."""
    other = Record("s2._domainkey.example.com", "v=DKIM1; p=")
    assert json.loads(records.as_json([record, other, other])) == {
        record.name: [record.value],
        other.name: [other.value, other.value],
    }
