"""A loopback address in front of a DNS server: BIND listens on addresses of interfaces only.

IO: one thread with an event loop of its own. Octets pass unread, over UDP and TCP.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Self, cast

from tests.fakes.processes import LOOPBACK

ANSWER_SECONDS = 10.0
Address = tuple[str, int]


class DnsForward:
    """Passes what comes to one address and port on to a port of 127.0.0.1; a context manager."""

    def __init__(self, host: str, port: int, target_port: int) -> None:
        """Describe it; nothing listens yet."""
        self._here = host, port
        self._target = LOOPBACK, target_port
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._is_up = threading.Event()
        self._failure: OSError | None = None
        self._streams: set[asyncio.Task[None] | None] = set()
        self._thread = threading.Thread(target=self._run, name="dns-forward")

    def __enter__(self) -> Self:
        """Listen."""
        self._thread.start()
        self._is_up.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure
        return self

    def __exit__(self, *_: object) -> None:
        """Close every socket."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        try:
            server = await asyncio.start_server(self._stream, *self._here)
            datagrams, _ = await self._loop.create_datagram_endpoint(
                lambda: _Datagrams(self._target), local_addr=self._here
            )
        except OSError as exc:
            self._failure = exc
            return
        finally:
            self._is_up.set()
        await self._stop.wait()
        server.close()
        datagrams.close()
        under_way = asyncio.all_tasks() - {asyncio.current_task()}
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        await asyncio.sleep(0)  # transports close in the next round of the loop

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A loop holds its tasks weakly, and this one's transports may close before it ends.
        self._streams.add(asyncio.current_task())
        try:
            answers, questions = await asyncio.open_connection(*self._target)
        except OSError:
            writer.close()
            return
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(reader, questions))
                group.create_task(_pump(answers, writer))
        finally:
            questions.close()
            writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while octets := await reader.read(65536):
            writer.write(octets)
            await writer.drain()
        writer.write_eof()


class _Datagrams(asyncio.DatagramProtocol):
    """Questions; each goes on from a socket of its own, so that the answer finds its way back."""

    def __init__(self, target: Address) -> None:
        self._target = target
        self._transport: asyncio.DatagramTransport | None = None
        self._asked: set[asyncio.Future[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        task = asyncio.ensure_future(self._ask(data, addr))
        self._asked.add(task)
        task.add_done_callback(self._asked.discard)

    async def _ask(self, data: bytes, client: Address) -> None:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bytes] = loop.create_future()
        outgoing, _ = await loop.create_datagram_endpoint(
            lambda: _Answer(answer), remote_addr=self._target
        )
        try:
            outgoing.sendto(data)
            octets = await asyncio.wait_for(answer, ANSWER_SECONDS)
            if self._transport is not None:
                self._transport.sendto(octets, client)
        except (TimeoutError, OSError):
            return  # no answer is no answer on this side too
        finally:
            outgoing.close()


class _Answer(asyncio.DatagramProtocol):
    """The answer to one question."""

    def __init__(self, answer: asyncio.Future[bytes]) -> None:
        self._answer = answer

    def datagram_received(self, data: bytes, addr: Address) -> None:
        if not self._answer.done():
            self._answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self._answer.done():
            self._answer.set_exception(exc)
