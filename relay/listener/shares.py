"""How many sessions each of several processes has, in memory that they share. IO.

A process that has more than another one leaves the next client to it for a moment (`door`).
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
import tempfile
from typing import Final

_COUNT: Final = struct.Struct("=I")
ABSENT: Final = 2**32 - 1  # of a process that lets nobody in


class Shares:
    """The numbers of all processes, and the place of this one."""

    def __init__(self, file: int, *, mine: int, processes: int) -> None:
        """Map the numbers.

        Args:
            file: the descriptor that `make_shares` gave; it may be closed afterwards.
            mine: the number of this process, from 0 on.
            processes: how many there are.
        """
        self._memory = mmap.mmap(file, processes * _COUNT.size)
        self._mine = mine
        self._processes = processes

    def tell(self, sessions: int, *, process: int | None = None) -> None:
        """Say how many sessions there are here, or in a process that cannot say so itself."""
        place = self._mine if process is None else process
        _COUNT.pack_into(self._memory, place * _COUNT.size, sessions)

    def leaves_next(self, sessions: int) -> bool:
        """Whether another process has fewer sessions than so many here."""
        counts = _COUNT.iter_unpack(self._memory[:])
        return any(count < sessions for (count,) in counts)

    def close(self) -> None:
        """Let go of the memory."""
        self._memory.close()


def make_shares(processes: int) -> int:
    """A descriptor of memory for so many processes, none of which lets anybody in yet.

    Raises:
        OSError: there is no place for it.
    """
    if sys.platform == "linux":
        file = os.memfd_create("dkim-relay-shares")
    else:
        with tempfile.TemporaryFile() as temporary:
            file = os.dup(temporary.fileno())
    os.write(file, _COUNT.pack(ABSENT) * processes)
    return file
