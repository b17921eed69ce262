"""What unit tests that start parts of the service have in common."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from relay.core.dkim.algorithm import Algorithm
from relay.core.events import Event
from relay.keyring.writing import write_key_pair
from tests.fakes.smarthost import Smarthost


@pytest.fixture
async def nothing_is_left() -> AsyncIterator[None]:
    """After each test: no task, no socket, and nothing that asyncio's debug mode complains of."""
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    before = asyncio.all_tasks()
    complaints: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    yield
    gc.collect()
    assert not complaints
    assert asyncio.all_tasks() <= before | {asyncio.current_task()}


@pytest.fixture
async def smarthost() -> AsyncIterator[Smarthost]:
    """The next hop."""
    async with Smarthost() as host:
        yield host


@pytest.fixture
def events() -> list[Event]:
    """Everything that was told."""
    return []


@pytest.fixture
def keys_dir(tmp_path: Path) -> Path:
    """A folder with the key of example.com."""
    folder = tmp_path / "keys"
    write_key_pair(folder, "example.com", "s1", Algorithm.ED25519_SHA256)
    return folder


@pytest.fixture
def settings(keys_dir: Path, smarthost: Smarthost) -> dict[str, Any]:
    """A relay on a free port in front of the smarthost, without a gate."""
    return {
        "keys_dir": str(keys_dir),
        "listeners": [{"address": "127.0.0.1:0"}],
        "upstreams": [{"name": "esp", "url": f"smtp://127.0.0.1:{smarthost.port}", "tls": "none"}],
        "dns": {"gate": "off"},
        "service": {"hostname": "relay.example", "drain_seconds": 5},
    }
