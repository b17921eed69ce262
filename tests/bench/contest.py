"""All contenders through all workloads, taking turns; medians, and who fell out."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from tests.bench.contender import Contender
from tests.bench.measuring import Course, Figures, Profiling
from tests.bench.postfix_tools import Source
from tests.bench.workload import Workload
from tests.fakes.processes import ProgramFailedError

Tell = Callable[[str], None]


@dataclass
class Results:
    """What came out.

    Attributes:
        workloads: names, in the order in which they ran.
        contenders: names, in that order too.
        signs: which of them sign.
        runs: by workload and contender.
        failures: by contender, what went wrong the first time.
        versions: by contender, of the programs that it consists of.
    """

    workloads: list[str]
    contenders: list[str]
    signs: dict[str, bool]
    runs: dict[str, dict[str, list[Figures]]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def median(self, workload: str, contender: str) -> Figures | None:
        """The median of each figure; None when there was no run."""
        runs = self.runs.get(workload, {}).get(contender, [])
        return median(runs) if runs else None

    def as_json(self) -> dict[str, Any]:
        """All of it, with the machine that it was measured on."""
        return {"machine": machine(), **asdict(self)}


def median(runs: Sequence[Figures]) -> Figures:
    """The median of each figure of at least one run."""
    medians: dict[str, Any] = {}
    for name in (each.name for each in fields(Figures)):
        values = [value for run in runs if (value := getattr(run, name)) is not None]
        medians[name] = statistics.median(values) if values else None
    return Figures(**medians)


def hold(
    contenders: Sequence[Contender],
    workloads: Sequence[Workload],
    *,
    runs: int,
    tell: Tell,
    profiling: Profiling | None = None,
) -> Results:
    """Let all contenders run each workload so many times, one after the other in each round.

    Who fails does not run again; what it did before stays.

    Args:
        contenders: not started.
        workloads: what they run.
        runs: rounds.
        tell: is told of each run, in words.
        profiling: what goes on while a contender is measured.
    """
    results = Results(
        workloads=[workload.name for workload in workloads],
        contenders=[contender.name for contender in contenders],
        signs={contender.name: contender.signs for contender in contenders},
        versions={contender.name: contender.version() for contender in contenders},
    )
    source = Source(contenders[0].ground.folder)
    courses = {contender.name: Course(contender, source) for contender in contenders}
    options = {} if profiling is None else {"profiling": profiling}
    for workload in workloads:
        of_workload = results.runs.setdefault(workload.name, {name: [] for name in courses})
        for number in range(1, runs + 1):
            for name in [name for name in courses if name not in results.failures]:
                try:
                    figures = courses[name].run(workload, **options)
                except (
                    ProgramFailedError,
                    subprocess.SubprocessError,
                    OSError,
                    RuntimeError,
                ) as exc:
                    what, _, _ = str(exc).partition("\n")
                    results.failures[name] = f"{workload.name}: {what}"
                    tell(
                        f"{name} FAILED at {workload.name}: {exc}\n{courses[name].contender.tail()}"
                    )
                else:
                    of_workload[name].append(figures)
                    tell(f"{workload.name} {number}/{runs} {name}: {in_words(figures)}")
    return results


def in_words(figures: Figures) -> str:
    """One run on one line."""
    parts = [f"CPU {figures.cpu_ms:.2f} ms", f"{figures.pss_mib:.0f} MiB"]
    if figures.per_second is not None:
        parts.insert(0, f"{figures.per_second:.0f}/s")
        parts.append(f"others {figures.others_share or 0:.0%} of the machine")
    if figures.taken_p50_ms is not None:
        parts.insert(0, f"250 after {figures.taken_p50_ms:.2f} / {figures.taken_p99_ms:.2f} ms")
    return ", ".join(parts)


def machine() -> Mapping[str, str]:
    """What the figures were measured on."""
    cpu = Path("/proc/cpuinfo").read_text("ascii", "replace")
    model = next((line for line in cpu.splitlines() if line.startswith("model name")), ":")
    return {
        "cores": str(len(os.sched_getaffinity(0))),
        "cpu": model.partition(":")[2].strip(),
        "system": f"{platform.system()} {platform.release()}",
        "python": sys.version.split()[0],
    }
