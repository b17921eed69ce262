"""Fixtures of the fault tests."""

from __future__ import annotations

import pytest

from tests.fakes.certificates import Certificates


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A CA of the test run's own."""
    return Certificates(tmp_path_factory.mktemp("certificates"))
