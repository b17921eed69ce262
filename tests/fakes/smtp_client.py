"""SMTP clients that send octets and wait for octets: in memory, and over a socket. RFC 5321.

MemoryClient  holds one end of a transport whose other end is a protocol in this process: every
              segment arrives as it was sent, every write is seen as it was made
SocketClient  speaks to a listening socket, and may half-close, close or reset it
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from types import TracebackType
from typing import Self

# Reached only by a test that fails: so long a reply may stay out.
PATIENCE_SECONDS = 5.0
# As asyncio's transports have it: a segment from the kernel, and what may wait to be sent.
SEGMENT_OCTETS = 256 * 1024
HIGH_WATER_OCTETS = 64 * 1024


class Wire(asyncio.Transport):
    """What a protocol in this process writes to.

    Attributes:
        writes: each write, as it was made.
        is_paused: whether the protocol wants no more octets now.
        was_aborted: whether it was closed without a word.
    """

    def __init__(
        self, protocol: asyncio.Protocol, *, peer: tuple[str, int], changed: Callable[[], None]
    ) -> None:
        super().__init__({"peername": peer})
        self.writes: list[bytes] = []
        self.is_paused = False
        self.was_aborted = False
        self.is_read = True
        self._protocol = protocol
        self._changed = changed
        self._is_closing = False
        self._unread_octets = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take a write; a client that does not read makes it wait, as a socket would."""
        if self._is_closing:
            return
        self.writes.append(bytes(data))
        if not self.is_read:
            self._unread_octets += len(data)
            if self._unread_octets > HIGH_WATER_OCTETS:
                self._protocol.pause_writing()
        self._changed()

    def pause_reading(self) -> None:
        """Let no more octets in."""
        self.is_paused = True

    def resume_reading(self) -> None:
        """Let octets in again."""
        self.is_paused = False
        self._changed()

    def get_write_buffer_size(self) -> int:
        """What the client has not read."""
        return self._unread_octets

    def is_closing(self) -> bool:
        """Whether one side has closed it."""
        return self._is_closing

    def close(self) -> None:
        """Close it; the protocol is told in the next turn of the loop."""
        self.lose(None)

    def abort(self) -> None:
        """The same, and remembered."""
        self.was_aborted = True
        self.lose(None)

    def lose(self, error: Exception | None) -> None:
        """The connection is gone."""
        if not self._is_closing:
            self._is_closing = True
            loop = asyncio.get_running_loop()
            loop.call_soon(self._protocol.connection_lost, error)
            loop.call_soon(self._changed)


class MemoryClient:
    """A client of a protocol in this process; make it within a running loop.

    Attributes:
        wire: the transport, for a look at single writes.
    """

    def __init__(self, protocol: asyncio.Protocol, *, address: str = "127.0.0.1") -> None:
        self._protocol = protocol
        self._event = asyncio.Event()
        self._position = 0
        self._waiting = bytearray()  # sent, and not taken while reading is paused
        self.wire = Wire(protocol, peer=(address, 40000), changed=self._changed)
        protocol.connection_made(self.wire)

    @property
    def heard(self) -> bytes:
        """Everything the server said so far."""
        return b"".join(self.wire.writes)

    @property
    def unsent_octets(self) -> int:
        """What the server does not take now."""
        return len(self._waiting)

    def send(self, octets: bytes) -> None:
        """One segment; it waits while the server has paused reading."""
        self._waiting += octets
        self._deliver()

    def end(self) -> None:
        """Half-close: nothing more will be sent, replies are still read."""
        if not self.wire.is_closing():
            self._protocol.eof_received()

    def vanish(self) -> None:
        """A reset: the connection is gone in both directions."""
        self.wire.lose(ConnectionResetError(104, "Connection reset by peer"))

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something holds that writes or the end of the connection can change."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():
                self._event.clear()
                await self._event.wait()

    async def take(self, count: int) -> bytes:
        """The next octets of the server: so many, or fewer when it closes or says no more."""
        try:
            await self.until(lambda: len(self.heard) >= self._position + count or self.is_closed)
        except TimeoutError:
            count = len(self.heard) - self._position
        octets = self.heard[self._position : self._position + count]
        self._position += len(octets)
        return octets

    async def reply(self) -> bytes:
        """The next reply, whole."""
        octets = b""
        while not _is_whole(octets):
            octet = await self.take(1)
            if not octet:
                break
            octets += octet
        return octets

    async def rest(self) -> bytes:
        """Whatever comes until the server closes.

        Raises:
            TimeoutError: it does not.
        """
        await self.until(lambda: self.is_closed)
        octets = self.heard[self._position :]
        self._position += len(octets)
        return octets

    @property
    def is_closed(self) -> bool:
        """Whether the connection is gone."""
        return self.wire.is_closing()

    def _changed(self) -> None:
        self._event.set()
        if self._waiting and not self.wire.is_paused:
            asyncio.get_running_loop().call_soon(self._deliver)

    def _deliver(self) -> None:
        while self._waiting and not self.wire.is_paused and not self.wire.is_closing():
            segment = bytes(self._waiting[:SEGMENT_OCTETS])
            del self._waiting[:SEGMENT_OCTETS]
            self._protocol.data_received(segment)


class SocketClient:
    """A client of a listening socket; use with `async with`."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(*self._address)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.transport.abort()

    async def send(self, octets: bytes) -> None:
        """Some octets, in as many segments as the kernel makes of them."""
        self._writer.write(octets)
        await self._writer.drain()

    def end(self) -> None:
        """Half-close."""
        self._writer.write_eof()

    async def close(self) -> None:
        """Close both directions at once, as a program that ends does."""
        self._writer.close()
        await self._writer.wait_closed()

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        raw = self._writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def reply(self) -> bytes:
        """The next reply, whole; less when the server closes."""
        octets = b""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not _is_whole(octets):
                line = await self._reader.readline()
                if not line:
                    break
                octets += line
        return octets

    async def say(self, *commands: bytes) -> list[bytes]:
        """Commands one after the other, each with its reply."""
        replies = []
        for command in commands:
            await self.send(command + b"\r\n")
            replies.append(await self.reply())
        return replies

    async def rest(self) -> bytes:
        """Whatever comes until the server closes; a reset counts as an end."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            try:
                return await self._reader.read()
            except ConnectionError:
                return b""


def _is_whole(octets: bytes) -> bool:
    """Whether a reply is complete: its last line has a blank behind the code (RFC 5321 §4.2)."""
    last = octets.removesuffix(b"\r\n").rpartition(b"\r\n")[2]
    return octets.endswith(b"\r\n") and last[3:4] != b"-"
