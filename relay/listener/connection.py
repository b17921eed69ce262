"""One connection as the event loop tells of it: octets, ends, pauses, TLS. RFC 5321 §3.8.

Derives from aiosmtpd's SMTP class and replaces what must not stay: its stream reader's limits,
its timer, its TLS that does not know it is there, and the cancelling of whatever is under way
when a client hangs up.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable
from typing import Final, Protocol, cast

from aiosmtpd.smtp import SMTP

from relay.core.errors import SyntaxFault
from relay.listener.certificates import Certificates
from relay.listener.endpoint import Endpoint, plain_address
from relay.listener.proxy import read_proxy_header

_HIGH_WATER_OCTETS: Final = 64 * 1024  # of commands read ahead; then reading pauses
_NEVER_SECONDS: Final = 86_400.0
_HANDSHAKE_SECONDS: Final = 60.0
_GOODBYE_SECONDS: Final = 3.0  # for the client's half of the end of TLS; many never send it
_PROXY_SECONDS: Final = 10.0
_TLS_BUFFER_OCTETS: Final = 16 * 1024  # a record (RFC 8446 §5.1)


class Decoder(Protocol):
    """Takes the octets of a message off the connection."""

    def feed(self, data: bytes) -> bytes | None:
        """None while the message goes on; at its end, the octets that stand behind it."""


class _NoHooks:
    """aiosmtpd looks for hooks here; there are none."""


class Connection(SMTP):
    """Buffers and signals of one client connection; `Session` speaks over it."""

    def __init__(
        self, hostname: str, endpoint: Endpoint, *, loop: asyncio.AbstractEventLoop
    ) -> None:
        """Make the protocol of a connection to come.

        Args:
            hostname: ours; aiosmtpd would look it up in DNS, blocking, if left out.
            endpoint: the listener it comes to.
            loop: the running loop.
        """
        super().__init__(_NoHooks(), hostname=hostname, loop=loop, timeout=_NEVER_SECONDS)
        self.address = ""
        self.uid: int | None = None
        self.endpoint = endpoint
        self._is_secured = False
        self._input = bytearray()
        self._output: list[bytes] = []
        self._decoder: Decoder | None = None
        self._message_came: Callable[[int], None] = lambda _: None
        self._waiter: asyncio.Future[None] | None = None
        self._heard_at = loop.time()
        self._is_eof = self._is_lost = self._is_paused = self._is_proxied = False
        self._is_handshaking = False  # while a PROXY header or TLS is awaited

    @property
    def is_gone(self) -> bool:
        """Whether the client will not hear a reply any more."""
        return self._is_lost or (self._is_secured and self._is_eof)  # TLS cannot be half open

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there; aiosmtpd starts `_handle_client` as a task."""
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            self.address = plain_address(peer[0])
        else:
            self.uid = _peer_uid(transport.get_extra_info("socket"))
        super().connection_made(transport)
        self._is_proxied = self.endpoint.is_proxy(self.address)

    def data_received(self, data: bytes) -> None:
        """Octets from the client: of the message while one goes on, else commands."""
        self._heard_at = self.loop.time()
        if self._decoder is not None:
            rest = self._decoder.feed(data)
            if rest is not None:
                self._decoder = None
            self._message_came(len(data) - len(rest or b""))
            if rest is None:
                return
            data = rest
        self._input += data
        if len(self._input) > _HIGH_WATER_OCTETS:
            self._pause()
        self._wake()

    def eof_received(self) -> bool:
        """The client will send no more; what it has sent is still answered."""
        self._is_eof = True
        self._wake()
        return not self.is_gone

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
        return cast(asyncio.Transport, self._writer.transport)  # uvloop's is no subclass

    def _pause(self) -> None:
        if not self._is_paused and not self._is_lost:
            self._is_paused = True
            self._wire.pause_reading()

    def _resume(self) -> None:
        if self._is_paused and not self._is_lost:
            self._is_paused = False
            self._heard_at = self.loop.time()
            self._wire.resume_reading()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _hear(self) -> None:
        """Wait until something happened on the connection."""
        if self._decoder is None and len(self._input) <= _HIGH_WATER_OCTETS // 2:
            self._resume()
        self._waiter = self.loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    async def _write_out(self) -> None:
        """Everything said so far, in one write; waits for a client that does not read."""
        output, self._output = b"".join(self._output), []
        if output and not self.is_gone:
            self._writer.write(output)
            await self._writer.drain()

    async def _read_proxy_header(self) -> bool:
        """Learn from a listed proxy who the client is; False when it does not say in time."""
        self._is_handshaking = True
        try:
            async with asyncio.timeout(_PROXY_SECONDS):
                while (header := read_proxy_header(bytes(self._input))) is None:
                    if self._is_eof or self._is_lost:
                        return False
                    await self._hear()
        except (SyntaxFault, TimeoutError):
            return False
        finally:
            self._is_handshaking = False
        del self._input[: header.length]
        self.address = header.address or self.address
        return True

    async def _start_tls(self, certificates: Certificates) -> bool:
        """Secure the connection; False when the client cannot.

        Octets that were read ahead are the beginning of the handshake: behind STARTTLS there
        must be none left, because what came in clear may be an attacker's (RFC 3207 §4.2).
        """
        if self._is_eof or self._is_lost:
            return False
        self._pause()
        self._is_handshaking = True
        raw, transport = self._wire, None
        early, self._input = bytes(self._input), bytearray()
        # uvloop begins to read before anybody can tell it not to. TLS takes these octets when
        # it is there and before it is connected, which `start_tls` does in a later turn.
        self.loop.call_soon(self._hand_over, early)
        try:
            transport = await self.loop.start_tls(
                raw,
                self,
                certificates.context,
                server_side=True,
                ssl_handshake_timeout=_HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=_GOODBYE_SECONDS,
            )
        except (OSError, TimeoutError):  # ssl.SSLError is one
            pass
        finally:
            self._is_handshaking = False
        if transport is None or raw.is_closing():
            # A connection that is lost before TLS is there is lost to TLS only, on both loops.
            raw.abort()
            self._is_lost = True
            return False
        self.transport = transport
        self._writer._transport = transport  # type: ignore[attr-defined]  # as aiosmtpd does
        self._is_secured, self._is_paused = True, False
        return True

    def _hand_over(self, octets: bytes) -> None:
        protocol = self._wire.get_protocol()
        if protocol is self:
            return  # `start_tls` has failed
        if isinstance(protocol, SSLProtocol):
            _fit(protocol)
        tls = cast(asyncio.BufferedProtocol, protocol)  # in all but name: uvloop's derives of none
        while octets:
            room = memoryview(tls.get_buffer(len(octets)))
            count = min(len(room), len(octets))
            room[:count] = octets[:count]
            tls.buffer_updated(count)
            octets = octets[count:]


def _fit(tls: SSLProtocol) -> None:
    """Let asyncio's TLS read a record at a time, on this connection.

    Its buffer is 256 KiB for each connection, idle or not, and written to at once; the class
    attribute that says so stays as it is for whoever else uses it. uvloop's buffers cost nothing
    until they are used.
    """
    buffer = bytearray(_TLS_BUFFER_OCTETS)
    vars(tls).update(max_size=len(buffer), _ssl_buffer=buffer, _ssl_buffer_view=memoryview(buffer))


def _peer_uid(sock: socket.socket | None) -> int | None:
    """The user at the other end of a UNIX socket, where the system tells."""
    if sock is None or not hasattr(socket, "SO_PEERCRED"):
        return None
    try:
        octets = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    except OSError:
        return None
    _, uid, _ = struct.unpack("3i", octets)
    return int(uid)
