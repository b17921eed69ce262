"""Signing algorithms and the keys they use. Pure (the mathematics is `cryptography`'s).

RFC 6376 §3.3, RFC 8301 (no sha1, RSA sizes), RFC 8463 (Ed25519).
Both algorithms sign a SHA-256 digest, so every key, wherever it lives, has one operation.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa, utils

from relay.core.errors import SyntaxFault

MIN_RSA_BITS = 1024  # RFC 8301 §3.2: signers MUST use at least 1024
DEFAULT_RSA_BITS = 2048  # RFC 8301 §3.2: signers SHOULD use at least 2048
MAX_VERIFY_RSA_BITS = 8192  # bounds the work that a stranger's record can ask for
ED25519_KEY_OCTETS = 32  # RFC 8032 §5.1.5
SHA256_OCTETS = 32
_PADDING = padding.PKCS1v15()
_DIGEST = utils.Prehashed(hashes.SHA256())


class Algorithm(StrEnum):
    """The a= values that we sign with (RFC 6376 §3.3, RFC 8463 §3)."""

    RSA_SHA256 = "rsa-sha256"
    ED25519_SHA256 = "ed25519-sha256"

    @property
    def key_type(self) -> str:
        """The k= value of the matching record."""
        return self.value.partition("-")[0]


RsaOrEd25519 = rsa.RSAPublicKey | ed25519.Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key as a key record carries it (RFC 6376 §3.6.1, RFC 8463 §4)."""

    algorithm: Algorithm
    key: RsaOrEd25519

    @property
    def bits(self) -> int:
        """The modulus size, or 256 for Ed25519."""
        return self.key.key_size if isinstance(self.key, rsa.RSAPublicKey) else 256

    @property
    def octets(self) -> bytes:
        """What p= has in base64: SubjectPublicKeyInfo DER, or the raw Ed25519 key."""
        if isinstance(self.key, ed25519.Ed25519PublicKey):
            return self.key.public_bytes_raw()
        return self.key.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    @property
    def fingerprint(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of `octets`, for people."""
        return hashlib.sha256(self.octets).hexdigest()[:16]

    def verifies(self, signature: bytes, digest: bytes) -> bool:
        """Whether `signature` was made over the 32-octet `digest` with this key's pair."""
        try:
            if isinstance(self.key, ed25519.Ed25519PublicKey):
                self.key.verify(signature, digest)  # RFC 8463 §3: PureEdDSA over the digest
            else:
                self.key.verify(signature, digest, _PADDING, _DIGEST)
        except InvalidSignature:
            return False
        return True


class SigningKey(Protocol):
    """A private key in use: a file's, a token's or a service's look alike."""

    @property
    def domain(self) -> str:
        """The signing domain (d=), in A-labels."""

    @property
    def selector(self) -> str:
        """The selector (s=), in A-labels."""

    @property
    def public(self) -> PublicKey:
        """The public half, with its algorithm."""

    async def sign(self, digest: bytes) -> bytes:
        """The signature over a 32-octet SHA-256 digest.

        Raises:
            KeyFault: the key cannot sign now.
        """


def public_key(key_type: str, octets: bytes) -> PublicKey:
    """Read the octets of p= (RFC 6376 §3.6.1, RFC 8463 §4.2).

    Args:
        key_type: k=, "rsa" or "ed25519".
        octets: p= after base64.

    Raises:
        SyntaxFault: the octets are not a key of that type, or of a size nobody should use.
    """
    if key_type == Algorithm.ED25519_SHA256.key_type:
        if len(octets) != ED25519_KEY_OCTETS:
            raise SyntaxFault(f"an Ed25519 key has 32 octets, this has {len(octets)}")
        return PublicKey(
            Algorithm.ED25519_SHA256, ed25519.Ed25519PublicKey.from_public_bytes(octets)
        )
    try:
        # Reads SubjectPublicKeyInfo and, as RFC 6376 erratum 3017 has it, PKCS#1 too.
        key = serialization.load_der_public_key(octets)
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise SyntaxFault("p= is not a public key in DER") from exc
    if not isinstance(key, rsa.RSAPublicKey):
        raise SyntaxFault("p= is a key, but not an RSA key")
    if key.key_size > MAX_VERIFY_RSA_BITS:
        raise SyntaxFault(f"an RSA key of {key.key_size} bits is over {MAX_VERIFY_RSA_BITS}")
    return PublicKey(Algorithm.RSA_SHA256, key)


def sign_digest(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey, digest: bytes) -> bytes:
    """Sign a SHA-256 digest with a private key held in memory (RFC 8017 §8.2, RFC 8463 §3)."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(digest)
    return key.sign(digest, _PADDING, _DIGEST)
