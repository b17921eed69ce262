"""Counters of several processes in files of one private folder. IO.

prometheus-client writes each process's counters into files that it maps into memory, and adds
them up for whoever asks. The files of a process that died stay, and its successor of the same
number counts on in them: however many die, there are no more files, and nothing is forgotten.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from relay.core.errors import ConfigError, Fault

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
_MEMORY: Final = "/dev/shm"  # noqa: S108 - a folder of our own is made in it; no disk is written


@contextmanager
def shared_folder(
    environ: MutableMapping[str, str] = os.environ, *, memory: str = _MEMORY
) -> Iterator[Path]:
    """A folder for the counters of processes that are started within, gone at the end.

    Args:
        environ: theirs; the folder is named in it. They must not have imported
            `relay.observe.metrics` before.
        memory: a folder that is none of a disk; without it, where temporary files are.

    Raises:
        ConfigError: there is no folder for temporary files.
    """
    try:
        where = memory if os.access(memory, os.W_OK | os.X_OK) else None
        made = tempfile.TemporaryDirectory(prefix="dkim-relay-", dir=where)
    except OSError as exc:
        what = f"several processes need a folder for temporary files: {exc.strerror or exc}"
        fix = "mount one at /tmp, name one in TMPDIR, or set it to 1"
        raise ConfigError((Fault("service.workers", what, fix),)) from exc
    before = environ.get(VARIABLE)
    with made as folder:
        environ[VARIABLE] = folder
        try:
            yield Path(folder)
        finally:
            environ.pop(VARIABLE)
            if before is not None:
                environ[VARIABLE] = before


def count_as(process: int) -> None:
    """Have this process count on where the one before it with the same number has ended.

    To be called before anything is counted, and by one process of a number at a time.

    Args:
        process: the number of the worker; it has nothing to do with its pid.
    """
    from prometheus_client import values

    name = f"worker{process}"
    values.ValueClass = values.MultiProcessValue(lambda: name)  # type: ignore[no-untyped-call] # has no types


def counters(folder: Path) -> Collector:
    """The counters of all processes that have, or had, files in a folder.

    Raises:
        ValueError: there is no such folder.
    """
    # Imported here: it decides at its import whether its values are shared.
    from prometheus_client.multiprocess import MultiProcessCollector

    return MultiProcessCollector(None, str(folder))  # type: ignore[no-untyped-call] # has no types
