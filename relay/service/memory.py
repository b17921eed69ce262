"""What a service need not look at, or hold in memory, once it is ready."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_DONTNEED: Final = 4  # madvise(2)
_MAPS: Final = Path("/proc/self/smaps")


def settle() -> None:
    """To be called once, when the service is ready.

    A whole collection goes through every module, class and setting, which takes tens of
    milliseconds, and no session is served meanwhile: all that lives now is left out of it, as it
    lives as long as the process does.
    """
    gc.collect()
    gc.freeze()
    if sys.platform == "linux":
        _let_code_go()


def _let_code_go() -> None:
    """Drop the pages of code and constants: most of what libraries have is used at the start only.

    They are mapped from files and were never written to, so what is used again is read again. It
    saves some 15 MiB. Where the system forbids it, nothing is saved.
    """
    try:
        import ctypes

        madvise = ctypes.CDLL(None).madvise
        madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        for start, end in _unwritten(_MAPS.read_text("utf-8", "surrogateescape")):
            madvise(start, end - start, _DONTNEED)
    except (ImportError, AttributeError, MemoryError, OSError):
        return


def _unwritten(maps: str) -> Iterator[tuple[int, int]]:
    """From where to where files are mapped that cannot be written to and never were (proc(5))."""
    span: tuple[int, int] | None = None
    for line in maps.splitlines():
        name, *values = line.split(maxsplit=5)
        if not name.endswith(":"):  # the first line of a mapping: addresses, permissions … path
            is_file = len(values) == 5 and values[4].startswith("/") and "w" not in values[0]
            start, _, end = name.partition("-")
            span = (int(start, 16), int(end, 16)) if is_file else None
        elif name == "Anonymous:" and values[0] == "0" and span is not None:
            yield span
