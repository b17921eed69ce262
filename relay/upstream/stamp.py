"""Whether a file has changed, by one `stat`. IO."""

from __future__ import annotations

from pathlib import Path


def stamp(path: Path) -> object:
    """Something that is another when the file is; what is wrong counts too.

    A link that is pointed elsewhere, as Kubernetes does with mounted secrets, leads to another
    inode.
    """
    try:
        found = path.stat()
    except OSError as exc:
        return exc.errno
    return found.st_ino, found.st_mtime_ns, found.st_size
