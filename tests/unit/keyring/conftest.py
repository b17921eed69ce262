"""Key files for the tests of the keyring; the keys are made once, because RSA is slow."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from relay.keyring.pem import PrivateKey

PutKey = Callable[..., Path]


def pkcs8(key: PrivateKey) -> bytes:
    """A key as `keys new` writes it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.fixture(scope="session")
def rsa_key() -> rsa.RSAPrivateKey:
    """An RSA key of 2048 bits."""
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="session")
def ed25519_key() -> ed25519.Ed25519PrivateKey:
    """An Ed25519 key."""
    return ed25519.Ed25519PrivateKey.generate()


@pytest.fixture(scope="session")
def rsa_pem(rsa_key: rsa.RSAPrivateKey) -> bytes:
    """The RSA key in PKCS#8."""
    return pkcs8(rsa_key)


@pytest.fixture(scope="session")
def ed25519_pem(ed25519_key: ed25519.Ed25519PrivateKey) -> bytes:
    """The Ed25519 key in PKCS#8."""
    return pkcs8(ed25519_key)


@pytest.fixture
def keys_dir(tmp_path: Path) -> Path:
    """An empty keys folder."""
    path = tmp_path / "keys"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture
def put_key(keys_dir: Path, rsa_pem: bytes) -> PutKey:
    """Write a file into the keys folder: `put_key("example.com/s1.pem", octets, mode, age)`."""

    def put(
        name: str, octets: bytes | None = None, mode: int = 0o600, age_seconds: float = 0
    ) -> Path:
        path = keys_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rsa_pem if octets is None else octets)
        path.chmod(mode)
        written = 1_700_000_000 - age_seconds
        os.utime(path, (written, written))
        return path

    return put


@pytest.fixture
def open_way(tmp_path: Path) -> Iterator[None]:
    """Everybody may pass through our own folders above the test's, as long as it runs."""
    with ExitStack() as closing:
        for folder in [tmp_path, *tmp_path.parents]:
            status = folder.stat()
            if status.st_uid == os.getuid() and not status.st_mode & stat.S_IXOTH:
                closing.callback(folder.chmod, stat.S_IMODE(status.st_mode))
                folder.chmod(stat.S_IMODE(status.st_mode) | stat.S_IXOTH)
        yield
