"""The connection by itself, on a transport that is a list of writes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from relay.core.capabilities import parse_capabilities
from relay.core.reply import Reply
from relay.upstream.command import Command
from relay.upstream.outflow import HIGH_WATER_OCTETS
from relay.upstream.protocol import READ_OCTETS, Connection


class ListTransport(asyncio.Transport):
    """Keeps what is written; the test plays the server."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.unsent_octets = 0
        self.is_aborted = False
        self.is_closed = False
        self.limits: tuple[int | None, int | None] = (None, None)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep one write."""
        self.writes.append(bytes(data))

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Keep the limits."""
        self.limits = (high, low)

    def get_write_buffer_size(self) -> int:
        """What the test says."""
        return self.unsent_octets

    def abort(self) -> None:
        """Note it."""
        self.is_aborted = True

    def close(self) -> None:
        """Note it."""
        self.is_closed = True


class Listener:
    """An occupant that notes what it hears."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.failures: list[str] = []
        self.causes: list[Exception | None] = []

    def connection_failed(self, why: str, cause: Exception | None) -> None:
        """Note the failure."""
        self.failures.append(why)
        self.causes.append(cause)

    def command(self, line: bytes, seconds: float = 10, *, is_data: bool = False) -> Command:
        """A command whose reply is noted."""
        return Command(line + b"\r\n", self.replies.append, seconds, is_data)


class Bench:
    """A connection, its transport and its occupant."""

    def __init__(self, *extensions: bytes) -> None:
        self.transport = ListTransport()
        self.listener = Listener()
        self.closed: list[Connection] = []
        self.connection = Connection(
            self.transport,
            parse_capabilities(extensions),
            security="clear",
            on_closed=self.closed.append,
        )
        self.connection.occupant = self.listener

    @property
    def now(self) -> float:
        """The loop's clock."""
        return asyncio.get_running_loop().time()


def make_pipelining() -> Bench:
    """A connection to a hop that offers PIPELINING."""
    return Bench(b"PIPELINING")


async def test_commands_go_out_in_one_write_with_pipelining() -> None:
    """RFC 2920: MAIL and RCPT travel together, replies come in order."""
    bench = make_pipelining()
    bench.connection.command(bench.listener.command(b"MAIL"), bench.listener.command(b"RCPT"))
    bench.connection.command(bench.listener.command(b"RCPT 2"))
    assert bench.transport.writes == [b"MAIL\r\nRCPT\r\n", b"RCPT 2\r\n"]
    bench.connection.received(b"250 a\r\n550 b\r\n25")
    bench.connection.received(b"0 c\r\n")
    assert [reply.code for reply in bench.listener.replies] == [250, 550, 250]
    assert not bench.connection.failure


async def test_commands_wait_for_their_turn_without_pipelining() -> None:
    """Each command goes out when the one before it is answered."""
    bench = Bench()
    bench.connection.command(bench.listener.command(b"MAIL"), bench.listener.command(b"RCPT"))
    bench.connection.command(bench.listener.command(b"RCPT 2"))
    assert bench.transport.writes == [b"MAIL\r\n"]
    bench.connection.received(b"250 a\r\n")
    assert bench.transport.writes == [b"MAIL\r\n", b"RCPT\r\n"]
    bench.connection.received(b"250 b\r\n")
    bench.connection.received(b"250 c\r\n")
    assert bench.transport.writes == [b"MAIL\r\n", b"RCPT\r\n", b"RCPT 2\r\n"]
    assert len(bench.listener.replies) == 3


async def test_commands_given_from_within_a_reply_are_written_once() -> None:
    """A callback that asks the next thing does not upset the order."""
    bench = Bench()

    def then_data(_reply: Reply) -> None:
        bench.connection.command(bench.listener.command(b"DATA", is_data=True))

    bench.connection.command(Command(b"RCPT\r\n", then_data, 10))
    bench.connection.received(b"250 a\r\n")
    assert bench.transport.writes == [b"RCPT\r\n", b"DATA\r\n"]
    bench.connection.received(b"354 b\r\n")
    assert [reply.code for reply in bench.listener.replies] == [354]


async def test_unsent_commands_can_be_dropped() -> None:
    """What was not written needs no reply."""
    bench = Bench()
    bench.connection.command(bench.listener.command(b"MAIL"), bench.listener.command(b"RCPT"))
    bench.connection.drop_unsent()
    bench.connection.received(b"550 no\r\n")
    assert bench.transport.writes == [b"MAIL\r\n"]
    bench.connection.command(bench.listener.command(b"RSET"))
    assert bench.transport.writes == [b"MAIL\r\n", b"RSET\r\n"]


@pytest.mark.parametrize(
    "octets",
    [
        b"250 nobody asked\r\n",
        b"2",
        b"\r\n",
        b"421 4.4.2 Timeout\r\n",
        b"\x00",
    ],
)
async def test_octets_that_nobody_asked_for_end_the_connection(octets: bytes) -> None:
    """They would answer the next command; even a part of a reply would."""
    bench = make_pipelining()
    bench.connection.received(octets)
    assert bench.transport.is_aborted
    assert len(bench.listener.failures) == 1


@pytest.mark.parametrize("surplus", [b"250 twice\r\n", b"250-more", b"x", b"\r\n", b"junk\r\n"])
async def test_a_reply_with_something_behind_it_counts_and_ends_the_connection(
    surplus: bytes,
) -> None:
    """The first reply is the answer; the connection is not used again."""
    bench = make_pipelining()
    bench.connection.command(bench.listener.command(b"NOOP"))
    bench.connection.received(b"250 once\r\n" + surplus)
    assert [reply.code for reply in bench.listener.replies] == [250]
    assert bench.transport.is_aborted
    assert bench.connection.failure


@pytest.mark.parametrize(
    "octets",
    [
        b"hello\r\n",
        b"250 bare lf\n250 x\r\n",
        b"250-a\r\n550 b\r\n",
        b"999 x\r\n",
        b"250 " + b"x" * 5000,
        b"250-x\r\n" * 300,
    ],
)
async def test_what_is_not_a_reply_ends_the_connection(octets: bytes) -> None:
    """The failure names what was wrong, and carries the syntax error as its cause."""
    bench = make_pipelining()
    bench.connection.command(bench.listener.command(b"NOOP"))
    bench.connection.received(octets)
    assert bench.transport.is_aborted
    assert not bench.listener.replies
    assert "not a reply" in bench.listener.failures[0]
    assert bench.listener.causes[0] is not None


@pytest.mark.parametrize(
    ("is_data", "code"), [(False, 354), (False, 334), (True, 250), (True, 251)]
)
async def test_a_reply_of_the_wrong_kind_ends_the_connection(is_data: bool, code: int) -> None:
    """RFC 5321 §4.3.2: 354 answers DATA and nothing else; 250 to DATA is no acceptance."""
    bench = make_pipelining()
    bench.connection.command(bench.listener.command(b"XXXX", is_data=is_data))
    bench.connection.received(b"%d x\r\n" % code)
    assert not bench.listener.replies
    assert f"answered XXXX with {code}" in bench.listener.failures[0]


async def test_replies_may_come_in_single_octets() -> None:
    """A multi-line reply is one reply, however it is cut."""
    bench = make_pipelining()
    bench.connection.command(bench.listener.command(b"MAIL"))
    for octet in b"250-2.1.0 one\r\n250 two\r\n":
        bench.connection.received(bytes([octet]))
    assert bench.listener.replies == [Reply(250, (b"2.1.0 one", b"two"))]
    assert not bench.connection.failure


async def test_octets_come_through_a_buffer_of_its_own() -> None:
    """Small, used again for each read, and long replies take several."""
    bench = make_pipelining()
    long_reply = b"250-" + b"x" * 3000 + b"\r\n250-" + b"y" * 3000 + b"\r\n250 z\r\n"
    for octets in (b"250 first\r\n", long_reply, b"550 last\r\n"):
        bench.connection.command(bench.listener.command(b"MAIL"))
        while octets:
            buffer = bench.connection.get_buffer(-1)
            count = min(len(buffer), len(octets))
            buffer[:count] = octets[:count]
            bench.connection.buffer_updated(count)
            octets = octets[count:]
    assert [reply.wire() for reply in bench.listener.replies] == [
        b"250 first\r\n",
        long_reply,
        b"550 last\r\n",
    ]
    assert len(bench.connection.get_buffer(-1)) == READ_OCTETS < len(long_reply)
    assert not bench.connection.failure


async def test_all_replies_before_garbage_count() -> None:
    """One read with two answers and something that is none: three commands were asked."""
    bench = make_pipelining()
    bench.connection.command(*(bench.listener.command(b"RCPT") for _ in range(3)))
    bench.connection.received(b"250 a\r\n550-b\r\n550 b\r\nwhat?\r\n250 c\r\n")
    assert bench.listener.replies == [Reply(250, (b"a",)), Reply(550, (b"b", b"b"))]
    assert "not a reply" in bench.listener.failures[0]
    assert bench.transport.is_aborted


async def test_421_is_passed_on_and_ends_the_connection() -> None:
    """RFC 5321 §3.8: to whatever it answers."""
    bench = make_pipelining()
    bench.connection.command(bench.listener.command(b"MAIL"), bench.listener.command(b"RCPT"))
    bench.connection.received(b"421 4.3.2 Going down\r\n250 late\r\n")
    assert [reply.code for reply in bench.listener.replies] == [421]
    assert bench.transport.is_aborted
    assert "Going down" in bench.listener.failures[0]


@pytest.mark.parametrize(
    "end",
    [
        lambda connection: connection.eof_received(),
        lambda connection: connection.connection_lost(None),
        lambda connection: connection.connection_lost(ConnectionResetError("reset")),
    ],
)
async def test_the_occupant_hears_of_the_end_once(end: Callable[[Connection], None]) -> None:
    """Whatever ends it, and nothing is written or answered after it."""
    bench = make_pipelining()
    bench.connection.command(bench.listener.command(b"MAIL"))
    end(bench.connection)
    bench.connection.connection_lost(None)
    bench.connection.received(b"250 late\r\n")
    bench.connection.command(bench.listener.command(b"RCPT"))
    assert len(bench.listener.failures) == 1
    assert bench.transport.writes == [b"MAIL\r\n"]
    assert not bench.listener.replies


async def test_nothing_is_flushed_to_a_server_that_has_closed() -> None:
    """It answers no more; a polite close would wait until it has read what is left."""
    bench = make_pipelining()
    bench.connection.eof_received()
    assert bench.transport.is_aborted


async def test_the_pool_hears_when_the_transport_is_gone() -> None:
    """Not at the failure, but when the connection no longer exists."""
    bench = make_pipelining()
    bench.connection.abort("enough")
    assert bench.closed == []
    bench.connection.connection_lost(None)
    assert bench.closed == [bench.connection]
    assert bench.connection.failure == "enough"


async def test_each_reply_has_its_own_time() -> None:
    """RFC 5321 §4.5.3.2: the next reply's time begins when it is its turn."""
    bench = make_pipelining()
    bench.connection.command(
        bench.listener.command(b"MAIL", 100), bench.listener.command(b"RCPT", 1000)
    )
    bench.connection.check(bench.now + 99)
    assert not bench.connection.failure
    bench.connection.received(b"250 ok\r\n")
    bench.connection.check(bench.now + 999)
    assert not bench.connection.failure
    bench.connection.check(bench.now + 1001)
    assert bench.listener.failures == ["no reply to RCPT within 1000 s"]
    assert bench.transport.is_aborted


async def test_nothing_is_timed_while_nothing_is_asked() -> None:
    """How long a client takes between its commands is the listener's affair."""
    bench = make_pipelining()
    bench.connection.command(bench.listener.command(b"MAIL"))
    bench.connection.received(b"250 ok\r\n")
    bench.connection.check(bench.now + 1e9)
    assert not bench.connection.failure


async def test_the_transport_never_holds_much() -> None:
    """The limits of the write buffer are ours, not the transport's default."""
    bench = make_pipelining()
    assert bench.transport.limits[0] == HIGH_WATER_OCTETS == 128 * 1024


async def test_draining_waits_for_the_transport() -> None:
    """And goes on when it may write again."""
    bench = make_pipelining()
    await bench.connection.drain(10)  # nothing is held: returns
    bench.connection.pause_writing()
    draining = asyncio.ensure_future(bench.connection.drain(10))
    await asyncio.sleep(0)
    assert not draining.done()
    bench.connection.resume_writing()
    await draining


@pytest.mark.parametrize("event", ["reply", "failure"])
async def test_draining_ends_when_it_is_pointless(event: str) -> None:
    """An early reply or a lost connection wakes the writer."""
    bench = make_pipelining()
    bench.connection.expect(bench.listener.replies.append)
    bench.connection.pause_writing()
    draining = asyncio.ensure_future(bench.connection.drain(10))
    await asyncio.sleep(0)
    if event == "reply":
        bench.connection.received(b"552 too big\r\n")
    else:
        bench.connection.connection_lost(None)
    await draining


async def test_a_reply_in_single_octets_does_not_end_the_draining() -> None:
    """A server that says it so, and reads nothing, gets no further octets, and no more time."""
    bench = make_pipelining()
    bench.connection.expect(bench.listener.replies.append)
    bench.connection.pause_writing()
    bench.transport.unsent_octets = HIGH_WATER_OCTETS
    draining = asyncio.ensure_future(bench.connection.drain(10))
    for octet in b"452 4.3.1 Ful":
        await asyncio.sleep(0)
        bench.connection.received(bytes([octet]))
        assert not draining.done()
    bench.connection.check(bench.now + 11)
    await draining
    assert bench.listener.failures == ["no octet of the message was taken within 10 s"]


async def test_a_slow_peer_is_not_a_dead_one() -> None:
    """RFC 5321 §4.5.3.2.5: the time begins anew with every octet that is taken."""
    bench = make_pipelining()
    bench.connection.expect(bench.listener.replies.append)
    bench.connection.pause_writing()
    bench.transport.unsent_octets = 100_000
    draining = asyncio.ensure_future(bench.connection.drain(180))
    await asyncio.sleep(0)
    bench.transport.unsent_octets = 99_999
    bench.connection.check(bench.now + 181)
    assert not bench.connection.failure
    bench.connection.check(bench.now + 1000)
    assert bench.listener.failures == ["no octet of the message was taken within 180 s"]
    await draining


async def test_quit_closes_when_it_is_answered_or_too_late() -> None:
    """Politely at first, by force in the end."""
    bench = make_pipelining()
    bench.connection.quit(5)
    assert bench.transport.writes == [b"QUIT\r\n"]
    bench.connection.received(b"221 bye\r\n")
    assert bench.transport.is_closed
    assert not bench.transport.is_aborted
    bench.connection.check(bench.now + 6)
    assert bench.transport.is_aborted


async def test_quit_without_an_answer_is_cut_off() -> None:
    """The reply to QUIT is not worth waiting for."""
    bench = make_pipelining()
    bench.connection.quit(5)
    bench.connection.check(bench.now + 6)
    assert bench.transport.is_aborted
    assert bench.connection.failure == "no reply to QUIT within 5 s"


async def test_a_reply_never_answers_what_it_makes_us_ask() -> None:
    """Two replies in one read, when only one command was written: the next one is not answered."""
    bench = Bench()
    bench.connection.command(bench.listener.command(b"MAIL"), bench.listener.command(b"RCPT"))
    bench.connection.received(b"250 mail\r\n250 and again\r\n")
    assert [reply.text for reply in bench.listener.replies] == ["mail"]
    assert "nobody asked for: 250 and again" in bench.listener.failures[0]
    assert bench.transport.is_aborted


@pytest.mark.parametrize("surplus", [b"250 2.0.0 queued\r\n", b"250 2.0", b"junk\r\n"])
async def test_no_message_for_a_server_that_answered_it_already(surplus: bytes) -> None:
    """What stands behind 354 in one read came before the message, and is no reply to it."""
    bench = make_pipelining()
    bench.connection.command(bench.listener.command(b"DATA", is_data=True))
    bench.connection.received(b"354 go\r\n" + surplus)
    assert bench.listener.replies == []
    assert len(bench.listener.failures) == 1
    assert bench.transport.is_aborted


async def test_a_late_answer_to_noop_does_not_end_the_patience_for_the_message() -> None:
    """BDAT goes out while the NOOP of a slow client is unanswered: its time is kept."""
    bench = make_pipelining()
    bench.connection.command(bench.listener.command(b"NOOP", 30))
    bench.connection.expect(bench.listener.replies.append)
    bench.connection.write(b"BDAT 2 LAST\r\n\r\n")
    bench.connection.arm(600)
    bench.connection.received(b"250 noop\r\n")
    bench.connection.check(bench.now + 599)
    assert not bench.connection.failure
    bench.connection.check(bench.now + 601)
    assert bench.listener.failures == ["no reply to the message within 600 s"]
