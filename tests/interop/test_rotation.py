"""From nothing to a rotated key under steady traffic: BIND, smtp-source, the relay, a sink.

Every message is verified by dkimpy against the zone of BIND in the moment in which it arrives.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import dkim
import pytest

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
retire_after = "3s"
check_seconds = 0.3
{rotation}
[[publishing]]
name = "bind"
server = "{address}"
key_file = "{folder}/update.key"
ttl_seconds = 5
"""


@pytest.fixture
def bind(tmp_path: Path) -> Iterator[Bind]:
    """The one name server of an empty zone that takes updates."""
    with Bind(tmp_path / "bind", zones={DOMAIN: ""}, updaters=[UPDATER]) as running:
        yield running


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
    """smtp-source, again and again.

    Attributes:
        complaints: what it said of replies that were not positive.
    """

    port: int
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
        self._stopped.set()

    async def stop(self) -> None:
        """Let what is under way finish."""
        self._stopping.set()
        await self._stopped.wait()


@dataclass
class Scene:
    """All of it at work."""

    folder: Path
    bind: Bind
    relay: RelayProcess
    sink: Sink
    traffic: Traffic

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
        await self.traffic.stop()
        await self.sink.until(
            lambda: len(self.sink.selectors) == len(self.sink.host.accepted), self.relay
        )
        assert self.sink.failed == []
        assert "unsigned" not in self.sink.selectors
        assert self.traffic.complaints == []
        ends = [e for e in self.relay.events() if str(e["event"]).startswith("message.")]
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
async def scene(folder: Path, bind: Bind, rotation: str = "") -> AsyncIterator[Scene]:
    """A new key, published by the command, the relay before a sink, and traffic."""
    secret = bind.secrets[UPDATER]
    key = f'key "{UPDATER}" {{\n algorithm hmac-sha256;\n secret "{secret}";\n}};\n'
    (folder / "update.key").write_text(key)
    text = SETTINGS.format(folder=folder, address=bind.address, rotation=rotation)
    (folder / "relay.toml").write_text(text)
    keys_dir = folder / "keys"
    await asyncio.to_thread(
        command, folder, "keys", "new", DOMAIN, "--selector", "s1", "--keys-dir", str(keys_dir)
    )
    assert "is published and matches" in await asyncio.to_thread(
        command, folder, "dns", "publish", DOMAIN
    )
    async with Smarthost() as host:
        process = RelayProcess(
            folder,
            keys_dir=keys_dir,
            upstream_port=host.port,
            settings={
                "DKIM_RELAY_CONFIG": str(folder / "relay.toml"),
                "DKIM_RELAY_DNS__GATE": "published",
            },
        )
        sink, traffic = Sink(host, bind), Traffic(process.port)
        await asyncio.to_thread(process.__enter__)
        try:
            async with asyncio.TaskGroup() as tasks:
                verifying = tasks.create_task(sink.verify())
                tasks.create_task(traffic.run())
                try:
                    yield Scene(folder, bind, process, sink, traffic)
                finally:
                    await traffic.stop()
                    verifying.cancel()
        finally:
            await asyncio.to_thread(process.stop)


async def test_by_command_under_steady_traffic(tmp_path: Path, bind: Bind) -> None:
    """A new key, published, the gate opens, keys rotate, the new key signs, keys retire."""
    async with scene(tmp_path, bind) as at_work:
        sink, relay = at_work.sink, at_work.relay
        await sink.more(60, relay)
        assert set(sink.selectors) == {"s1"}
        said = await at_work.command("keys", "rotate", DOMAIN)
        assert "Published" in said
        await sink.until(lambda: sink.selectors[-1] != "s1", relay)
        await sink.more(60, relay)
        new = sink.selectors[-1]
        assert at_work.published() == ["s1", new]
        await sink.until(lambda: due(at_work), relay)
        said = await at_work.command("keys", "retire", DOMAIN)
        assert f"Removed the record at s1._domainkey.{DOMAIN}" in said
        await sink.more(60, relay)
        await at_work.assert_all_is_well()
        assert list(dict.fromkeys(sink.selectors)) == ["s1", new]
        assert sink.selectors == sorted(sink.selectors, key=["s1", new].index)
        assert at_work.published() == [new]
        assert [path.name for path in (tmp_path / "keys" / DOMAIN).glob("*.pem")] == [f"{new}.pem"]


def due(at_work: Scene) -> bool:
    """Whether the service has said that the old key's time has passed."""
    return any(event["event"] == "rotation.due" for event in at_work.relay.events())


async def test_unattended(tmp_path: Path, bind: Bind) -> None:
    """With a provider and a period nobody does anything, and keys come and go."""
    async with scene(tmp_path, bind, 'every = "6s"') as at_work:
        sink, relay = at_work.sink, at_work.relay

        def two_are_gone() -> bool:
            events = [e for e in relay.events() if e["event"] == "key.withdrawn"]
            return len(events) >= 2

        await sink.until(two_are_gone, relay)
        await sink.more(20, relay)
        await at_work.assert_all_is_well()
        used = list(dict.fromkeys(sink.selectors))
        assert used[0] == "s1"
        assert len(used) >= 3
        assert "s1" not in at_work.published()
