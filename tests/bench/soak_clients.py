"""The clients of a soak: they send again what was not taken, and book what they were told."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections import Counter
from dataclasses import dataclass, field

from tests.bench.ledger_entries import UNKNOWN

AGAIN_SECONDS = 0.5
REPLY_SECONDS = 120.0
LINE = b"The quick brown fox jumps over the lazy dog, and this line is 78 octets long.\r\n"
KINDS = {"small": 70, "medium": 8, "refused": 14, "starttls": 8}
LINES = {"small": 4, "medium": 1300, "refused": 4, "starttls": 12}
_MESSAGES_PER_SESSION = 20


@dataclass
class Book:
    """What all clients were told.

    Attributes:
        told: number → how often a message was answered 250, which is once.
        unknown: number → how often its outcome was not known.
        kinds, replies: how often.
        wrong: replies that nothing explains.
    """

    told: Counter[int] = field(default_factory=Counter)
    unknown: Counter[int] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    replies: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    last: int = 0

    def number(self) -> int:
        """That of the next message."""
        self.last += 1
        return self.last


class Client:
    """One after the other session, until it is told to end.

    Args:
        book: of all clients.
        port, tls_port: of the relay; the second offers STARTTLS.
        trusted: for TLS.
        chance: which kind of message is next.
    """

    def __init__(
        self, book: Book, port: int, tls_port: int, trusted: ssl.SSLContext, chance: random.Random
    ) -> None:
        self._book = book
        self._port = port
        self._tls_port = tls_port
        self._trusted = trusted
        self._chance = chance
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._is_secured = False
        self._sent = 0
        self._is_behind_dot = False

    async def run(self, over: asyncio.Event) -> None:
        """Send until then; the last message to its end."""
        while not over.is_set():
            kind = self._chance.choices(list(KINDS), list(KINDS.values()))[0]
            self._book.kinds[kind] += 1
            number = self._book.number()
            while not await self._submit(kind, number):  # noqa: ASYNC110 - nothing tells it
                await asyncio.sleep(AGAIN_SECONDS)
        self._hang_up()

    async def _submit(self, kind: str, number: int) -> bool:
        """One attempt; whether the message is taken."""
        self._is_behind_dot = False
        try:
            async with asyncio.timeout(REPLY_SECONDS):
                reply = await self._transaction(kind, number)
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as exc:
            self._hang_up()
            if self._is_behind_dot:
                self._book.unknown[number] += 1
            where = "behind" if self._is_behind_dot else "before"
            self._book.replies[f"{type(exc).__name__} {where} the dot"] += 1
            return False
        self._book.replies[reply[:60].decode("ascii", "replace")] += 1
        if reply.startswith(b"250"):
            self._book.told[number] += 1
            return True
        if reply == UNKNOWN:
            self._book.unknown[number] += 1
        if reply.startswith(b"421"):
            self._hang_up()
        elif not reply.startswith(b"4"):
            self._book.wrong[reply.decode("ascii", "replace")] += 1
            self._hang_up()
        else:
            await self._say(b"RSET")
        return False

    async def _transaction(self, kind: str, number: int) -> bytes:
        await self._connect(is_secured=kind == "starttls")
        reply = await self._say(b"MAIL FROM:<app@example.com>")
        if not reply.startswith(b"250"):
            return reply
        recipients = (
            [b"bad@sink.test", b"ann@sink.test"] if kind == "refused" else [b"ann@sink.test"]
        )
        for recipient in recipients:
            reply = await self._say(b"RCPT TO:<" + recipient + b">")
            is_bad = recipient.startswith(b"bad")
            if is_bad and reply.startswith(b"250"):
                self._book.wrong["250 to a recipient that there is not"] += 1
            if not reply.startswith(b"250" if not is_bad else b"550"):
                return reply
        reply = await self._say(b"DATA")
        if not reply.startswith(b"354"):
            return reply
        head = b"From: App <app@example.com>\r\nTo: ann@sink.test\r\nSubject: soak\r\n"
        body = LINE * LINES[kind]
        self._is_behind_dot = True
        self._sent += 1
        return await self._say(head + b"X-Soak: %d\r\n\r\n%b." % (number, body))

    async def _connect(self, *, is_secured: bool) -> None:
        if self._sent >= _MESSAGES_PER_SESSION or is_secured != self._is_secured:
            self._hang_up()
        if self._writer is not None:
            return
        port = self._tls_port if is_secured else self._port
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", port)
        self._is_secured, self._sent = is_secured, 0
        greeting = await self._reply()
        if not greeting.startswith(b"220"):
            raise ConnectionError(greeting[:40])
        await self._say(b"EHLO client.example")
        if is_secured:
            if not (await self._say(b"STARTTLS")).startswith(b"220"):
                raise ConnectionError("no TLS")
            await self._writer.start_tls(self._trusted, server_hostname="127.0.0.1")
            await self._say(b"EHLO client.example")

    def _hang_up(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None

    async def _say(self, line: bytes) -> bytes:
        if self._writer is None:
            raise ConnectionError
        self._writer.write(line + b"\r\n")
        await self._writer.drain()
        return await self._reply()

    async def _reply(self) -> bytes:
        if self._reader is None:
            raise ConnectionError
        line = await self._reader.readuntil(b"\r\n")
        while line[3:4] == b"-":
            line = await self._reader.readuntil(b"\r\n")
        return line.removesuffix(b"\r\n")
