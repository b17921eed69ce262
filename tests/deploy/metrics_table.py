"""The metrics as a Markdown table for the README: `python -m tests.deploy.metrics_table`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from relay.observe.gauges import Gauges
from relay.observe.metrics import Metrics
from tests.fakes.relay_status import status


def table() -> str:
    """All metrics: name as it is scraped, kind, labels, what it says."""
    rows = ["| metric | kind | labels | what it says |", "|---|---|---|---|"]
    for name, kind, labels, text in _metrics():
        shown = " ".join(f"`{label}`" for label in labels)
        rows.append(f"| `{name}` | {kind} | {shown} | {text} |")
    return "\n".join(rows) + "\n"


def _metrics() -> Iterator[tuple[str, str, tuple[str, ...], str]]:
    collectors: list[Any] = [*Metrics().registry._collector_to_names]
    gauges: Any = Gauges(status(), max_domain_labels=1).collect()
    for collector in [*collectors, *gauges]:
        kind = str(getattr(collector, "_type", "") or collector.type)
        name = str(getattr(collector, "_name", "") or collector.name)
        text = str(getattr(collector, "_documentation", "") or collector.documentation)
        labels = tuple(collector._labelnames)
        yield name + ("_total" if kind == "counter" else ""), kind, labels, text


if __name__ == "__main__":
    print(table(), end="")
