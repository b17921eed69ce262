"""Key files are made and written here: private from their first octet, never over anything.

IO. A key is 0600 from the moment its file exists, in a folder made 0700. What is there already
stands, unless the caller says that it is to be replaced; then the new file takes its name at
once, so that a reader finds the old key or the new one and never half of either.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from relay.core.dkim.algorithm import DEFAULT_RSA_BITS, MIN_RSA_BITS, Algorithm, PublicKey
from relay.core.errors import KeyFault
from relay.keyring.folder import (
    KEY_SUFFIX,
    RECORD_SUFFIX,
    domain_folder,
    domain_folders,
    taken_selectors,
)
from relay.keyring.forms import record_file
from relay.keyring.names import key_selector, signing_domain
from relay.keyring.pem import PrivateKey, public_half, size_warning
from relay.keyring.records import Record, record_of

MAX_RSA_BITS = 4096  # RFC 8301 §3.2: no receiver has to verify with more
_RSA_EXPONENT = 65537
_KEY_MODE = 0o600
_RECORD_MODE = 0o644
_FOLDER_MODE = 0o700
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class WrittenKey:
    """A key pair that was written.

    Attributes:
        domain: the signing domain, in A-labels.
        selector: the selector, in A-labels.
        public: the public half.
        key_path: the private key.
        record_path: the record to publish, for people and name servers.
        record: the same record.
        warning: what to know about a key of this size; empty when nothing.
    """

    domain: str
    selector: str
    public: PublicKey
    key_path: Path
    record_path: Path
    record: Record
    warning: str


def write_key_pair(
    keys_dir: Path,
    domain: str,
    selector: str,
    algorithm: Algorithm = Algorithm.RSA_SHA256,
    bits: int = DEFAULT_RSA_BITS,
) -> WrittenKey:
    """Make a key pair and write `<keys_dir>/<domain>/<selector>.pem` and `.txt`.

    Args:
        keys_dir: the keys folder; made when absent.
        domain: the signing domain, in A-labels or U-labels.
        selector: the selector, in A-labels or U-labels.
        algorithm: what the key is for.
        bits: the size of an RSA key, 1024 to 4096; not used for Ed25519.

    Raises:
        KeyFault: a bad name or size, a selector that exists, or a folder that cannot be
            written; nothing new is left behind then.
    """
    domain = signing_domain(domain)
    selector = key_selector(selector, domain)
    check_size(algorithm, bits)
    check_free(keys_dir, domain, selector)
    return write_key(keys_dir, domain, selector, _generate(algorithm, bits))


def check_size(algorithm: Algorithm, bits: int) -> None:
    """Whether such a key may be made (RFC 8301 §3.2).

    Raises:
        KeyFault: it is an RSA key under 1024 or over 4096 bits.
    """
    if algorithm is Algorithm.RSA_SHA256 and not MIN_RSA_BITS <= bits <= MAX_RSA_BITS:
        what = f"receivers take {MIN_RSA_BITS} to {MAX_RSA_BITS} bits (RFC 8301 §3.2)"
        raise KeyFault(f"{bits} bits", what, f"{DEFAULT_RSA_BITS} is advised")


def check_free(keys_dir: Path, domain: str, selector: str) -> None:
    """Whether a selector can be given to a new key.

    Args:
        keys_dir: the keys folder; may be absent.
        domain: in A-labels.
        selector: in A-labels.

    Raises:
        KeyFault: there is a key or a record of that name, or the folder cannot be read.
    """
    try:
        taken = taken_selectors(keys_dir, domain)
    except OSError as exc:
        raise _unwritable(keys_dir / domain, exc) from exc
    if selector in taken:
        raise _exists(keys_dir / domain / f"{selector}{KEY_SUFFIX}")


def key_files(keys_dir: Path, domain: str, selector: str) -> tuple[Path, Path]:
    """The key and record file of a selector: those that are there, else those to be made.

    Args:
        keys_dir: the keys folder; may be absent.
        domain: in A-labels; its folder may be spelt otherwise.
        selector: in A-labels.

    Raises:
        OSError: a folder is there and cannot be read.
    """
    found: dict[str, Path] = {}
    for folder in domain_folders(keys_dir, domain):
        for path in sorted(folder.iterdir()):
            if path.suffix in (KEY_SUFFIX, RECORD_SUFFIX) and _means(path, selector, domain):
                found.setdefault(path.suffix, path)
    key_path = found.get(KEY_SUFFIX, keys_dir / domain / f"{selector}{KEY_SUFFIX}")
    return key_path, found.get(RECORD_SUFFIX, key_path.with_suffix(RECORD_SUFFIX))


def write_key(
    keys_dir: Path,
    domain: str,
    selector: str,
    private: PrivateKey,
    *,
    modified_seconds: float | None = None,
    replaces: bool = False,
) -> WrittenKey:
    """Write a key that was made here or elsewhere, in PKCS#8, and the record beside it.

    Args:
        keys_dir: the keys folder; made when absent.
        domain: in A-labels.
        selector: in A-labels.
        private: the key.
        modified_seconds: when it was made, in seconds since 1970; None for now. The newest key
            of a domain signs, so the age of a key made elsewhere is kept.
        replaces: whether files of that name, in whatever spelling, are to be replaced.

    Raises:
        KeyFault: there is such a file and it is not to be replaced, or the folder cannot be
            written.
    """
    public = public_half(private)
    record = record_of(public, domain=domain, selector=selector)
    put = _replace if replaces else _create
    key_path = keys_dir / domain / f"{selector}{KEY_SUFFIX}"
    try:
        key_path = domain_folder(keys_dir, domain) / key_path.name
        record_path = key_path.with_suffix(RECORD_SUFFIX)
        if replaces:
            key_path, record_path = key_files(keys_dir, domain, selector)
        key_path.parent.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        put(key_path, _pem(private), _KEY_MODE, modified_seconds)
        try:
            put(record_path, record_file(record).encode("ascii"), _RECORD_MODE, None)
        except OSError:
            if not replaces:
                key_path.unlink()
            raise
        _settle(key_path.parent)
    except FileExistsError as exc:
        raise _exists(Path(str(exc.filename))) from exc
    except OSError as exc:
        raise _unwritable(key_path.parent, exc) from exc
    warning = "" if isinstance(private, ed25519.Ed25519PrivateKey) else size_warning(public.bits)
    return WrittenKey(domain, selector, public, key_path, record_path, record, warning)


def _generate(algorithm: Algorithm, bits: int) -> PrivateKey:
    match algorithm:
        case Algorithm.RSA_SHA256:
            return rsa.generate_private_key(_RSA_EXPONENT, bits)
        case Algorithm.ED25519_SHA256:
            return ed25519.Ed25519PrivateKey.generate()


def _pem(key: PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _create(path: Path, octets: bytes, mode: int, modified_seconds: float | None) -> None:
    descriptor = os.open(path, _CREATE, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)  # a narrow umask would have taken bits away
            file.write(octets)
            file.flush()
            if modified_seconds is not None:
                os.utime(descriptor, (modified_seconds, modified_seconds))
            os.fsync(descriptor)
    except OSError:
        path.unlink()
        raise


def _replace(path: Path, octets: bytes, mode: int, modified_seconds: float | None) -> None:
    new = path.with_name(f".{path.name}.{secrets.token_hex(8)}")  # dot files are passed over
    _create(new, octets, mode, modified_seconds)
    try:
        os.replace(new, path)
    except OSError:
        new.unlink()
        raise


def _settle(folder: Path) -> None:
    """The names too survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _means(path: Path, selector: str, domain: str) -> bool:
    try:
        return key_selector(path.stem, domain) == selector
    except KeyFault:
        return False


def _exists(path: Path) -> KeyFault:
    return KeyFault(
        str(path),
        "the selector is taken, and a key or its record is never overwritten",
        "choose another with --selector",
    )


def _unwritable(folder: Path, exc: OSError) -> KeyFault:
    reason = exc.strerror or type(exc).__name__
    fix = f"uid {os.geteuid()} must be able to write there, or choose another keys folder"
    return KeyFault(str(exc.filename or folder), f"cannot be written: {reason}", fix)
