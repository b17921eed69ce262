"""CPU per message on a kept connection: our transaction against aiosmtplib's `sendmail`.

Run from the top folder: ``python -m tests.bench.transaction [--messages N] [--loop uvloop]``.
A minimal sink runs in a process of its own, so that only the client's CPU is counted. Both are
kept on one core where the system permits it: what it costs to wake a process on another core is
the scheduler's affair, hides the rest, and would be in our favour, since we have fewer round
trips. The contenders take turns and the median of the rounds is shown. Not a test: figures
depend on the machine, the ratios less so.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack

import aiosmtplib
import uvloop

from relay.core.address import parse_path
from relay.core.envelope import MailCommand, RcptCommand
from relay.upstream.pool import Pool
from relay.upstream.settings import Tls, UpstreamSettings

HEADER = (
    b"From: App <app@example.com>\r\nTo: ann@sink.test\r\nSubject: bench\r\n"
    b"Date: Fri, 20 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@example.com>\r\n"
)
ROUNDS = 15  # many short ones: whatever else the machine does disturbs all contenders alike
LINE = b"The quick brown fox jumps over the lazy dog, and this line is 78 octets long.\r\n"
EXTENSIONS = ("PIPELINING", "SIZE", "8BITMIME")

# What we ask of ourselves: on a kept connection, at most so many times what aiosmtplib needs.
JUDGED, MOST = "2 KB, 1 recipient", 0.45

Send = Callable[[], Awaitable[None]]


class Sink(asyncio.Protocol):
    """Answers every command and message with 250; no checks."""

    def __init__(self, extensions: Sequence[str]) -> None:
        lines = ["sink", *extensions]
        self._ehlo = "".join(f"250-{line}\r\n" for line in lines[:-1]) + f"250 {lines[-1]}\r\n"
        self._buffer = b""
        self._owed_octets = 0
        self._in_data = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
        self._transport.write(b"220 sink\r\n")

    def data_received(self, data: bytes) -> None:
        """Answer all that is complete, in one write."""
        self._buffer += data
        answers = b""
        while (answer := self._next()) is not None:
            answers += answer
        if answers:
            self._transport.write(answers)

    def _next(self) -> bytes | None:
        if self._owed_octets:
            if len(self._buffer) < self._owed_octets:
                return None
            self._buffer, self._owed_octets = self._buffer[self._owed_octets :], 0
            return b"250 stored\r\n"
        before, end, after = self._buffer.partition(b"\r\n.\r\n" if self._in_data else b"\r\n")
        if not end:
            return None
        self._buffer = after
        if self._in_data:
            self._in_data = False
            return b"250 stored\r\n"
        return self._command(before)

    def _command(self, line: bytes) -> bytes:
        match line[:4].upper():
            case b"EHLO":
                return self._ehlo.encode()
            case b"DATA":
                self._in_data = True
                return b"354 go\r\n"
            case b"BDAT":
                self._owed_octets = int(line.split()[1])
                return b""
            case _:
                return b"250 ok\r\n"


async def serve(extensions: Sequence[str]) -> None:
    """Be the sink; the port goes to standard output."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Sink(extensions), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


class SinkProcess:
    """A sink in a process of its own."""

    def __init__(self, *extensions: str) -> None:
        command = [sys.executable, "-m", "tests.bench.transaction", "--sink", *extensions]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.port = int(self._process.stdout.readline()) if self._process.stdout else 0

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


def ours(pool: Pool, recipients: Sequence[str], body: bytes) -> Send:
    """One message by pool, transaction and transfer, as the flow does it."""
    mail = MailCommand(parse_path(b"app@example.com"), size=len(body))
    rcpts = [RcptCommand(parse_path(r.encode())) for r in recipients]
    blocks = [body[i : i + 65536] for i in range(0, len(body), 65536)]

    async def send() -> None:
        transaction = await pool.begin(mail)
        for pending in [transaction.recipient(rcpt) for rcpt in rcpts]:
            await pending
        reply = await transaction.send(HEADER, blocks)
        if not reply.is_positive:
            raise RuntimeError(str(reply))

    return send


def theirs(smtp: aiosmtplib.SMTP, recipients: Sequence[str], body: bytes) -> Send:
    """One message by aiosmtplib."""
    message = HEADER + b"\r\n" + body

    async def send() -> None:
        await smtp.sendmail("app@example.com", list(recipients), message)

    return send


async def cpu_us(sends: Sequence[Send], messages: int) -> float:
    """CPU of this process per message, in microseconds; all `sends` are busy at once."""
    each = max(1, messages // len(sends))

    async def work(send: Send) -> None:
        for _ in range(each):
            await send()

    started = time.process_time()
    await asyncio.gather(*map(work, sends))
    return (time.process_time() - started) / (each * len(sends)) * 1e6


async def compare(plain: int, chunking: int, messages: int) -> None:
    """All workloads, contenders taking turns."""
    for title, size_octets, recipient_count, sessions, share in (
        (JUDGED, 2_000, 1, 1, 1.0),
        ("2 KB, 1 recipient, 20 at once", 2_000, 1, 20, 1.0),
        ("2 KB, 10 recipients", 2_000, 10, 1, 0.5),
        ("100 KB, 1 recipient", 100_000, 1, 1, 0.2),
        ("5 MB, 1 recipient", 5_000_000, 1, 1, 0.01),
    ):
        body = LINE * (size_octets // len(LINE))
        recipients = [f"u{i}@sink.test" for i in range(recipient_count)]
        async with AsyncExitStack() as stack:
            clients = [
                await stack.enter_async_context(
                    aiosmtplib.SMTP(
                        hostname="127.0.0.1", port=plain, local_hostname="b", start_tls=False
                    )
                )
                for _ in range(sessions)
            ]
            contenders = {"aiosmtplib": [theirs(smtp, recipients, body) for smtp in clients]}
            for name, port in (("ours, DATA", plain), ("ours, BDAT", chunking)):
                settings = UpstreamSettings(name="b", host="127.0.0.1", port=port, tls=Tls.NONE)
                pool = Pool(settings, emit=lambda event: None)
                stack.push_async_callback(pool.close)
                contenders[name] = [ours(pool, recipients, body)] * sessions
            figures = await in_turns(contenders, int(messages * share))
        base = figures["aiosmtplib"]
        for name, us in figures.items():
            told = f"{title:30} {name:12} {us:8.0f} us/message {us / base:6.2f} x aiosmtplib"
            is_judged = title == JUDGED and name != "aiosmtplib"
            verdict = "within" if us <= MOST * base else "OVER"
            print(f"{told}, {verdict} {MOST}" if is_judged else told)


async def in_turns(contenders: Mapping[str, Sequence[Send]], messages: int) -> dict[str, float]:
    """The median of all rounds for each."""
    rounds: dict[str, list[float]] = {name: [] for name in contenders}
    for sends in contenders.values():
        await cpu_us(sends, messages // 10)
    for _ in range(ROUNDS):
        for name, sends in contenders.items():
            rounds[name].append(await cpu_us(sends, messages // ROUNDS))
    return {name: statistics.median(values) for name, values in rounds.items()}


def main() -> None:
    """Read the arguments, run, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=5000, help="of 2 KB, in all rounds")
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    parser.add_argument("--all-cores", action="store_true", help="leave it to the scheduler")
    parser.add_argument("--sink", nargs="*", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    factory = uvloop.new_event_loop if arguments.loop == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        if arguments.sink is not None:
            runner.run(serve(arguments.sink))
            return
        if sys.platform == "linux" and not arguments.all_cores:
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # the sinks inherit it
        plain, chunking = SinkProcess(*EXTENSIONS), SinkProcess(*EXTENSIONS, "CHUNKING")
        try:
            runner.run(compare(plain.port, chunking.port, arguments.messages))
        finally:
            plain.stop()
            chunking.stop()


if __name__ == "__main__":
    main()
