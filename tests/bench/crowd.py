"""Very many clients in one process: idle ones, and ones that send a few octets a second.

IO. `python -m tests.bench.crowd FROM TO HOST PORT TLS_PORT CA` takes one command a line from its
standard input and answers each with one line of JSON:

* `plain N`, `tls N`: N more clients connect, say EHLO, and fall silent
* `slow N`: N more clients begin a message and send an octet of it now and then
* `finish`: the slow ones end their messages, the idle ones say NOOP, all of them QUIT

An answer has how many heard what: codes, and the whole text of a refusal.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Self

import uvloop

AT_ONCE = 50  # connecting
OCTET_PAUSE_SECONDS = 0.3
REPLY_SECONDS = 60


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(self, octets: bytes = b"") -> str:
        """Send something, if anything, and read one reply.

        Returns:
            Its code; of a refusal its last line, and what happened when none came.
        """
        self.send(octets)
        try:
            async with asyncio.timeout(REPLY_SECONDS):
                while (line := await self._reader.readline())[3:4] == b"-":
                    pass
        except (OSError, TimeoutError) as exc:
            return type(exc).__name__
        text = line.decode("utf-8", "backslashreplace").strip() or "closed"
        return text if line[:1] in b"45" else text[:3]

    def send(self, octets: bytes) -> None:
        """Send something."""
        self._writer.write(octets)

    async def leave(self) -> None:
        """Say goodbye."""
        self.send(b"QUIT\r\n")
        with suppress(OSError):
            await self._reader.read()
        self._writer.close()


class Crowd:
    """All clients."""

    def __init__(self, sender: str, recipient: str, host: str, ports: Mapping[str, int], ca: str):
        self._sender, self._recipient = sender.encode(), recipient.encode()
        self._host = host
        self._ports = ports
        self._tls = ssl.create_default_context(cafile=ca)
        self._clients: dict[str, list[Client]] = {"plain": [], "tls": [], "slow": []}
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._is_over = asyncio.Event()

    async def gather(self, kind: str, count: int) -> dict[str, int]:
        """Connect more clients of a kind; how many got how far."""
        async with asyncio.TaskGroup() as tasks:
            started = [tasks.create_task(self._join(kind)) for _ in range(count)]
        return Counter(task.result() for task in started)

    async def _join(self, kind: str) -> str:
        async with self._gate:
            port = self._ports["tls" if kind == "tls" else "plain"]
            tls = self._tls if kind == "tls" else None
            client = Client(*await asyncio.open_connection(self._host, port, ssl=tls))
            codes = [await client.ask(), await client.ask(b"EHLO crowd.test\r\n")]
            if kind == "slow":
                codes.append(await client.ask(b"MAIL FROM:<%b>\r\n" % self._sender))
                codes.append(await client.ask(b"RCPT TO:<%b>\r\n" % self._recipient))
                codes.append(await client.ask(b"DATA\r\n"))
                client.send(b"From: %b\r\nSubject: " % self._sender)
            self._clients[kind].append(client)  # not before: whoever is there is made to dribble
        return " ".join(codes)

    async def dribble(self) -> None:
        """Let every slow client send an octet now and then, until the end."""
        while not self._is_over.is_set():
            slow = self._clients["slow"]
            for client in slow:
                if self._is_over.is_set():
                    return
                client.send(b"x")
                # Spread over the time, as 200 clients would be that know nothing of each other.
                await asyncio.sleep(OCTET_PAUSE_SECONDS / len(slow))
            if not slow:
                await asyncio.sleep(OCTET_PAUSE_SECONDS)

    async def finish(self) -> dict[str, dict[str, int]]:
        """End every message and every session; the last replies."""
        self._is_over.set()
        codes: dict[str, dict[str, int]] = {}
        for kind, clients in self._clients.items():
            last = b"\r\n\r\nbody\r\n.\r\n" if kind == "slow" else b"NOOP\r\n"
            async with asyncio.TaskGroup() as tasks:
                started = [tasks.create_task(client.ask(last)) for client in clients]
            codes[kind] = Counter(task.result() for task in started)
            async with asyncio.TaskGroup() as tasks:
                for client in clients:
                    tasks.create_task(client.leave())
        return codes


async def serve(crowd: Crowd) -> None:
    """Do what standard input says."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(crowd.dribble())
        while line := await asyncio.to_thread(sys.stdin.readline):
            kind, _, count = line.strip().partition(" ")
            told = await (crowd.finish() if kind == "finish" else crowd.gather(kind, int(count)))
            print(json.dumps(told), flush=True)
            if kind == "finish":
                return


class CrowdProcess:
    """The crowd in a process of its own; a context manager."""

    def __init__(
        self, *, sender: str, recipient: str, host: str, port: int, tls_port: int, ca: str
    ):
        """Describe it.

        Args:
            sender: reverse-path and From of the slow ones.
            recipient: theirs.
            host: where the listeners are.
            port: in clear.
            tls_port: of implicit TLS.
            ca: whom to trust, a PEM file.
        """
        words = [sender, recipient, host, str(port), str(tls_port), ca]
        self._argv = [sys.executable, "-m", "tests.bench.crowd", *words]

    def __enter__(self) -> Self:
        """Start it; nobody is there yet."""
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(self._argv, stdin=pipe, stdout=pipe, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        """End it, and with it whoever is still connected."""
        self._process.kill()
        self._process.communicate()

    def gather(self, kind: str, count: int) -> dict[str, int]:
        """Let more clients come: "plain", "tls" or "slow"; what each heard, counted."""
        told: dict[str, int] = self._ask(f"{kind} {count}")
        return told

    def finish(self) -> dict[str, dict[str, int]]:
        """Let all come to an end; by kind, the last replies, counted."""
        told: dict[str, dict[str, int]] = self._ask("finish")
        return told

    def _ask(self, line: str) -> dict[str, Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise RuntimeError("no pipes")
        stdin.write(f"{line}\n")
        stdin.flush()
        answer: dict[str, Any] = json.loads(stdout.readline() or "null")
        return answer


def main() -> None:
    """Read the arguments and be the crowd."""
    sender, recipient, host, port, tls_port, ca = sys.argv[1:]
    ports = {"plain": int(port), "tls": int(tls_port)}

    async def run() -> None:
        await serve(Crowd(sender, recipient, host, ports, ca))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


if __name__ == "__main__":
    main()
