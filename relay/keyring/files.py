"""Key files, read together with their permissions. IO.

A file is opened once, and what is checked is what was opened, so nothing can change in
between (symbolic links, as Kubernetes makes them, are fine).
"""

from __future__ import annotations

import os
import shlex
import stat
from dataclasses import dataclass, field
from pathlib import Path

from relay.core.dkim.algorithm import Algorithm, PublicKey, sign_digest
from relay.core.errors import Fault, KeyFault
from relay.keyring.arithmetic import is_consistent
from relay.keyring.pem import (
    PemFault,
    PrivateKey,
    public_half,
    read_private_key,
    size_warning,
)

MAX_KEY_FILE_OCTETS = 64 * 1024  # an RSA key of 16384 bits has 13 KiB
# Opening must not wait for the other end of a named pipe.
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_EFFECTIVE_IDS = os.access in os.supports_effective_ids


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

    @property
    def where(self) -> str:
        """The file with its permissions, for people."""
        return shown_file(self.path, self.mode)

    async def sign(self, digest: bytes) -> bytes:
        """The signature over a 32-octet SHA-256 digest; never waits."""
        return self.sign_now(digest)

    def sign_now(self, digest: bytes) -> bytes:
        """The same without a loop."""
        return sign_digest(self.private, digest)


def read_key_file(
    path: Path,
    *,
    domain: str,
    selector: str,
    passphrase_file: Path | None = None,
    is_proven_later: bool = False,
) -> FileKey:
    """Open, check and read a key file.

    Args:
        path: the file, in PEM.
        domain: the domain that it signs for, in A-labels.
        selector: its selector, in A-labels.
        passphrase_file: has the passphrase, in case that the key is encrypted.
        is_proven_later: see `read_private_key`; the numbers of the key are checked instead.

    Raises:
        KeyFault: the file cannot be opened, is readable to everybody, or holds no key that
            can be used; with its path, its mode and what to do.
    """
    octets, status = read_secret(path, "the key")
    mode = stat.S_IMODE(status.st_mode)
    where = shown_file(path, mode)
    passphrase = _passphrase(octets, passphrase_file, path=path, where=where)
    try:
        private = read_private_key(octets, passphrase=passphrase, is_proven_later=is_proven_later)
    except PemFault as exc:
        fix = exc.fix.replace("{path}", shlex.quote(str(path)))
        if passphrase is not None:
            fix += f": {passphrase_file}"
        raise KeyFault(where, exc.what, fix) from exc
    if is_proven_later and not is_consistent(private):
        fix = f"restore the file from where it came, or make one: dkim-relay keys new {domain}"
        raise KeyFault(where, "the key is damaged: its numbers do not belong together", fix)
    public = public_half(private)
    warnings = []
    # A file of another's that we may read by its group (a Secret with fsGroup) is narrow enough.
    is_ours = status.st_uid == os.geteuid()
    if mode & (stat.S_IRWXG if is_ours else stat.S_IWGRP):
        warnings.append(Fault(where, "the group can get at the key", _narrow(path)))
    if public.algorithm is Algorithm.RSA_SHA256 and (warning := size_warning(public.bits)):
        warnings.append(Fault(where, warning, f"dkim-relay keys new {domain}"))
    modified = status.st_mtime
    return FileKey(domain, selector, public, path, mode, modified, tuple(warnings), private)


def shown_file(path: Path, mode: int) -> str:
    """A file with its permission bits, for people."""
    return f"{path} (mode {mode:04o})"


def read_line(path: Path, what: str) -> bytes:
    """The secret on the only line of a file: a passphrase, a PIN.

    Args:
        path: the file.
        what: the secret, for what is said: "the passphrase".

    Raises:
        KeyFault: the file cannot be read, is readable to everybody, or has no line or several.
    """
    octets, _ = read_secret(path, what)
    line = octets.removesuffix(b"\n").removesuffix(b"\r")
    if not line or b"\n" in line:
        found = "several lines" if line else "nothing"
        raise KeyFault(str(path), f"has {found} in it", f"put {what} there, on one line")
    return line


def _passphrase(octets: bytes, file: Path | None, *, path: Path, where: str) -> bytes | None:
    """The passphrase, if the key is encrypted."""
    if b"ENCRYPTED" not in octets:  # the label's first word, or Proc-Type: 4,ENCRYPTED
        return None
    if file is None:
        quoted = shlex.quote(str(path))
        fix = f"set keys_passphrase_file, or openssl pkey -in {quoted} -out {quoted}.new"
        raise KeyFault(where, "the key has a passphrase, and no passphrase file is set", fix)
    return read_line(file, "the passphrase")


def read_secret(path: Path, what: str) -> tuple[bytes, os.stat_result]:
    """The octets of a file that not everybody may read, with its status when it was opened.

    Args:
        path: the file.
        what: what is in it, for what is said: "the key".

    Raises:
        KeyFault: it cannot be opened or read, is open to everybody, or is no small file.
    """
    return _read(path, what, stat.S_IROTH | stat.S_IWOTH)


def read_token_uri(path: Path) -> tuple[bytes, float]:
    """The octets of a file that leads to a token, and when they were written.

    It has no secret in it, but names a library that is loaded, so only writing is closed.

    Raises:
        KeyFault: it cannot be opened or read, is writable to everybody, or is no small file.
    """
    octets, status = _read(path, "the URI of the key", stat.S_IWOTH)
    return octets, status.st_mtime


def _read(path: Path, what: str, closed: int) -> tuple[bytes, os.stat_result]:
    try:
        descriptor = os.open(path, _READ)
    except PermissionError as exc:
        raise _denied(path) from exc
    except OSError as exc:
        reason = f"cannot be opened: {exc.strerror or type(exc).__name__}"
        raise KeyFault(str(path), reason, f"put {what} there, or remove the link") from exc
    try:
        status = os.fstat(descriptor)
        mode = stat.S_IMODE(status.st_mode)
        where = shown_file(path, mode)
        if not stat.S_ISREG(status.st_mode):
            raise KeyFault(where, "is not a file", f"put {what} there")
        if mode & closed:
            raise KeyFault(where, f"everybody on this host can get at {what}", _narrow(path))
        return _contents(descriptor, where, what), status
    finally:
        os.close(descriptor)


def _contents(descriptor: int, where: str, what: str) -> bytes:
    try:
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            octets = file.read(MAX_KEY_FILE_OCTETS + 1)
    except OSError as exc:
        reason = exc.strerror or type(exc).__name__
        raise KeyFault(where, f"cannot be read: {reason}", "check its disk") from exc
    if len(octets) > MAX_KEY_FILE_OCTETS:
        raise KeyFault(where, f"is over {MAX_KEY_FILE_OCTETS} octets", f"put {what} there alone")
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
    where = shown_file(path, stat.S_IMODE(status.st_mode))
    what = f"{user} may not read it, its owner is uid {status.st_uid}"
    quoted = shlex.quote(str(path))
    return KeyFault(where, what, f"chown {os.geteuid()} {quoted} && chmod 0600 {quoted}")
