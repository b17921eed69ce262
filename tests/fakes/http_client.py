"""A client of HTTP for tests: says exactly what it is told to, and reads the answer. IO."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

WAIT_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: its status, header fields by lower-case name, and body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8")


async def ask(
    address: str,
    path: str,
    *,
    method: str = "GET",
    host: str = "localhost",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Ask once, on a connection of its own.

    Args:
        address: "127.0.0.1:9525" or "unix:/path".
        path: with its query.
        method: any word.
        host: the Host field.
        headers: further fields.
    """
    fields = {"Host": host, "Connection": "close", **(headers or {})}
    lines = [f"{method} {path} HTTP/1.1", *(f"{n}: {v}" for n, v in fields.items()), "", ""]
    return read(await say(address, "\r\n".join(lines).encode("latin-1")))


async def say(address: str, octets: bytes) -> bytes:
    """Send octets, and read until the other side closes."""
    async with asyncio.timeout(WAIT_SECONDS):
        reader, writer = await connect(address)
        try:
            writer.write(octets)
            return await reader.read()
        finally:
            writer.close()


async def connect(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to "HOST:PORT" or "unix:/path"."""
    if address.startswith("unix:"):
        return await asyncio.open_unix_connection(address.removeprefix("unix:"))
    host, _, port = address.rpartition(":")
    return await asyncio.open_connection(host.strip("[]"), int(port))


def read(octets: bytes) -> Answer:
    """The parts of an answer."""
    head, _, body = octets.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    fields = (line.partition(":") for line in lines)
    headers = {name.lower(): value.strip() for name, _, value in fields}
    return Answer(int(first.split()[1]), headers, body)
