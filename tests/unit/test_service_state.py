"""What the relay knows of records, over a restart and without DNS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from relay.config.settings import Config
from relay.core.dkim.algorithm import Algorithm
from relay.core.errors import ConfigError
from relay.core.events import Event, Noted
from relay.keyring.writing import WrittenKey, write_key_pair
from relay.listener.sockets import Listeners
from relay.service.relay import running
from tests.fakes.dns_server import LoopbackDNS
from tests.fakes.processes import free_port
from tests.fakes.smarthost import Smarthost
from tests.fakes.smtp_client import SocketClient

Settings = dict[str, Any]


@pytest.fixture
def written(tmp_path: Path) -> WrittenKey:
    """The key of example.com."""
    return write_key_pair(tmp_path / "keys", "example.com", "s1", Algorithm.ED25519_SHA256)


@pytest.fixture
def settings(tmp_path: Path, smarthost: Smarthost, written: WrittenKey) -> Settings:
    """A relay with a state folder; its DNS is a port where nobody listens."""
    return {
        "keys_dir": str(tmp_path / "keys"),
        "state_dir": str(tmp_path / "state"),
        "listeners": [{"address": "127.0.0.1:0"}],
        "upstreams": [{"name": "esp", "url": f"smtp://127.0.0.1:{smarthost.port}", "tls": "none"}],
        "dns": {
            "nameservers": [f"127.0.0.1:{free_port()}"],
            "timeout_seconds": 0.2,
            "start_seconds": 0.5,
        },
        "service": {"hostname": "relay.example", "drain_seconds": 5},
    }


async def submit(listeners: Listeners) -> bytes:
    """Hand one message in; the last reply."""
    async with SocketClient(*listeners.addresses[0]) as client:
        await client.reply()
        replies = await client.say(
            b"EHLO client.example",
            b"MAIL FROM:<a@example.com>",
            b"RCPT TO:<someone@example.net>",
            b"DATA",
            b"From: a@example.com\r\n\r\nHello.\r\n.",
        )
    return replies[-1]


async def served(settings: Settings, written: WrittenKey, events: list[Event]) -> bytes:
    """One run of the relay with DNS that has the record, and one message."""
    with LoopbackDNS({written.record.name: written.record.value}) as dns:
        settings = {**settings, "dns": {"nameservers": [f"127.0.0.1:{dns.port}"]}}
        async with running(Config.model_validate(settings), events.append) as listeners:
            return await submit(listeners)


async def alone(settings: Settings, events: list[Event]) -> bytes:
    """One run of the relay without DNS, and one message."""
    async with running(Config.model_validate(settings), events.append) as listeners:
        return await submit(listeners)


async def test_a_restart_without_dns(settings: Settings, written: WrittenKey) -> None:
    """A key that was verified before signs at once."""
    assert (await served(settings, written, [])).startswith(b"250 ")
    assert (await alone(settings, [])).startswith(b"250 ")


async def test_a_first_start_without_dns(settings: Settings) -> None:
    """Nothing was verified: the domain waits, and the relay serves all the same."""
    assert (await alone(settings, [])).startswith(b"451 4.7.5 ")


async def test_a_restart_with_a_broken_file(settings: Settings, written: WrittenKey) -> None:
    """A warning, and a start as if it were the first."""
    await served(settings, written, [])
    path = Path(settings["state_dir"]) / "records.json"
    path.write_bytes(b"{")
    events: list[Event] = []
    assert (await served(settings, written, events)).startswith(b"250 ")
    [failed] = [dict(e.fields) for e in events if isinstance(e, Noted) and e.name == "state.failed"]
    assert failed["where"] == str(path)


@pytest.mark.parametrize("state_dir", ["", "a file"])
async def test_nowhere_to_write(
    settings: Settings, written: WrittenKey, tmp_path: Path, state_dir: str
) -> None:
    """Without a state folder, or with one that cannot be used, it works all the same."""
    (tmp_path / "a file").write_text("")
    settings["state_dir"] = str(tmp_path / state_dir / "state") if state_dir else ""
    events: list[Event] = []
    assert (await served(settings, written, events)).startswith(b"250 ")
    told = [e for e in events if e.name == "state.failed"]
    assert bool(told) == bool(state_dir)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"dns": {"gate": "off"}, "rotation": {"every": "90d"}}, "before anybody can verify"),
        (
            {"domains": {"example.com": {"selectors": ["s1"], "rotation": "90d"}}},
            "name the selectors that sign",
        ),
        (
            {"publishing": [{"name": "x", "server": "192.0.2.1", "key_file": "/nowhere"}]},
            r"publishing\[0\].key_file: /nowhere",
        ),
    ],
)
async def test_settings_that_contradict(
    settings: Settings, change: dict[str, Any], says: str
) -> None:
    """The relay does not start, and says why."""
    with pytest.raises(ConfigError, match=says):
        await alone({**settings, **change}, [])


async def test_short_rotations_are_told(settings: Settings) -> None:
    """Less than seven days is for tests."""
    settings["rotation"] = {"every": "90d", "retire_after": "1d"}
    events: list[Event] = []
    await alone(settings, events)
    assert "rotation.questionable" in [event.name for event in events]
