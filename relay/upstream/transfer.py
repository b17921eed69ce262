"""The message on its way: BDAT, or DATA with dot-stuffing, and the one reply that counts. IO.

RFC 5321 §4.1.1.4 and §4.5.2 (DATA), RFC 3030 §2 (BDAT), RFC 5321 §4.5.3.2.4 to .6 (timeouts).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from relay.core.errors import Rejection
from relay.core.reply import Reply
from relay.upstream import rejections
from relay.upstream.command import Command
from relay.upstream.protocol import Connection
from relay.upstream.settings import UpstreamSettings
from relay.upstream.wire import bdat_runs, data_runs


class Transfer:
    """Sends one message over a connection whose recipients are all answered.

    Args:
        parts: the octets of the message in order, CRLF only, ending in CRLF, as
            `relay.upstream.wire.message_parts` gives them.
        connection: with at least one accepted recipient; this becomes its occupant.
        settings: for the patience of each step, and the name for the log.
    """

    __slots__ = (
        "_connection",
        "_failure",
        "_has_begun",
        "_is_complete",
        "_next_run",
        "_parts",
        "_reply",
        "_runs",
        "_settings",
        "_woken",
    )

    def __init__(
        self, parts: Sequence[bytes], connection: Connection, settings: UpstreamSettings
    ) -> None:
        self._parts = parts
        self._connection = connection
        self._settings = settings
        self._runs: Iterator[bytes | memoryview] = iter(())
        self._next_run: bytes | memoryview | None = None
        self._has_begun = False
        self._is_complete = False
        self._reply: Reply | None = None
        self._failure: Rejection | None = None
        self._woken: asyncio.Future[None] | None = None
        connection.occupant = self

    async def run(self) -> Reply:
        """Send the message and await the reply; an early one ends the sending.

        Returns:
            The hop's reply to the message; or to DATA, or given in the middle of the message,
            when it refuses (4yz, 5yz).

        Raises:
            Rejection: 451 4.4.2, the connection was lost or garbled. The reason is
                `OUTCOME_UNKNOWN` once the transport has the end of the message, because the
                hop may have it too, else `UPSTREAM_LOST`.
        """
        connection = self._connection
        if connection.capabilities.chunking:
            self._begin(bdat_runs(self._parts))
        else:
            seconds = self._settings.timeouts.data_seconds
            connection.command(Command(b"DATA\r\n", self._data_answered, seconds, is_data=True))
        while self._reply is None and self._failure is None:
            if self._next_run is None:
                self._woken = connection.loop.create_future()
                await self._woken
            else:
                await connection.drain(self._settings.timeouts.block_seconds)
                if self._reply is None and self._failure is None:
                    self._write_run()
        return self._result()

    def connection_failed(self, why: str, cause: Exception | None) -> None:
        """The connection is of no more use; called by it."""
        make = rejections.outcome_unknown if self._is_complete else rejections.lost
        self._failure = make(f"{self._settings.hop}: {why}")
        self._failure.__cause__ = cause
        self._wake()

    def _result(self) -> Reply:
        """The reply, if it came before any failure."""
        reply = self._reply
        if reply is not None and self._has_begun and not self._is_complete:
            why = f"the server answered in the middle of the message: {reply}"
            self._connection.abort(why)
            if reply.is_positive:  # it cannot have what was not sent
                raise self._failure or rejections.lost(f"{self._settings.hop}: {why}")
        if reply is not None:
            return reply
        raise self._failure or rejections.lost(f"{self._settings.hop}: the connection is gone")

    def _begin(self, runs: Iterator[bytes | memoryview]) -> None:
        """Write the first run, which is all of a small message."""
        self._has_begun = True
        self._runs = runs
        self._next_run = next(runs)
        self._connection.expect(self._answered)
        self._write_run()

    def _write_run(self) -> None:
        if self._next_run is not None:
            self._connection.write(self._next_run)
            self._next_run = next(self._runs, None)
        if self._next_run is None:
            self._is_complete = True
            self._connection.arm(self._settings.timeouts.final_seconds)

    def _data_answered(self, reply: Reply) -> None:
        """Begin at once on 354, without waking the task for it."""
        if not reply.is_intermediate:
            self._answered(reply)
            return
        self._begin(data_runs(self._parts))
        if self._next_run is not None:
            self._wake()

    def _answered(self, reply: Reply) -> None:
        self._reply = reply
        self._wake()

    def _wake(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)
