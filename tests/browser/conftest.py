"""The status page in a real browser, from the admin port, of a relay that is as a test says."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.admin.server import admin_port
from relay.config.admin import Admin
from relay.core.status import Status
from tests.fakes.browser import DESK, Browser, chromium
from tests.fakes.page_statuses import NOW, good_status


class Shown:
    """The relay that is shown.

    Attributes:
        status: how it is now; None: it fails when it is asked.
        url: of its page.
    """

    def __init__(self) -> None:
        """A relay in good order."""
        self.now: Status | None = good_status()
        self.url = ""
        self.asked = 0

    async def status(self, domain: str = "") -> Status:
        """How it is now."""
        self.asked += 1
        if self.now is None:
            raise RuntimeError("no status")
        return self.now

    async def metrics(self) -> bytes:
        """None."""
        return b""


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser for the tests of a module."""
    with chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture
def browser(window: Browser) -> Iterator[Browser]:
    """The browser as if it were new, on a wide and light screen where nothing moves."""
    window.look(width=DESK)
    window.driver.get("about:blank")
    window.complaints()
    yield window
    window.driver.get("about:blank")


@pytest.fixture
def shown() -> Iterator[Shown]:
    """A relay with an admin port on a free port of loopback, in a thread of its own."""
    shown, begun = Shown(), threading.Event()
    stopping: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        stop = asyncio.Event()
        settings = Admin.model_validate({"address": "127.0.0.1:0"})
        async with admin_port(settings, lambda event: None, now=lambda: NOW) as port:
            await port.serve(shown)
            shown.url = f"http://{port.address}/"
            stopping.append((asyncio.get_running_loop(), stop))
            begun.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert begun.wait(30)
    yield shown
    (loop, stop) = stopping[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(30)


@pytest.fixture
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots are left for people to look at."""
    return tmp_path_factory.mktemp("pictures")
