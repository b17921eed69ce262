"""A private key in any form that signers write. Pure but for `read_key`, which opens a file.

PEM as `relay.keyring.pem` reads it; besides DER, base64 of DER (OpenDKIM's tables), base64 of an
Ed25519 seed (dkimpy, 32 octets; RFC 8032 §5.1.5) or of seed and public key (rspamd, 64 octets),
and a record behind the key, as rspamadm prints both.
"""

from __future__ import annotations

import base64
import binascii
import re
import shlex
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import load_der_private_key

from relay.core.dkim.algorithm import ED25519_KEY_OCTETS
from relay.core.errors import KeyFault
from relay.keyring.importing.source import MAX_KEY_OCTETS, Origin, Read, read_file
from relay.keyring.pem import PemFault, PrivateKey, read_private_key, usable_key

_ARMOUR = re.compile(r"-----(?:BEGIN|END) [A-Z0-9 ]{1,40}-----")
_LONG_ENOUGH = re.compile(rb"\s*([A-Za-z0-9+/\r\n]{43,}={0,2})(?:\s|\Z)")
_DER_SEQUENCE = b"\x30"
_SEED_AND_PUBLIC_OCTETS = 2 * ED25519_KEY_OCTETS


def read_key(path: Path, origin: Origin) -> tuple[PrivateKey, Read]:
    """The key in a file.

    Raises:
        KeyFault: the file cannot be read, or holds no key that can be used.
    """
    read = read_file(path, MAX_KEY_OCTETS)
    try:
        return foreign_key(read.octets, origin.passphrase), read
    except PemFault as exc:
        fix = exc.fix.replace("{path}", shlex.quote(str(path)))
        if origin.passphrase is None and "passphrase" in exc.what:
            fix = "give --passphrase-file"
        raise KeyFault(str(path), exc.what, fix) from exc


def foreign_key(octets: bytes, passphrase: bytes | None = None) -> PrivateKey:
    """The key in the octets of a file.

    Raises:
        PemFault: there is none, or DKIM cannot use it.
    """
    if b"-----BEGIN " not in octets:
        raw = _from_base64(octets)
        if raw is not None:
            return raw
        if octets.startswith(_DER_SEQUENCE):
            return _from_der(octets)
    return read_private_key(octets, passphrase=passphrase)


def is_bare_key(octets: bytes) -> bool:
    """Whether the octets are a key, whole or not, that is not in PEM."""
    try:
        return octets.startswith(_DER_SEQUENCE + b"\x82") or _from_base64(octets) is not None
    except PemFault:
        return True


def inline_key(text: str) -> PrivateKey:
    """The key that stands in a table itself: PEM without line ends, or base64 of DER.

    Raises:
        PemFault: it is no key, or DKIM cannot use it.
    """
    bare = _ARMOUR.sub("", text.replace("\\n", "")).replace(" ", "")
    key = _from_base64(bare.encode("ascii", "replace"))
    if key is None:
        fix = "put a path there that begins with / or ./, or the base64 of a key"
        raise PemFault("neither a path nor a key", fix)
    return key


def _from_base64(octets: bytes) -> PrivateKey | None:
    """A key without its armour; None when the octets are not base64 of one."""
    found = _LONG_ENOUGH.match(octets)
    if found is None:
        return None
    try:
        raw = base64.b64decode(b"".join(found[1].split()), validate=True)
    except binascii.Error:
        return None
    if len(raw) == ED25519_KEY_OCTETS:
        return ed25519.Ed25519PrivateKey.from_private_bytes(raw)
    if len(raw) == _SEED_AND_PUBLIC_OCTETS:
        return _from_seed_and_public(raw)
    return _from_der(raw) if raw.startswith(_DER_SEQUENCE) else None


def _from_seed_and_public(raw: bytes) -> PrivateKey:
    key = ed25519.Ed25519PrivateKey.from_private_bytes(raw[:ED25519_KEY_OCTETS])
    if key.public_key().public_bytes_raw() != raw[ED25519_KEY_OCTETS:]:
        what = "64 octets that are not an Ed25519 seed and its public key"
        raise PemFault(what, "restore the file from where it came")
    return key


def _from_der(raw: bytes) -> PrivateKey:
    try:
        return usable_key(load_der_private_key(raw, password=None))
    except TypeError as exc:  # only said when a password is missing
        raise PemFault("the key in DER has a passphrase", "openssl pkey -inform DER") from exc
    except (ValueError, UnsupportedAlgorithm) as exc:
        fix = "restore it from where it came"
        raise PemFault("the key is damaged or of an unknown kind", fix) from exc
