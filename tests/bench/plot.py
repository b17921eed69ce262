"""A picture of what was measured: `python -m tests.bench.plot bench.json bench.png`.

IO. Runs with matplotlib, which is not among the dependencies of the project
(`tests.bench.tools` provides for it).
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

PANELS = (
    ("small", "per_second", "messages per second, 2 KB"),
    ("small", "cpu_ms", "CPU per message, 2 KB (ms)"),
    ("medium", "cpu_ms", "CPU per message, 100 KB (ms)"),
    ("large", "cpu_ms", "CPU per message, 5 MB (ms)"),
    ("latency", "taken_p99_ms", "until 250, p99, one at a time (ms)"),
    ("large20", "pss_mib", "memory with 20 messages of 5 MB at once (MiB)"),
)
OURS, SIGNS, SIGNS_NOT = "#1f6f8b", "#b8bfc6", "#e3e6e9"
WIDTH_INCHES, ROW_INCHES, DOTS_PER_INCH = 10.0, 0.24, 110


def draw(results: dict[str, Any], path: Path) -> None:
    """A panel for each figure that was measured, a bar for each contender.

    Args:
        results: as `tests.bench.report` writes them.
        path: a PNG file, written anew.
    """
    panels = [(bars, title) for load, key, title in PANELS if (bars := _bars(results, load, key))]
    rows = (len(panels) + 1) // 2
    height = rows * (1.0 + ROW_INCHES * len(results["contenders"]))
    figure = Figure(figsize=(WIDTH_INCHES, height), layout="constrained")
    for number, (bars, title) in enumerate(panels, start=1):
        axes = figure.add_subplot(rows, 2, number)
        colours = [_colour(results, name) for name in bars]
        drawn = axes.barh(list(bars), list(bars.values()), color=colours)
        axes.bar_label(drawn, fmt=lambda v: f"{v:.3g}" if v < 1000 else f"{v:.0f}", padding=3)
        axes.set_title(title, loc="left", fontsize=10)
        axes.invert_yaxis()
        axes.margins(x=0.18)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    figure.savefig(path, dpi=DOTS_PER_INCH)


def _bars(results: dict[str, Any], workload: str, key: str) -> dict[str, float]:
    """The medians by contender; the one that only stands for the tools is left out."""
    bars = {}
    for name in results["contenders"]:
        runs = results["runs"].get(workload, {}).get(name, [])
        values = [run[key] for run in runs if run[key] is not None]
        if values and name != "nothing between":
            bars[name] = statistics.median(values)
    return bars


def _colour(results: dict[str, Any], name: str) -> str:
    if name.startswith("dkim-relay"):
        return OURS
    return SIGNS if results["signs"][name] else SIGNS_NOT


def main() -> None:
    """Read the arguments and draw."""
    draw(json.loads(Path(sys.argv[1]).read_text("utf-8")), Path(sys.argv[2]))


if __name__ == "__main__":
    main()
