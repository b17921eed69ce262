"""The key in a certificate, read on octets; `cryptography` is the oracle."""

from __future__ import annotations

import contextlib
import hashlib
import ssl

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_der_x509_certificate
from hypothesis import given
from hypothesis import strategies as st

from relay.core.certificate import fingerprint, public_key_info
from relay.core.errors import SyntaxFault

CA = trustme.CA()


def der(blob: trustme.Blob) -> bytes:
    """A PEM certificate as DER."""
    return ssl.PEM_cert_to_DER_cert(blob.bytes().decode("ascii"))


CERTIFICATES = [
    der(CA.cert_pem),
    der(CA.issue_cert("a.test").cert_chain_pems[0]),
    der(CA.issue_cert("a.test", key_type=trustme.KeyType.RSA).cert_chain_pems[0]),
    der(CA.issue_cert(*(f"{'n' * 50}{n}.test" for n in range(40))).cert_chain_pems[0]),
]


@pytest.mark.parametrize("certificate", CERTIFICATES)
def test_the_key_is_the_one_that_cryptography_sees(certificate: bytes) -> None:
    """EC and RSA, short and long."""
    key = load_der_x509_certificate(certificate).public_key()
    assert public_key_info(certificate) == key.public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )


@pytest.mark.parametrize("certificate", CERTIFICATES)
def test_a_certificate_that_is_cut_off(certificate: bytes) -> None:
    """At every octet: one named error."""
    for end in range(len(certificate)):
        with pytest.raises(SyntaxFault):
            public_key_info(certificate[:end])


@given(st.binary(max_size=200))
def test_octets_of_any_kind(octets: bytes) -> None:
    """A key, or one named error."""
    with contextlib.suppress(SyntaxFault):
        assert public_key_info(octets) in octets


def test_a_fingerprint() -> None:
    """As settings have it."""
    assert fingerprint(b"x") == f"sha256:{hashlib.sha256(b'x').hexdigest()}"
