"""Large messages: octets, back-pressure, early replies, loss on the way."""

from __future__ import annotations

import asyncio

import pytest

from relay.core.errors import Reason, Rejection
from relay.upstream.events import Happened, UpstreamEvent
from relay.upstream.protocol import Connection
from relay.upstream.settings import Timeouts
from tests.fakes.pools import BODY, HEADER, LINE, accepted_transaction, pool_to, relay
from tests.fakes.smarthost import ALL_EXTENSIONS, EXTENSIONS, Fault, Smarthost, reply

both_verbs = pytest.mark.parametrize(
    "extensions", [ALL_EXTENSIONS, EXTENSIONS], ids=["BDAT", "DATA"]
)
BIG = (b".dots at the beginning of a line are doubled\r\n" + LINE) * 24_000  # about 3 MB
SMALL_BUFFER_OCTETS = 4096


@both_verbs
@pytest.mark.parametrize("block_octets", [1000, 65_536, 1_000_001, len(BIG)])
async def test_a_large_message_arrives_as_it_is(
    extensions: tuple[str, ...], block_octets: int
) -> None:
    """Whatever the size of the blocks it is given in."""
    blocks = [BIG[i : i + block_octets] for i in range(0, len(BIG), block_octets)]
    async with Smarthost(extensions=extensions) as host, pool_to(host) as pool:
        transaction = await accepted_transaction(pool)
        assert (await transaction.send(HEADER, blocks)).code == 250
        [received] = host.received
        assert received.octets == HEADER + b"\r\n" + BIG
        assert (await relay(pool)).code == 250
        assert len(host.sessions) == 1


@both_verbs
async def test_a_peer_that_stops_reading_costs_bounded_memory_and_time(
    extensions: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never more than 256 KiB wait in the transport; without any progress it is the end."""
    waiting: list[int] = []
    write = Connection.write

    def measured(self: Connection, octets: bytes | memoryview) -> None:
        write(self, octets)
        waiting.append(self._transport.get_write_buffer_size())

    monkeypatch.setattr(Connection, "write", measured)
    async with (
        Smarthost(extensions=extensions, receive_buffer_octets=SMALL_BUFFER_OCTETS) as host,
        pool_to(host, timeouts=Timeouts(block_seconds=0.2)) as pool,
    ):
        host.on("body", Fault.STALL)
        transaction = await accepted_transaction(pool)
        with pytest.raises(Rejection) as caught:
            await transaction.send(HEADER, [BIG * 6])
        assert caught.value.reason is Reason.UPSTREAM_LOST
        assert "no octet of the message was taken within 0.2 s" in caught.value.detail
        assert 128 * 1024 < max(waiting) <= 256 * 1024
        assert pool.snapshot().idle == 0


@both_verbs
@pytest.mark.parametrize("answer", ["552 5.3.4 Too big", "451 4.3.0 Stop"])
async def test_a_refusal_in_the_middle_of_the_message_is_passed_on(
    extensions: tuple[str, ...], answer: str
) -> None:
    """The rest is not sent, the connection is closed."""
    gone = asyncio.Event()

    def emit(event: UpstreamEvent) -> None:
        if event.happened is Happened.CLOSED and "middle of the message" in event.detail:
            gone.set()

    async with (
        Smarthost(extensions=extensions, receive_buffer_octets=SMALL_BUFFER_OCTETS) as host,
        pool_to(host, emit=emit) as pool,
    ):
        host.on("body", reply(answer), Fault.STALL, after=10_000)
        transaction = await accepted_transaction(pool)
        assert str(await transaction.send(HEADER, [BIG * 6])) == answer
        async with asyncio.timeout(5):
            await gone.wait()
        assert pool.snapshot().idle == pool.snapshot().busy == 0
        assert host.received == []


@both_verbs
async def test_an_acceptance_in_the_middle_of_the_message_is_none(
    extensions: tuple[str, ...],
) -> None:
    """250 for what was not sent would be a lost message."""
    async with (
        Smarthost(extensions=extensions, receive_buffer_octets=SMALL_BUFFER_OCTETS) as host,
        pool_to(host) as pool,
    ):
        host.on("body", reply("250 2.0.0 Thanks, enough"), Fault.STALL, after=10_000)
        transaction = await accepted_transaction(pool)
        with pytest.raises(Rejection) as caught:
            await transaction.send(HEADER, [BIG * 6])
        assert caught.value.reason is Reason.UPSTREAM_LOST
        assert "in the middle of the message" in caught.value.detail


@both_verbs
@pytest.mark.parametrize("fault", [Fault.CLOSE, Fault.RESET])
async def test_lost_in_the_middle_is_lost(extensions: tuple[str, ...], fault: Fault) -> None:
    """The end of the message was not written: the hop cannot have it."""
    async with (
        Smarthost(extensions=extensions, receive_buffer_octets=SMALL_BUFFER_OCTETS) as host,
        pool_to(host) as pool,
    ):
        host.on("body", fault, after=10_000)
        transaction = await accepted_transaction(pool)
        with pytest.raises(Rejection) as caught:
            await transaction.send(HEADER, [BIG * 6])
        assert caught.value.reason is Reason.UPSTREAM_LOST
        assert (caught.value.reply.code, caught.value.reply.enhanced) == (451, "4.4.2")
        assert host.received == []


@both_verbs
async def test_cancelled_in_the_middle_closes_the_connection(extensions: tuple[str, ...]) -> None:
    """What was sent so far is no message to the hop."""
    async with (
        Smarthost(extensions=extensions, receive_buffer_octets=SMALL_BUFFER_OCTETS) as host,
        pool_to(host) as pool,
    ):
        host.on("body", Fault.STALL, after=10_000)
        transaction = await accepted_transaction(pool)
        sending = asyncio.ensure_future(transaction.send(HEADER, [BIG * 6]))
        await host.until(lambda: host.sessions[0].verbs[-1] in ("DATA", "BDAT"))
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert host.received == []
        assert (await relay(pool, HEADER, BODY)).code == 250
        assert host.received[0].session == 2


async def test_the_loop_goes_on_while_a_large_message_is_written() -> None:
    """Others are served between two runs of octets, also when the peer takes all at once."""
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with Smarthost(extensions=ALL_EXTENSIONS) as host, pool_to(host) as pool:
        transaction = await accepted_transaction(pool)
        other = asyncio.ensure_future(others())
        await transaction.send(HEADER, [BIG])
        other.cancel()
        assert turns >= len(BIG) // 65_536
