"""These tests are run on both event loops: asyncio's, and the one that `serve` prefers."""

from __future__ import annotations

import asyncio
import gc
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest
import uvloop

from relay.listener.certificates import Certificates as ListenerCertificates
from relay.listener.endpoint import Endpoint, ListenerTls
from tests.fakes.certificates import Certificates
from tests.fakes.edge import Edge


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Their transports, their order of callbacks and their resets differ."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A CA of the tests' own."""
    return Certificates(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def presented(certificates: Certificates) -> ListenerCertificates:
    """What listeners show that nothing is done to."""
    return certificates.listener()


@pytest.fixture
def trusting(certificates: Certificates) -> ssl.SSLContext:
    """A client that knows the CA."""
    return certificates.trusting()


@pytest.fixture
def make(presented: ListenerCertificates) -> Callable[..., Edge]:
    """Makes edges whose listener has a certificate; see `Edge` and `Endpoint`."""

    def make_edge(
        tls: ListenerTls = ListenerTls.STARTTLS, *, requires_tls: bool = False, **changes: Any
    ) -> Edge:
        endpoint = Endpoint(tls=tls, certificates=presented, requires_tls=requires_tls)
        return Edge(endpoint=endpoint, **changes)

    return make_edge


@pytest.fixture
async def quiet() -> AsyncIterator[None]:
    """After the test the loop has complained of nothing, and every task has ended."""
    loop = asyncio.get_running_loop()
    before = asyncio.all_tasks()
    gc.freeze()  # what is there already need not be looked at afterwards
    complaints: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    yield
    async with asyncio.timeout(5):
        while left := asyncio.all_tasks() - before - {asyncio.current_task()}:
            await asyncio.wait(left)
    gc.collect()
    gc.unfreeze()
    await asyncio.sleep(0)
    assert not complaints
