"""The contract of a route: a fallback takes what the upstream before it cannot, and once only."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from relay.core.errors import Reason, Rejection
from relay.core.profile import Profile
from relay.core.reply import ONE_AT_A_TIME, Reply
from relay.upstream.events import Happened, UpstreamEvent
from relay.upstream.pool import Pool
from relay.upstream.route import Route
from relay.upstream.transaction import Transaction
from tests.fakes.pools import BODY, HEADER, MESSAGE, mail_from, pool_to, rcpt_to, upstream
from tests.fakes.processes import free_port
from tests.fakes.smarthost import ALL_EXTENSIONS, EXTENSIONS, Fault, Smarthost, Step, reply

BUSY = b"421 4.3.2 too busy\r\n"


class Way:
    """Two upstreams, "a" and its fallback "b".

    Attributes:
        a, b: the smarthosts.
        pools: to them.
        route: over both.
        events: what route and pools told.
    """

    def __init__(self, a: Smarthost, b: Smarthost, pools: list[Pool]) -> None:
        self.a, self.b, self.pools = a, b, pools
        self.events: list[UpstreamEvent] = []
        self.route = Route(pools, emit=self.events.append)

    async def begin(self, *recipients: bytes) -> tuple[Transaction, list[Reply]]:
        """A transaction with its recipients answered."""
        transaction = await self.route.begin(mail_from())
        pending = [transaction.recipient(rcpt_to(r)) for r in recipients or (b"ann@sink.test",)]
        return transaction, [await p for p in pending]

    async def relay(self) -> str:
        """One message, which arrives whole; the name of the upstream that took it."""
        transaction, replies = await self.begin()
        assert [r.code for r in replies] == [250]
        assert (await transaction.send(HEADER, [BODY])).is_positive
        await transaction.abandon()
        return transaction.upstream

    @property
    def diverted(self) -> list[str]:
        """Where transactions went instead, in order."""
        return [e.upstream for e in self.events if e.happened is Happened.DIVERTED]

    @property
    def taken(self) -> tuple[int, int]:
        """How many messages each has accepted."""
        return len(self.a.accepted), len(self.b.accepted)


@asynccontextmanager
async def two_ways(
    first: tuple[str, ...] = ALL_EXTENSIONS, second: tuple[str, ...] = ALL_EXTENSIONS
) -> AsyncIterator[Way]:
    """Two smarthosts with a route over both; nothing of it is left open at the end."""
    async with AsyncExitStack() as stack:
        a = await stack.enter_async_context(Smarthost(extensions=first))
        b = await stack.enter_async_context(Smarthost(extensions=second))
        pools = [
            await stack.enter_async_context(pool_to(host, name=name, connect_seconds=2))
            for name, host in (("a", a), ("b", b))
        ]
        yield Way(a, b, pools)
        async with asyncio.timeout(5):  # an RSET may still be under way
            for _ in itertools.takewhile(lambda _: any(map(_is_at_work, pools)), itertools.count()):
                await asyncio.sleep(0)


def _is_at_work(pool: Pool) -> bool:
    now = pool.snapshot()
    return bool(now.busy + now.opening + now.waiting)


async def test_the_first_upstream_takes_all_it_can() -> None:
    """The fallback is not even connected to."""
    async with two_ways() as way:
        assert [await way.relay() for _ in range(3)] == ["a", "a", "a"]
        assert way.b.sessions == []
        assert way.diverted == []


@pytest.mark.parametrize(
    ("stage", "step"),
    [
        ("connect", Fault.RESET),
        ("banner", Fault.CLOSE),
        ("banner", b"554 5.3.2 no\r\n"),
        ("banner", BUSY),
        ("ehlo", Fault.RESET),
        ("ehlo", BUSY),
        ("mail", Fault.RESET),
        ("mail", Fault.CLOSE),
        ("mail", BUSY),
        ("mail", b"not a reply\r\n"),
        ("rcpt", Fault.RESET),
        ("rcpt", BUSY),
    ],
)
async def test_a_failure_before_any_recipient_is_accepted(stage: str, step: Step) -> None:
    """The fallback takes the transaction; the client does not notice."""
    async with two_ways() as way:
        way.a.on(stage, step)
        assert await way.relay() == "b"
        assert way.taken == (0, 1)
        assert way.diverted == ["b"]


async def test_an_upstream_that_is_not_there() -> None:
    """Nobody listens; after that the breaker knows, and the fallback costs no attempt."""
    async with (
        Smarthost() as host,
        pool_to(free_port(), name="a", breaker_failures=1) as gone,
        pool_to(host, name="b") as there,
    ):
        way = Way(host, host, [gone, there])
        assert await way.relay() == "b"
        assert await way.relay() == "b"
        assert way.diverted == ["b", "b"]


async def test_a_kept_connection_that_died_is_replaced_before_the_fallback_is_asked() -> None:
    """The upstream lives: only its old connection is dead."""
    async with two_ways() as way:
        assert await way.relay() == "a"
        way.a.on("mail", BUSY, session=1)
        assert await way.relay() == "a"
        assert way.taken == (2, 0)
        assert way.diverted == []


async def test_a_kept_connection_that_died_with_its_upstream() -> None:
    """Replaced in vain, then the fallback."""
    async with two_ways() as way:
        assert await way.relay() == "a"
        way.a.on("mail", BUSY)
        assert await way.relay() == "b"
        assert way.taken == (1, 1)


@pytest.mark.parametrize(
    ("stage", "answer"),
    [
        ("mail", "450 4.2.0 try later"),
        ("mail", "550 5.1.0 no"),
        ("rcpt", "450 4.2.0 try later"),
        ("rcpt", "550 5.1.1 no"),
    ],
)
async def test_an_upstream_that_says_no_is_heard(stage: str, answer: str) -> None:
    """A refusal is the truth, and no reason to ask somebody else."""
    async with two_ways() as way:
        way.a.on(stage, reply(answer))
        transaction, replies = await way.begin()
        assert [str(r) for r in replies] == [answer]
        await transaction.abandon()
        assert way.b.sessions == []


@pytest.mark.parametrize("step", [Fault.RESET, Fault.CLOSE, BUSY])
async def test_a_failure_after_a_recipient_was_accepted(step: Step) -> None:
    """The transaction stays where it is, so the client hears of it: 451, nothing is sent twice."""
    async with two_ways() as way:
        way.a.on("rcpt", step, match=b"bob")
        transaction = await way.route.begin(mail_from())
        assert (await transaction.recipient(rcpt_to(b"ann@sink.test"))).is_positive
        bob = transaction.recipient(rcpt_to(b"bob@sink.test"))
        if step is BUSY:
            assert (await bob).code == 451
        else:
            with pytest.raises(Rejection) as caught:
                await bob
            assert caught.value.reason is Reason.UPSTREAM_LOST
        await transaction.abandon()
        assert way.b.sessions == []


@pytest.mark.parametrize("extensions", [ALL_EXTENSIONS, EXTENSIONS, ("8BITMIME",)])
async def test_recipients_that_were_answered_are_not_given_again(
    extensions: tuple[str, ...],
) -> None:
    """What the first upstream refused stays refused; the rest goes to the fallback."""
    async with two_ways(extensions, extensions) as way:
        way.a.on("rcpt", reply("550 5.1.1 no such user"), match=b"ann")
        way.a.on("rcpt", Fault.RESET, match=b"bob")
        transaction = await way.route.begin(mail_from())
        assert (await transaction.recipient(rcpt_to(b"ann@sink.test"))).code == 550
        pending = [transaction.recipient(rcpt_to(r)) for r in (b"bob@sink.test", b"eve@sink.test")]
        assert [(await p).code for p in pending] == [250, 250]
        assert (await transaction.send(HEADER, [BODY])).is_positive
        [received] = way.b.accepted
        assert received.recipients == [b"RCPT TO:<bob@sink.test>", b"RCPT TO:<eve@sink.test>"]
        assert received.octets == MESSAGE


async def test_nothing_goes_to_a_fallback_once_the_message_is_on_its_way() -> None:
    """After the dot the outcome is unknown, and stays so."""
    async with two_ways() as way:
        way.a.on("dot", Fault.RESET)
        transaction, _ = await way.begin()
        with pytest.raises(Rejection) as caught:
            await transaction.send(HEADER, [BODY])
        assert caught.value.reason is Reason.OUTCOME_UNKNOWN
        await transaction.abandon()
        assert way.b.sessions == []


async def test_every_upstream_fails() -> None:
    """One reply, and a detail that tells all of them."""
    async with two_ways() as way:
        way.a.on("banner", b"554 5.3.2 closed here\r\n")
        way.b.on("banner", b"554 5.3.2 closed there\r\n")
        with pytest.raises(Rejection) as caught:
            await way.route.begin(mail_from())
        assert caught.value.reply.code == 451
        assert "closed here" in caught.value.detail
        assert "closed there" in caught.value.detail


async def test_a_fallback_that_cannot_carry_the_message() -> None:
    """Its upstream may, later: 451, and not the 550 that it would say of itself."""
    async with two_ways(second=("8BITMIME",)) as way:
        way.a.on("banner", BUSY)
        with pytest.raises(Rejection) as caught:
            await way.route.begin(mail_from(smtputf8=True))
        assert caught.value.reply.code == 451
    async with two_ways(second=("8BITMIME",)) as way:
        way.a.on("mail", BUSY)
        transaction = await way.route.begin(mail_from(smtputf8=True))
        with pytest.raises(Rejection) as caught:
            await transaction.recipient(rcpt_to())
        assert caught.value.reply.code == 451
        await transaction.abandon()


async def test_a_transaction_that_is_given_up_while_it_changes_over() -> None:
    """The new connection is given back, unused."""
    async with two_ways() as way:
        way.a.on("mail", Fault.RESET)
        way.b.on("banner", Fault.BLACK_HOLE)
        transaction = await way.route.begin(mail_from())
        waiting = asyncio.ensure_future(_answer(transaction))
        await way.b.until(lambda: bool(way.b.sessions))
        await transaction.abandon()
        waiting.cancel()
        await asyncio.wait([waiting])


async def _answer(transaction: Transaction) -> Reply:
    return await transaction.recipient(rcpt_to())


async def test_the_profile_is_that_of_the_upstream_in_use() -> None:
    """What it rewrites is decided by where the message really goes."""
    one, two = Profile("one"), Profile("two")
    async with Smarthost() as a, Smarthost() as b:
        a.on("mail", BUSY)
        pools = [
            Pool(upstream(host.port, name=name, profile=profile), emit=lambda event: None)
            for host, name, profile in ((a, "a", one), (b, "b", two))
        ]
        transaction = await Route(pools, emit=lambda event: None).begin(mail_from())
        assert transaction.profile is one
        await transaction.recipient(rcpt_to())
        assert transaction.profile is two
        await transaction.abandon()
        for pool in pools:
            await pool.close()


async def test_what_is_offered_is_offered_by_all_that_were_asked() -> None:
    """DSN that only one of them keeps is not kept."""
    async with two_ways((*EXTENSIONS, "DSN"), EXTENSIONS) as way:
        assert not way.route.offers("DSN")
        assert await way.relay() == "a"
        assert way.route.offers("DSN")
        way.a.on("mail", BUSY)
        assert await way.relay() == "b"
        assert not way.route.offers("DSN")
        assert way.route.offers("8BITMIME")


@pytest.mark.parametrize("extensions", [ALL_EXTENSIONS, ("8BITMIME",)])
async def test_a_limit_of_recipients(extensions: tuple[str, ...]) -> None:
    """What the upstream takes at a time; one that it refused does not count."""
    async with Smarthost(extensions=extensions) as host, pool_to(host, max_recipients=1) as pool:
        host.on("rcpt", reply("550 5.1.1 no"), match=b"ann")
        transaction = await pool.begin(mail_from())
        assert (await transaction.recipient(rcpt_to(b"ann@sink.test"))).code == 550
        assert (await transaction.recipient(rcpt_to(b"bob@sink.test"))).code == 250
        assert await transaction.recipient(rcpt_to(b"eve@sink.test")) == ONE_AT_A_TIME
        assert (await transaction.send(HEADER, [BODY])).is_positive
        assert host.received[0].recipients == [b"RCPT TO:<bob@sink.test>"]


@pytest.mark.parametrize("limit", [{"is_lmtp": True}, {"max_recipients": 1}])
async def test_a_fallback_is_given_no_more_recipients_than_it_takes(limit: dict[str, Any]) -> None:
    """Those given at once to the first one: of several, LMTP would answer the message for each."""
    is_lmtp = "is_lmtp" in limit
    async with (
        Smarthost() as a,
        Smarthost(is_lmtp=is_lmtp) as b,
        pool_to(a, name="a") as first,
        pool_to(b, name="b", **limit) as second,
    ):
        a.on("rcpt", Fault.RESET)
        way = Way(a, b, [first, second])
        transaction, replies = await way.begin(b"ann@sink.test", b"bob@sink.test")
        assert [r.code for r in replies] == [250, 452]
        assert replies[1] is ONE_AT_A_TIME
        assert (await transaction.send(HEADER, [BODY])).is_positive
        assert [len(received.recipients) for received in b.accepted] == [1]
