"""What transcripts are held with; see `tests.fakes.transcript`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.certificates import Certificates
from tests.fakes.edge import Edge
from tests.fakes.transcript import Conversation, Segments


@pytest.fixture
async def edge() -> Edge:
    """The inbound edge, with small limits."""
    return Edge()


@pytest.fixture(params=Segments, ids=lambda segments: segments.name.lower())
async def converse(edge: Edge, request: pytest.FixtureRequest) -> Conversation:
    """Hold a transcript; the test that takes this runs once for each way octets can arrive."""
    return Conversation(edge, request.param)


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """A CA of the test's own."""
    return Certificates(tmp_path)
