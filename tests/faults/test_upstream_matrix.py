"""Every stage of an upstream session, times every way to misbehave (see `tests.faults.matrix`).

For each: the caller gets the right answer, however long the smarthost is silent; the next message
passes; no connection and no task is left behind; nothing answered 2yz is missing at the
smarthost; nothing is stored twice unless the outcome was unknown.

Time jumps ahead whenever both sides wait (`tests.fakes.jumping_loop`): a test that ends at all
has shown that the wait was bounded.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from relay.core.errors import Reason, Rejection
from relay.upstream.pool import Pool
from relay.upstream.settings import Timeouts, Tls
from tests.fakes.certificates import Certificates
from tests.fakes.jumping_loop import run_jumping
from tests.fakes.pools import LINE, accepted_transaction, mail_from, pool_to, rcpt_to
from tests.fakes.processes import free_port
from tests.fakes.smarthost import ALL_EXTENSIONS, EXTENSIONS, Smarthost
from tests.faults.matrix import CASES, EVERYTHING, LEFT_OUT, OPENING, PASSED_ON, Case

PATIENCE_SECONDS = 10.0
SETTINGS: dict[str, Any] = {
    "timeouts": Timeouts(**{name: PATIENCE_SECONDS for name in Timeouts.__slots__}),
    "connect_seconds": PATIENCE_SECONDS,
    "idle_seconds": 1_000_000.0,
}
FIRST, SECOND, LAST = b"the first one\r\n", b"the second one\r\n", b"the last one\r\n"
BIG = LINE * 60_000  # more than all buffers between here and there
WITHIN_OCTETS = 10_000
HEADER = b"From: App <app@example.com>\r\n"


def test_the_matrix_is_whole() -> None:
    """Every field is a case, or has a reason why it is none."""
    assert len(EVERYTHING) == len({str(case) for case in EVERYTHING}) == 12 * 14 * 2 * 2
    assert len(CASES) == 329
    assert LEFT_OUT == {
        "what a server says first is its banner": 40,
        "only connecting can be refused": 44,
        "a kept connection is past its opening": 112,
        "before the message, it does not matter how it will go": 56,
        "BDAT goes without DATA": 26,
        "said after a message only": 52,
        "after the message, it does not matter how it went": 13,
    }
    assert len(CASES) + LEFT_OUT.total() == len(EVERYTHING)


@pytest.mark.parametrize("case", [c for c in CASES if c.stage in OPENING], ids=str)
def test_a_fault_while_opening(case: Case, certificates: Certificates) -> None:
    """Nothing was begun: 451, or no matter; the next message opens another connection."""
    run_jumping(misbehave(case, certificates))


@pytest.mark.parametrize("case", [c for c in CASES if c.stage in ("mail", "rcpt", "data")], ids=str)
def test_a_fault_before_the_message(case: Case, certificates: Certificates) -> None:
    """The smarthost does not have the message, and the caller knows it."""
    run_jumping(misbehave(case, certificates))


@pytest.mark.parametrize("case", [c for c in CASES if c.stage in ("body", "dot")], ids=str)
def test_a_fault_in_or_after_the_message(case: Case, certificates: Certificates) -> None:
    """The smarthost's own word, or the truth about its silence."""
    run_jumping(misbehave(case, certificates))


@pytest.mark.parametrize("case", [c for c in CASES if c.stage == "connect"], ids=str)
def test_a_fault_while_connecting(case: Case, certificates: Certificates) -> None:
    """A closed port; a port whose host takes no more; a host that hangs up at once."""
    if case.fault == "refused":
        run_jumping(connect_in_vain(takes_none=False))
    elif case.fault == "black hole":
        run_jumping(connect_in_vain(takes_none=True))
    else:
        run_jumping(misbehave(case, certificates))


@pytest.mark.parametrize("case", [c for c in CASES if c.stage == "rset"], ids=str)
def test_a_fault_at_rset(case: Case) -> None:
    """After a refused message, the next one goes out once, if need be by another connection."""

    async def run() -> None:
        async with smarthost_and_pool(case) as (host, pool):
            host.on("dot", *Case("dot", "554", case.verb, is_kept=True).steps, times=1)
            host.on("rset", *case.steps, session=1)
            assert await attempt(pool, FIRST) == "554"
            assert await attempt(pool, SECOND) == "sent"
            assert [stored(host, body) for body in (FIRST, SECOND)] == [0, 1]

    run_jumping(run())


@pytest.mark.parametrize("case", [c for c in CASES if c.stage == "quit"], ids=str)
def test_a_fault_at_quit(case: Case) -> None:
    """The connection goes, whatever is said to QUIT, and the next message takes another."""

    async def run() -> None:
        async with smarthost_and_pool(case, max_messages_per_connection=1) as (host, pool):
            host.on("quit", *case.steps, session=1)
            assert await attempt(pool, FIRST) == "sent"
            await host.until(lambda: host.open_sessions == 0)
            assert await attempt(pool, SECOND) == "sent"
            assert [stored(host, body) for body in (FIRST, SECOND)] == [1, 1]

    run_jumping(run())


@pytest.mark.parametrize(
    "case", [c for c in CASES if c.stage == "rset" and c.verb == "DATA"], ids=str
)
def test_a_fault_at_rset_after_a_transaction_without_a_message(case: Case) -> None:
    """The same where the client leaves after RCPT."""

    async def run() -> None:
        async with smarthost_and_pool(case) as (host, pool):
            host.on("rset", *case.steps, session=1)
            await (await accepted_transaction(pool)).abandon()
            assert await attempt(pool, SECOND) == "sent"
            assert stored(host, SECOND) == 1

    run_jumping(run())


async def misbehave(case: Case, certificates: Certificates) -> None:
    """One message meets the fault, on the first connection; every other connection is sound."""
    async with smarthost_and_pool(case, certificates) as (host, pool):
        if case.is_kept:
            assert await attempt(pool, FIRST) == "sent"
        is_within = case.stage == "body"
        after = WITHIN_OCTETS if is_within else 0
        host.on(case.stage, *case.steps, session=1, after=after, times=1)
        second = SECOND + BIG if is_within else SECOND
        outcome = await attempt(pool, second)
        assert outcome in case.outcomes
        if outcome in ("lost", "unknown"):
            # Nobody will ever use that connection again.
            await host.until(lambda: not host.sessions[0].is_open)
        assert await attempt(pool, LAST) == "sent"
        copies = stored(host, second)
        assert copies == 1 if outcome == "sent" else copies == 0 or outcome == "unknown"
        assert [stored(host, body) for body in (FIRST, LAST)] == [int(case.is_kept), 1]


async def connect_in_vain(*, takes_none: bool) -> None:
    """Nobody answers on the port; then a smarthost does."""
    port = free_port()
    async with nothing_left(), pool_to(port, **SETTINGS) as pool:
        if takes_none:
            with FullBacklog(port):
                assert await attempt(pool, FIRST) == "unavailable"
        else:
            assert await attempt(pool, FIRST) == "unavailable"
        async with Smarthost(port=port) as host:
            assert await attempt(pool, SECOND) == "sent"
            assert [stored(host, body) for body in (FIRST, SECOND)] == [0, 1]


class FullBacklog:
    """A listening port on which the kernel drops whatever would open a connection."""

    def __init__(self, port: int) -> None:
        self._listening = socket.create_server(("127.0.0.1", port), backlog=0)
        self._waiting: list[socket.socket] = []
        self._port = port

    def __enter__(self) -> None:
        for _ in range(4):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", self._port))
            self._waiting.append(client)

    def __exit__(self, *_: object) -> None:
        for one in (*self._waiting, self._listening):
            one.close()


@asynccontextmanager
async def smarthost_and_pool(
    case: Case, certificates: Certificates | None = None, **changes: Any
) -> AsyncIterator[tuple[Smarthost, Pool]]:
    """Both ends as the case wants them; nothing is left of them afterwards."""
    settings = SETTINGS | changes
    tls = users = None
    if case.stage == "starttls" and certificates is not None:
        tls = certificates.server()
        settings |= {"tls": Tls.STARTTLS, "ca_file": certificates.ca_file}
    if case.stage == "auth":
        users = {"app": "only for tests"}
        settings |= {"username": "app", "password": "only for tests", "insecure_auth": True}
    smarthost = Smarthost(
        extensions=ALL_EXTENSIONS if case.verb == "BDAT" else EXTENSIONS,
        tls=tls,
        users=users,
        receive_buffer_octets=4096 if case.stage == "body" else 0,
    )
    async with smarthost as host, nothing_left(host):
        async with pool_to(host, **settings) as pool:
            yield host, pool
        left = pool.snapshot()
        assert (left.idle, left.busy, left.opening, left.waiting) == (0, 0, 0, 0)
        assert not [text for text in host.violations if "ended within" not in text]


@asynccontextmanager
async def nothing_left(host: Smarthost | None = None) -> AsyncIterator[None]:
    """No task and no connection outlives the block."""
    before = asyncio.all_tasks()
    yield
    if host is not None:
        await host.until(lambda: host.open_sessions == 0)
    assert asyncio.all_tasks() == before


async def attempt(pool: Pool, body: bytes) -> str:
    """One message; its outcome in the words of the matrix."""
    try:
        transaction = await pool.begin(mail_from())
        try:
            answer = await transaction.recipient(rcpt_to())
            if answer.is_positive:
                answer = await transaction.send(HEADER, [body])
        finally:
            await transaction.abandon()
    except Rejection as rejection:
        if rejection.reply.code != 451 or not rejection.detail:
            raise
        return {
            Reason.UPSTREAM_UNAVAILABLE: "unavailable",
            Reason.UPSTREAM_LOST: "lost",
            Reason.OUTCOME_UNKNOWN: "unknown",
        }[rejection.reason]
    assert str(answer.code) in (*PASSED_ON.values(), "452") or answer.is_positive
    return "sent" if answer.is_positive else str(answer.code)


def stored(host: Smarthost, body: bytes) -> int:
    """How many copies of a message the smarthost has answered 2yz."""
    return sum(one.octets == HEADER + b"\r\n" + body for one in host.accepted)
