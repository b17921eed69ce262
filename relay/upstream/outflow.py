"""Back-pressure: how much of a message waits in a transport, and who waits for it to go. IO.

With one more run of octets (`wire.runs`) on top, at most 256 KiB wait in a transport.
"""

from __future__ import annotations

import asyncio

from relay.upstream.wire import WRITE_OCTETS

HIGH_WATER_OCTETS = 2 * WRITE_OCTETS
LOW_WATER_OCTETS = WRITE_OCTETS


class Outflow:
    """What leaves by one transport.

    Args:
        transport: its limits are set here.
        loop: the event loop that it lives on.

    Attributes:
        is_paused: whether it holds more than `HIGH_WATER_OCTETS`, and not yet less than
            `LOW_WATER_OCTETS` again.
    """

    __slots__ = ("_left", "_loop", "_transport", "_woken", "is_paused")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._left = 0
        self._woken: asyncio.Future[None] | None = None
        self.is_paused = False
        transport.set_write_buffer_limits(high=HIGH_WATER_OCTETS, low=LOW_WATER_OCTETS)

    async def drain(self) -> None:
        """Return when more may be written, or `wake` says that waiting is pointless.

        Always lets the loop run once, so that a reply in the middle of the message is seen
        before the next write fails on a connection that the server has closed behind it.
        """
        if not self.is_paused:
            await asyncio.sleep(0)
            return
        self._left = self._transport.get_write_buffer_size()
        self._woken = self._loop.create_future()
        try:
            await self._woken
        finally:
            self._woken = None

    @property
    def is_awaited(self) -> bool:
        """Whether somebody is in `drain`."""
        return self._woken is not None

    def has_moved(self) -> bool:
        """Whether the peer has taken any octet since this was asked last, or `drain` began."""
        before, self._left = self._left, self._transport.get_write_buffer_size()
        return self._left < before

    def wake(self) -> None:
        """Let `drain` return."""
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)
