"""A keys folder, a zone in memory, and time that passes when told to."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.rotations import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A domain with one key in use, s1."""
    made = World(tmp_path / "keys")
    made.key("s1")
    return made
