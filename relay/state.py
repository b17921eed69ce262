"""Files that outlive the process: written whole or not at all, locked, never a reason to fall. IO.

A file of ours is JSON. It is replaced by renaming a complete one over it, and both the file and
the name are on disk before the call returns, so a crash leaves the old one or the new one. One
that cannot be read is said to be so and counts as empty: what is in it can be learnt anew.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from relay.core.errors import Fault, RelayError

MAX_STATE_OCTETS = 64 * 1024 * 1024  # 20,000 keys need 4 MiB
_FILE_MODE = 0o600
_FOLDER_MODE = 0o700
_UNFINISHED = ".new"
_READ_ONLY = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


class StateFault(RelayError):
    """A file or folder of ours cannot be read or written; `fault` says why and what to do."""

    def __init__(self, fault: Fault, *, is_read_only: bool = False) -> None:
        super().__init__(str(fault))
        self.fault = fault
        self.is_read_only = is_read_only


def read_state(path: Path) -> dict[str, Any]:
    """The object in a file; empty when there is no file.

    Raises:
        StateFault: the file cannot be opened, or is no JSON object.
    """
    try:
        with path.open("rb") as file:
            octets = file.read(MAX_STATE_OCTETS + 1)
    except FileNotFoundError:
        return {}
    except OSError as exc:
        raise _unusable(path, exc, "read") from exc
    try:
        return _object(octets)
    except (ValueError, TypeError) as exc:
        fix = "it is begun anew; remove the file if you did not write it"
        raise StateFault(Fault(str(path), f"is broken: {exc}", fix)) from exc


def _object(octets: bytes) -> dict[str, Any]:
    if len(octets) > MAX_STATE_OCTETS:
        raise ValueError(f"over {MAX_STATE_OCTETS} octets")
    data = orjson.loads(octets)
    if not isinstance(data, dict):
        raise TypeError(f"a {type(data).__name__}, not an object")
    return data


def write_state(path: Path, data: dict[str, Any]) -> None:
    """Replace a file by one with this object, on disk when this returns.

    To be called with a lock held that all writers of the file take.

    Args:
        path: in a folder that is made, 0700, when it is absent.
        data: what JSON can hold.

    Raises:
        StateFault: it cannot be written; the old file is as it was.
    """
    octets = orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
    stem = f".{path.name.lstrip('.')}."
    beside = path.with_name(f"{stem}{os.urandom(8).hex()}{_UNFINISHED}")
    try:
        path.parent.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        for left in path.parent.glob(f"{stem}*{_UNFINISHED}"):
            left.unlink(missing_ok=True)  # of a process that ended in the middle
        try:
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE_MODE)
            with os.fdopen(descriptor, "wb") as file:
                file.write(octets)
                file.flush()
                os.fsync(descriptor)
            beside.replace(path)
        except OSError:
            beside.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    except OSError as exc:
        raise _unusable(path, exc, "written") from exc


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on disk.

    Raises:
        OSError: it cannot be opened or synchronised.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold a lock among processes, on this machine or on one volume; it never waits.

    The lock ends with the process, however that ends. The file stays: removing it would let two
    processes hold locks on two files of one name.

    Args:
        path: the lock file; made, with its folder, when absent.

    Yields:
        Whether the lock is ours; another process has it otherwise.

    Raises:
        StateFault: the lock file cannot be made.
    """
    try:
        path.parent.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
    except OSError as exc:
        raise _unusable(path, exc, "written") from exc
    try:
        yield _try_lock(descriptor)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _unusable(path: Path, exc: OSError, done: str) -> StateFault:
    reason = exc.strerror or type(exc).__name__
    fix = f"uid {os.geteuid()} must be able to write in {path.parent}"
    fault = Fault(str(path), f"cannot be {done}: {reason}", fix)
    return StateFault(fault, is_read_only=exc.errno in _READ_ONLY)
