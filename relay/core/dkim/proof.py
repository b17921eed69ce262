"""What a signature value proves about a key. Pure. RFC 6376 §3.3 and §6.1.3, RFC 8017 §8.2.2.

An RSA signature gives back the digest that was signed, to whoever has the right public key. So
when it does not verify, the wrong key can be told from a changed message: with the right key
there is a well-formed DigestInfo of another digest, with a wrong one there is noise. Ed25519
has nothing of the kind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from relay.core.dkim.algorithm import SHA256_OCTETS, PublicKey

# The DigestInfo of RFC 8017 §9.2 note 1, up to the digest itself.
_SHA256_INFO = bytes.fromhex("3031300d060960864801650304020105000420")
_SHA1_INFO = bytes.fromhex("3021300906052b0e03021a05000414")


@dataclass(frozen=True, slots=True)
class Proof:
    """What a signature value and a key have to do with each other.

    Attributes:
        verifies: the value is a signature of the digest by this key.
        signed: the value was made with this key, over whatever; None when it cannot be told.
        is_sha1: it was made over a SHA-1 digest.
    """

    verifies: bool
    signed: bool | None
    is_sha1: bool = False

    @property
    def rank(self) -> int:
        """Orders proofs by how much the key has to do with the signature."""
        return 3 if self.verifies else {True: 2, None: 1, False: 0}[self.signed]


def prove(public: PublicKey, value: bytes, digest: bytes) -> Proof:
    """Compare a signature with a key and a digest.

    Args:
        public: the key.
        value: b= decoded.
        digest: the 32 octets that should have been signed.
    """
    if public.verifies(value, digest):
        return Proof(verifies=True, signed=True)
    if not isinstance(public.key, rsa.RSAPublicKey):
        return Proof(verifies=False, signed=None)
    info = _digest_info(public.key, value)
    return Proof(
        verifies=False,
        signed=info is not None,
        is_sha1=info is not None and info.startswith(_SHA1_INFO),
    )


def prover(public: PublicKey, value: bytes) -> Callable[[bytes], bool]:
    """A test for digests: is this the one that `value` is a signature of?

    For RSA it costs a comparison, because the digest that was signed is known.
    """
    signed = signed_digest(public, value)
    if signed is None:
        return lambda digest: public.verifies(value, digest)
    return lambda digest: digest == signed


def signed_digest(public: PublicKey, value: bytes) -> bytes | None:
    """The SHA-256 digest that an RSA signature was made over; None when it cannot be had."""
    if isinstance(public.key, rsa.RSAPublicKey):
        info = _digest_info(public.key, value)
        if info is not None and info.startswith(_SHA256_INFO):
            return info[-SHA256_OCTETS:]
    return None


def _digest_info(key: rsa.RSAPublicKey, value: bytes) -> bytes | None:
    try:
        return key.recover_data_from_signature(value, padding.PKCS1v15(), None)
    except InvalidSignature:
        return None
