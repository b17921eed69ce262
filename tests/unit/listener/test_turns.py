"""A client that sends a lot gives way to others, and is read on from afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from relay.listener.connection import Connection
from relay.listener.endpoint import PLAIN

TURN_OCTETS = 64 * 1024
BLOCK = bytes(TURN_OCTETS // 2)


class Wire(asyncio.Transport):
    """A transport that tells whether it is read from."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.is_read = True
        self.has_paused = False
        self.was_aborted = False

    def abort(self) -> None:
        """Close at once."""
        self.was_aborted = True

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
    """A message that ends with a full stop.

    Attributes:
        then: done with each block.
        taken: the sizes of the blocks.
    """

    def __init__(self) -> None:
        self.then: Callable[[], Any] = lambda: None
        self.taken: list[int] = []

    def feed(self, data: bytes) -> bytes | None:
        """Take a block."""
        message, end, rest = data.partition(b".")
        self.taken.append(len(message))
        self.then()
        return rest if end else None


class Reading(Connection):
    """A connection on which a message comes in."""

    def __init__(self) -> None:
        super().__init__("relay.example", PLAIN, loop=asyncio.get_running_loop())
        self.wire = Wire()
        self.sink = self._decoder = Sink()
        self.connection_made(self.wire)

    async def _handle_client(self) -> None:
        """Nothing is said."""

    def commands(self) -> bytes:
        """What came behind the message."""
        return bytes(self._input)

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


async def test_more_than_a_turn_takes_several() -> None:
    """What came at once is taken in parts, and read on behind it; commands behind it are kept."""
    reading = Reading()
    reading.data_received(2 * BLOCK + 2 * BLOCK + b"x.NOOP")
    assert reading.sink.taken == [TURN_OCTETS]
    assert reading.wire.has_paused
    reading.data_received(b"\r\nQU")  # TLS has more at hand than it was asked for
    assert reading.sink.taken == [TURN_OCTETS]
    assert not reading.commands()
    for _ in range(2):
        await turn()
    assert reading.sink.taken == [TURN_OCTETS, TURN_OCTETS, 1]
    assert reading.commands() == b"NOOP\r\nQU"
    assert reading.wire.is_read
    reading.data_received(b"IT\r\n")
    assert reading.commands() == b"NOOP\r\nQUIT\r\n"


async def test_what_is_at_hand_is_taken_while_held_back() -> None:
    """It is in memory already; only more of it has to wait."""
    reading = Reading()
    reading.sink.then = reading.hold_back
    reading.data_received(6 * BLOCK)
    for _ in range(2):
        await turn()
    assert reading.sink.taken == [TURN_OCTETS] * 3
    assert not reading.wire.is_read
    reading.go_on()
    assert reading.wire.is_read


async def test_a_fault_in_a_later_turn_ends_the_connection() -> None:
    """As one in the first does, by the transport; else it would stand there, read by nobody."""
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, fault: told.append(fault))
    reading = Reading()
    reading.data_received(4 * BLOCK)
    reading.sink.then = lambda: 1 // 0
    await turn()
    assert reading.wire.was_aborted
    assert len(told) == 1


@pytest.mark.parametrize("is_lost", [True, False])
async def test_what_came_before_the_end_counts(is_lost: bool) -> None:
    """A client that has said all and leaves at once has said all."""
    reading = Reading()
    reading.data_received(6 * BLOCK + b".QUIT\r\n")
    if is_lost:
        reading.connection_lost(None)
    else:
        reading.eof_received()
    assert reading.sink.taken == [TURN_OCTETS] * 3 + [0]
    assert reading.commands() == b"QUIT\r\n"


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
