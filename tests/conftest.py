"""Settings of the whole test run; fixtures live beside the tests that share them."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import settings

from tests.fakes.programs import peers_are_required

LONGEST_NAME = 60

# No test asserts on a clock, and hypothesis's time limit for an example is one.
settings.register_profile("no-clock", deadline=None)
settings.load_profile("no-clock")


def pytest_report_header() -> str:
    """Say what a missing program means in this run."""
    meaning = "fails (CI=true)" if peers_are_required() else "is skipped (CI=true: fails)"
    return f"peers: a test whose program is missing {meaning}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say once for each reason why tests were skipped, and how many; `-rs` has them singly."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(
        report.longrepr[2] for report in skipped if isinstance(report.longrepr, tuple)
    )
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"{count} skipped: {reason.removeprefix('Skipped: ')}")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Long values make no names: some hold keys, which differ in each process of one run."""
    return argname if isinstance(val, str | bytes) and len(val) > LONGEST_NAME else None
