"""Private keys in every form that people have, and what else they put into key files."""

from __future__ import annotations

import base64
import contextlib

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from relay.core.dkim.algorithm import Algorithm
from relay.keyring.pem import PemFault, PrivateKey, public_half, read_private_key, size_warning

SECRET = BestAvailableEncryption(b"passphrase")


def small_rsa_pem() -> bytes:
    """An RSA key of 768 bits, which the library reads but does not make."""
    p, q = _next_prime(6 << 381), _next_prime(7 << 381)
    e = 65537
    d = pow(e, -1, (p - 1) * (q - 1))
    numbers = rsa.RSAPrivateNumbers(
        p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), rsa.RSAPublicNumbers(e, p * q)
    )
    return _pem(numbers.private_key())


def _next_prime(n: int) -> int:
    n |= 1
    while any(pow(base, n - 1, n) != 1 for base in (2, 3, 5)):
        n += 2
    return n


def test_rsa_forms(rsa_key: rsa.RSAPrivateKey, rsa_pem: bytes) -> None:
    """PKCS#8 and PKCS#1, with LF, CRLF or CR, a BOM, blanks around, text before it."""
    pkcs1 = rsa_key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    assert b"BEGIN RSA PRIVATE KEY" in pkcs1
    forms = [
        rsa_pem,
        pkcs1,
        rsa_pem.replace(b"\n", b"\r\n"),
        pkcs1.replace(b"\n", b"\r\n"),
        rsa_pem.replace(b"\n", b"\r"),
        rsa_pem.rstrip(b"\n"),
        b"\xef\xbb\xbf" + rsa_pem,
        b"Key of example.com:\n\n" + rsa_pem + b"\n\n",
    ]
    for form in forms:
        public = public_half(read_private_key(form))
        assert (public.algorithm, public.bits) == (Algorithm.RSA_SHA256, 2048)
        assert public.key == rsa_key.public_key()


def test_ed25519(ed25519_key: ed25519.Ed25519PrivateKey, ed25519_pem: bytes) -> None:
    """RFC 8410: PKCS#8."""
    public = public_half(read_private_key(ed25519_pem))
    assert public.algorithm is Algorithm.ED25519_SHA256
    assert public.key == ed25519_key.public_key()


def _pem(key: rsa.RSAPrivateKey, form: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
    return key.private_bytes(Encoding.PEM, form, NoEncryption())


def test_what_is_no_key_is_named(
    rsa_key: rsa.RSAPrivateKey,
    rsa_pem: bytes,
    ed25519_key: ed25519.Ed25519PrivateKey,
    ed25519_pem: bytes,
) -> None:
    """Each thing found in key files in the field has its own words."""
    der = rsa_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    public = rsa_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    half = rsa_pem[: len(rsa_pem) // 2]
    elliptic = ec.generate_private_key(ec.SECP256R1())
    first, *body, last = rsa_pem.splitlines()
    wrong = [
        (b"", "the file is empty"),
        (b" \r\n\t\n", "the file is empty"),
        (half, "half of a key"),
        (half + b"\n-----END PRIVATE KEY-----\n", "damaged"),
        (b"\n".join([first, *reversed(body), last]), "damaged"),
        (rsa_pem.replace(b"BEGIN PRIVATE", b"BEGIN RSA PRIVATE"), "half of a key"),
        (rsa_pem.replace(b"\n", b"\\n"), "written as \\n"),
        (rsa_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, SECRET), "passphrase"),
        (
            rsa_key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, SECRET),
            "passphrase",
        ),
        (ed25519_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, SECRET), "passphrase"),
        (_pem(rsa_key, PrivateFormat.OpenSSH), "OpenSSH"),
        (public, "a public key, not a private key"),
        (b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "a certificate, not"),
        (rsa_pem + ed25519_pem, "more than one private key"),
        (der, "a key in DER"),
        (rsa_pem.decode().encode("utf-16"), "UTF-16"),
        (base64.b64encode(ed25519_key.private_bytes_raw()) + b"\n", "an Ed25519 seed"),
        (b"v=DKIM1; k=rsa; p=MIIB", "not a key in PEM"),
        (b"\x00" * 4096, "not a key in PEM"),
        (b"\xff" * 100, "not a key in PEM"),
        (
            elliptic.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            "a key of type EC; DKIM has RSA and Ed25519",
        ),
        (
            ed448.Ed448PrivateKey.generate().private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
            ),
            "a key of type Ed448",
        ),
        (
            dsa.generate_private_key(1024).private_bytes(  # noqa: S505 - it is to be refused
                Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
            ),
            "a key of type DSA",
        ),
        (small_rsa_pem(), "768 bits"),
    ]
    for octets, what in wrong:
        with pytest.raises(PemFault) as caught:
            read_private_key(octets)
        assert what in caught.value.what
        assert caught.value.fix


@given(cut=st.integers(0, 2000), octets=st.binary(min_size=1, max_size=4))
def test_a_damaged_key_never_raises_anything_else(
    cut: int, octets: bytes, ed25519_pem: bytes
) -> None:
    """Octets replaced anywhere: a key or the one named fault."""
    at = cut % len(ed25519_pem)
    damaged = ed25519_pem[:at] + octets + ed25519_pem[at + len(octets) :]
    with contextlib.suppress(PemFault):
        assert public_half(read_private_key(damaged)).algorithm is Algorithm.ED25519_SHA256


@given(octets=st.binary(max_size=400))
def test_octets_that_are_no_key_never_raise_anything_else(octets: bytes) -> None:
    """Nor do octets of any kind, in PEM or not."""
    for text in (octets, b"-----BEGIN PRIVATE KEY-----\n%b\n-----END PRIVATE KEY-----" % octets):
        with pytest.raises(PemFault):
            read_private_key(text)


def test_encrypted_keys(
    rsa_key: rsa.RSAPrivateKey, ed25519_key: ed25519.Ed25519PrivateKey, rsa_pem: bytes
) -> None:
    """PKCS#8 and PKCS#1 with their passphrase; a wrong one is said so, one too many is not used."""
    forms: list[tuple[PrivateKey, bytes]] = [
        (rsa_key, rsa_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, SECRET)),
        (rsa_key, rsa_key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, SECRET)),
        (ed25519_key, ed25519_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, SECRET)),
        (rsa_key, rsa_pem),
    ]
    for key, octets in forms:
        read = read_private_key(octets, passphrase=b"passphrase")
        assert public_half(read).key == key.public_key()
    for _, octets in forms[:-1]:
        with pytest.raises(PemFault) as caught:
            read_private_key(octets, passphrase=b"Passphrase")
        assert "the passphrase does not open the key" in caught.value.what
        assert "assphrase\n" not in str(caught.value)
        with pytest.raises(PemFault, match="the key has a passphrase"):
            read_private_key(octets, passphrase=b"")


def test_sizes() -> None:
    """RFC 8301 §3.2: 2048 is advised; less and more have a reason against them."""
    assert size_warning(2048) == ""
    assert "factored" in size_warning(1024)
    assert "consoles" in size_warning(4096)
