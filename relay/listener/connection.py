"""One connection as the event loop tells of it: octets, ends, pauses. RFC 5321 §3.8.

Derives from aiosmtpd's SMTP class and replaces what must not stay: its stream reader's limits,
its timer, its TLS that does not know it is there, and the cancelling of whatever is under way
when a client hangs up.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Mapping
from functools import cache
from typing import Final, Protocol, cast

from aiosmtpd.smtp import SMTP

from relay.listener.endpoint import Endpoint, plain_address

_HIGH_WATER_OCTETS: Final = 64 * 1024  # of commands read ahead; then reading pauses
_TURN_OCTETS: Final = 64 * 1024  # of a message at a time, while others have some, too
_NEVER_SECONDS: Final = 86_400.0


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
        # aiosmtpd's own constructor looks at all methods of its class: 79 us for each connection.
        vars(self).update(_as_constructed(hostname))
        asyncio.StreamReaderProtocol.__init__(
            self, asyncio.StreamReader(loop=loop), self._cb_client_connected, loop
        )
        self.loop = loop
        self.address = ""
        self.uid: int | None = None
        self.endpoint = endpoint
        self._is_secured = False
        self._is_aborted = False
        self._wire: asyncio.Transport  # from `connection_made` on
        self._input = bytearray()
        self._output: list[bytes] = []
        self._decoder: Decoder | None = None
        self._message_came: Callable[[int], None] = lambda _: None
        self._waiter: asyncio.Future[None] | None = None
        self._has_news = False  # while nobody was in `_hear`
        self._heard_at = loop.time()
        self._is_eof = self._is_lost = self._is_paused = self._is_proxied = False
        self._is_yielding = False  # for a turn of the event loop
        self._turn_octets = 0  # of a message, since the last one
        self._backlog = b""  # of a message: what came beyond its turn
        self._is_handshaking = False  # while a PROXY header or TLS is awaited

    @property
    def is_gone(self) -> bool:
        """Whether the client will not hear a reply any more."""
        return self._is_lost or (self._is_secured and self._is_eof)  # TLS cannot be half open

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there; aiosmtpd starts `_handle_client` as a task."""
        self._wire = cast(asyncio.Transport, transport)  # uvloop's is no subclass
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
        if self._decoder is None and not self._backlog:
            self._input += data
            if len(self._input) > _HIGH_WATER_OCTETS:
                self._pause()
            self._wake()
            return
        self._backlog += data
        if not self._is_yielding:
            self._take_in()

    def eof_received(self) -> bool:
        """The client will send no more; what it has sent is still answered."""
        try:
            self._take_in_all()
        finally:
            self._is_eof = True
            self._wake()
        return not self.is_gone

    def connection_lost(self, error: Exception | None) -> None:
        """The client is gone. A transaction behind its final dot goes on regardless."""
        try:
            self._take_in_all()
        finally:
            self._is_lost = True
            self._wake()
            # aiosmtpd's own would cancel the handler, and the upstream transaction with it.
            asyncio.StreamReaderProtocol.connection_lost(self, error)
            self.transport = None

    def _take_in(self) -> None:
        """Octets of the message, and those behind it; more than a turn's worth has to wait.

        uvloop reads 256 KiB at a time, TLS and libuv even more, while others have messages, too.
        """
        room = _TURN_OCTETS - self._turn_octets
        data, self._backlog = self._backlog[:room], self._backlog[room:]
        self._turn_octets += len(data)
        if self._turn_octets == _TURN_OCTETS:
            self._give_way()
        rest: bytes | None = data
        if self._decoder is not None:
            rest = self._decoder.feed(data)
            if rest is not None:
                self._decoder = None
            self._message_came(len(data) - len(rest or b""))
        if rest is not None:
            commands, self._backlog = rest + self._backlog, b""
            self.data_received(commands)

    def _take_in_all(self) -> None:
        """Before the end is told: what came before it."""
        while self._backlog:
            self._turn_octets = 0
            self._take_in()

    def _reset_timeout(self, duration: float | None = None) -> None:
        """The timer of aiosmtpd is not used: one sweep of the listener looks at every session."""

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        if not self._is_lost:
            self._is_aborted = True
            self._wire.abort()

    def _pause(self) -> None:
        """Read nothing until `_resume`."""
        if not self._is_paused:
            self._is_paused = True
            self._stop_reading()

    def _resume(self) -> None:
        if self._is_paused:
            self._is_paused = False
            self._read_on()

    def _give_way(self) -> None:
        """Let others have a turn of the event loop."""
        if not self._is_yielding:
            self._is_yielding = True
            self._stop_reading()
            self.loop.call_soon(self._take_turn)

    def _take_turn(self) -> None:
        self._is_yielding, self._turn_octets = False, 0
        try:
            if self._backlog:
                self._take_in()
        except BaseException:
            self.abort()  # as a transport does with what it hands over
            raise
        self._read_on()

    def _stop_reading(self) -> None:
        if not self._is_lost:
            self._wire.pause_reading()

    def _read_on(self) -> None:
        if not (self._is_paused or self._is_yielding or self._is_lost):
            self._heard_at = self.loop.time()
            self._wire.resume_reading()

    def _wake(self) -> None:
        """Something happened: let `_hear` return, now or when it is called next."""
        if self._waiter is None:
            self._has_news = True
        elif not self._waiter.done():
            self._waiter.set_result(None)

    async def _hear(self) -> None:
        """Wait until something happened on the connection that was not heard of yet.

        Much happens while a session waits for something else, as for the upstream: returning
        once too often costs a look, and once too seldom leaves both sides waiting.
        """
        if self._decoder is None and len(self._input) <= _HIGH_WATER_OCTETS // 2:
            self._resume()
        if self._has_news:
            self._has_news = False
            return
        self._waiter = self.loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _write_out(self) -> bool:
        """Everything said so far, in one write.

        Returns:
            Whether the client reads too slowly: then `drain` is to be awaited.
        """
        output, self._output = self._output, []
        if self.is_gone:
            return False
        self._wire.write(output[0] if len(output) == 1 else b"".join(output))
        return bool(self._paused)  # type: ignore[attr-defined]  # asyncio's FlowControlMixin


@cache
def _as_constructed(hostname: str) -> Mapping[str, object]:
    """What aiosmtpd's constructor gives every object alike; nothing of it is changed later."""
    loop = asyncio.get_running_loop()
    made = SMTP(_NoHooks(), hostname=hostname, loop=loop, timeout=_NEVER_SECONDS)
    reader, of_one = asyncio.StreamReader(loop=loop), {"loop"}  # what each has of its own
    of_one |= vars(asyncio.StreamReaderProtocol(reader, made._cb_client_connected, loop)).keys()
    return {name: value for name, value in vars(made).items() if name not in of_one}


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
