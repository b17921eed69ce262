"""Who gets which connection, and what becomes of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest

from relay.core.errors import Reason, Rejection
from relay.upstream.connect import Opener
from relay.upstream.events import Happened, UpstreamEvent
from relay.upstream.pool import Pool
from relay.upstream.protocol import Connection
from relay.upstream.settings import Timeouts
from tests.fakes.pools import (
    BODY,
    HEADER,
    MESSAGE,
    accepted_transaction,
    mail_from,
    pool_to,
    rcpt_to,
    relay,
    upstream,
)
from tests.fakes.processes import free_port
from tests.fakes.smarthost import ALL_EXTENSIONS, Fault, Smarthost, reply


async def test_connections_are_reused() -> None:
    """One after the other: one connection, one EHLO."""
    async with Smarthost() as host, pool_to(host) as pool:
        for _ in range(5):
            await relay(pool)
        [session] = host.sessions
        assert Counter(session.verbs) == {"EHLO": 1, "MAIL": 5, "RCPT": 5, "DATA": 5}


async def test_transactions_at_the_same_time_have_connections_of_their_own() -> None:
    """And the snapshot counts them."""
    async with Smarthost() as host, pool_to(host) as pool:
        transactions = [await accepted_transaction(pool) for _ in range(3)]
        assert (pool.snapshot().busy, pool.snapshot().idle) == (3, 0)
        await asyncio.gather(*(t.send(HEADER, [BODY]) for t in transactions))
        assert (pool.snapshot().busy, pool.snapshot().idle) == (0, 3)
        assert {received.session for received in host.received} == {1, 2, 3}


async def test_the_connection_used_last_is_used_next() -> None:
    """So that the others grow old and are closed."""
    async with Smarthost() as host, pool_to(host) as pool:
        first, second = [await accepted_transaction(pool) for _ in range(2)]
        await second.send(HEADER, [BODY])
        await first.send(HEADER, [BODY])
        await relay(pool)
        assert host.received[-1].session == 1


async def test_waiters_are_served_in_order() -> None:
    """A busy pool hands a connection to the one who waits longest."""
    async with Smarthost() as host, pool_to(host, max_connections=1) as pool:
        order: list[int] = []

        async def send(number: int) -> None:
            await relay(pool, HEADER, b"%d\r\n" % number)
            order.append(number)

        first = await accepted_transaction(pool)
        waiting = [asyncio.ensure_future(send(number)) for number in range(10)]
        await asyncio.sleep(0)
        assert pool.snapshot().waiting == 10
        await first.send(HEADER, [BODY])
        await asyncio.gather(*waiting)
        assert order == list(range(10))
        assert len(host.sessions) == 1


async def test_waiting_has_an_end() -> None:
    """451 4.3.2 after `acquire_seconds`, and the queue is empty again."""
    async with Smarthost() as host, pool_to(host, max_connections=1, acquire_seconds=0.05) as pool:
        transaction = await accepted_transaction(pool)
        with pytest.raises(Rejection) as caught:
            await pool.begin(mail_from())
        assert (caught.value.reply.code, caught.value.reply.enhanced) == (451, "4.3.2")
        assert caught.value.reason is Reason.UPSTREAM_UNAVAILABLE
        assert "all 1 connections" in caught.value.detail
        assert pool.snapshot().waiting == 0
        await transaction.abandon()
        await relay(pool)


async def test_a_waiter_that_leaves_does_not_take_a_connection_with_it() -> None:
    """Cancelled while waiting, or in the very moment of being served."""
    async with Smarthost() as host, pool_to(host, max_connections=1) as pool:
        transaction = await accepted_transaction(pool)
        gone, served_and_gone, last = [
            asyncio.ensure_future(pool.begin(mail_from())) for _ in range(3)
        ]
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait([gone])
        await transaction.send(HEADER, [BODY])  # hands over; the waiter has not run yet
        served_and_gone.cancel()
        await asyncio.wait([served_and_gone])
        assert gone.cancelled()
        assert served_and_gone.cancelled()
        await (await last).abandon()
        assert pool.snapshot().waiting == pool.snapshot().opening == 0
        assert (await relay(pool)).code == 250
        assert len(host.sessions) == 1


async def test_a_place_that_becomes_free_goes_to_the_first_waiter() -> None:
    """A connection that is lost makes room for a new one."""
    async with Smarthost() as host, pool_to(host, max_connections=1) as pool:
        host.on("dot", Fault.CLOSE, session=1)
        transaction = await accepted_transaction(pool)
        waiting = asyncio.ensure_future(relay(pool))
        await asyncio.sleep(0)
        with pytest.raises(Rejection):
            await transaction.send(HEADER, [BODY])
        assert (await waiting).code == 250
        assert host.accepted[-1].session == 2


async def test_a_failed_opening_lets_the_next_one_try() -> None:
    """Each waiter hears of its own attempt; nobody is forgotten in the queue."""
    async with pool_to(free_port(), max_connections=1) as pool:
        results = await asyncio.gather(
            *(pool.begin(mail_from()) for _ in range(4)), return_exceptions=True
        )
        enhanced = [r.reply.enhanced for r in results if isinstance(r, Rejection)]
        assert enhanced == ["4.4.1"] * 4
        assert (pool.snapshot().opening, pool.snapshot().waiting) == (0, 0)


async def test_a_connection_is_closed_after_its_messages() -> None:
    """Politely, with QUIT; some servers want one message each."""
    async with Smarthost() as host, pool_to(host, max_messages_per_connection=2) as pool:
        for _ in range(5):
            await relay(pool)
        await host.until(lambda: host.open_sessions == 1)
        assert [session.verbs.count("MAIL") for session in host.sessions] == [2, 2, 1]
        assert host.sessions[0].verbs[-1] == "QUIT"


async def test_idle_connections_are_closed() -> None:
    """After `idle_seconds`, with QUIT."""
    async with Smarthost() as host, pool_to(host, idle_seconds=0.05) as pool:
        await relay(pool)
        await host.until(lambda: host.open_sessions == 0)
        assert host.sessions[0].verbs[-1] == "QUIT"
        await relay(pool)
        assert len(host.sessions) == 2


async def test_a_server_that_ignores_quit_is_cut_off() -> None:
    """After `quit_seconds` the connection is gone all the same."""
    patience = Timeouts(quit_seconds=0.05)
    async with Smarthost() as host, pool_to(host, idle_seconds=0.05, timeouts=patience) as pool:
        host.on("quit", Fault.BLACK_HOLE)
        await relay(pool)
        await host.until(lambda: host.open_sessions == 0)


@pytest.mark.parametrize("fault", [Fault.CLOSE, Fault.RESET])
async def test_a_connection_that_the_server_closed_is_not_used(fault: Fault) -> None:
    """It leaves the pool as soon as the loop hears of it."""
    events: list[UpstreamEvent] = []
    gone = asyncio.Event()

    def emit(event: UpstreamEvent) -> None:
        events.append(event)
        if event.happened is Happened.CLOSED:
            gone.set()

    async with Smarthost() as host, pool_to(host, emit=emit) as pool:
        host.on("dot", reply("250 ok"), fault, session=1)
        await relay(pool)
        await gone.wait()
        assert pool.snapshot().idle == 0
        assert (await relay(pool)).code == 250
        assert Happened.REPLAYED not in [event.happened for event in events]


@pytest.mark.parametrize("surplus", ["250 2.0.0 Again", "421 4.4.2 Idle for too long"])
async def test_an_idle_connection_that_speaks_is_not_used(surplus: str) -> None:
    """Whatever the server says while nobody asked, it would answer the next command."""
    gone = asyncio.Event()

    def emit(event: UpstreamEvent) -> None:
        if event.happened is Happened.CLOSED:
            gone.set()

    async with Smarthost() as host, pool_to(host, emit=emit) as pool:
        host.on("dot", reply("250 ok"), reply(surplus), session=1)
        await relay(pool)
        await gone.wait()
        await relay(pool)
        assert [received.session for received in host.accepted] == [1, 2]


@pytest.mark.parametrize("fault", [Fault.CLOSE, Fault.RESET])
async def test_a_kept_connection_that_was_dead_is_replaced_once(fault: Fault) -> None:
    """MAIL and all RCPTs so far are replayed; the client hears the fresh connection's replies."""
    events: list[Happened] = []
    async with (
        Smarthost(extensions=ALL_EXTENSIONS) as host,
        pool_to(host, emit=lambda event: events.append(event.happened)) as pool,
    ):
        await relay(pool)
        host.on("mail", fault, session=1)
        host.on("rcpt", reply("550 5.1.1 no"), match=b"b@", session=2)
        transaction = await pool.begin(mail_from())
        answers = [transaction.recipient(rcpt_to(path)) for path in (b"a@x.test", b"b@x.test")]
        replies = await asyncio.gather(*answers)
        assert [r.code for r in replies] == [250, 550]
        assert (await transaction.send(HEADER, [BODY])).code == 250
        assert [received.session for received in host.accepted] == [1, 2]
        assert host.accepted[1].octets == MESSAGE
        assert events.count(Happened.REPLAYED) == 1


async def test_it_is_replaced_although_only_the_message_is_awaited() -> None:
    """A caller that awaits no recipient before it sends is served as well."""
    async with Smarthost() as host, pool_to(host) as pool:
        await relay(pool)
        host.on("mail", Fault.CLOSE, session=1)
        transaction = await pool.begin(mail_from())
        transaction.recipient(rcpt_to())
        assert (await transaction.send(HEADER, [BODY])).code == 250


async def test_it_is_replaced_before_the_first_recipient_as_well() -> None:
    """Lost between the acquisition and MAIL: nothing was even written."""
    gone = asyncio.Event()

    def emit(event: UpstreamEvent) -> None:
        if event.happened is Happened.CLOSED:
            gone.set()

    async with Smarthost() as host, pool_to(host, emit=emit) as pool:
        await relay(pool)
        transaction = await pool.begin(mail_from())
        await host.drop_sessions()
        await gone.wait()
        assert (await transaction.recipient(rcpt_to())).code == 250
        assert (await transaction.send(HEADER, [BODY])).code == 250
        assert host.accepted[-1].session == 2


async def test_a_fresh_connection_that_dies_is_not_replaced() -> None:
    """451 4.4.2; only a kept connection is known to die of old age."""
    async with Smarthost() as host, pool_to(host) as pool:
        host.on("mail", Fault.CLOSE)
        transaction = await pool.begin(mail_from())
        with pytest.raises(Rejection) as caught:
            await transaction.recipient(rcpt_to())
        assert caught.value.reason is Reason.UPSTREAM_LOST
        assert len(host.sessions) == 1
        await transaction.abandon()


async def test_it_is_replaced_only_once() -> None:
    """The second loss is told."""
    async with Smarthost() as host, pool_to(host) as pool:
        await relay(pool)
        host.on("mail", Fault.CLOSE)
        transaction = await pool.begin(mail_from())
        with pytest.raises(Rejection) as caught:
            await transaction.recipient(rcpt_to())
        assert caught.value.reason is Reason.UPSTREAM_LOST
        assert len(host.sessions) == 2


async def test_it_is_not_replaced_after_any_reply() -> None:
    """Something was heard: a recipient may have been accepted."""
    async with Smarthost() as host, pool_to(host) as pool:
        await relay(pool)
        host.on("rcpt", Fault.CLOSE, session=1)
        transaction = await pool.begin(mail_from())
        with pytest.raises(Rejection) as caught:
            await transaction.recipient(rcpt_to())
        assert caught.value.reason is Reason.UPSTREAM_LOST
        assert len(host.sessions) == 1


async def test_it_is_replaced_after_garbage_as_well() -> None:
    """What is no reply is no answer: nothing was accepted."""
    async with Smarthost() as host, pool_to(host) as pool:
        await relay(pool)
        host.on("mail", b"what?\r\n", session=1)
        assert (await relay(pool)).code == 250
        assert host.accepted[-1].session == 2


IDLE_TOO_LONG = "421 4.4.2 mx.test Idle for too long"


@pytest.mark.parametrize("extensions", [ALL_EXTENSIONS, ("8BITMIME",)], ids=["", "lock-step"])
async def test_an_old_idle_timeout_is_not_the_answer_to_a_new_message(
    extensions: tuple[str, ...],
) -> None:
    """421 crossed our MAIL on a kept connection: the client hears a fresh one's replies."""
    events: list[UpstreamEvent] = []
    async with (
        Smarthost(extensions=extensions) as host,
        pool_to(host, emit=events.append) as pool,
    ):
        await relay(pool)
        host.on("mail", reply(IDLE_TOO_LONG), Fault.CLOSE, session=1)
        transaction = await pool.begin(mail_from())
        answers = [transaction.recipient(rcpt_to(path)) for path in (b"a@x.test", b"b@x.test")]
        assert [r.code for r in await asyncio.gather(*answers)] == [250, 250]
        assert (await transaction.send(HEADER, [BODY])).code == 250
        assert [received.session for received in host.accepted] == [1, 2]
        assert host.accepted[1].recipients == [b"RCPT TO:<a@x.test>", b"RCPT TO:<b@x.test>"]
        [replayed] = [event for event in events if event.happened is Happened.REPLAYED]
        assert IDLE_TOO_LONG in replayed.detail
        assert host.violations == []


async def test_a_second_421_is_the_answer() -> None:
    """A fresh connection that says it as well means it."""
    async with Smarthost() as host, pool_to(host) as pool:
        await relay(pool)
        host.on("mail", reply("421 4.7.0 Too many"))
        transaction = await pool.begin(mail_from())
        assert str(await transaction.recipient(rcpt_to())) == "451 4.7.0 Too many"
        await transaction.abandon()
        assert len(host.sessions) == 2
        await host.until(lambda: host.open_sessions == 0)


async def test_421_to_anything_but_the_first_command_is_the_answer() -> None:
    """Something was heard on that connection before."""
    async with Smarthost() as host, pool_to(host) as pool:
        await relay(pool)
        host.on("rcpt", reply("421 4.3.2 Going down"), session=1)
        transaction = await pool.begin(mail_from())
        assert (await transaction.recipient(rcpt_to())).code == 451
        await transaction.abandon()
        assert len(host.sessions) == 1


@pytest.mark.parametrize("first_has_it", [True, False])
async def test_a_replacement_is_told_what_it_understands_itself(first_has_it: bool) -> None:
    """Its EHLO may offer other extensions than that of the dead connection."""
    bare, full = ("PIPELINING",), ("PIPELINING", "DSN")
    async with Smarthost(extensions=full if first_has_it else bare) as host, pool_to(host) as pool:
        await relay(pool)
        host.on("mail", Fault.CLOSE, session=1)
        host.extensions = bare if first_has_it else full
        transaction = await pool.begin(mail_from(ret="FULL"))
        await transaction.recipient(rcpt_to(notify=b"NEVER"))
        await transaction.send(HEADER, [BODY])
        ret, notify = (b"", b"") if first_has_it else (b" RET=FULL", b" NOTIFY=NEVER")
        assert host.received[1].mail == b"MAIL FROM:<app@example.com>" + ret
        assert host.received[1].recipients == [b"RCPT TO:<ann@sink.test>" + notify]
        assert host.violations == []


async def test_a_replacement_that_cannot_carry_it_is_given_back() -> None:
    """The recipients hear why, and nothing was written."""
    async with Smarthost() as host, pool_to(host) as pool:
        await relay(pool)
        host.on("mail", Fault.CLOSE, session=1)
        host.extensions = ("PIPELINING",)
        transaction = await pool.begin(mail_from(smtputf8=True))
        with pytest.raises(Rejection) as caught:
            await transaction.recipient(rcpt_to())
        assert caught.value.reply.enhanced == "5.6.7"
        await transaction.abandon()
        assert pool.snapshot().idle == 1
        assert host.sessions[1].verbs == ["EHLO"]


async def test_the_pool_knows_what_the_hop_offered_last() -> None:
    """So that EHLO can be answered with what can be kept; nothing is known at first."""
    async with Smarthost(extensions=("PIPELINING", "DSN")) as host, pool_to(host) as pool:
        known = [pool.capabilities]
        first = await accepted_transaction(pool)
        known.append(pool.capabilities)
        host.extensions = ("PIPELINING",)
        second = await accepted_transaction(pool)
        known.append(pool.capabilities)
        await first.abandon()
        await second.abandon()
        await host.drop_sessions()
        known.append(pool.capabilities)  # also while no connection stands
        assert [None if k is None else "DSN" in k for k in known] == [None, True, False, False]


async def test_no_replacement_is_told_as_it_is() -> None:
    """The server is gone for good: 451 4.4.1 to every recipient that waits."""
    async with Smarthost() as host, pool_to(host) as pool:
        await relay(pool)
        host.on("mail", Fault.CLOSE, session=1)
        transaction = await pool.begin(mail_from())
        host.stop_listening()
        answers = [transaction.recipient(rcpt_to()) for _ in range(2)]
        results = await asyncio.gather(*answers, return_exceptions=True)
        assert [r.reply.enhanced for r in results if isinstance(r, Rejection)] == ["4.4.1"] * 2
        await transaction.abandon()


async def test_a_full_pool_of_dead_connections_makes_room() -> None:
    """All places are taken by kept connections that are as dead as the first one."""
    async with Smarthost() as host, pool_to(host, max_connections=2) as pool:
        first, second = [await accepted_transaction(pool) for _ in range(2)]
        await first.send(HEADER, [BODY])
        await second.send(HEADER, [BODY])
        host.on("mail", Fault.CLOSE, session=1)
        host.on("mail", Fault.CLOSE, session=2)
        assert (await relay(pool)).code == 250
        assert host.accepted[-1].session == 3


async def test_a_replacement_stands_first_in_the_queue() -> None:
    """Its place goes to the one who waits longest, but then it comes before all others."""
    async with Smarthost() as host, pool_to(host, max_connections=1) as pool:
        order: list[str] = []

        async def send(name: str) -> None:
            await relay(pool)
            order.append(name)

        await relay(pool)
        host.on("mail", Fault.CLOSE, session=1)
        transaction = await pool.begin(mail_from())
        waiting = [asyncio.ensure_future(send(name)) for name in ("first", "second")]
        await asyncio.sleep(0)
        assert (await transaction.recipient(rcpt_to())).code == 250
        await transaction.send(HEADER, [BODY])
        order.append("replaced")
        await asyncio.gather(*waiting)
        assert order == ["first", "replaced", "second"]
        assert len(host.accepted) == 4


async def test_a_replacement_that_was_kept_is_not_replaced_again() -> None:
    """It may come from the queue, and be as dead; one attempt is all that is hidden."""
    async with Smarthost() as host, pool_to(host, max_connections=1) as pool:
        await relay(pool)
        host.on("mail", Fault.CLOSE, session=1)
        host.on("mail", reply("250 ok"), session=2, times=1)
        host.on("mail", Fault.CLOSE, session=2)
        transaction = await pool.begin(mail_from())
        waiting = asyncio.ensure_future(relay(pool))
        await asyncio.sleep(0)
        with pytest.raises(Rejection) as caught:
            await transaction.recipient(rcpt_to())
        assert caught.value.reason is Reason.UPSTREAM_LOST
        assert (await waiting).code == 250
        assert len(host.sessions) == 2


async def test_abandoned_while_being_replaced() -> None:
    """The replacement goes to the pool, the recipient is told."""
    async with Smarthost() as host, pool_to(host, max_connections=1) as pool:
        await relay(pool)
        host.on("mail", Fault.CLOSE, session=1)
        transaction = await pool.begin(mail_from())
        waiting = asyncio.ensure_future(transaction.recipient(rcpt_to()))
        await host.until(lambda: len(host.sessions) == 2)
        await transaction.abandon()
        with pytest.raises(Rejection):
            await waiting
        assert pool.snapshot().idle == 1
        assert (await relay(pool)).code == 250


async def test_an_idle_connection_that_has_just_failed_is_not_used() -> None:
    """Between its failure and the moment when the loop takes it away."""
    async with Smarthost() as host, pool_to(host) as pool:
        await relay(pool)
        [connection] = pool._stock.idle
        connection.abort("this very moment")
        assert (await relay(pool)).code == 250
        assert [received.session for received in host.accepted] == [1, 2]


async def test_smtputf8_that_is_not_offered_gives_the_connection_back() -> None:
    """550 5.6.7 at once; nothing was written, so nothing is to be reset."""
    async with Smarthost(extensions=("PIPELINING",)) as host, pool_to(host) as pool:
        with pytest.raises(Rejection) as caught:
            await pool.begin(mail_from(smtputf8=True))
        assert (caught.value.reply.code, caught.value.reply.enhanced) == (550, "5.6.7")
        assert pool.snapshot().idle == 1
        assert host.sessions[0].verbs == ["EHLO"]


async def test_close_says_goodbye_and_leaves_nothing() -> None:
    """Idle connections by QUIT, busy ones at once, waiters with 451; then no new ones."""
    async with Smarthost() as host:
        pool = Pool(upstream(host.port, max_connections=2), emit=lambda event: None)
        idle, busy = [await accepted_transaction(pool) for _ in range(2)]
        await idle.send(HEADER, [BODY])
        taken = await accepted_transaction(pool)
        waiting = asyncio.ensure_future(pool.begin(mail_from()))
        await asyncio.sleep(0)
        await taken.send(HEADER, [BODY])
        await (await waiting).abandon()
        host.on("dot", Fault.BLACK_HOLE)
        sending = asyncio.ensure_future(busy.send(HEADER, [BODY]))
        await host.until(lambda: len(host.received) == 3)
        blocked = await pool.begin(mail_from())
        queued = asyncio.ensure_future(pool.begin(mail_from()))
        await asyncio.sleep(0)
        await pool.close()
        results = await asyncio.gather(sending, queued, return_exceptions=True)
        codes = [r.reply.enhanced for r in results if isinstance(r, Rejection)]
        assert codes == ["4.4.2", "4.3.2"]
        await blocked.abandon()
        with pytest.raises(Rejection):
            await pool.begin(mail_from())
        await host.until(lambda: host.open_sessions == 0)
        snapshot = pool.snapshot()
        assert (snapshot.idle, snapshot.busy, snapshot.opening, snapshot.waiting) == (0, 0, 0, 0)


async def test_a_connection_that_opens_too_late_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The pool was closed while it was being opened: 451 4.3.2, and QUIT to the hop."""
    may_go_on = asyncio.Event()
    open_it = Opener.open

    async def held(self: Opener, on_closed: Callable[[Connection], None]) -> Connection:
        connection = await open_it(self, on_closed)
        await may_go_on.wait()
        return connection

    monkeypatch.setattr(Opener, "open", held)
    async with Smarthost() as host, pool_to(host) as pool:
        beginning = asyncio.ensure_future(pool.begin(mail_from()))
        await host.until(lambda: len(host.sessions) == 1 and bool(host.sessions[0].lines))
        await pool.close()
        may_go_on.set()
        with pytest.raises(Rejection) as caught:
            await beginning
        assert caught.value.reply.enhanced == "4.3.2"
        await host.until(lambda: host.open_sessions == 0)
        assert host.sessions[0].verbs == ["EHLO", "QUIT"]


async def test_close_waits_for_goodbyes_only_so_long() -> None:
    """A server that does not answer QUIT does not hold the relay."""
    patience = Timeouts(quit_seconds=0.05)
    async with Smarthost() as host, pool_to(host, timeouts=patience) as pool:
        host.on("quit", Fault.BLACK_HOLE)
        await relay(pool)
        await pool.close()
        await host.until(lambda: host.open_sessions == 0)
        assert host.sessions[0].verbs[-1] == "QUIT"


async def test_events_tell_the_life_of_a_connection() -> None:
    """Opened, closed with the number of transactions, and failures with their reason."""
    events: list[UpstreamEvent] = []
    async with Smarthost() as host, pool_to(host, emit=events.append) as pool:
        await relay(pool)
        await relay(pool)
    async with pool_to(free_port(), emit=events.append) as pool:
        with pytest.raises(Rejection):
            await pool.begin(mail_from())
    assert [event.happened for event in events] == [
        Happened.OPENED,
        Happened.CLOSED,
        Happened.FAILED,
    ]
    assert (events[0].detail, events[0].upstream) == ("clear", "esp")
    assert events[1].transactions == 2
    assert "TCP" in events[2].detail


async def test_a_cancelled_opening_leaves_nothing() -> None:
    """The place is free again, and the half-open connection closed."""
    async with Smarthost() as host, pool_to(host, max_connections=1) as pool:
        host.on("ehlo", Fault.BLACK_HOLE, session=1)
        opening = asyncio.ensure_future(pool.begin(mail_from()))
        await host.until(lambda: len(host.sessions) == 1 and bool(host.sessions[0].lines))
        assert pool.snapshot().opening == 1
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        await host.until(lambda: host.open_sessions == 0)
        assert (await relay(pool)).code == 250


async def test_many_transactions_through_few_connections() -> None:
    """Each message arrives once, and no more connections than allowed are opened."""
    async with (
        Smarthost(extensions=ALL_EXTENSIONS) as host,
        pool_to(host, max_connections=3) as pool,
    ):
        bodies = [b"%d\r\n" % number for number in range(60)]
        replies = await asyncio.gather(*(relay(pool, HEADER, body) for body in bodies))
        assert {r.code for r in replies} == {250}
        expected = sorted(HEADER + b"\r\n" + body for body in bodies)
        assert sorted(received.octets for received in host.received) == expected
        assert len(host.sessions) == 3


@pytest.mark.parametrize("extensions", [ALL_EXTENSIONS, ("8BITMIME",)])
async def test_a_slow_client_is_covered_by_noop(extensions: tuple[str, ...]) -> None:
    """The hop hears something while nothing comes, and the transaction is none the worse."""
    async with (
        Smarthost(extensions=extensions) as host,
        pool_to(host, keepalive_seconds=0.02, idle_seconds=0.04) as pool,
    ):
        transaction = await accepted_transaction(pool)
        await host.until(lambda: host.sessions[0].verbs.count("NOOP") >= 2)
        assert (await transaction.send(HEADER, [BODY])).is_positive
        [received] = host.accepted
        assert received.octets == MESSAGE
        assert host.violations == []


async def test_a_hop_that_refuses_noop_in_a_transaction() -> None:
    """It is not to be trusted with the message: 451, and the next one goes elsewhere."""
    async with Smarthost() as host, pool_to(host, keepalive_seconds=0.02) as pool:
        host.on("noop", reply("500 5.5.1 what?"))
        transaction = await accepted_transaction(pool)
        async with asyncio.timeout(5):
            await host.until(lambda: host.open_sessions == 0)
        with pytest.raises(Rejection) as caught:
            await transaction.send(HEADER, [BODY])
        assert caught.value.reason is Reason.UPSTREAM_LOST
        await transaction.abandon()
