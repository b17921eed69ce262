"""Key files: read together with their permissions, written without a window. IO.

A file is opened once, and what is checked is what was opened, so nothing can change in
between (symbolic links, as Kubernetes makes them, are fine). Nothing is ever overwritten.
"""

from __future__ import annotations

import os
import shlex
import stat
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from relay.core.dkim.algorithm import (
    DEFAULT_RSA_BITS,
    MIN_RSA_BITS,
    Algorithm,
    PublicKey,
    sign_digest,
)
from relay.core.errors import Fault, KeyFault
from relay.keyring.folder import KEY_SUFFIX, RECORD_SUFFIX, taken_selectors
from relay.keyring.names import key_selector, signing_domain
from relay.keyring.pem import (
    PemFault,
    PrivateKey,
    public_half,
    read_private_key,
    size_warning,
)
from relay.keyring.records import Record, record_file, record_of

MAX_KEY_FILE_OCTETS = 64 * 1024  # an RSA key of 16384 bits has 13 KiB
MAX_RSA_BITS = 4096  # RFC 8301 §3.2: no receiver has to verify with more
_RSA_EXPONENT = 65537
_KEY_MODE = 0o600
_RECORD_MODE = 0o644
_FOLDER_MODE = 0o700
# Opening must not wait for the other end of a named pipe.
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_EFFECTIVE_IDS = os.access in os.supports_effective_ids
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True, eq=False)
class FileKey:
    """A private key from a file, held in memory; a `SigningKey`.

    Attributes:
        domain: the signing domain (d=), in A-labels.
        selector: the selector (s=), in A-labels.
        public: the public half, with its algorithm.
        path: the file.
        mode: its permission bits.
        modified_seconds: when it was last written, in seconds since 1970.
        warnings: what should be put right although the key is used.
    """

    domain: str
    selector: str
    public: PublicKey
    path: Path
    mode: int
    modified_seconds: float
    warnings: tuple[Fault, ...]
    private: PrivateKey = field(repr=False)

    async def sign(self, digest: bytes) -> bytes:
        """The signature over a 32-octet SHA-256 digest; never waits."""
        return self.sign_now(digest)

    def sign_now(self, digest: bytes) -> bytes:
        """The same without a loop."""
        return sign_digest(self.private, digest)


@dataclass(frozen=True, slots=True)
class WrittenKey:
    """A key pair that was written.

    Attributes:
        key_path: the private key.
        record_path: the record to publish, for people and name servers.
        record: the same record.
        public: the public half.
        warning: what to know about a key of this size; empty when nothing.
    """

    domain: str
    selector: str
    public: PublicKey
    key_path: Path
    record_path: Path
    record: Record
    warning: str


def read_key_file(path: Path, *, domain: str, selector: str) -> FileKey:
    """Open, check and read a key file.

    Args:
        path: the file, in PEM.
        domain: the domain that it signs for, in A-labels.
        selector: its selector, in A-labels.

    Raises:
        KeyFault: the file cannot be opened, is readable to everybody, or holds no key that
            can be used; with its path, its mode and what to do.
    """
    octets, status = _read(path)
    mode = stat.S_IMODE(status.st_mode)
    where = f"{path} (mode {mode:04o})"
    try:
        private = read_private_key(octets)
    except PemFault as exc:
        fix = exc.fix.replace("{path}", shlex.quote(str(path)))
        raise KeyFault(where, exc.what, fix) from exc
    public = public_half(private)
    warnings = []
    if mode & stat.S_IRWXG:
        warnings.append(Fault(where, "the group can get at the key", _narrow(path)))
    if public.algorithm is Algorithm.RSA_SHA256 and (warning := size_warning(public.bits)):
        warnings.append(Fault(where, warning, f"dkim-relay keys new {domain}"))
    modified = status.st_mtime
    return FileKey(domain, selector, public, path, mode, modified, tuple(warnings), private)


def write_key_pair(
    keys_dir: Path,
    domain: str,
    selector: str,
    algorithm: Algorithm = Algorithm.RSA_SHA256,
    bits: int = DEFAULT_RSA_BITS,
) -> WrittenKey:
    """Make a key pair and write `<keys_dir>/<domain>/<selector>.pem` and `.txt`.

    The private key is PKCS#8 in PEM, 0600 from its first moment, in a folder made 0700.

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
    warning = _check_size(algorithm, bits)
    folder = keys_dir / domain
    key_path = folder / f"{selector}{KEY_SUFFIX}"
    record_path = folder / f"{selector}{RECORD_SUFFIX}"
    try:
        if selector in taken_selectors(keys_dir, domain):
            raise _exists(key_path)
        folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        private = _generate(algorithm, bits)
        public = public_half(private)
        record = record_of(public, domain=domain, selector=selector)
        _create_both(key_path, _pem(private), record_path, record_file(record).encode("ascii"))
    except FileExistsError as exc:
        raise _exists(Path(str(exc.filename))) from exc
    except OSError as exc:
        reason = exc.strerror or type(exc).__name__
        fix = f"uid {os.geteuid()} must be able to write there, or choose another keys folder"
        raise KeyFault(str(exc.filename or folder), f"cannot be written: {reason}", fix) from exc
    return WrittenKey(domain, selector, public, key_path, record_path, record, warning)


def _read(path: Path) -> tuple[bytes, os.stat_result]:
    try:
        descriptor = os.open(path, _READ)
    except PermissionError as exc:
        raise _denied(path) from exc
    except OSError as exc:
        what = f"cannot be opened: {exc.strerror or type(exc).__name__}"
        raise KeyFault(str(path), what, "put the private key there, or remove the link") from exc
    try:
        status = os.fstat(descriptor)
        return _read_opened(descriptor, path, status), status
    finally:
        os.close(descriptor)


def _read_opened(descriptor: int, path: Path, status: os.stat_result) -> bytes:
    mode = stat.S_IMODE(status.st_mode)
    where = f"{path} (mode {mode:04o})"
    if not stat.S_ISREG(status.st_mode):
        raise KeyFault(where, "is not a file", "put the private key there, in PEM")
    if mode & (stat.S_IROTH | stat.S_IWOTH):
        raise KeyFault(where, "everybody on this host can get at the key", _narrow(path))
    try:
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            octets = file.read(MAX_KEY_FILE_OCTETS + 1)
    except OSError as exc:
        reason = exc.strerror or type(exc).__name__
        raise KeyFault(where, f"cannot be read: {reason}", "check its disk") from exc
    if len(octets) > MAX_KEY_FILE_OCTETS:
        raise KeyFault(where, f"is over {MAX_KEY_FILE_OCTETS} octets", "this is no key file")
    return octets


def _narrow(path: Path) -> str:
    """The command that leaves the key to its owner alone."""
    command = f"chmod 0600 {shlex.quote(str(path))}"
    if any(part.startswith("..") for part in Path(os.path.realpath(path)).parts):
        # A mounted Secret or projected volume is read-only: its modes are the volume's.
        return f"{command}; in Kubernetes set defaultMode: 0400 (0440 with fsGroup)"
    return command


def _denied(path: Path) -> KeyFault:
    """Say which of the folders above is closed, or that it is the file itself."""
    user = f"uid {os.geteuid()}"
    try:
        for folder in reversed(Path(os.path.realpath(path)).parents):
            if not os.access(folder, os.X_OK, effective_ids=_EFFECTIVE_IDS):
                mode = stat.S_IMODE(folder.stat().st_mode)
                what = f"{user} may not enter {folder} (mode {mode:04o})"
                fix = f"run as the owner of {folder}, or move the keys folder"
                return KeyFault(str(path), what, fix)
        status = path.stat()
    except OSError:
        return KeyFault(str(path), f"{user} may not read it", "check the folders above it")
    where = f"{path} (mode {stat.S_IMODE(status.st_mode):04o})"
    what = f"{user} may not read it, its owner is uid {status.st_uid}"
    quoted = shlex.quote(str(path))
    return KeyFault(where, what, f"chown {os.geteuid()} {quoted} && chmod 0600 {quoted}")


def _check_size(algorithm: Algorithm, bits: int) -> str:
    if algorithm is Algorithm.ED25519_SHA256:
        return ""
    if not MIN_RSA_BITS <= bits <= MAX_RSA_BITS:
        what = f"receivers take {MIN_RSA_BITS} to {MAX_RSA_BITS} bits (RFC 8301 §3.2)"
        raise KeyFault(f"{bits} bits", what, f"{DEFAULT_RSA_BITS} is advised")
    return size_warning(bits)


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


def _create_both(key_path: Path, key: bytes, record_path: Path, record: bytes) -> None:
    _create(key_path, key, _KEY_MODE)
    try:
        _create(record_path, record, _RECORD_MODE)
    except OSError:
        key_path.unlink()
        raise
    folder = os.open(key_path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)  # the names too survive a loss of power
    finally:
        os.close(folder)


def _create(path: Path, octets: bytes, mode: int) -> None:
    descriptor = os.open(path, _CREATE, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)  # a narrow umask would have taken bits away
            file.write(octets)
            file.flush()
            os.fsync(descriptor)
    except OSError:
        path.unlink()
        raise


def _exists(path: Path) -> KeyFault:
    return KeyFault(
        str(path),
        "the selector is taken, and a key or its record is never overwritten",
        "choose another with --selector",
    )
