"""What the relay offers from its start is what its upstream offers."""

from __future__ import annotations

import asyncio
from pathlib import Path

from relay.config.settings import Config
from relay.core.dkim.algorithm import Algorithm
from relay.core.events import Event, Noted
from relay.keyring.writing import write_key_pair
from relay.service.relay import running
from tests.fakes.processes import free_port
from tests.fakes.smarthost import EXTENSIONS, Smarthost
from tests.fakes.smtp_client import SocketClient


def settings(folder: Path, port: int) -> Config:
    """A relay on a free port in front of that one, without a gate."""
    write_key_pair(folder, "example.com", "s1", Algorithm.ED25519_SHA256, 256)
    return Config.model_validate(
        {
            "keys_dir": str(folder),
            "listeners": [{"address": "127.0.0.1:0"}],
            "upstreams": [{"name": "esp", "url": f"smtp://127.0.0.1:{port}", "tls": "none"}],
            "dns": {"gate": "off"},
        }
    )


class Told:
    """What the relay tells, and a way to wait for it."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._changed = asyncio.Event()

    def __call__(self, event: Event) -> None:
        """Take one."""
        if isinstance(event, Noted):
            self.names.append(event.name)
            self._changed.set()

    async def until(self, name: str) -> None:
        """Wait until it was told."""
        async with asyncio.timeout(20):
            while name not in self.names:
                self._changed.clear()
                await self._changed.wait()


async def test_dsn_is_offered_before_the_first_message(tmp_path: Path) -> None:
    """The upstream was asked; a client need not come twice."""
    told = Told()
    async with (
        Smarthost(extensions=(*EXTENSIONS, "DSN")) as smarthost,
        running(settings(tmp_path, smarthost.port), told) as listeners,
    ):
        await told.until("upstream.opened")
        async with SocketClient(*listeners.addresses[0]) as client:
            await client.reply()
            [offered] = await client.say(b"EHLO c")
        assert b"DSN" in offered
        assert not smarthost.received
        assert len(smarthost.sessions) == 1


async def test_the_start_does_not_wait_for_the_upstream(tmp_path: Path) -> None:
    """One that is away is told like any other failure, and clients are greeted."""
    told = Told()
    async with running(settings(tmp_path, free_port()), told) as listeners:
        async with SocketClient(*listeners.addresses[0]) as client:
            assert (await client.reply()).startswith(b"220 ")
            [offered] = await client.say(b"EHLO c")
        assert b"DSN" not in offered
        await told.until("upstream.failed")
    assert told.names[-1] == "service.stopped"
