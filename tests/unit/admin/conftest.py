"""An admin port on a free port of loopback, before a relay that is as a test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from relay.admin.server import admin_port
from relay.config.admin import Admin
from relay.core.events import Event
from relay.core.status import Status
from tests.fakes.relay_status import NOW, status


class Told:
    """A source that says what it was given.

    Attributes:
        now: the status.
        text: the metrics.
        fault: raised instead of an answer.
        hold: waited for before an answer.
    """

    def __init__(self) -> None:
        self.now = status()
        self.text = b"# nothing\n"
        self.fault: Exception | None = None
        self.hold: asyncio.Event | None = None
        self.domains: list[str] = []
        self.was_asked = asyncio.Event()

    async def status(self, domain: str = "") -> Status:
        """What was given."""
        self.domains.append(domain)
        self.was_asked.set()
        if self.hold is not None:
            await self.hold.wait()
        if self.fault is not None:
            raise self.fault
        return self.now

    async def metrics(self) -> bytes:
        """What was given."""
        return self.text


Open = Callable[..., AbstractAsyncContextManager[str]]


@pytest.fixture
def source() -> Told:
    """All is well."""
    return Told()


@pytest.fixture
def events() -> list[Event]:
    """Everything that was told."""
    return []


@pytest.fixture
def opened(source: Told, events: list[Event]) -> Open:
    """Opens the port with some settings."""

    @asynccontextmanager
    async def open_(**settings: Any) -> AsyncIterator[str]:
        admin = Admin.model_validate({"address": "127.0.0.1:0", **settings})
        async with admin_port(admin, events.append, now=lambda: NOW) as port:
            await port.serve(source)
            yield port.address

    return open_
