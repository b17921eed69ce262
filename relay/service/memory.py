"""What a service need not look at, or hold in memory, once it is ready."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Final

_DONTNEED: Final = 4  # madvise(2)
_MAPS: Final = Path("/proc/self/maps")


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
    """Drop the pages of machine code: most of what libraries have is run at the start only.

    They are mapped from files and never written to, so what is run again is read again. It saves
    some 13 MiB. Where the system forbids it, nothing is saved.
    """
    try:
        import ctypes

        madvise = ctypes.CDLL(None).madvise
        madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        for line in _MAPS.read_text("utf-8", "surrogateescape").splitlines():
            span, permissions, *_, path = line.split(maxsplit=5) if "/" in line else ("", "", "")
            if permissions == "r-xp" and path.startswith("/"):
                start, end = (int(address, 16) for address in span.split("-"))
                madvise(start, end - start, _DONTNEED)
    except (ImportError, AttributeError, MemoryError, OSError):
        return
