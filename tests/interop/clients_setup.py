"""Fixtures of the tests with clients; a test module names it in `pytest_plugins`.

What tests import stands in `clients_edge`: pytest rewrites the assertions of a plugin, for which
nothing may have imported it before.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.interop.clients_edge import Edge
from tests.interop.conftest import Keys


@pytest.fixture(scope="session")
def edge(tmp_path_factory: pytest.TempPathFactory, keys: Keys) -> Iterator[Edge]:
    """The relay with an entrance of every kind, in front of the recording smarthost."""
    folder = tmp_path_factory.mktemp("edge")
    with Edge(folder, keys_dir=keys.folder, records=keys.records) as running:
        yield running
