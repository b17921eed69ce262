"""An OAuth 2.0 token endpoint over HTTPS on loopback, on raw streams; misbehaves on demand. IO."""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import Any, Self
from urllib.parse import parse_qs


def answer(status: int, body: bytes | dict[str, Any], *, more: str = "") -> bytes:
    """A response as it stands on the wire."""
    octets = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"HTTP/1.1 {status} Whatever\r\nContent-Type: application/json\r\n{more}"
    return f"{head}Content-Length: {len(octets)}\r\n\r\n".encode() + octets


class TokenEndpoint:
    """An async context manager that listens while it is entered.

    Attributes:
        responses: what is written, in order; the last one again and again. None: nothing, and
            the connection stays open.
        forms: what was posted.
        heads: request line and header fields.
    """

    def __init__(self, context: ssl.SSLContext, *responses: bytes | None) -> None:
        self._context = context
        self.responses = [*responses]
        self.forms: list[dict[str, str]] = []
        self.heads: list[str] = []
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where to post."""
        if self._server is None:
            raise RuntimeError("not entered")
        return f"https://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/oauth2/token?v=2"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._connected, "127.0.0.1", 0, ssl=self._context
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("not in a task")
        self._tasks.add(task)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
            self.heads.append(head)
            lengths = [n for n in head.lower().split("\r\n") if n.startswith("content-length:")]
            body = await reader.readexactly(int(lengths[0].partition(":")[2]))
            self.forms.append({k: v[0] for k, v in parse_qs(body.decode("ascii")).items()})
            response = self.responses.pop(0) if len(self.responses) > 1 else self.responses[0]
            if response is None:
                await reader.read()  # until the client has enough
            else:
                writer.write(response)
                await writer.drain()
        except (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            self._tasks.discard(task)
