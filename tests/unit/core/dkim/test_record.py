"""relay.core.dkim.record: the key record, as we write it and as others publish it."""

from __future__ import annotations

import base64

import pytest

from relay.core.dkim.algorithm import Algorithm, PublicKey
from relay.core.dkim.record import (
    TXT_STRING_OCTETS,
    parse_record,
    record_name,
    record_text,
    split_strings,
)
from relay.core.dkim.tags import TagFault
from relay.core.errors import SyntaxFault
from tests.fakes.keys import FakeKey, ed25519_key, rfc8463_ed25519_private, rsa_key, rsa_private

RSA = rsa_key().public
ED25519 = ed25519_key().public
RSA_P = base64.b64encode(RSA.octets).decode()


def test_name_of_a_record() -> None:
    """RFC 6376 §3.6.2.1, without a final dot."""
    assert record_name("s1", "example.com") == "s1._domainkey.example.com"


@pytest.mark.parametrize("public", [RSA, ED25519], ids=["rsa", "ed25519"])
def test_written_record_is_read_again(public: PublicKey) -> None:
    """What we tell people to publish is the key, with its type said."""
    record = parse_record(record_text(public).encode())
    assert record.public is not None
    assert record.public.algorithm is public.algorithm
    assert record.public.octets == public.octets
    assert record.key_type == public.algorithm.key_type
    assert record.hashes == frozenset()
    assert record.services == {"*"}
    assert not record.is_testing
    assert not record.is_strict


def test_rfc8463_record_is_written_as_printed() -> None:
    """RFC 8463 Appendix A.2, to the octet."""
    text = record_text(FakeKey(rfc8463_ed25519_private()).public)
    assert text == "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="


@pytest.mark.parametrize("bits", [1024, 2048, 3072])
def test_record_in_strings(bits: int) -> None:
    """Strings of at most 255 octets that joined are the record (§3.6.2.2)."""
    text = record_text(FakeKey(rsa_private(bits)).public)
    strings = split_strings(text)
    assert "".join(strings) == text
    assert all(0 < len(s) <= TXT_STRING_OCTETS for s in strings)
    assert len(strings) == -(-len(text) // TXT_STRING_OCTETS)


@pytest.mark.parametrize(
    "text",
    [
        "v=DKIM1; p={p}",
        "p={p}",
        "v=DKIM1;k=rsa;p={p};",
        " v = DKIM1 ; k = rsa ; p = {p} ; ",
        "v=DKIM1; h=sha256; p={p}",
        "v=DKIM1; h=sha1 : sha256; p={p}",
        "v=DKIM1; s=email:tlsrpt; t=y:s; p={p}",
        "v=DKIM1; s=*; g=*; n=note; x_unknown=1; p={p}",
        "k=rsa; t=; p={p}",
        "v=DKIM1; p={folded}",
    ],
)
def test_records_that_others_publish(text: str) -> None:
    """Order, blanks, unknown tags and flags do not matter; the key is the same."""
    folded = " ".join(RSA_P[i : i + 64] for i in range(0, len(RSA_P), 64))
    record = parse_record(text.format(p=RSA_P, folded=folded).encode())
    assert record.public is not None
    assert record.public.octets == RSA.octets


def test_pkcs1_key_is_read() -> None:
    """RFC 6376 erratum 3017: RSAPublicKey without its wrapping is met in DNS."""
    der = RSA.octets
    bare = der[24:]  # behind SEQUENCE, AlgorithmIdentifier and BIT STRING of a 2048-bit key
    assert bare[:2] == b"\x30\x82"
    record = parse_record(b"v=DKIM1; p=" + base64.b64encode(bare))
    assert record.public is not None
    assert record.public.octets == der


def test_every_tag_of_a_record() -> None:
    """The tags k, h, s, t, n and the historic g."""
    record = parse_record(b"v=DKIM1; h=sha1:sha256; s=email; t=y : s; n=a note; g=jane; p=")
    assert record.public is None
    assert record.key_type == "rsa"
    assert record.hashes == {"sha1", "sha256"}
    assert record.services == {"email"}
    assert record.is_testing
    assert record.is_strict
    assert record.note == "a note"
    assert record.granularity == "jane"


@pytest.mark.parametrize("text", ["p=", "v=DKIM1; p=", "v=DKIM1; k=ed25519; p= ;"])
def test_revoked_key(text: str) -> None:
    """An empty p= is a statement, not a fault (§3.6.1)."""
    assert parse_record(text.encode()).public is None


@pytest.mark.parametrize(
    ("text", "tag", "offset"),
    [
        ("", "p", 0),
        ("v=DKIM1", "p", 7),
        ("v=DKIM1; k=rsa", "p", 14),
        ("v=DKIM2; p=", "v", 0),
        ("v=dkim1; p=", "v", 0),
        ("v=DKIM1 x; p=", "v", 0),
        ("v=; p=", "v", 0),
        ("p=; v=DKIM1", "v", 4),
        ("k=rsa; v=DKIM1; p=", "v", 7),
        ("v=DKIM1; k=RSA; p=", "k", 9),
        ("v=DKIM1; k=; p=", "k", 9),
        ("v=DKIM1; k=dsa; p=", "k", 9),
        ("v=DKIM1; p=!", "p", 9),
        ("v=DKIM1; p=abc", "p", 9),
        ("v=DKIM1; p=a=bc", "p", 9),
        ("v=DKIM1; p=abcd===", "p", 9),
        ("v=DKIM1; p=ab-_", "p", 9),  # the other base64
        ("v=DKIM1; p=abcd; p=abcd", "p", 17),
        ("v=DKIM1;; p=abcd", "", 8),
        ("v=DKIM1; k=rsa p=abcd x", "k", 9),
        ('"v=DKIM1; p=abcd"', '"v', 0),
        ("v=DKIM1; n=grüße; p=", "n", 9),
        ("o=~", "p", 3),  # a policy record of old
        ("v=spf1 -all", "v", 0),
    ],
)
def test_fault_in_a_record_has_its_place(text: str, tag: str, offset: int) -> None:
    """What people see of it: the tag, the position, and a line that can be shown."""
    with pytest.raises(TagFault) as caught:
        parse_record(text.encode())
    assert (caught.value.tag, caught.value.offset) == (tag, offset)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("key_type", "octets", "what"),
    [
        ("ed25519", b"x" * 31, "32 octets, this has 31"),
        ("ed25519", b"x" * 33, "32 octets, this has 33"),
        ("ed25519", RSA.octets, "32 octets"),
        ("rsa", ED25519.octets, "not a public key"),
        ("rsa", b"x", "not a public key"),
        ("rsa", RSA.octets[:-1], "not a public key"),
        ("rsa", b"\0" + RSA.octets, "not a public key"),
    ],
    ids=range(7),  # the keys are new in each process, and names must be the same in all
)
def test_octets_that_are_no_key(key_type: str, octets: bytes, what: str) -> None:
    """Base64 that is well formed and holds no key of the type that k= says."""
    record = f"v=DKIM1; k={key_type}; p={base64.b64encode(octets).decode()}"
    with pytest.raises(SyntaxFault, match=what):
        parse_record(record.encode())


def test_algorithm_of_a_record_is_that_of_its_key() -> None:
    """The a= that a record permits."""
    assert RSA.algorithm is Algorithm.RSA_SHA256
    assert RSA.algorithm.key_type == "rsa"
    assert ED25519.algorithm.key_type == "ed25519"


def test_long_records_are_read_or_refused() -> None:
    """64 KiB of TXT is the most that DNS carries; nothing in it takes long."""
    with pytest.raises(SyntaxFault):
        parse_record(b"v=DKIM1; p=" + b"A" * 65_000)
    with pytest.raises(SyntaxFault):
        parse_record(b"v=DKIM1; " + b"x" * 65_000)
    assert parse_record(b"v=DKIM1; n=" + b"x" * 65_000 + b"; p=").public is None
