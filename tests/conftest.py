"""Settings of the whole test run; fixtures live beside the tests that share them."""

from __future__ import annotations

from hypothesis import settings

from tests.fakes.programs import peers_are_required

# No test asserts on a clock, and hypothesis's time limit for an example is one.
settings.register_profile("no-clock", deadline=None)
settings.load_profile("no-clock")


def pytest_report_header() -> str:
    """Say what a missing program means in this run."""
    meaning = "fails (CI=true)" if peers_are_required() else "is skipped (CI=true: fails)"
    return f"peers: a test whose program is missing {meaning}"
