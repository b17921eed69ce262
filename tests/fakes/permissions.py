"""Permissions as a test needs them: another umask, another user. IO."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534


def mode_of(path: Path) -> int:
    """The permission bits of a file or folder."""
    return stat.S_IMODE(path.stat().st_mode)


@contextmanager
def umask_of(umask: int) -> Iterator[None]:
    """The process has this umask for a while."""
    before = os.umask(umask)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def unprivileged() -> Iterator[int]:
    """Be somebody to whom permissions apply; root for the tests' own files again afterwards."""
    if os.geteuid() != 0:
        yield os.geteuid()
        return
    group, groups = os.getegid(), os.getgroups()
    os.setgroups([])
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield NOBODY
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)
