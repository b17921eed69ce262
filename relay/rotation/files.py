"""What lies in a domain's folder, and how a private key ends. IO."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from relay.core.errors import Fault, KeyFault
from relay.keyring.files import read_key_file
from relay.keyring.folder import (
    KEY_SUFFIX,
    RECORD_SUFFIX,
    domain_folder,
    unreadable_folder,
)
from relay.keyring.loading import by_age
from relay.keyring.names import key_selector
from relay.keyring.stored import StoredKey
from relay.state import sync_folder

_DOOMED = ".destroyed"
_BLOCK_OCTETS = 64 * 1024


@dataclass(frozen=True, slots=True)
class Folder:
    """The keys of one domain.

    Attributes:
        path: where they lie.
        keys: those that can be read, the preferred first.
        there: selectors that have a key file.
        faults: why others cannot be read.
    """

    path: Path
    keys: tuple[StoredKey, ...]
    there: frozenset[str]
    faults: tuple[Fault, ...]


def read_folder(keys_dir: Path, domain: str, passphrase_file: Path | None = None) -> Folder:
    """Read the keys of a domain; those in a token are left out, a token makes its own.

    Raises:
        KeyFault: the domain has no folder, or one that cannot be read.
    """
    path = folder_of(keys_dir, domain)
    keys: list[StoredKey] = []
    faults: list[Fault] = []
    there = set()
    for file in _key_files(path):
        try:
            selector = key_selector(file.stem, domain)
            there.add(selector)
            keys.append(
                read_key_file(
                    file, domain=domain, selector=selector, passphrase_file=passphrase_file
                )
            )
        except KeyFault as exc:
            faults.append(exc.fault)
    return Folder(path, tuple(by_age(keys)), frozenset(there), tuple(faults))


def _key_files(folder: Path) -> list[Path]:
    try:
        names = sorted(os.listdir(folder))
    except OSError as exc:
        raise KeyFault(*_parts(unreadable_folder(folder, exc))) from exc
    return [folder / n for n in names if n.endswith(KEY_SUFFIX) and not n.startswith(".")]


def _parts(fault: Fault) -> tuple[str, str, str]:
    return fault.where, fault.what, fault.fix


def folder_of(keys_dir: Path, domain: str) -> Path:
    """The folder of a domain, in whatever spelling it is there.

    Raises:
        KeyFault: there is none.
    """
    try:
        folder = domain_folder(keys_dir, domain)
    except OSError as exc:
        reason = exc.strerror or type(exc).__name__
        raise KeyFault(str(keys_dir), f"cannot be read: {reason}", "choose --keys-dir") from exc
    if not folder.is_dir():
        what = "there is no folder with keys of this domain"
        raise KeyFault(str(keys_dir / domain), what, f"dkim-relay keys new {domain}")
    return folder


def doom(path: Path) -> None:
    """Take a private key out of use for ever, in one step: nobody lists or loads it any more.

    Raises:
        OSError: the folder cannot be written.
    """
    try:
        path.rename(_doomed(path))
    except FileNotFoundError:
        return  # it is already
    sync_folder(path.parent)


def destroy(path: Path) -> None:
    """Overwrite and remove a private key that was doomed.

    What the file system keeps is gone then. Copies that we do not know of are not: backups and
    snapshots, blocks that a copy-on-write file system or a flash disk has set aside.

    Raises:
        OSError: it cannot be written or removed.
    """
    doomed = _doomed(path)
    try:
        _overwrite(doomed)
        doomed.unlink()
    except FileNotFoundError:
        return
    sync_folder(path.parent)


def remove_record_file(path: Path) -> None:
    """Remove what lies beside a key for people.

    Raises:
        OSError: the folder cannot be written.
    """
    path.with_suffix(RECORD_SUFFIX).unlink(missing_ok=True)


def _doomed(path: Path) -> Path:
    return path.with_name(f".{path.name}{_DOOMED}")  # names with a dot in front are passed over


def _overwrite(path: Path) -> None:
    """Write over the octets of a file, unless it is a link or has other names too."""
    if path.is_symlink():
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if status.st_nlink > 1:
            return  # another key by another name: it is not ours to end
        left = status.st_size
        while left > 0:
            left -= os.write(descriptor, bytes(min(left, _BLOCK_OCTETS)))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
