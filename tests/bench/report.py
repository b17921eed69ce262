"""The tables of `make bench`, in Markdown, and its figures in JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.bench.contest import Results
from tests.bench.measuring import Figures

_NONE = "-"
Cell = Callable[[Figures], str]


def write(results: Results, folder: Path) -> tuple[Path, Path]:
    """Write `bench.md` and `bench.json`.

    Returns:
        The paths of the two.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table, data = folder / "bench.md", folder / "bench.json"
    table.write_text(markdown(results), "utf-8")
    data.write_text(json.dumps(results.as_json(), indent=1) + "\n", "utf-8")
    return table, data


def markdown(results: Results) -> str:
    """All tables: what was measured, ratios to ours, what failed."""
    about = results.as_json()["machine"]
    runs = max((len(r) for by in results.runs.values() for r in by.values()), default=0)
    lines = [
        f"{about['cpu']}, {about['cores']} cores for relay, load generator and sink; "
        f"{about['system']}, Python {about['python']}; medians of {runs}.",
        "",
        *_main_table(results),
        "",
        *_latency_table(results),
        *_ratio_table(results),
        *(f"* {name} failed at {told}" for name, told in results.failures.items()),
        *(f"* {name}: {told}" for name, told in results.versions.items() if told),
    ]
    return "\n".join(lines).rstrip() + "\n"


def ratios(results: Results, ours: str, workload: str) -> tuple[float, float] | None:
    """How ours stands against the best of the others that sign.

    Args:
        results: of a contest.
        ours: name of the contender.
        workload: name.

    Returns:
        How many times less CPU a message needs, how many times more messages a second; None
        where either has no figure, or no other signs.
    """
    mine = results.median(workload, ours)
    others = [
        figures
        for name in results.contenders
        if results.signs[name] and not is_ours(name)
        if (figures := results.median(workload, name))
    ]
    rates = [figures.per_second for figures in others if figures.per_second is not None]
    if mine is None or mine.per_second is None or not rates or mine.cpu_ms == 0:
        return None
    return min(figures.cpu_ms for figures in others) / mine.cpu_ms, mine.per_second / max(rates)


def is_ours(contender: str) -> bool:
    """Whether a name is that of the relay, with whatever settings."""
    return contender.startswith("dkim-relay")


def _main_table(results: Results) -> Iterator[str]:
    loads = [w for w in results.workloads if not w.startswith("latency")]
    if not loads:
        return
    cells: Sequence[tuple[str, Cell]] = (
        ("messages/s", lambda f: _short(f.per_second or 0.0)),
        ("CPU ms", lambda f: f"{f.cpu_ms:.2f}" if f.cpu_ms < 10 else f"{f.cpu_ms:.0f}"),
        ("peak MiB", lambda f: f"{f.pss_mib:.0f}"),
    )
    yield _row("", [f"{load} {what}" for load in loads for what, _ in cells])
    yield _rule(len(loads) * len(cells))
    for name in results.contenders:
        medians = [results.median(load, name) for load in loads]
        yield _row(name, [cell(f) if f else _NONE for f in medians for _, cell in cells])
    yield ""
    yield "CPU: of all processes, for each message. Peak: PSS. Load generator and sink take, each"
    told = []
    for load in loads:
        tools = [f.tools_ms for n in results.contenders if (f := results.median(load, n))]
        if known := [value for value in tools if value is not None]:
            told.append(f"{load} {min(known):.2f} ms")
    yield f"message: {', '.join(told)}."


def _latency_table(results: Results) -> Iterator[str]:
    loads = [w for w in results.workloads if w.startswith("latency")]
    if not loads:
        return
    cells: Sequence[tuple[str, Cell]] = (
        ("250, p50 / p99 ms", lambda f: f"{f.taken_p50_ms:.2f} / {f.taken_p99_ms:.2f}"),
        ("at the sink", lambda f: f"{f.arrived_p50_ms:.2f} / {f.arrived_p99_ms:.2f}"),
        ("CPU ms", lambda f: f"{f.cpu_ms:.2f}"),
    )
    yield _row("", [f"{load}: {what}" for load in loads for what, _ in cells])
    yield _rule(len(loads) * len(cells))
    for name in results.contenders:
        medians = [results.median(load, name) for load in loads]
        yield _row(name, [cell(f) if f else _NONE for f in medians for _, cell in cells])
    yield ""


def _ratio_table(results: Results) -> Iterator[str]:
    rows = []
    for name in filter(is_ours, results.contenders):
        found = [ratios(results, name, workload) for workload in results.workloads]
        if any(found):
            shown = [f"{r[0]:.1f} / {r[1]:.1f}" if r else _NONE for r in found]
            rows.append(_row(name, shown))
    if rows:
        yield "Against the best of the others that sign, figure by figure: how many times less CPU"
        yield "for a message / how many times more messages a second."
        yield ""
        yield _row("", results.workloads)
        yield _rule(len(results.workloads))
        yield from rows
        yield ""


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 20 else f"{value:.1f}"


def _row(name: str, cells: Sequence[str]) -> str:
    return f"| {' | '.join([name, *cells])} |"


def _rule(columns: int) -> str:
    return f"|---|{'---:|' * columns}"
