"""SMTP clients that send octets and wait for octets: in memory, and over a socket. RFC 5321.

MemoryClient  holds one end of a transport whose other end is a protocol in this process: every
              segment arrives as it was sent, every write is seen as it was made
SocketClient  speaks to a listening socket, and may half-close, close or reset it
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable
from typing import Self

from relay.listener.endpoint import ListenerTls
from tests.fakes.tls_engine import TlsEngine
from tests.fakes.wire import Wire

# Reached only by a test that fails: so long a reply may stay out.
PATIENCE_SECONDS = 5.0
# As asyncio's transports have it: a segment from the kernel.
SEGMENT_OCTETS = 256 * 1024


class MemoryClient:
    """A client of a protocol in this process; make it within a running loop.

    Attributes:
        wire: the transport, for a look at single writes.
        tls: its TLS, once `secure` was called.
    """

    def __init__(self, protocol: asyncio.Protocol, *, address: str = "127.0.0.1") -> None:
        self._event = asyncio.Event()
        self._position = 0
        self._waiting = bytearray()  # sent, and not taken while reading is paused
        self._clear = b""  # what was said before TLS, once there is TLS
        self._plain = b""  # what was said within it
        self._opened = 0  # writes that `_plain` is made of
        self.tls: TlsEngine | None = None
        self.wire = Wire(protocol, peer=(address, 40000), changed=self._changed)
        protocol.connection_made(self.wire)

    @property
    def heard(self) -> bytes:
        """Everything the server said so far."""
        if self.tls is None:
            return b"".join(self.wire.writes)
        return self._clear + self._plain

    @property
    def unsent_octets(self) -> int:
        """What the server does not take now."""
        return len(self._waiting)

    def send(self, octets: bytes) -> None:
        """One segment; it waits while the server has paused reading."""
        self._waiting += self.tls.seal(octets) if self.tls and self.tls.is_secured else octets
        self._deliver()

    async def secure(self, context: ssl.SSLContext) -> None:
        """Shake hands; asyncio only, as uvloop's TLS takes no transport but its own.

        Raises:
            TimeoutError: the server does not answer.
        """
        tls = self.start_tls(context)
        await self.until(lambda: tls.is_secured or self.is_closed)

    def start_tls(self, context: ssl.SSLContext) -> TlsEngine:
        """Say hello; the rest of the handshake goes on by itself."""
        self._clear = b"".join(self.wire.writes)
        self._opened = len(self.wire.writes)
        tls = self.tls = TlsEngine(context)
        self.send(tls.start())
        return tls

    def end(self) -> None:
        """Half-close: nothing more will be sent, replies are still read."""
        self.wire.end()

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
        if self.tls is not None:
            self._open(self.tls)
        self._event.set()
        if self._waiting and not self.wire.is_paused:
            asyncio.get_running_loop().call_soon(self._deliver)

    def _open(self, tls: TlsEngine) -> None:
        octets = b"".join(self.wire.writes[self._opened :])
        self._opened = len(self.wire.writes)
        if octets and not tls.has_failed:
            try:
                plain, answer = tls.take(octets)
            except ssl.SSLError:  # the test looks at `has_failed`
                plain, answer = b"", tls.seal(b"")
            self._plain += plain
            self._waiting += answer

    def _deliver(self) -> None:
        while self._waiting and not self.wire.is_paused and not self.wire.is_closing():
            segment = bytes(self._waiting[:SEGMENT_OCTETS])
            del self._waiting[:SEGMENT_OCTETS]
            self.wire.deliver(segment)


class SocketClient:
    """A client of a listening socket; use with `async with`.

    Attributes:
        address: where it connects.
        tls: its TLS, once `secure` was called.
    """

    def __init__(self, host: str, port: int = 0) -> None:
        """Make it.

        Args:
            host: an address, or the path of a UNIX socket when there is no port.
            port: of TCP.
        """
        self.address = (host, port)
        self._connected: socket.socket | None = None
        self._heard = bytearray()
        self.tls: TlsEngine | None = None

    async def __aenter__(self) -> Self:
        host, port = self.address
        if self._connected is not None:
            connecting = asyncio.open_connection(sock=self._connected)
        elif port:
            connecting = asyncio.open_connection(host, port)
        else:
            connecting = asyncio.open_unix_connection(host)
        self._reader, self._writer = await connecting
        return self

    def be_early(self, octets: bytes) -> None:
        """Connect and send before anybody can accept: the event loop stands still meanwhile."""
        self._connected = socket.create_connection(self.address)
        self._connected.sendall(octets)

    async def __aexit__(self, *_: object) -> None:
        self._writer.transport.abort()

    async def secure(self, context: ssl.SSLContext, *, before: bytes = b"") -> None:
        """Shake hands.

        Args:
            context: what to trust and to show.
            before: octets in clear in the segment of the ClientHello, in front of it.

        Raises:
            ssl.SSLError: one side refuses.
            ConnectionError: the server closed instead.
        """
        tls = TlsEngine(context)
        self._writer.write(before + tls.start())
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not tls.is_secured:
                octets = await self._reader.read(65_536)
                if not octets:
                    raise ConnectionResetError(104, "closed within the handshake")
                try:
                    plain, answer = tls.take(octets)
                finally:
                    self._writer.write(tls.seal(b""))  # an alert, if there is one
                self._heard += plain
                self._writer.write(answer)
        self.tls = tls

    async def begin(self, context: ssl.SSLContext, tls: ListenerTls) -> None:
        """Get past the greeting and TLS, in the order of the listener."""
        if tls is ListenerTls.IMPLICIT:
            await self.secure(context)
        assert (await self.reply()).startswith(b"220 ")
        if tls is ListenerTls.STARTTLS:
            assert await self.say(b"STARTTLS") == [b"220 2.0.0 Ready to start TLS\r\n"]
            await self.secure(context)

    async def send(self, octets: bytes) -> None:
        """Some octets, in as many segments as the kernel makes of them."""
        self._writer.write(self.tls.seal(octets) if self.tls else octets)
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
                end = self._heard.find(b"\r\n")
                if end >= 0:
                    octets += self._heard[: end + 2]
                    del self._heard[: end + 2]
                elif not await self._hear():
                    break
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
                while await self._hear():
                    pass
            except ConnectionError:
                pass
        octets = bytes(self._heard)
        self._heard.clear()
        return octets

    async def _hear(self) -> bool:
        """Read once; False at the end."""
        octets = await self._reader.read(65_536)
        if self.tls is None:
            self._heard += octets
            return bool(octets)
        plain, answer = self.tls.take(octets) if octets else (b"", b"")
        self._heard += plain
        self._writer.write(answer)
        return bool(plain) or (bool(octets) and not self.tls.is_ended)


def _is_whole(octets: bytes) -> bool:
    """Whether a reply is complete: its last line has a blank behind the code (RFC 5321 §4.2)."""
    last = octets.removesuffix(b"\r\n").rpartition(b"\r\n")[2]
    return octets.endswith(b"\r\n") and last[3:4] != b"-"
