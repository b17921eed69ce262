"""The proof of a key: our signature under its record, verified by code that is not ours."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from relay.core.errors import KeyFault
from relay.keyring.files import FileKey, read_key_file
from relay.keyring.pem import public_half
from relay.keyring.prove import prove

if TYPE_CHECKING:
    from tests.unit.keyring.conftest import PutKey


@pytest.fixture(params=["rsa", "ed25519"])
def key(
    request: pytest.FixtureRequest, put_key: PutKey, rsa_pem: bytes, ed25519_pem: bytes
) -> FileKey:
    """A key that is sound, of each kind."""
    path = put_key("example.com/s1.pem", rsa_pem if request.param == "rsa" else ed25519_pem)
    return read_key_file(path, domain="example.com", selector="s1")


def test_a_sound_key_is_proven(key: FileKey) -> None:
    """No fault."""
    prove(key)


def test_names_in_a_labels_and_selectors_with_dots(key: FileKey) -> None:
    """The longest and the oddest names that are legal still verify."""
    long_domain = "xn--bcher-kva." + ".".join(["d" * 60] * 2) + ".example"
    prove(dataclasses.replace(key, domain=long_domain, selector="2026.november." + "s" * 60))


def test_a_record_of_another_key_is_refused(key: FileKey) -> None:
    """The fault names the file, its mode and what to do: the key is never used."""
    other = public_half(rsa.generate_private_key(65537, 2048))
    wrong = dataclasses.replace(key, public=dataclasses.replace(key.public, key=other.key))
    with pytest.raises(KeyFault, match="refused by dkimpy") as caught:
        prove(wrong)
    assert caught.value.fault.where == f"{key.path} (mode 0600)"
    assert "dkim-relay keys new example.com" in caught.value.fault.fix


def test_whatever_dkimpy_raises_costs_this_key_only(
    key: FileKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault in the verifier is a fault of the proof, not the end of the relay."""

    def broken(*args: object, **kwargs: object) -> bool:
        raise AttributeError("broken")

    monkeypatch.setattr(dkim.DKIM, "verify", broken)
    with pytest.raises(KeyFault, match="AttributeError: broken"):
        prove(key)
