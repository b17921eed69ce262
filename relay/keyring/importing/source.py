"""Where the files of the other signer lie, and how they are opened. IO.

Files are only read. Their permissions do not matter for that; they are told all the same.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from relay.core.errors import KeyFault

MAX_KEY_OCTETS = 64 * 1024
MAX_TABLE_OCTETS = 64 * 1024 * 1024  # half a million lines
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What was said about the setup that is imported.

    Attributes:
        root: a folder that absolute paths in files are taken to lie below; None for "/".
        passphrase: of encrypted keys.
        domains: --domain, in A-labels: whose keys they are where files do not say it.
        selector: --selector, likewise.
    """

    root: Path | None = None
    passphrase: bytes | None = None
    domains: tuple[str, ...] = ()
    selector: str | None = None

    def locate(self, text: str, folder: Path) -> Path:
        """A path as it stands in a file; a relative one begins in `folder`."""
        if not text.startswith("/"):
            return folder / text
        return Path(text) if self.root is None else self.root / text.lstrip("/")


@dataclass(frozen=True, slots=True)
class Read:
    """A file that was read.

    Attributes:
        octets: all of it.
        modified_seconds: when it was last written, in seconds since 1970.
        mode: its permission bits.
    """

    octets: bytes
    modified_seconds: float
    mode: int

    @property
    def is_open_to_all(self) -> bool:
        """Whether everybody on that host could read it."""
        return bool(self.mode & stat.S_IROTH)


def read_file(path: Path, limit_octets: int) -> Read:
    """Open a file and read it whole.

    Raises:
        KeyFault: it is not there, not a file, may not be read, or is over the limit.
    """
    try:
        octets, status = _opened(path, limit_octets)
    except FileNotFoundError as exc:
        fix = "correct the path, or give --root where the setup was copied to"
        raise KeyFault(str(path), "does not exist", fix) from exc
    except OSError as exc:
        what = f"cannot be read: {exc.strerror or type(exc).__name__}"
        fix = f"uid {os.geteuid()} needs to read it: run the import as its owner or as root"
        raise KeyFault(str(path), what, fix) from exc
    if len(octets) > limit_octets:
        raise KeyFault(str(path), f"is over {limit_octets} octets", "this is no such file")
    return Read(octets, status.st_mtime, stat.S_IMODE(status.st_mode))


def _opened(path: Path, limit_octets: int) -> tuple[bytes, os.stat_result]:
    descriptor = os.open(path, _READ)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise KeyFault(str(path), "is not a file", "name a file or a folder of keys")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(limit_octets + 1), status
    finally:
        os.close(descriptor)


def read_text(path: Path) -> str:
    """A table or configuration file; octets that are not UTF-8 stay visible as escapes.

    Raises:
        KeyFault: as of `read_file`.
    """
    return read_file(path, MAX_TABLE_OCTETS).octets.decode("utf-8-sig", "backslashreplace")
