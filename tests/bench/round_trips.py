"""What a message costs in round trips to a smarthost that is far away.

Run from the top folder: ``python -m tests.bench.round_trips [--one-way-ms 20]``.

From MAIL to the final reply on a kept connection, through a wire that delays every octet
(`tests.fakes.delaying`): our transaction by DATA and by BDAT, the whole relay with a client that
pipelines, and aiosmtplib's `sendmail`. The median of the rounds, in milliseconds and in round
trips. `tests/faults/test_round_trips.py` counts the same without a real clock.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import aiosmtplib

from relay.config.settings import Config
from relay.core.dkim.algorithm import Algorithm
from relay.keyring.writing import write_key_pair
from relay.service.relay import running
from relay.upstream.pool import Pool
from tests.fakes.delaying import delaying_wire
from tests.fakes.pools import BODY, HEADER, MESSAGE, mail_from, pool_to, rcpt_to
from tests.fakes.smarthost import ALL_EXTENSIONS, EXTENSIONS, Smarthost

ROUNDS = 9
Send = Callable[[], Awaitable[None]]


@asynccontextmanager
async def far_away(*, chunking: bool, one_way_seconds: float) -> AsyncIterator[int]:
    """A smarthost behind a long wire; its port."""
    extensions = ALL_EXTENSIONS if chunking else EXTENSIONS
    async with (
        Smarthost(extensions=extensions) as host,
        delaying_wire(host.port, one_way_seconds=one_way_seconds) as port,
    ):
        yield port


async def send_by_pool(pool: Pool, recipients: int) -> None:
    """One message; the recipients are asked for at once, as a client that pipelines does."""
    transaction = await pool.begin(mail_from())
    try:
        pending = [transaction.recipient(rcpt_to(b"u%d@sink.test" % n)) for n in range(recipients)]
        for one in pending:
            await one
        reply = await transaction.send(HEADER, [BODY])
    finally:
        await transaction.abandon()
    if not reply.is_positive:
        raise RuntimeError(str(reply))


class PipeliningClient:
    """A client of the relay that says everything at once, but for the message."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def greet(self) -> None:
        """The greeting and EHLO."""
        await self._reply()
        self._writer.write(b"EHLO client.example\r\n")
        await self._reply()

    async def send(self, recipients: int) -> None:
        """One message."""
        rcpts = b"".join(b"RCPT TO:<u%d@sink.test>\r\n" % n for n in range(recipients))
        self._writer.write(b"MAIL FROM:<app@example.com>\r\n" + rcpts + b"DATA\r\n")
        for _ in range(recipients + 2):
            await self._reply()
        self._writer.write(MESSAGE.replace(b"\r\n.", b"\r\n..") + b".\r\n")
        await self._reply()

    async def _reply(self) -> None:
        line = await self._reader.readuntil(b"\r\n")
        while line[3:4] == b"-":
            line = await self._reader.readuntil(b"\r\n")
        if line[:1] not in b"23":
            raise RuntimeError(line)


@asynccontextmanager
async def client_of_a_relay(port: int, folder: Path) -> AsyncIterator[PipeliningClient]:
    """A client that has said EHLO to a relay in front of a port.

    Args:
        port: of the smarthost.
        folder: an empty one, for a key.
    """
    write_key_pair(folder, "example.com", "far", Algorithm.ED25519_SHA256, 256)
    config = Config.model_validate(
        {
            "keys_dir": str(folder),
            "listeners": [{"address": "127.0.0.1:0"}],
            "upstreams": [{"name": "far", "url": f"smtp://127.0.0.1:{port}", "tls": "none"}],
            "dns": {"gate": "off"},
            "service": {"hostname": "relay.example"},
        }
    )
    async with running(config, lambda event: None) as listeners:
        streams = await asyncio.open_connection("127.0.0.1", int(listeners.addresses[0][1]))
        client = PipeliningClient(*streams)
        await client.greet()
        try:
            yield client
        finally:
            streams[1].close()


async def median_seconds(send: Send, rounds: int = ROUNDS) -> float:
    """By the clock of the running loop, on a connection that one message has opened."""
    loop = asyncio.get_running_loop()
    await send()
    figures = []
    for _ in range(rounds):
        started = loop.time()
        await send()
        figures.append(loop.time() - started)
    return statistics.median(figures)


async def measure(one_way_seconds: float) -> None:
    """All contenders."""

    def show(name: str, recipients: int, seconds: float) -> None:
        trips = seconds / (2 * one_way_seconds)
        print(f"{name:28}{recipients:3} recipients {seconds * 1000:8.1f} ms {trips:6.2f} trips")

    for recipients in (1, 10):
        for chunking in (False, True):
            verb = "BDAT" if chunking else "DATA"
            async with far_away(chunking=chunking, one_way_seconds=one_way_seconds) as port:
                async with pool_to(port) as pool:
                    seconds = await median_seconds(partial(send_by_pool, pool, recipients))
                    show(f"our transaction, {verb}", recipients, seconds)
                with tempfile.TemporaryDirectory(prefix="relay-far-") as name:
                    async with client_of_a_relay(port, Path(name)) as client:
                        seconds = await median_seconds(partial(client.send, recipients))
                        show(f"the whole relay, {verb}", recipients, seconds)
        async with far_away(chunking=False, one_way_seconds=one_way_seconds) as port:
            show("aiosmtplib", recipients, await _aiosmtplib_seconds(port, recipients))


async def _aiosmtplib_seconds(port: int, recipients: int) -> float:
    names = [f"u{n}@sink.test" for n in range(recipients)]
    async with aiosmtplib.SMTP(
        hostname="127.0.0.1", port=port, local_hostname="b", start_tls=False
    ) as smtp:

        async def send() -> None:
            await smtp.sendmail("app@example.com", names, MESSAGE)

        return await median_seconds(send)


def main() -> None:
    """Read the arguments, run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one-way-ms", type=float, default=20.0)
    asyncio.run(measure(parser.parse_args().one_way_ms / 1000))


if __name__ == "__main__":
    main()
