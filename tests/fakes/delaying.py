"""A long wire: a TCP forwarder on loopback that delivers every octet so much later. IO."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

BLOCK_OCTETS = 65536


@asynccontextmanager
async def delaying_wire(target_port: int, *, one_way_seconds: float) -> AsyncIterator[int]:
    """Forward connections to a port on loopback, with a delay in each direction.

    What arrives together leaves together; the throughput is not limited.

    Args:
        target_port: where connections are forwarded to.
        one_way_seconds: by the clock of the running loop.

    Yields:
        The port to connect to.
    """
    connections: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            connections.add(task)
        with suppress(asyncio.CancelledError):
            await _forward_both(reader, writer, target_port, one_way_seconds)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _forward_both(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    target_port: int,
    one_way_seconds: float,
) -> None:
    there, back = await asyncio.open_connection("127.0.0.1", target_port)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_forward(reader, back, one_way_seconds))
            tasks.create_task(_forward(there, writer, one_way_seconds))
    finally:
        writer.close()
        back.close()


async def _forward(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, one_way_seconds: float
) -> None:
    """One direction; a later octet never overtakes an earlier one."""
    loop = asyncio.get_running_loop()

    def deliver(octets: bytes) -> None:
        if octets:
            writer.write(octets)
        elif not writer.is_closing():
            writer.write_eof()

    with suppress(ConnectionError):
        while octets := await reader.read(BLOCK_OCTETS):
            loop.call_later(one_way_seconds, deliver, octets)
    loop.call_later(one_way_seconds, deliver, b"")
