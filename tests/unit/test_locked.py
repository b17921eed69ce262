"""What is pinned installs on the oldest Python that we promise to run on: Debian 12's."""

from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

OLDEST = "3.11.2"  # of Debian 12, which is what README and .ci/run ask for
TOP = Path(__file__).parents[2]


def _pinned(lock: str) -> list[str]:
    """The names that count on this machine."""
    lines = (TOP / lock).read_text().splitlines()
    pins = [Requirement(line.rstrip("\\ ")) for line in lines if "==" in line and line[0].isalnum()]
    return [pin.name for pin in pins if pin.marker is None or pin.marker.evaluate()]


def _python_of(name: str) -> str:
    """Which versions of Python it installs on; empty: any."""
    return str(distribution(name).metadata.json.get("requires_python", ""))


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_debians_python_is_new_enough(lock: str) -> None:
    """A later one would fail in the README's first command, where Python is older than here."""
    wanted = {name: _python_of(name) for name in _pinned(lock)}
    assert len(wanted) > 20
    newer = {name: asked for name, asked in wanted.items() if OLDEST not in SpecifierSet(asked)}
    assert newer == {}
