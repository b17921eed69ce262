"""A smarthost that takes every message and keeps it. RFC 5321, by aiosmtpd as it comes."""

from __future__ import annotations

import asyncio
from typing import Self

from aiosmtpd.smtp import SMTP, Envelope, Session


class Smarthost:
    """Use with `async with`; listens on a free port of 127.0.0.1.

    Attributes:
        messages: the octets of each message, in the order they were taken.
        port: where it listens.
    """

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.port = 0
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: SMTP(self, hostname="smarthost.demo", loop=loop), "127.0.0.1", 0
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Keep the message."""
        content = envelope.original_content
        self.messages.append(content or b"")
        return "250 2.0.0 Stored"
