"""A transport in memory: what a protocol in this process writes to, and is told by.

Segments and writes stay as they were made. asyncio's TLS can stand on it, uvloop's cannot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

# As asyncio's transports have it: what may wait to be sent.
HIGH_WATER_OCTETS = 64 * 1024


class Wire(asyncio.Transport):
    """What a protocol in this process writes to.

    Attributes:
        writes: each write, as it was made.
        is_paused: whether the protocol wants no more octets now.
        was_aborted: whether it was closed without a word.
    """

    def __init__(
        self,
        protocol: asyncio.Protocol | asyncio.BufferedProtocol,
        *,
        peer: tuple[str, int],
        changed: Callable[[], None],
    ) -> None:
        super().__init__({"peername": peer})
        self._start_tls_compatible = True  # so that asyncio's `start_tls` takes it
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

    def _force_close(self, error: Exception | None) -> None:
        """What asyncio's TLS calls when it fails."""
        self.lose(error)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """TLS goes between."""
        assert isinstance(protocol, asyncio.Protocol | asyncio.BufferedProtocol)
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Who is told of octets."""
        return self._protocol

    def deliver(self, octets: bytes) -> None:
        """A segment of the client, as asyncio hands it to either kind of protocol."""
        if isinstance(self._protocol, asyncio.Protocol):
            self._protocol.data_received(octets)
            return
        while octets:
            buffer = memoryview(self._protocol.get_buffer(len(octets)))
            count = min(len(buffer), len(octets))
            buffer[:count] = octets[:count]
            self._protocol.buffer_updated(count)
            octets = octets[count:]

    def end(self) -> None:
        """The client half-closes."""
        if not self._is_closing and not self._protocol.eof_received():
            self.close()

    def lose(self, error: Exception | None) -> None:
        """The connection is gone."""
        if not self._is_closing:
            self._is_closing = True
            asyncio.get_running_loop().call_soon(self._end, error)

    def _end(self, error: Exception | None) -> None:
        self._protocol.connection_lost(error)
        self._changed()
