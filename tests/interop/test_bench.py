"""The benchmarks run: `make bench` and what else stands in tests/bench, with very few messages.

Nothing is said about the figures, only that there are some.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.programs import require_program

ROOT = Path(__file__).parents[2]
RUN_SECONDS = 90

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="CPU and memory are from /proc")


def run(module: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run one of the benchmarks to its end."""
    require_program("smtp-source", "postfix")
    require_program("smtp-sink", "postfix")
    return subprocess.run(
        [sys.executable, "-m", module, *options],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )


def test_bench_measures_and_writes(tmp_path: Path) -> None:
    """`make bench` proves, measures load and latency, and writes a table and all figures."""
    workloads = "small,latency"
    options = ["--runs", "1", "--scale", "0.01", "--workloads", workloads, "--no-plot"]
    done = run("tests.bench", *options, "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    table = (tmp_path / "bench.md").read_text("utf-8")
    assert table.strip() == done.stdout.strip()
    assert "| dkim-relay |" in table
    figures = json.loads((tmp_path / "bench.json").read_text("utf-8"))
    for workload in workloads.split(","):
        (measured,) = figures["runs"][workload]["dkim-relay"]
        assert measured["pss_mib"] > 0
        assert (measured["taken_p99_ms"] is None) == (workload != "latency")


def test_commands_are_measured() -> None:
    """Every kind of command gets its line."""
    done = run("tests.bench.commands", "--commands", "200")
    assert done.returncode == 0, done.stderr
    assert "| NOOP, 50 in a batch |" in done.stdout


def test_growth_is_measured() -> None:
    """Recipients are varied, and each count gets its line."""
    done = run("tests.bench.growth", "--of", "recipients", "--messages", "20")
    assert done.returncode == 0, done.stderr
    assert "| 100 |" in done.stdout


def test_stalls_are_measured() -> None:
    """Small messages are timed beside large ones, and the clock in the loop has been read."""
    done = run("tests.bench.stall", "--seconds", "0.3", "--messages", "1")
    assert done.returncode in (0, 1), done.stderr  # 1: a bound was not kept, on whatever machine
    assert "Traceback" not in done.stderr, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| with pauses")]
    assert len(rows) == 1
