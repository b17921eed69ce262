"""A private key from the octets of a file, or the reason why there is none. Pure.

PKCS#1 and PKCS#8 in PEM (RFC 7468), Ed25519 in PKCS#8 (RFC 8410). Sizes: RFC 8301 §3.2.
"""

from __future__ import annotations

import base64
import binascii
import re

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from relay.core.dkim.algorithm import (
    DEFAULT_RSA_BITS,
    ED25519_KEY_OCTETS,
    MIN_RSA_BITS,
    Algorithm,
    PublicKey,
)

PrivateKey = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
_BEGIN = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----")
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_DER_SEQUENCE = b"\x30"
_NEW_KEY = "make one with: dkim-relay keys new"


class PemFault(Exception):
    """There is no usable private key in the octets.

    Attributes:
        what: what is wrong.
        fix: what to do; `{path}` stands for the file.
    """

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix


def read_private_key(
    octets: bytes, *, passphrase: bytes | None = None, is_proven_later: bool = False
) -> PrivateKey:
    """The RSA or Ed25519 key of a PEM file; line ends may be LF or CRLF.

    Args:
        octets: of the file.
        passphrase: opens the key when it is encrypted; a key that is not is read without it.
        is_proven_later: leave out the test of both primes, 46 ms, because the key has to sign
            before another verifier until it is used.

    Raises:
        PemFault: what the octets are instead, and what to do about it.
    """
    _refuse_other_contents(octets)
    is_encrypted = b"ENCRYPTED" in octets  # the label's first word, or Proc-Type: 4,ENCRYPTED
    if is_encrypted and not passphrase:
        raise _passphrase_missing()
    try:
        key = load_pem_private_key(
            octets,
            password=passphrase if is_encrypted else None,
            unsafe_skip_rsa_key_validation=is_proven_later,
        )
    except TypeError as exc:  # only said when a password is missing
        raise _passphrase_missing() from exc
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise _unreadable(is_encrypted=is_encrypted) from exc
    return usable_key(key)


def usable_key(key: object) -> PrivateKey:
    """The key, if DKIM can use it.

    Raises:
        PemFault: it is of another type, or an RSA key under 1024 bits (RFC 8301 §3.2).
    """
    if not isinstance(key, rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey):
        kind = type(key).__name__.lstrip("_").removesuffix("PrivateKey")
        raise PemFault(f"a key of type {kind}; DKIM has RSA and Ed25519", _NEW_KEY)
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < MIN_RSA_BITS:
        what = f"an RSA key of {key.key_size} bits; under {MIN_RSA_BITS} no receiver accepts it"
        raise PemFault(what, f"{_NEW_KEY} (RFC 8301 §3.2)")
    return key


def public_half(key: PrivateKey) -> PublicKey:
    """The public key, with the algorithm that it is used with."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return PublicKey(Algorithm.ED25519_SHA256, key.public_key())
    return PublicKey(Algorithm.RSA_SHA256, key.public_key())


def size_warning(bits: int) -> str:
    """What to know about an RSA key of this size (RFC 8301 §3.2); empty when nothing."""
    if bits < DEFAULT_RSA_BITS:
        return (
            f"{bits} bits can be factored by those who care (RFC 8301 §3.2);"
            f" {DEFAULT_RSA_BITS} is advised"
        )
    if bits > DEFAULT_RSA_BITS:
        return (
            f"{bits} bits: the DNS answer is over 512 octets, many consoles cut the record and"
            f" some receivers ignore it, without a word; {DEFAULT_RSA_BITS} is advised"
        )
    return ""


def _refuse_other_contents(octets: bytes) -> None:
    """Name what people put into key files by mistake, before the parser only says no."""
    if not octets.strip():
        raise PemFault("the file is empty", "restore the file from where it came, or " + _NEW_KEY)
    labels = _BEGIN.findall(octets)
    if not labels:
        raise _not_pem(octets)
    private = [label for label in labels if label.endswith(b"PRIVATE KEY")]
    if not private:
        raise PemFault(
            f"a {labels[0].decode('ascii').lower()}, not a private key",
            "put the private key that belongs to it here",
        )
    if len(private) > 1:
        raise PemFault("more than one private key in the file", "one file, one key, one selector")
    _refuse_other_forms(octets, private[0])


def _refuse_other_forms(octets: bytes, label: bytes) -> None:
    if label == b"OPENSSH PRIVATE KEY":
        raise PemFault("a key in the form of OpenSSH", "ssh-keygen -p -m PKCS8 -f {path}")
    if b"\\n" in octets:
        raise PemFault("line ends are written as \\n", "printf '%b' makes line ends of them")
    if b"-----END " + label + b"-----" not in octets:
        raise PemFault("half of a key: its END line is missing", "copy the whole file again")


def _not_pem(octets: bytes) -> PemFault:
    if octets.startswith(_UTF16_MARKS):
        return PemFault("text in UTF-16", "save it as plain ASCII or UTF-8")
    try:
        seed = base64.b64decode(octets.strip(), validate=True)
    except binascii.Error:
        seed = b""
    if len(seed) == ED25519_KEY_OCTETS:
        fix = "dkim-relay keys import --domain DOMAIN --selector SELECTOR {path}"
        return PemFault("an Ed25519 seed in base64, as dkimpy writes it", fix)
    if octets.startswith(_DER_SEQUENCE):  # an ASCII "0" too, so after the text forms
        return PemFault("a key in DER", "openssl pkey -inform DER -in {path} -out {path}.new")
    return PemFault("not a key in PEM", "the file starts with -----BEGIN PRIVATE KEY-----")


def _passphrase_missing() -> PemFault:
    return PemFault("the key has a passphrase", "openssl pkey -in {path} -out {path}.new")


def _unreadable(*, is_encrypted: bool) -> PemFault:
    if is_encrypted:
        what = "the passphrase does not open the key, or the key is damaged"
        return PemFault(what, "put the passphrase of this key into the passphrase file")
    fix = "restore the file from where it came, or " + _NEW_KEY
    return PemFault("the key is damaged or of an unknown kind", fix)
