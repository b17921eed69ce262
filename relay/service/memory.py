"""What the garbage collector need not look at."""

from __future__ import annotations

import gc


def settle() -> None:
    """Leave all that lives now out of collections; to be called once, when the service is ready.

    A whole collection goes through every module, class and setting, which takes tens of
    milliseconds, and no session is served meanwhile. They live as long as the process does.
    """
    gc.collect()
    gc.freeze()
