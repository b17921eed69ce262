"""Numbers of RSA keys that do not belong together are found without testing primes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from relay.core.errors import KeyFault
from relay.keyring.arithmetic import is_consistent, twin
from relay.keyring.files import read_key_file
from relay.keyring.pem import PrivateKey
from tests.fakes.keys import rsa_private

if TYPE_CHECKING:
    from tests.unit.keyring.conftest import PutKey

NUMBERS = ("d", "dmp1", "dmq1", "iqmp", "e")  # the library makes no key in which p * q is not n


def damaged(key: rsa.RSAPrivateKey, name: str) -> rsa.RSAPrivateKey:
    """The key with one of its numbers changed."""
    numbers = key.private_numbers()
    public = numbers.public_numbers
    values = {each: getattr(numbers, each) for each in ("p", "q", "d", "dmp1", "dmq1", "iqmp")}
    values["e"] = public.e
    values[name] += 2
    half = rsa.RSAPublicNumbers(values.pop("e"), public.n)
    changed = rsa.RSAPrivateNumbers(**values, public_numbers=half)
    return changed.private_key(unsafe_skip_rsa_key_validation=True)


def test_good_keys(rsa_key: rsa.RSAPrivateKey, ed25519_key: ed25519.Ed25519PrivateKey) -> None:
    """Keys of both kinds, and their twins; a twin signs the same."""
    keys: list[PrivateKey] = [rsa_key, rsa_private(1024), ed25519_key]
    for key in keys:
        assert is_consistent(key)
        assert is_consistent(twin(key))
        assert twin(key) is not key
    assert twin(ed25519_key).sign(b"x") == ed25519_key.sign(b"x")  # type: ignore[call-arg]


@pytest.mark.parametrize("name", NUMBERS)
def test_a_damaged_number(name: str, rsa_key: rsa.RSAPrivateKey) -> None:
    """Whichever it is."""
    assert not is_consistent(damaged(rsa_key, name))


@pytest.mark.parametrize("name", ["dmp1", "iqmp"])
def test_a_damaged_file(name: str, put_key: PutKey, rsa_key: rsa.RSAPrivateKey) -> None:
    """OpenSSL would still sign with it, in a slower way; the fault says that it is damaged."""
    octets = damaged(rsa_key, name).private_bytes(
        Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
    )
    path = put_key("example.com/s1.pem", octets)
    with pytest.raises(KeyFault, match="its numbers do not belong together"):
        read_key_file(path, domain="example.com", selector="s1", is_proven_later=True)
