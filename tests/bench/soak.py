"""A soak: mixed traffic through a relay to which everything happens, and a ledger of it.

Run from the top folder: ``python -m tests.bench.soak [--minutes 30] [--workers 2]``.

Clients send small and medium messages, some to a recipient that is refused, some with STARTTLS.
Every 20 s the settings are read anew (certificates and settings change in between), every minute
a worker is killed with SIGKILL, every two minutes the smarthost is switched off for two seconds.
The last worker that was started is the one that is killed, so that the first one's memory can be
followed. At the end:

* a message answered 250 is stored: else it was *lost*;
* copies beyond that are as many at most as outcomes that were not known: 451 4.4.2 with that
  text, or a connection that ended behind the final dot;
* whatever is stored is signed, and every fiftieth is verified;
* processes hold no more sockets than they did before the traffic, and end with status 0.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import ssl
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from relay.core.dkim.algorithm import DEFAULT_RSA_BITS, Algorithm
from relay.keyring.writing import write_key_pair
from tests.bench.soak_clients import Book, Client
from tests.bench.soak_host import SoakHost
from tests.bench.soak_memory import Memory
from tests.fakes.certificates import Certificates
from tests.fakes.processes import LOOPBACK, free_port
from tests.fakes.service import ServiceProcess

RELOAD_SECONDS, KILL_SECONDS, RESTART_SECONDS = 20.0, 60.0, 120.0
AWAY_SECONDS = 2.0
SAMPLE_SECONDS = 5.0
REST_SECONDS = 8.0  # idle connections to the smarthost are closed within them
QUIET_SOCKETS = 4  # more than before the traffic, of a process, at most


@dataclass
class Soak:
    """What takes part."""

    service: ServiceProcess
    host: SoakHost
    certificates: Certificates
    book: Book
    memory: Memory
    over: asyncio.Event
    reloads: int = 0
    kills: int = 0
    restarts: int = 0

    async def reload(self) -> None:
        """Change something, and have the settings read anew."""
        self.reloads += 1
        if self.reloads % 3 == 0:
            self.certificates.files()
        settings = self.service.settings
        settings["signing"] = {"received": ("full", "anonymous", "off")[self.reloads % 3]}
        settings["limits"] = {"max_recipients": 100 + self.reloads % 2}
        if self.reloads % 4 == 0:  # a pool of its own from now on
            settings["upstreams"][0]["max_connections"] = 40 + self.reloads % 8
        self.service.write()
        self.service.send(signal.SIGHUP)

    async def kill(self) -> None:
        """End the newest worker at once, if there are several."""
        serving = self.service.serving()
        if len(serving) > 1:
            self.kills += 1
            os.kill(serving[-1], signal.SIGKILL)

    async def restart(self) -> None:
        """Switch the smarthost off for a moment."""
        self.restarts += 1
        await self.host.stop()
        await asyncio.sleep(AWAY_SECONDS)
        await self.host.start()

    async def sample(self) -> None:
        """Look at the processes."""
        now = asyncio.get_running_loop().time()
        self.memory.take(self.pids, now)

    @property
    def pids(self) -> list[int]:
        """Of all processes of the relay that serve."""
        return [self.service.pid, *self.service.serving()]

    async def every(self, seconds: float, act: Callable[[], Awaitable[None]]) -> None:
        """Do something again and again until it is over."""
        loop = asyncio.get_running_loop()
        at = loop.time()
        while not self.over.is_set():
            at += seconds
            try:
                async with asyncio.timeout_at(at):
                    await self.over.wait()
            except TimeoutError:
                await act()


async def soak(minutes: float, *, workers: int, sessions: int, seed: int, folder: Path) -> bool:
    """All of it; whether everything is as it has to be."""
    key = write_key_pair(
        folder / "keys", "example.com", "soak", Algorithm.RSA_SHA256, DEFAULT_RSA_BITS
    )
    name = f"{key.record.name}.".encode("ascii")
    host = SoakHost({name: key.record.value.encode("ascii")})
    await host.start()
    certificates, tls_port = Certificates(folder), free_port()
    certificate, private = certificates.files()
    service = ServiceProcess(
        folder, keys_dir=folder / "keys", upstream_port=host.port, workers=workers
    )
    tls = {"address": f"{LOOPBACK}:{tls_port}", "tls": "starttls"}
    files = {"certificate_file": str(certificate), "key_file": str(private)}
    service.settings["listeners"].append({**tls, **files})
    service.settings["upstreams"][0] |= {"max_connections": 40, "idle_seconds": 5}
    with service:
        part = Soak(service, host, certificates, Book(), Memory(), asyncio.Event())
        trusted = ssl.create_default_context(cafile=certificates.ca_file)
        chance = random.Random(seed)  # noqa: S311 - to be had again, not to be guessed
        clients = [
            Client(part.book, service.port, tls_port, trusted, chance) for _ in range(sessions)
        ]
        service.wait(lambda: workers == 1 or len(service.serving()) == workers, "all workers serve")
        await part.sample()
        before = {pid: taken[-1].sockets for pid, taken in part.memory.samples.items()}
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(part.every(RELOAD_SECONDS, part.reload))
            tasks.create_task(part.every(KILL_SECONDS, part.kill))
            tasks.create_task(part.every(RESTART_SECONDS, part.restart))
            tasks.create_task(part.every(SAMPLE_SECONDS, part.sample))
            running = [tasks.create_task(client.run(part.over)) for client in clients]
            await asyncio.sleep(minutes * 60)
            part.over.set()
            await asyncio.wait(running)
        await asyncio.sleep(REST_SECONDS)
        await part.sample()
        pids, idle = part.pids, host.open_sessions
        status = await asyncio.to_thread(service.program.stop, wait_seconds=60.0)
    await host.stop()
    return report(part, pids=pids, before=before, idle=idle, status=status, minutes=minutes)


def report(
    part: Soak,
    *,
    pids: list[int],
    before: dict[int, int],
    idle: int,
    status: int | None,
    minutes: float,
) -> bool:
    """Print the figures; whether all is well."""
    book, copies = part.book, part.host.copies
    lost = sum(1 for number in book.told if not copies[number])
    unexplained = sum(
        max(0, count - book.told[number] - book.unknown[number]) for number, count in copies.items()
    )
    duplicates = sum(count - 1 for count in copies.values())
    events = part.service.events()
    failed = [event for event in events if event["event"] in ("service.failed", "internal.failed")]
    bad_reloads = [event for event in events if event["event"] == "service.reload_failed"]
    base = max(before.values())
    sockets = {pid: part.memory.samples[pid][-1].sockets for pid in pids}
    leaks = {pid: count for pid, count in sockets.items() if count > base + QUIET_SOCKETS}
    rows: list[tuple[str, object]] = [
        ("messages", book.last),
        ("messages per second", round(book.last / (minutes * 60), 1)),
        *((f"  {kind}", count) for kind, count in book.kinds.most_common()),
        ("attempts", sum(book.replies.values())),
        *((f"  {reply}", count) for reply, count in book.replies.most_common()),
        ("reloads / kills / restarts", f"{part.reloads} / {part.kills} / {part.restarts}"),
        ("  workers ended, as the log tells", sum(e["event"] == "worker.ended" for e in events)),
        ("  reloads that failed", len(bad_reloads)),
        ("verified by dkimpy", part.host.verified),
        ("outcomes not known", sum(book.unknown.values())),
        ("duplicates", duplicates),
        ("UNEXPLAINED COPIES", unexplained),
        ("LOST", lost),
        ("UNSIGNED", part.host.unsigned),
        ("WRONG REPLIES", dict(book.wrong)),
        ("FAULTS OF THE RELAY", len(failed)),
        ("SOCKETS LEFT", leaks),
        ("CONNECTIONS LEFT AT THE SMARTHOST", idle),
        ("EXIT STATUS", status),
    ]
    for label, value in rows:
        print(f"{label:44}{value!s:>10}")
    names = dict.fromkeys(part.memory.samples, "worker") | {pids[0]: "first process"}
    for pid, name in names.items():
        print(part.memory.line(pid, name))
    for event in (*failed, *bad_reloads)[:10]:
        print(event)
    is_bad = lost or unexplained or part.host.unsigned or book.wrong or failed or bad_reloads
    return not (is_bad or leaks or idle or status)


def main() -> None:
    """Read the arguments, run, print; exit status 1 when something is not right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--sessions", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="relay-soak-") as name:
        is_right = asyncio.run(
            soak(
                given.minutes,
                workers=given.workers,
                sessions=given.sessions,
                seed=given.seed,
                folder=Path(name),
            )
        )
    sys.exit(0 if is_right else 1)


if __name__ == "__main__":
    main()
