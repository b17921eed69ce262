"""What processes cost: CPU and memory of a process and of all that it started, from /proc.

IO, Linux only. CPU is that of the living and of those that have ended and were waited for, so
that a server which replaces its processes is counted in full. Memory is PSS: what several
processes share counts once.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")
KIB_PER_MIB = 1024

# Fields of /proc/PID/stat after the name of the program: proc(5).
_PARENT, _CPU = 1, slice(11, 15)


@dataclass(frozen=True)
class Account:
    """The processes whose cost is asked for.

    Attributes:
        roots: process ids; all that descends from them is counted with them.
    """

    roots: Sequence[int]

    def pids(self) -> list[int]:
        """The roots that live and their living descendants."""
        children: dict[int, list[int]] = {}
        for pid in map(int, filter(str.isdigit, os.listdir(_PROC))):
            if fields := _stat(pid):
                children.setdefault(int(fields[_PARENT]), []).append(pid)
        found, open_ends = [], [pid for pid in self.roots if _stat(pid)]
        while open_ends:
            pid = open_ends.pop()
            found.append(pid)
            open_ends += children.get(pid, [])
        return found

    def cpu_seconds(self) -> float:
        """User and system time of all of them so far."""
        ticks = (sum(map(int, fields[_CPU])) for pid in self.pids() if (fields := _stat(pid)))
        return sum(ticks) / _TICKS

    def pss_mib(self) -> float:
        """Memory now, with what is shared counted once."""
        return sum(_kib(pid, "smaps_rollup", "Pss:") for pid in self.pids()) / KIB_PER_MIB

    def rss_mib(self) -> float:
        """Memory now, with what is shared counted for each process."""
        return sum(_kib(pid, "status", "VmRSS:") for pid in self.pids()) / KIB_PER_MIB


def busy_seconds() -> float:
    """CPU of everything on this machine since it started, time stolen by its host included."""
    cpu = (_PROC / "stat").read_text("ascii").splitlines()[0].split()[1:9]
    user, nice, system, _idle, _waiting, interrupts, soft_interrupts, stolen = map(int, cpu)
    return (user + nice + system + interrupts + soft_interrupts + stolen) / _TICKS


@dataclass
class Peak:
    """The most that was seen."""

    mib: float = 0.0


@contextmanager
def peak_pss(account: Account, *, every_seconds: float) -> Iterator[Peak]:
    """Look at the memory now and then, and once more at the end.

    Looking costs the processes something too, so it is not done often.
    """
    peak, is_over = Peak(), threading.Event()

    def look() -> None:
        while not is_over.wait(every_seconds):
            peak.mib = max(peak.mib, account.pss_mib())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield peak
    finally:
        is_over.set()
        thread.join()
        peak.mib = max(peak.mib, account.pss_mib())


def quantile(values: Iterable[float], share: float) -> float:
    """The value that this share of all values does not exceed; the nearest that was measured.

    Args:
        values: at least one.
        share: from 0 to 1; 0.99 is the 99th percentile.
    """
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _stat(pid: int) -> list[str]:
    with suppress(OSError):  # it has ended since it was listed
        return (_PROC / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    return []


def _kib(pid: int, file: str, label: str) -> int:
    with suppress(OSError):
        for line in (_PROC / str(pid) / file).read_text("ascii", "replace").splitlines():
            if line.startswith(label):
                return int(line.split()[1])
    return 0
