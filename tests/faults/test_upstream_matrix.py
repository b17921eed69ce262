"""Every stage of an upstream session, times every way to misbehave.

For each: the caller gets the right answer within a bounded time; the pool recovers; no
connection and no task is left behind; nothing answered 2yz is missing at the smarthost; nothing
arrives twice unless the outcome was unknown.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest

from relay.core.errors import Reason, Rejection
from relay.upstream.pool import Pool
from relay.upstream.settings import Timeouts, Tls
from tests.fakes.certificates import Certificates
from tests.fakes.pools import (
    BODY,
    HEADER,
    LINE,
    accepted_transaction,
    mail_from,
    pool_to,
    rcpt_to,
    relay,
)
from tests.fakes.smarthost import (
    ALL_EXTENSIONS,
    EXTENSIONS,
    Drip,
    Fault,
    Smarthost,
    Step,
    reply,
    unused_port,
)

PATIENCE_SECONDS = 0.2
TIMEOUTS = Timeouts(**{name: PATIENCE_SECONDS for name in Timeouts.__slots__})
BIG = LINE * 60_000  # more than all buffers between here and there
USUAL = {
    "banner": "220 hello",
    "ehlo": "250 smarthost.test",
    "starttls": "220 go",
    "auth": "235 2.7.0 in",
    "mail": "250 2.1.0 ok",
    "rcpt": "250 2.1.5 ok",
    "data": "354 go",
    "dot": "250 2.0.0 queued",
    "rset": "250 2.0.0 reset",
    "quit": "221 2.0.0 bye",
}
OPENING = ("connect", "banner", "ehlo", "starttls", "auth")
SILENT: dict[str, tuple[Step, ...]] = {
    "black hole": (Fault.BLACK_HOLE,),
    "reset": (Fault.RESET,),
    "close": (Fault.CLOSE,),
}
SPOKEN: dict[str, tuple[Step, ...]] = {
    "421": (reply("421 4.3.2 Going down"), Fault.CLOSE),
    "451": (reply("451 4.3.0 Not now"),),
    "554": (reply("554-5.7.1 Never", "554 5.7.1 Never ever"),),
    "251": (reply("251 2.0.0 Odd"),),
    "252": (reply("252 2.0.0 Odd"),),
    "garbage": (b"\x00\xff this is no reply\r\n",),
    "long": (b"250 " + b"x" * 1_000_000 + b"\r\n",),
}
REPLY = {"421": "421", "451": "451", "554": "554"}


@dataclass(frozen=True)
class Case:
    """One field of the matrix.

    Attributes:
        stage: of `Smarthost.on`.
        fault: its name.
        verb: BDAT or DATA.
        outcomes: what the caller may see; more than one where the order of segments decides.
    """

    stage: str
    fault: str
    verb: str
    outcomes: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.stage}-{self.fault}-{self.verb}".replace(" ", "_")

    @property
    def steps(self) -> tuple[Step, ...]:
        """What the smarthost does."""
        match self.fault:
            case "drip":
                return (Drip(reply(USUAL[self.stage])),)
            case "twice":
                return (reply(USUAL[self.stage], USUAL[self.stage]),)
            case _:
                return (SILENT | SPOKEN)[self.fault]


def outcome_in_opening(stage: str, fault: str) -> str:
    """Nothing of the message is at stake: sent, or 451 before anything was asked."""
    if fault == "drip":
        return "sent"
    if stage == "ehlo" and fault in ("451", "554", "251", "252"):
        return "sent"  # by HELO
    if stage == "starttls" and fault == "twice":
        return "sent"  # what was said in clear is discarded
    return "unavailable"


def outcomes_of_command(stage: str, fault: str, verb: str) -> tuple[str, ...]:
    """Passed on, or lost before the end of the message."""
    if fault in REPLY:
        return (REPLY[fault],)
    if fault == "drip" or (fault in ("251", "252") and stage != "data"):
        return ("sent",)
    if fault == "twice" and stage == "data":
        return ("unknown",)  # the second 354 stands where the reply to the message should be
    if fault == "twice" and stage == "mail" and verb == "BDAT":
        # RCPT's own reply is the surplus one; it is noticed before the message, or stands where
        # the reply to the message should be.
        return ("lost", "sent")
    return ("lost",)


def outcome_after_message(fault: str) -> str:
    """Passed on, or unknown."""
    if fault in REPLY:
        return REPLY[fault]
    return "sent" if fault in ("drip", "251", "252", "twice") else "unknown"


def outcome_within_message(fault: str) -> str:
    """Passed on, or lost; a server that reads on and says nothing has the message."""
    if fault in REPLY:
        return REPLY[fault]
    return "unknown" if fault == "black hole" else "lost"


def matrix() -> list[Case]:
    """All cases but those for RSET and QUIT."""
    faults = (*SILENT, *SPOKEN, "drip", "twice")
    cases = [Case("connect", fault, "DATA", ("unavailable",)) for fault in SILENT]
    for stage, fault in product(OPENING[1:], faults):
        cases.append(Case(stage, fault, "DATA", (outcome_in_opening(stage, fault),)))
    for verb, stage, fault in product(("BDAT", "DATA"), ("mail", "rcpt", "data"), faults):
        if stage != "data" or verb == "DATA":
            cases.append(Case(stage, fault, verb, outcomes_of_command(stage, fault, verb)))
    for verb, fault in product(("BDAT", "DATA"), faults):
        cases.append(Case("dot", fault, verb, (outcome_after_message(fault),)))
    for verb, fault in product(("BDAT", "DATA"), (*SILENT, *SPOKEN)):
        cases.append(Case("body", fault, verb, (outcome_within_message(fault),)))
    return cases


CASES = matrix()


@asynccontextmanager
async def nothing_left(host: Smarthost) -> AsyncIterator[None]:
    """No task and no connection outlives the block."""
    before = asyncio.all_tasks()
    yield
    await host.until(lambda: host.open_sessions == 0)
    assert asyncio.all_tasks() == before


def settings_for(case: Case, certificates: Certificates) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arguments of the smarthost and of the pool."""
    host: dict[str, Any] = {"extensions": ALL_EXTENSIONS if case.verb == "BDAT" else EXTENSIONS}
    pool: dict[str, Any] = {"timeouts": TIMEOUTS, "connect_seconds": PATIENCE_SECONDS}
    if case.stage == "body":
        host["receive_buffer_octets"] = 4096
    if case.stage == "starttls":
        host["tls"] = certificates.server()
        pool |= {"tls": Tls.STARTTLS, "ca_file": certificates.ca_file}
    if case.stage == "auth":
        host["users"] = {"app": "only for tests"}
        pool |= {"username": "app", "password": "only for tests", "insecure_auth": True}
    return host, pool


async def attempt(pool: Pool, body: bytes) -> str:
    """One message; "sent", the code of a refusal, or the kind of loss."""
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
    return "sent" if answer.is_positive else str(answer.code)


def test_the_matrix_is_whole() -> None:
    """Nothing was left out by mistake; RSET, QUIT and a refused connection come on top."""
    assert len(CASES) == len({str(case) for case in CASES}) == 155


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_the_caller_hears_the_truth_and_the_pool_recovers(
    case: Case, certificates: Certificates
) -> None:
    """The first connection misbehaves, every other one is sound."""
    for_host, for_pool = settings_for(case, certificates)
    body = BIG if case.stage == "body" else BODY
    async with Smarthost(**for_host) as host, nothing_left(host), pool_to(host, **for_pool) as pool:
        steps = case.steps
        if case.stage == "body" and case.fault in SPOKEN:
            steps = (*steps, Fault.BLACK_HOLE)  # and no reply to what follows
        after = 10_000 if case.stage == "body" else 0
        host.on(case.stage, *steps, session=1, after=after, times=1)
        outcome = await attempt(pool, body)
        assert outcome in case.outcomes
        if outcome in ("lost", "unknown"):
            await host.until(lambda: not host.sessions[0].is_open)
        arrived = len(host.accepted)
        assert arrived == 1 if outcome == "sent" else arrived == 0 or outcome == "unknown"
        assert (await relay(pool)).is_positive
        assert len(host.accepted) == arrived + 1
        assert host.accepted[-1].octets == HEADER + b"\r\n" + BODY


async def test_a_refused_connection_is_tried_again_by_the_next_message() -> None:
    """Nobody listened; then somebody does."""
    port = unused_port()
    async with pool_to(port) as pool:
        assert await attempt(pool, BODY) == "unavailable"
        async with Smarthost(port=port) as host:
            assert await attempt(pool, BODY) == "sent"
            assert len(host.accepted) == 1


@pytest.mark.parametrize("fault", [*SILENT, *SPOKEN, "drip", "twice"])
async def test_a_fault_at_rset_costs_the_next_message_nothing(fault: str) -> None:
    """It goes out once, if need be by another connection."""
    case = Case("rset", fault, "BDAT", ("sent",))
    async with (
        Smarthost(extensions=ALL_EXTENSIONS) as host,
        nothing_left(host),
        pool_to(host, timeouts=TIMEOUTS) as pool,
    ):
        host.on("rset", *case.steps, session=1)
        await (await accepted_transaction(pool)).abandon()
        assert await attempt(pool, BODY) == "sent"
        assert len(host.accepted) == 1


@pytest.mark.parametrize("fault", [*SILENT, *SPOKEN, "drip", "twice"])
async def test_a_fault_at_quit_leaves_nothing(fault: str) -> None:
    """The connection goes, whatever is said to QUIT."""
    case = Case("quit", fault, "DATA", ("sent",))
    async with (
        Smarthost() as host,
        nothing_left(host),
        pool_to(host, timeouts=TIMEOUTS, max_messages_per_connection=1) as pool,
    ):
        host.on("quit", *case.steps, session=1)
        assert await attempt(pool, BODY) == "sent"
        await host.until(lambda: host.open_sessions == 0)
        assert await attempt(pool, BODY) == "sent"
        assert len(host.accepted) == 2


@pytest.mark.parametrize("fault", [*SILENT, *SPOKEN, "drip", "twice"])
async def test_a_fault_at_the_first_command_of_a_kept_connection(fault: str) -> None:
    """What is no reply, and 421, is hidden by one replacement; another reply is passed on."""
    case = Case("mail", fault, "DATA", outcomes_of_command("mail", fault, "DATA"))
    async with (
        Smarthost() as host,
        nothing_left(host),
        pool_to(host, timeouts=TIMEOUTS) as pool,
    ):
        assert await attempt(pool, BODY) == "sent"
        host.on("mail", *case.steps, session=1, times=1)
        outcome = await attempt(pool, BODY)
        is_hidden = fault in (*SILENT, "421", "garbage", "long")
        assert outcome in (("sent",) if is_hidden else case.outcomes)
        assert len(host.accepted) == (2 if outcome == "sent" else 1)
