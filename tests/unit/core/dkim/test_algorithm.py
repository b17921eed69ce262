"""relay.core.dkim.algorithm: keys and what they make, by RFC 8301 and RFC 8463."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from relay.core.dkim.algorithm import Algorithm, public_key, sign_digest
from relay.core.errors import SyntaxFault
from tests.fakes.keys import (
    FakeKey,
    ed25519_key,
    ed25519_private,
    rfc8463_ed25519_private,
    rsa_key,
    rsa_private,
)

DIGEST = hashlib.sha256(b"what is signed").digest()
KEYS = [rsa_key(), ed25519_key()]
KEY_IDS = ["rsa", "ed25519"]


@pytest.mark.parametrize("key", KEYS, ids=KEY_IDS)
def test_signature_verifies_only_as_it_was_made(key: FakeKey) -> None:
    """Another digest, another signature, nothing at all: no, and never an exception."""
    value = sign_digest(key.private, DIGEST)
    assert key.public.verifies(value, DIGEST)
    assert not key.public.verifies(value, hashlib.sha256(b"other").digest())
    for position in (0, len(value) // 2, len(value) - 1):
        changed = bytearray(value)
        changed[position] ^= 1
        assert not key.public.verifies(bytes(changed), DIGEST)
    for other in (b"", value[:-1], value + b"\0", b"\0" + value, b"\0" * len(value), b"x" * 9999):
        assert not key.public.verifies(other, DIGEST)


def test_signature_of_another_key_does_not_verify() -> None:
    """A key of the same size and type is still another key."""
    value = sign_digest(rsa_private(2048, 1), DIGEST)
    assert not rsa_key().public.verifies(value, DIGEST)
    value = sign_digest(ed25519_private(1), DIGEST)
    assert not ed25519_key().public.verifies(value, DIGEST)


def test_ed25519_signs_the_digest_and_nothing_else() -> None:
    """RFC 8463 §3: PureEdDSA over the SHA-256 digest, not over its input."""
    key = rfc8463_ed25519_private()
    assert sign_digest(key, DIGEST) == key.sign(DIGEST)
    assert sign_digest(key, DIGEST) != key.sign(b"what is signed")


@pytest.mark.parametrize("key", KEYS, ids=KEY_IDS)
def test_signing_is_deterministic(key: FakeKey) -> None:
    """RFC 8017 §8.2 and RFC 8032 §5.1.6: no chance is involved."""
    assert sign_digest(key.private, DIGEST) == sign_digest(key.private, DIGEST)


@pytest.mark.parametrize("key", KEYS, ids=KEY_IDS)
def test_public_key_is_read_from_its_own_octets(key: FakeKey) -> None:
    """What p= has is enough to verify."""
    read = public_key(key.public.algorithm.key_type, key.public.octets)
    assert read.octets == key.public.octets
    assert read.bits == key.public.bits
    assert read.fingerprint == key.public.fingerprint
    assert read.verifies(sign_digest(key.private, DIGEST), DIGEST)


def test_facts_of_a_key() -> None:
    """Size and fingerprint, as people are shown them."""
    assert rsa_key().public.bits == 2048
    assert ed25519_key().public.bits == 256
    public = FakeKey(rfc8463_ed25519_private()).public
    assert public.fingerprint == hashlib.sha256(public.octets).hexdigest()[:16]
    assert public.fingerprint != ed25519_key().public.fingerprint


def test_names_of_algorithms() -> None:
    """a= and k= as RFC 6376 and RFC 8463 spell them; there is no rsa-sha1 to sign with."""
    assert [(a.value, a.key_type) for a in Algorithm] == [
        ("rsa-sha256", "rsa"),
        ("ed25519-sha256", "ed25519"),
    ]


def _der(bits: int) -> bytes:
    numbers = rsa.RSAPublicNumbers(65537, (1 << (bits - 1)) | 1)
    return numbers.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize("bits", [512, 1023, 1024, 8192])
def test_rsa_key_of_any_usual_size_is_read(bits: int) -> None:
    """Too short is for the policy to say, and then by its size; it is read all the same."""
    assert public_key("rsa", _der(bits)).bits == bits


@pytest.mark.parametrize("bits", [8193, 16384])
def test_rsa_key_of_an_absurd_size_is_refused(bits: int) -> None:
    """A stranger's record does not decide how much work verifying is."""
    with pytest.raises(SyntaxFault, match="over 8192"):
        public_key("rsa", _der(bits))


def test_elliptic_curve_key_is_no_rsa_key() -> None:
    """A DER key of a type that DKIM does not know."""
    der = ec.generate_private_key(ec.SECP256R1()).public_key()
    octets = der.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(SyntaxFault, match="not an RSA key"):
        public_key("rsa", octets)


@pytest.mark.parametrize("octets", [b"\0" * 32, b"\xff" * 32, b"\x02" + b"\0" * 31])
def test_ed25519_octets_that_are_no_point_verify_nothing(octets: bytes) -> None:
    """Any 32 octets are read; what is no usable point makes no signature verify."""
    try:
        public = public_key("ed25519", octets)
    except SyntaxFault:
        return
    assert not public.verifies(b"\0" * 64, DIGEST)
    assert not public.verifies(octets + b"\0" * 32, DIGEST)
