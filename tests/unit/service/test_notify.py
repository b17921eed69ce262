"""What the service manager is told, on a socket of the test's own."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.core.dkim.algorithm import Algorithm
from relay.keyring.writing import write_key_pair
from relay.service.notify import Notifier
from tests.fakes.processes import free_port
from tests.fakes.service import ServiceProcess

SECOND_USEC = 1_000_000


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A service manager's socket, and what NOTIFY_SOCKET says."""
    if request.param == "abstract" and sys.platform != "linux":
        pytest.skip("only Linux has abstract names")
    name = str(tmp_path / "notify") if request.param == "path" else f"@dkim-relay-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name[1:]}" if name.startswith("@") else name)
        manager.settimeout(30)
        yield manager, name


def heard(manager: socket.socket) -> dict[str, str]:
    """The next thing that is said."""
    text = manager.recv(4096).decode("utf-8")
    return dict(line.split("=", 1) for line in text.split("\n"))


def test_what_is_said(manager: tuple[socket.socket, str]) -> None:
    """Ready, reloading with the time of it, and stopping."""
    listening, name = manager
    notifier = Notifier({"NOTIFY_SOCKET": name})
    notifier.ready("Serving on ünïcode")
    assert heard(listening) == {"READY": "1", "STATUS": "Serving on ünïcode"}
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notifier.reloading()
    said = heard(listening)
    assert said["RELOADING"] == "1"
    assert before <= int(said["MONOTONIC_USEC"]) <= before + 60 * SECOND_USEC
    notifier.stopping()
    assert heard(listening)["STOPPING"] == "1"
    notifier.close()


@pytest.mark.parametrize("name", ["", "/nowhere/notify", "vsock:2:1", "@nobody-listens"])
def test_nobody_listens(name: str) -> None:
    """That is no fault."""
    notifier = Notifier({"NOTIFY_SOCKET": name})
    notifier.ready("Serving")
    notifier.stopping()
    notifier.close()


async def test_the_watchdog(manager: tuple[socket.socket, str]) -> None:
    """It hears of the loop more than once in a term."""
    listening, name = manager
    listening.setblocking(False)
    loop = asyncio.get_running_loop()
    notifier = Notifier(
        {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "20000", "WATCHDOG_PID": str(os.getpid())}
    )
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(notifier.watch())
        for _ in range(3):
            assert await loop.sock_recv(listening, 100) == b"WATCHDOG=1"
        watching.cancel()
    notifier.close()


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"WATCHDOG_USEC": "20000", "WATCHDOG_PID": "1"},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "0"},
    ],
)
async def test_no_watchdog(manager: tuple[socket.socket, str], environ: dict[str, str]) -> None:
    """None is there, it is another process's, or the term is none."""
    notifier = Notifier({"NOTIFY_SOCKET": manager[1], **environ})
    await notifier.watch()
    notifier.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_life(tmp_path: Path, workers: int) -> None:
    """Ready, watched, reloaded and stopped, as systemd would hear it; workers say nothing."""
    write_key_pair(tmp_path / "keys", "example.com", "s1", Algorithm.ED25519_SHA256)
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(60)
        relay = ServiceProcess(
            tmp_path,
            keys_dir=tmp_path / "keys",
            upstream_port=free_port(),
            workers=workers,
            environment={"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": str(SECOND_USEC // 2)},
        )
        with relay:
            said = _until(manager, "READY") + _until(manager, "WATCHDOG")
            relay.send(signal.SIGHUP)
            said += _until(manager, "READY")
            relay.send(signal.SIGTERM)
            said += _until(manager, "STOPPING")
    told = [next(iter(one)) for one in said]
    assert told.count("READY") == 2
    assert told.count("RELOADING") == told.count("STOPPING") == 1
    assert told.count("WATCHDOG") >= 1
    ready = next(one for one in said if "READY" in one)
    assert f"127.0.0.1:{relay.port}" in ready["STATUS"]


def _until(manager: socket.socket, name: str) -> list[dict[str, str]]:
    said = [heard(manager)]
    while name not in said[-1]:
        said.append(heard(manager))
    return said
