"""Keys for the tests of records; made once, because making RSA keys is slow."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from relay.core.dkim.algorithm import Algorithm, PublicKey


@pytest.fixture(scope="session")
def rsa_public() -> PublicKey:
    """An RSA key of 2048 bits."""
    return PublicKey(Algorithm.RSA_SHA256, rsa.generate_private_key(65537, 2048).public_key())


@pytest.fixture(scope="session")
def other_rsa_public() -> PublicKey:
    """Another."""
    return PublicKey(Algorithm.RSA_SHA256, rsa.generate_private_key(65537, 2048).public_key())


@pytest.fixture(scope="session")
def weak_public() -> PublicKey:
    """An RSA key of 512 bits, as they were published twenty years ago."""
    return PublicKey(Algorithm.RSA_SHA256, rsa.RSAPublicNumbers(65537, 2**511 + 1).public_key())


@pytest.fixture(scope="session")
def ed25519_public() -> PublicKey:
    """An Ed25519 key."""
    private = ed25519.Ed25519PrivateKey.generate()
    return PublicKey(Algorithm.ED25519_SHA256, private.public_key())
