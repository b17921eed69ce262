"""The smarthost of a soak: books each message by its number, and can be restarted."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from contextlib import suppress

import dkim

VERIFIED_SHARE = 50
_MARK = re.compile(rb"^X-Soak: (\d+)\r$", re.MULTILINE)
_HELLO = b"250-soak.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n"


class SoakHost:
    """A server that stores a message, as far as a ledger needs it, before it says so.

    Attributes:
        port: the same over restarts.
        copies: number of a message → how often it was stored.
        unsigned: messages stored without a signature of ours, or with a bad one.
        verified: how many of them were verified.
    """

    def __init__(self, records: dict[bytes, bytes]) -> None:
        """Nothing listens yet.

        Args:
            records: of the keys: owner name, with its last dot → text.
        """
        self.port = 0
        self.copies: Counter[int] = Counter()
        self.unsigned = self.verified = self.stored = 0
        self._records = records
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.StreamWriter, asyncio.Task[object] | None] = {}

    @property
    def open_sessions(self) -> int:
        """Connections that stand."""
        return len(self._open)

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(
            self._converse, "127.0.0.1", self.port, limit=1 << 20, backlog=1024
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop as a machine does that is switched off: every connection is reset."""
        if self._server is not None:
            self._server.close()
        for writer in tuple(self._open):
            writer.transport.abort()
        while self._open:  # noqa: ASYNC110 - sessions end by themselves
            await asyncio.sleep(0.01)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open[writer] = asyncio.current_task()
        try:
            writer.write(b"220 soak.test ESMTP\r\n")
            while line := await reader.readline():
                if not await self._obey(line.upper(), reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            del self._open[writer]
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _obey(
        self, line: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        verb = line[:4]
        if verb == b"EHLO":
            writer.write(_HELLO)
        elif verb == b"RCPT" and b"<BAD@" in line:
            writer.write(b"550 5.1.1 No such user\r\n")
        elif verb == b"DATA":
            writer.write(b"354 Go ahead\r\n")
            message = await reader.readuntil(b"\r\n.\r\n")
            self._store(message[:-3])
            writer.write(b"250 2.0.0 Stored\r\n")
        elif verb == b"QUIT":
            writer.write(b"221 2.0.0 Bye\r\n")
        else:
            writer.write(b"250 2.0.0 Ok\r\n")
        await writer.drain()
        return verb != b"QUIT"

    def _store(self, message: bytes) -> None:
        found = _MARK.search(message[:4096])
        if found is None or not message.startswith(b"DKIM-Signature: v=1;"):
            self.unsigned += 1
            return
        self.copies[int(found[1])] += 1
        self.stored += 1
        if self.stored % VERIFIED_SHARE == 0:
            self.verified += 1
            octets = message.replace(b"\r\n..", b"\r\n.")
            is_valid = dkim.verify(octets, dnsfunc=lambda name, **_: self._records.get(name))
            self.unsigned += not is_valid
