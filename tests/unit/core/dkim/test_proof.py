"""relay.core.dkim.proof: what a signature value tells of its key (RFC 8017 §8.2.2)."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from relay.core.dkim.proof import Proof, prove, prover, signed_digest
from tests.fakes.keys import FakeKey, ed25519_private, rsa_private

RSA, OTHER_RSA = FakeKey(rsa_private()), FakeKey(rsa_private(2048, 1))
ED, OTHER_ED = FakeKey(ed25519_private()), FakeKey(ed25519_private(1))
DIGEST, OTHER_DIGEST = hashlib.sha256(b"a").digest(), hashlib.sha256(b"b").digest()


@pytest.mark.parametrize(
    ("signer", "key", "digest", "proof"),
    [
        (RSA, RSA, DIGEST, Proof(verifies=True, signed=True)),
        (RSA, RSA, OTHER_DIGEST, Proof(verifies=False, signed=True)),
        (RSA, OTHER_RSA, DIGEST, Proof(verifies=False, signed=False)),
        (ED, ED, DIGEST, Proof(verifies=True, signed=True)),
        (ED, ED, OTHER_DIGEST, Proof(verifies=False, signed=None)),
        (ED, OTHER_ED, DIGEST, Proof(verifies=False, signed=None)),
        (ED, RSA, DIGEST, Proof(verifies=False, signed=False)),
        (RSA, ED, DIGEST, Proof(verifies=False, signed=None)),
    ],
)
def test_proof(signer: FakeKey, key: FakeKey, digest: bytes, proof: Proof) -> None:
    """RSA tells a wrong key from a changed message; Ed25519 cannot."""
    assert prove(key.public, signer.sign_now(DIGEST), digest) == proof


@pytest.mark.parametrize("value", [b"", b"x", b"\0" * 256, b"\xff" * 256, b"x" * 1_000_000])
@pytest.mark.parametrize("key", [RSA, ED], ids=["rsa", "ed25519"])
def test_noise_proves_nothing(key: FakeKey, value: bytes) -> None:
    """Of any length."""
    proof = prove(key.public, value, DIGEST)
    assert not proof.verifies
    assert proof.signed is not True
    assert signed_digest(key.public, value) is None
    assert not prover(key.public, value)(DIGEST)


def test_digest_that_was_signed() -> None:
    """RSA gives it back; Ed25519 has none to give."""
    assert signed_digest(RSA.public, RSA.sign_now(DIGEST)) == DIGEST
    assert signed_digest(OTHER_RSA.public, RSA.sign_now(DIGEST)) is None
    assert signed_digest(ED.public, ED.sign_now(DIGEST)) is None


@pytest.mark.parametrize("key", [RSA, ED], ids=["rsa", "ed25519"])
def test_prover(key: FakeKey) -> None:
    """Says yes to the digest that was signed, and to no other."""
    proves = prover(key.public, key.sign_now(DIGEST))
    assert proves(DIGEST)
    assert not proves(OTHER_DIGEST)


def test_sha1_is_seen() -> None:
    """A signature over a SHA-1 digest is one of this key all the same."""
    value = rsa_private().sign(b"x", padding.PKCS1v15(), hashes.SHA1())  # noqa: S303 - the fault
    assert prove(RSA.public, value, DIGEST) == Proof(verifies=False, signed=True, is_sha1=True)
    assert signed_digest(RSA.public, value) is None


def test_rank_prefers_the_key_that_helps() -> None:
    """Of several records, the one whose key verifies, else the one whose key signed."""
    proofs = [
        Proof(verifies=False, signed=False),
        Proof(verifies=False, signed=None),
        Proof(verifies=False, signed=True),
        Proof(verifies=True, signed=True),
    ]
    assert sorted(reversed(proofs), key=lambda p: p.rank) == proofs
