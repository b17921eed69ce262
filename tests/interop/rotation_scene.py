"""Rotation under steady traffic: BIND, smtp-source, one relay or several, a sink. IO.

Every message is verified by dkimpy against the zone of BIND in the moment in which it arrives.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import dkim
import pytest

from relay.rotation.journal import LOCK
from relay.state import locked
from tests.fakes.bind import Bind
from tests.fakes.programs import require_program
from tests.fakes.smarthost import Smarthost
from tests.interop.relay_process import ROOT, RelayProcess

DOMAIN = "example.test"
UPDATER = "relay.key"
SELECTOR = re.compile(rb"DKIM-Signature:[^\x00]*?\bs=([^;\s]+);")
WAIT_SECONDS = 60
SETTINGS = """\
keys_dir = "{folder}/keys"
state_dir = "{folder}/state"
keys_reload_seconds = 0.3
[dns]
nameservers = ["{address}"]
recheck_seconds = 2
[rotation]
retire_after = "{retire_after}"
check_seconds = 0.3
{rotation}
[[publishing]]
name = "bind"
server = "{address}"
key_file = "{folder}/update.key"
ttl_seconds = 5
"""


@dataclass
class Sink:
    """What arrived, each message verified as it came.

    Attributes:
        selectors: of every message, in order.
        failed: messages that did not verify then.
    """

    host: Smarthost
    bind: Bind
    selectors: list[str] = field(default_factory=list)
    failed: list[bytes] = field(default_factory=list)

    @property
    def is_behind(self) -> bool:
        """Whether messages wait to be verified."""
        return len(self.host.accepted) > len(self.selectors)

    async def verify(self) -> None:
        """Verify what comes in, until cancelled."""
        while True:
            for received in self.host.accepted[len(self.selectors) :]:
                octets = received.octets
                passed = await asyncio.to_thread(dkim.verify, octets, dnsfunc=self._txt)
                if not passed:
                    self.failed.append(octets)
                found = SELECTOR.match(octets)
                self.selectors.append(found[1].decode() if found else "unsigned")
            await asyncio.sleep(0.002)

    async def until(self, condition: Callable[[], bool], relay: RelayProcess) -> None:
        """Wait for a condition; the relay's log in the error."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while not condition():  # noqa: ASYNC110 - another process has nothing to wait on
                    await asyncio.sleep(0.01)
        except TimeoutError:
            pytest.fail(f"{len(self.selectors)} messages, the last {self.selectors[-3:]}\n"
                        f"{relay.tail()}")  # fmt: skip

    async def more(self, count: int, relay: RelayProcess) -> None:
        """Wait for so many further messages."""
        goal = len(self.selectors) + count
        await self.until(lambda: len(self.selectors) >= goal, relay)

    def _txt(self, name: bytes, timeout: int = 0) -> bytes | None:
        answer = self.bind.ask(name.decode())
        assert answer is not None
        strings = [b"".join(rdata.strings) for rrset in answer.answer for rdata in rrset]
        return strings[0] if strings else None


@dataclass
class Traffic:
    """smtp-source, again and again, as fast as what arrives can be verified.

    Attributes:
        port: of the relay.
        sink: what is verified there belongs to the moment in which it arrived.
        complaints: what it said of replies that were not positive.
    """

    port: int
    sink: Sink
    complaints: list[str] = field(default_factory=list)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _stopped: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Send until stopped, some at a time on two connections."""
        program = require_program("smtp-source", "postfix")
        argv = [program, "-s", "2", "-m", "20", "-l", "600", "-f", f"app@{DOMAIN}"]
        argv += ["-t", "someone@sink.test", f"127.0.0.1:{self.port}"]
        while not self._stopping.is_set():
            process = await asyncio.create_subprocess_exec(
                *argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
            _, said = await process.communicate()
            if process.returncode or said:
                self.complaints.append(said.decode())
            await asyncio.sleep(0.05)
            while self.sink.is_behind:  # noqa: ASYNC110 - the sink looks by itself
                await asyncio.sleep(0.05)
        self._stopped.set()

    async def stop(self) -> None:
        """Let what is under way finish."""
        self._stopping.set()
        await self._stopped.wait()


@dataclass
class Scene:
    """All of it at work.

    Attributes:
        pause: until it is closed, nobody can work at the rotation.
    """

    folder: Path
    bind: Bind
    relays: Sequence[RelayProcess]
    sink: Sink
    traffic: Sequence[Traffic]
    pause: ExitStack

    @property
    def relay(self) -> RelayProcess:
        """The first, or the only one."""
        return self.relays[0]

    async def command(self, *arguments: str) -> str:
        """Run a command as an operator would; what it printed for people."""
        return await asyncio.to_thread(command, self.folder, *arguments)

    def published(self) -> list[str]:
        """Selectors with a record in the zone, of those that signed."""
        found = []
        for selector in dict.fromkeys(self.sink.selectors):
            answer = self.bind.ask(f"{selector}._domainkey.{DOMAIN}")
            if answer is not None and answer.answer:
                found.append(selector)
        return found

    async def assert_all_is_well(self) -> None:
        """Nothing refused, deferred or unsigned; everything verified when it arrived."""
        for traffic in self.traffic:
            await traffic.stop()
        await self.sink.until(
            lambda: len(self.sink.selectors) == len(self.sink.host.accepted), self.relay
        )
        assert self.sink.failed == []
        assert "unsigned" not in self.sink.selectors
        assert [traffic.complaints for traffic in self.traffic] == [[] for _ in self.traffic]
        events = [event for relay in self.relays for event in relay.events()]
        ends = [e for e in events if str(e["event"]).startswith("message.")]
        assert {e["event"] for e in ends} == {"message.relayed"}
        assert len(ends) == len(self.sink.selectors)


def command(folder: Path, *arguments: str) -> str:
    """Run a command as an operator would; what it printed for people."""
    argv = [sys.executable, "-m", "relay", *arguments]
    environment = {n: text for n, text in os.environ.items() if not n.startswith("DKIM_RELAY")}
    environment["DKIM_RELAY_CONFIG"] = str(folder / "relay.toml")
    done = subprocess.run(
        argv, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, f"{argv} ended {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stderr


@asynccontextmanager
async def scene(
    folder: Path, bind: Bind, rotation: str = "", *, relays: int = 1, retire_after: str = "3s"
) -> AsyncIterator[Scene]:
    """A new key, published by the command, relays before one sink, and traffic to each.

    Args:
        folder: for keys, state and settings, which all relays share.
        bind: takes updates.
        rotation: further settings of [rotation]; with any, it waits for `Scene.pause` to be closed.
        relays: how many processes.
        retire_after: how long an old record stays.
    """
    secret = bind.secrets[UPDATER]
    key = f'key "{UPDATER}" {{\n algorithm hmac-sha256;\n secret "{secret}";\n}};\n'
    (folder / "update.key").write_text(key)
    text = SETTINGS.format(
        folder=folder, address=bind.address, rotation=rotation, retire_after=retire_after
    )
    (folder / "relay.toml").write_text(text)
    await asyncio.to_thread(command, folder, "keys", "new", DOMAIN, "--selector", "s1")
    assert "is published and matches" in await asyncio.to_thread(
        command, folder, "dns", "publish", DOMAIN
    )
    async with AsyncExitStack() as stack:
        pause = stack.enter_context(ExitStack())
        assert pause.enter_context(locked(folder / "keys" / DOMAIN / LOCK))
        if not rotation:
            pause.close()
        host = await stack.enter_async_context(Smarthost())
        processes = [_relay(folder, host, number) for number in range(relays)]
        for process in processes:
            await asyncio.to_thread(process.__enter__)
            stack.push_async_callback(asyncio.to_thread, process.stop)
        sink = Sink(host, bind)
        traffic = [Traffic(process.port, sink) for process in processes]
        async with asyncio.TaskGroup() as tasks:
            verifying = tasks.create_task(sink.verify())
            for each in traffic:
                tasks.create_task(each.run())
            try:
                yield Scene(folder, bind, processes, sink, traffic, pause)
            finally:
                for each in traffic:
                    await each.stop()
                verifying.cancel()


def _relay(folder: Path, host: Smarthost, number: int) -> RelayProcess:
    """One relay of those that share the folder."""
    own = folder / f"relay{number}"
    own.mkdir()
    return RelayProcess(
        own,
        keys_dir=folder / "keys",
        upstream_port=host.port,
        settings={
            "DKIM_RELAY_CONFIG": str(folder / "relay.toml"),
            "DKIM_RELAY_DNS__GATE": "published",
        },
    )
