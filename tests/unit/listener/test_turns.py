"""A client that sends a lot gives way to others, and is read on from afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from relay.listener.connection import Connection
from relay.listener.endpoint import PLAIN

BLOCK = bytes(64 * 1024)


class Wire(asyncio.Transport):
    """A transport that tells whether it is read from."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.is_read = True
        self.has_paused = False

    def pause_reading(self) -> None:
        """Read no more for now."""
        self.is_read, self.has_paused = False, True

    def resume_reading(self) -> None:
        """Read on."""
        self.is_read = True

    def is_closing(self) -> bool:
        """There is nothing to be closed behind it."""
        return True


class Sink:
    """A message without an end.

    Attributes:
        then: done with each block.
    """

    def __init__(self) -> None:
        self.then: Callable[[], Any] = lambda: None

    def feed(self, data: bytes) -> bytes | None:
        """Take a block."""
        self.then()
        return None


class Reading(Connection):
    """A connection on which a message comes in."""

    def __init__(self) -> None:
        super().__init__("relay.example", PLAIN, loop=asyncio.get_running_loop())
        self.wire = Wire()
        self.sink = self._decoder = Sink()
        self.connection_made(self.wire)

    async def _handle_client(self) -> None:
        """Nothing is said."""

    def hold_back(self) -> None:
        """As for want of memory."""
        self._pause()

    def go_on(self) -> None:
        """There is memory again."""
        self._resume()


async def turn() -> None:
    """What was to be done in the next turn of the event loop is done."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_after_so_much_it_is_the_turn_of_others() -> None:
    """Reading pauses within a long message, and goes on in the next turn, again and again."""
    reading = Reading()
    for _ in range(3):
        reading.wire.has_paused = False
        reading.data_received(BLOCK)
        assert not reading.wire.has_paused
        reading.data_received(BLOCK)
        assert not reading.wire.is_read
        await turn()
        assert reading.wire.is_read


@pytest.mark.parametrize("is_early", [True, False])
async def test_held_back_meanwhile(is_early: bool) -> None:
    """Nothing is read for want of memory until there is some, whichever comes first."""
    reading = Reading()
    reading.sink.then = reading.hold_back
    reading.data_received(BLOCK + BLOCK)
    if is_early:
        reading.go_on()
        assert not reading.wire.is_read
        await turn()
    else:
        await turn()
        assert not reading.wire.is_read
        reading.go_on()
    assert reading.wire.is_read


async def test_gone_meanwhile() -> None:
    """A connection that is lost is left alone."""
    reading = Reading()
    reading.data_received(BLOCK + BLOCK)
    reading.connection_lost(None)
    await turn()
    assert not reading.wire.is_read


async def test_connections_have_nothing_in_common_that_changes() -> None:
    """What aiosmtpd's constructor makes is made once; readers, sessions, envelopes are each's."""
    one, other = Reading(), Reading()
    own = (
        "session",
        "envelope",
        "_strong_reader",
        "_stream_writer",
        "_input",
        "_output",
        "_reader",
    )
    for name in own:
        mine, its = vars(one).get(name), vars(other).get(name)
        assert mine is not its or mine is None, name
