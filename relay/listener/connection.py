"""One connection as the event loop tells of it: octets, ends, pauses. RFC 5321 §3.8.

Derives from aiosmtpd's SMTP class and replaces what must not stay: its stream reader's limits,
its timer, and the cancelling of whatever is under way when a client hangs up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from aiosmtpd.smtp import SMTP

from relay.listener.data import DataDecoder

_HIGH_WATER_OCTETS: Final = 256 * 1024  # of commands read ahead; then reading pauses
_NEVER_SECONDS: Final = 86_400.0


class _NoHooks:
    """aiosmtpd looks for hooks here; there are none."""


class Connection(SMTP):
    """Buffers and signals of one client connection; `Session` speaks over it."""

    def __init__(self, hostname: str, *, loop: asyncio.AbstractEventLoop) -> None:
        """Make the protocol of a connection to come.

        Args:
            hostname: ours; aiosmtpd would look it up in DNS, blocking, if left out.
            loop: the running loop.
        """
        super().__init__(_NoHooks(), hostname=hostname, loop=loop, timeout=_NEVER_SECONDS)
        self.address = ""
        self._input = bytearray()
        self._output: list[bytes] = []
        self._decoder: DataDecoder | None = None
        self._data_was_too_long: Callable[[], bool] = bool
        self._waiter: asyncio.Future[None] | None = None
        self._heard_at = loop.time()
        self._is_eof = self._is_lost = self._is_paused = False

    @property
    def is_gone(self) -> bool:
        """Whether the client will not hear a reply any more."""
        return self._is_lost

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there; aiosmtpd starts `_handle_client` as a task."""
        peer = transport.get_extra_info("peername")
        self.address = peer[0].partition("%")[0] if peer else ""
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Octets from the client: of the message while DATA goes on, else commands."""
        self._heard_at = self.loop.time()
        if self._decoder is not None:
            rest = self._decoder.feed(data)
            if rest is None:
                if self._data_was_too_long():
                    self._wake()
                return
            self._decoder, data = None, rest
        self._input += data
        if len(self._input) > _HIGH_WATER_OCTETS and not self._is_paused:
            self._is_paused = True
            self._wire.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        """The client will send no more; what it has sent is still answered."""
        self._is_eof = True
        self._wake()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        """The client is gone. A transaction behind its final dot goes on regardless."""
        self._is_lost = True
        self._wake()
        # aiosmtpd's own would cancel the handler, and the upstream transaction with it.
        asyncio.StreamReaderProtocol.connection_lost(self, error)
        self.transport = None

    def _reset_timeout(self, duration: float | None = None) -> None:
        """The timer of aiosmtpd is not used: one sweep of the listener looks at every session."""

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        if not self._is_lost:
            self._wire.abort()

    @property
    def _wire(self) -> asyncio.Transport:
        transport = self._writer.transport
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker
        return transport

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _hear(self) -> None:
        """Wait until something happened on the connection."""
        if self._is_paused and len(self._input) <= _HIGH_WATER_OCTETS // 2:
            self._is_paused = False
            self._wire.resume_reading()
        self._waiter = self.loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    async def _write_out(self) -> None:
        """Everything said so far, in one write; waits for a client that does not read."""
        if self._output and not self._is_lost:
            output, self._output = b"".join(self._output), []
            self._writer.write(output)
            await self._writer.drain()
