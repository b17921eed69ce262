"""What comes before the words: a PROXY header, TLS. IO. RFC 3207 §4.2, RFC 8314 §3.3."""

from __future__ import annotations

import asyncio
from asyncio.sslproto import SSLProtocol
from typing import Final, cast

from relay.core.errors import SyntaxFault
from relay.listener.certificates import Certificates
from relay.listener.conversation import Conversation
from relay.listener.proxy import read_proxy_header

_TLS_BUFFER_OCTETS: Final = 16 * 1024  # a record (RFC 8446 §5.1)


class Handshakes(Conversation):
    """A conversation that learns from a proxy whom it is held with, and that can be secured."""

    async def _read_proxy_header(self) -> bool:
        """Learn from a listed proxy who the client is; False when it does not say in time."""
        self._is_handshaking = True
        try:
            async with asyncio.timeout(self._limits.proxy_seconds):
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
                ssl_handshake_timeout=self._limits.handshake_seconds,
                ssl_shutdown_timeout=self._limits.goodbye_seconds,
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
        self.transport = self._wire = transport
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
