"""A ledger: what clients were told, against what a smarthost that fails at random has stored.

Run from the top folder: ``python -m tests.bench.ledger [COUNT] [--sessions N] [--seed N]``.

COUNT messages go from N sessions at once through the whole relay to `tests.fakes.erratic`, half
of them by BDAT and half by DATA. Each client does what a mail client does: it goes on to the next
message when it hears 250 or 5yz, and tries the same one again when it hears 4yz or the connection
ends. Afterwards:

* a message answered 250 is stored: else it was *lost*;
* copies beyond that are as many at most as replies that said that the outcome is unknown;
* whatever is stored is signed, and every fiftieth is verified.

Everything is in one process, on loopback, on a clock that jumps when all wait
(`tests.fakes.jumping_loop`); with the same seed nearly, not quite, the same happens.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import dkim

from relay.config.settings import Config
from relay.core.dkim.algorithm import Algorithm
from relay.core.events import Event, TransactionEnded
from relay.keyring.writing import write_key_pair
from relay.service.relay import running
from tests.bench.ledger_entries import Entry, Ledger
from tests.fakes.erratic import ErraticSmarthost
from tests.fakes.jumping_loop import run_jumping

BODY = b"The quick brown fox jumps over the lazy dog, and this line is 78 octets long.\r\n"
BODY_LINES = (1, 25, 2_000)  # up to more than one write
AGAIN_SECONDS = 5.0
VERIFIED_SHARE = 50
_MARK = re.compile(rb"^X-Ledger: (\d+)\r$", re.MULTILINE)


class Client:
    """A session with the relay, opened anew when it ends."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def submit(self, message: bytes) -> bytes:
        """One attempt; the last word on it, or nothing when the connection ended."""
        try:
            return await self._transaction(message)
        except (ConnectionError, asyncio.IncompleteReadError):
            await self.close()
            return b""

    async def close(self) -> None:
        """Hang up."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _transaction(self, message: bytes) -> bytes:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
            await self._reply()
            await self._say(b"EHLO client.example\r\n")
        for line in (b"MAIL FROM:<app@example.com>", b"RCPT TO:<ann@sink.test>", b"DATA"):
            reply = await self._say(line + b"\r\n")
            if reply.startswith(b"421"):  # RFC 5321 §3.8: whoever says so closes
                await self.close()
                return reply
            if reply[:1] not in b"23":
                await self._say(b"RSET\r\n")
                return reply
        return await self._say(message + b".\r\n")

    async def _say(self, octets: bytes) -> bytes:
        if self._streams is None:
            raise ConnectionError
        self._streams[1].write(octets)
        await self._streams[1].drain()
        return await self._reply()

    async def _reply(self) -> bytes:
        if self._streams is None:
            raise ConnectionError
        line = await self._streams[0].readuntil(b"\r\n")
        while line[3:4] == b"-":
            line = await self._streams[0].readuntil(b"\r\n")
        return line.removesuffix(b"\r\n")


async def keep(count: int, *, sessions: int, seed: int, folder: Path) -> Ledger:
    """Send the messages, and add up.

    Args:
        count: of messages.
        sessions: how many clients at once.
        seed: of the smarthosts' chance.
        folder: an empty one, for a key.
    """
    key = write_key_pair(folder, "example.com", "ledger", Algorithm.RSA_SHA256, 2048)
    before = asyncio.all_tasks()
    entries = [Entry() for _ in range(count)]
    endings: Counter[str] = Counter()
    hosts = [ErraticSmarthost(seed + n, chunking=bool(n)) for n in range(2)]
    halves = (range(0, count, 2), range(1, count, 2))
    for host, numbers in zip(hosts, halves, strict=True):
        async with host:
            await _through_the_relay(
                host, folder, endings, [(n, entries[n]) for n in numbers], sessions
            )
    unfinished = len(asyncio.all_tasks() - before)
    record = key.record.value.encode("ascii")
    unsigned = sum(_book(host, entries, record) for host in hosts)
    return Ledger(
        entries=entries,
        faults=sum((host.faults for host in hosts), Counter()),
        endings=endings,
        unsigned=unsigned,
        unclosed=sum(host.open_sessions for host in hosts),
        unfinished=unfinished,
    )


async def _through_the_relay(
    host: ErraticSmarthost,
    folder: Path,
    endings: Counter[str],
    messages: Sequence[tuple[int, Entry]],
    sessions: int,
) -> None:
    """A relay of its own for this smarthost, from start to stop."""

    def emit(event: Event) -> None:
        if isinstance(event, TransactionEnded) and event.reason:
            endings[str(event.reason)] += 1

    todo = iter(messages)
    async with running(_config(host.port, folder), emit) as listeners, asyncio.TaskGroup() as tasks:
        port = int(listeners.addresses[0][1])
        for _ in range(sessions):
            tasks.create_task(_client(port, todo))
    # What the relay has closed is noticed a moment later.
    await host.until(lambda: host.open_sessions == 0)


async def _client(port: int, todo: Iterator[tuple[int, Entry]]) -> None:
    client = Client(port)
    for number, entry in todo:
        message = _message(number)
        while not entry.replies or entry.replies[-1][:1] not in (b"2", b"5"):
            if entry.replies:
                await asyncio.sleep(AGAIN_SECONDS)
            entry.replies.append(await client.submit(message))
    await client.close()


def _config(port: int, folder: Path) -> Config:
    return Config.model_validate(
        {
            "keys_dir": str(folder),
            "listeners": [{"address": "127.0.0.1:0"}],
            "upstreams": [
                {
                    "name": "erratic",
                    "url": f"smtp://127.0.0.1:{port}",
                    "tls": "none",
                    "max_messages_per_connection": 50,  # so that QUIT and EHLO are said often
                },
            ],
            "dns": {"gate": "off"},
            "service": {"hostname": "relay.example"},
            # The clock jumps by minutes while others wait.
            "limits": {"idle_seconds": 1e6, "command_seconds": 1e6},
        }
    )


def _message(number: int) -> bytes:
    body = BODY * BODY_LINES[0 if number % 10 else 1 if number % 100 else 2]
    return (
        b"From: App <app@example.com>\r\nTo: ann@sink.test\r\nSubject: ledger\r\n"
        b"X-Ledger: %d\r\n\r\n%b" % (number, body)
    )


def _book(host: ErraticSmarthost, entries: Sequence[Entry], record: bytes) -> int:
    """Count what a smarthost has stored; how many of these are not signed as they should be."""
    unsigned = 0
    for number, received in enumerate(host.accepted):
        found = _MARK.search(received.octets)
        if found is None or not received.octets.startswith(b"DKIM-Signature: v=1;"):
            unsigned += 1
            continue
        entries[int(found[1])].copies += 1
        if number % VERIFIED_SHARE == 0:
            is_valid = dkim.verify(received.octets, dnsfunc=lambda *_, **__: record)
            unsigned += not is_valid
    return unsigned


def main() -> None:
    """Read the arguments, run, print; exit status 1 when something is not right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=20_000)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="relay-ledger-") as name:
        ledger = run_jumping(
            keep(
                arguments.count,
                sessions=arguments.sessions,
                seed=arguments.seed,
                folder=Path(name),
            )
        )
    print(ledger.table())
    sys.exit(0 if ledger.is_right else 1)


if __name__ == "__main__":
    main()
