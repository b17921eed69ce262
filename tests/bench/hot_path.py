"""CPU per message of everything that is ours: session, flow, signature, transaction, log line.

Run from the top folder: ``python -m tests.bench.hot_path [--profile FILE]``. Both ends are
transports in memory that answer at once, so neither system calls nor other processes are in the
figure; the event loop is. RSA is shown apart, and the least of the rounds counts. Not a test.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import io
import os
import pstats
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import uvloop

from relay import clock
from relay.assembly import make_terms
from relay.config import Config
from relay.config.outbound import Upstream
from relay.core.capabilities import parse_capabilities
from relay.core.dkim.algorithm import DEFAULT_RSA_BITS, Algorithm
from relay.core.envelope import MailCommand
from relay.core.policy import ClientRule
from relay.core.reader import ReadLimits
from relay.core.reply import Reply
from relay.core.routing import RouteRule
from relay.keyring.files import read_key_file
from relay.keyring.writing import write_key_pair
from relay.listener.limits import SessionLimits
from relay.listener.session import Session
from relay.listener.station import Station, Way
from relay.observe.log import Log
from relay.upstream.protocol import Connection
from relay.upstream.settings import Tls, UpstreamSettings
from relay.upstream.transaction import Transaction
from tests.bench.workload import WORKLOADS, message

FROM, TO = "user@example.com", "someone@sink.test"
ROUNDS, MESSAGES = 9, 400
EHLO = (b"sink", b"PIPELINING", b"SIZE", b"8BITMIME")


class _Nowhere(io.BytesIO):
    """Where log lines go."""

    def write(self, octets: object, /) -> int:
        """Forget them."""
        return 0


class Wire(asyncio.Transport):
    """A transport whose other end is a function."""

    def __init__(self, written: Callable[[bytes], None]) -> None:
        super().__init__({"peername": ("127.0.0.1", 1234)})
        self._written = written

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Hand the octets over."""
        self._written(bytes(data))

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is buffered."""

    def get_write_buffer_size(self) -> int:
        """Nothing stays here."""
        return 0

    def is_closing(self) -> bool:
        """It never does."""
        return False

    def pause_reading(self) -> None:
        """Nothing comes but what is asked for."""

    def resume_reading(self) -> None:
        """The same."""

    def close(self) -> None:
        """The end of the bench."""

    def abort(self) -> None:
        """The same."""


class Hop:
    """An upstream that says yes, one loop turn later, as a socket would."""

    def __init__(self, settings: UpstreamSettings) -> None:
        self.settings = settings
        self.is_secured = False
        self._loop = asyncio.get_running_loop()
        self._in_data = False
        self._tail = b""
        self._connection = Connection(
            Wire(self._heard),
            parse_capabilities(EHLO),
            security="clear",
            on_closed=lambda _: None,
        )
        self.stored = 0

    def offers(self, keyword: str) -> bool:
        """None that matters."""
        return False

    async def begin(self, mail: MailCommand) -> Transaction:
        """On the one connection."""
        return Transaction(mail, self._connection, source=self)

    def give_back(self, connection: Connection, *, reset: bool) -> None:
        """It is idle again."""
        connection.occupant = None

    async def replace(self, why: str) -> Connection:
        """Not here."""
        raise RuntimeError(why)

    def spend(self, recipients: int) -> None:
        """There is no rate."""

    def observe(self, reply: Reply) -> None:
        """Nothing slows it down."""

    def _heard(self, octets: bytes) -> None:
        if self._in_data:
            self._tail = (self._tail + octets)[-5:]
            if self._tail != b"\r\n.\r\n":
                return
            self._in_data = False
            self.stored += 1
            answer = b"250 2.0.0 Ok\r\n"
        elif octets == b"DATA\r\n":
            self._in_data, answer = True, b"354 Go\r\n"
        else:
            answer = b"250 2.0.0 Ok\r\n" * octets.count(b"\r\n")
        self._loop.call_soon(self._answer, answer)

    def _answer(self, octets: bytes) -> None:
        buffer = self._connection.get_buffer(-1)
        buffer[: len(octets)] = octets
        self._connection.buffer_updated(len(octets))


class Client:
    """Says one command after the other, as smtp-source does."""

    def __init__(self, session: Session, octets: bytes) -> None:
        self._session = session
        self._loop = asyncio.get_running_loop()
        self._heard: asyncio.Future[None] | None = None
        self._steps = [
            b"MAIL FROM:<%b>\r\n" % FROM.encode(),
            b"RCPT TO:<%b>\r\n" % TO.encode(),
            b"DATA\r\n",
            octets,
        ]
        self._next = 0
        self._left = 0
        self._done: asyncio.Future[None] | None = None
        session.connection_made(Wire(self._said))

    def _said(self, octets: bytes) -> None:
        self._loop.call_soon(self._go_on, octets)

    def _go_on(self, octets: bytes) -> None:
        if octets[:1] not in b"23":
            raise RuntimeError(octets)
        if self._done is None:
            return
        if self._next == len(self._steps):
            self._next = 0
            self._left -= 1
            if not self._left:
                self._done.set_result(None)
                return
        step = self._steps[self._next]
        self._next += 1
        self._session.data_received(step)

    async def begin(self) -> None:
        """Greet."""
        for _ in range(5):
            await asyncio.sleep(0)
        self._session.data_received(b"EHLO bench\r\n")
        for _ in range(5):
            await asyncio.sleep(0)

    async def send(self, count: int) -> None:
        """So many messages."""
        self._left, self._done = count, self._loop.create_future()
        self._next = 0
        self._go_on(b"250 go on")
        await self._done
        self._done = None


class _Unsigned:
    """A key that takes no time, for what all the rest costs."""

    def __init__(self, key: Any) -> None:
        self.domain, self.selector, self.public = key.domain, key.selector, key.public

    async def sign(self, digest: bytes) -> bytes:
        """256 octets that are no signature."""
        return digest * 8


class _Keys:
    def __init__(self, keys: tuple[Any, ...]) -> None:
        self._keys = keys

    async def signers(self, domain: str) -> tuple[Any, ...]:
        """Always the same."""
        return self._keys


async def measure(workload: str, profile: str) -> None:
    """Print one line."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        write_key_pair(folder, "example.com", "bench", Algorithm.RSA_SHA256, DEFAULT_RSA_BITS)
        config = Config(
            keys_dir=str(folder), upstreams=(Upstream(url="smtp://sink.test:25", tls="none"),)
        )
        path = folder / "example.com" / "bench.pem"
        keys = (read_key_file(path, domain="example.com", selector="bench"),)
        log = Log(level="info", form="json", stream=_Nowhere())
        text = message(WORKLOADS[workload], sender=FROM, recipient=TO)
        octets = text.replace("\n", "\r\n").encode("ascii")
        octets = octets.replace(b"\r\n.", b"\r\n..") + b".\r\n"
        hop = Hop(UpstreamSettings(name="sink", host="sink.test", port=25, tls=Tls.NONE))
        client = Client(_session(config, _Keys(tuple(map(_Unsigned, keys))), hop, log), octets)
        await client.begin()
        count = MESSAGES if len(octets) < 10_000 else max(4, MESSAGES // (len(octets) // 3_000))
        await client.send(count)
        profiler = cProfile.Profile() if profile else None
        times = []
        for _ in range(ROUNDS):
            began = time.process_time()
            await client.send(count)
            times.append((time.process_time() - began) * 1e6 / count)
        if profiler is not None:
            profiler.enable()
            await client.send(count)
            profiler.disable()
            pstats.Stats(profiler).dump_stats(profile)
        began = time.process_time()
        for _ in range(200):
            await keys[0].sign(b"x" * 32)
        rsa = (time.process_time() - began) * 1e6 / 200
        print(
            f"{workload:8} {min(times):8.0f} us/message (median {statistics.median(times):.0f}), "
            f"RSA besides {rsa:.0f}"
        )


def _session(config: Config, keys: Any, hop: Any, log: Log) -> Session:
    station = Station(
        ways=(
            Way(
                rule=RouteRule(name="default"),
                upstream=hop,
                terms=make_terms(config, {"example.com"}),
            ),
        ),
        keys=keys,
        read_limits=ReadLimits(max_message_octets=50_000_000),
        hostname="relay.test",
        received="full",
        now=clock.now,
        monotonic=time.monotonic,
        unique=lambda: os.urandom(8).hex(),
        emit=log.emit,
    )
    limits = SessionLimits(
        max_recipients=100,
        max_messages=10**9,
        max_command_octets=2048,
        max_bad_commands=5,
        idle_seconds=300,
    )
    rule = ClientRule("bench")
    return Session(
        station,
        limits,
        rules=(rule,),
        refusal=lambda _: None,
        closed=lambda _: None,
        loop=asyncio.get_running_loop(),
    )


def main() -> None:
    """Each workload."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workloads", nargs="*", default=["small", "medium"])
    parser.add_argument("--profile", default="", help="write cProfile's data of one more round")
    arguments = parser.parse_args()
    for workload in arguments.workloads:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(measure(workload, arguments.profile))


if __name__ == "__main__":
    main()
