"""What the processes of a relay hold, over time: memory and open sockets, from /proc."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

KIB_PER_MIB = 1024


@dataclass(frozen=True)
class Sample:
    """One process at one moment; memory in MiB, shared pages divided by those who share them."""

    seconds: float
    pss_mib: float
    rss_mib: float
    sockets: int


@dataclass
class Memory:
    """Samples of all processes, by id."""

    samples: dict[int, list[Sample]] = field(default_factory=dict)

    def take(self, pids: list[int], seconds: float) -> None:
        """Look at these processes now; those that have ended meanwhile are passed over."""
        for pid in pids:
            with suppress(OSError):
                self.samples.setdefault(pid, []).append(_sample(pid, seconds))

    def line(self, pid: int, name: str) -> str:
        """First, quarters and last of one process."""
        taken = self.samples[pid]
        places = [0, len(taken) // 4, len(taken) // 2, 3 * len(taken) // 4, len(taken) - 1]
        shown = [taken[place] for place in dict.fromkeys(places)]
        steps = " → ".join(f"{s.pss_mib:.1f}" for s in shown)
        last = shown[-1]
        return (
            f"{name} {pid}: PSS {steps} MiB over {last.seconds - shown[0].seconds:.0f} s, "
            f"RSS {last.rss_mib:.1f} MiB, {last.sockets} sockets"
        )


def _sample(pid: int, seconds: float) -> Sample:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii")
    figures = {line.split(":")[0]: line.split()[1] for line in rollup.splitlines()[1:]}
    files = Path(f"/proc/{pid}/fd")
    sockets = 0
    for entry in files.iterdir():
        with suppress(OSError):
            sockets += os.readlink(entry).startswith("socket:")
    pss, rss = int(figures["Pss"]) / KIB_PER_MIB, int(figures["Rss"]) / KIB_PER_MIB
    return Sample(seconds, pss, rss, sockets)
