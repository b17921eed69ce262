"""The octets of messages within a session: read to their end, counted, held back. RFC 5321 §4.5.3.

A client that sends far too much or far too slowly is told so and closed. When all messages
together take too much memory, reading is held back, and whoever waits too long gives up its
message: 452 after its end, and the session goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from relay.core import reply as say
from relay.core.errors import Reason
from relay.core.events import Event
from relay.core.reply import Reply
from relay.listener.connection import Decoder
from relay.listener.conversation import Conversation
from relay.listener.data import ChunkDecoder, Incoming
from relay.listener.endpoint import Endpoint
from relay.listener.limits import SessionLimits
from relay.listener.memory import Memory
from relay.listener.transit import Transit


class Intake(Conversation):
    """A conversation in which messages are read."""

    def __init__(
        self,
        hostname: str,
        endpoint: Endpoint,
        limits: SessionLimits,
        *,
        emit: Callable[[Event], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """See `Session`."""
        super().__init__(hostname, endpoint, limits, emit=emit, loop=loop)
        self._transit: Transit | None = None
        self._message: Incoming | None = None
        self._memory = Memory(0)
        self._max_message_octets = 0
        self._data_since = self._held_since = 0.0
        self._message_came = self._account

    async def _read(self, decoder: Decoder) -> bool:
        """Read a message or chunk to its end; False when that will never come."""
        self._decoder = decoder
        self._data_since = self._heard_at = self.loop.time()
        self._backlog, self._input = bytes(self._input), bytearray()
        self._take_in()
        await self._flush()
        if self._is_reading() and not self._held_since:
            self._resume()  # commands that were read ahead had paused it
        while self._is_reading():
            if not (self._is_eof or self._is_lost or self._is_over):
                await self._hear()
                continue
            self._take_in_all()
            if self._is_reading():
                self._decoder, self._is_over = None, True
                return False
        self._data_since = self.loop.time()
        return not self._is_over  # a message that was given up has its reply

    async def _read_chunk(self, size_octets: int, sink: Callable[[bytes], None]) -> bool:
        """Read a chunk (RFC 3030 §2); False when its end will never come.

        One that is here already is taken out of what was read: to look at all of that again for
        each chunk would let a client with many small ones take far more time than it spends.
        """
        if size_octets > len(self._input):
            return await self._read(ChunkDecoder(size_octets, sink))
        octets = bytes(self._input[:size_octets])
        del self._input[:size_octets]
        sink(octets)
        self._account(size_octets)
        self._data_since = self.loop.time()
        return True

    def _is_reading(self) -> bool:
        return self._decoder is not None

    def _account(self, octets: int) -> None:
        """Octets of a message came in: are there too many of it, or of all messages together?"""
        limit, message = self._max_message_octets, self._message
        if message is None or message.is_refused:
            if self._held_since:
                self._go_on()  # it waits for nothing any more
            self._release()  # nothing of it is kept
        else:
            self._memory.take(self, octets)
        if not self._is_reading():
            return  # it has come to its end, and is answered there
        if message is not None and message.size_octets > 2 * limit > 0:
            self._give_up(say.MESSAGE_TOO_BIG, Reason.MESSAGE_SIZE)
        elif not (self._memory.has_room or (message and message.is_refused)):
            self._held_since = self.loop.time()
            self._pause()
            self._memory.wait(self, self._go_on)

    def _release(self) -> None:
        """Nothing of a message is held any more."""
        self._held_since = 0.0
        self._memory.free(self)

    def _go_on(self) -> None:
        self._held_since = 0.0
        self._data_since = self.loop.time()
        self._resume()

    def _give_up(self, reply: Reply, reason: Reason) -> None:
        """A client that sends far too much or far too slowly is told so and closed."""
        if self._is_over:
            return
        if self._transit is not None:
            self._transit.refuse(reply, reason, reply.text)
        self._say(reply)
        self._is_over = True
        self._wake()

    def sweep(self, now: float) -> None:
        """Look at the time; called now and then. Ends a session whose client is too slow."""
        super().sweep(now)
        message, limits = self._message, self._limits
        if message is None:
            return
        if not self._is_reading():
            # Between chunks (RFC 3030): NOOP is no reason to hold the octets of a message for ever.
            if self._transit is not None and now - self._data_since > limits.idle_seconds:
                self._tell_limit("idle_seconds")
                self._dismiss(say.IDLE_TOO_LONG)
        elif self._held_since:
            if now - self._held_since > limits.memory_seconds:
                message.refuse("4.3.1", "No memory for the message")
                self._release()
                self._go_on()
        elif now - self._heard_at > limits.idle_seconds:
            self._tell_limit("idle_seconds")
            self._give_up(say.IDLE_TOO_LONG, Reason.CLIENT_TOO_SLOW)
        elif self._is_too_slow(message.size_octets, now - self._data_since):
            self._give_up(say.TOO_SLOW, Reason.CLIENT_TOO_SLOW)

    def _is_too_slow(self, octets: int, seconds: float) -> bool:
        limits = self._limits
        return seconds > limits.data_grace_seconds and octets < limits.min_data_rate * seconds
