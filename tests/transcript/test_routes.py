"""Several ways to go: a transaction takes one, chosen by its first recipient."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from relay.core.events import Outcome, Unsigned
from relay.core.routing import SigningPolicy
from tests.fakes.transcript import Conversation
from tests.fakes.upstream import FakeUpstream

OPENING = """\
S: 220 relay.example ESMTP dkim-relay
C: HELO c
S: 250 relay.example
C: MAIL FROM:<bounces@example.com>
S: 250 2.1.0 OK
"""
MESSAGE = """\
C: DATA
S: 354 End data with <CR><LF>.<CR><LF>
C: From: a@example.com
C:\x20
C: Hello.
C: .
S: 250 2.0.0 Ok: queued as 4F
"""
BYE = """\
C: QUIT
S: 221 2.0.0 Goodbye"""


def add_way(
    converse: Conversation,
    name: str,
    signing: SigningPolicy = SigningPolicy.SIGN,
    **criteria: Any,
) -> FakeUpstream:
    """Another way in front of those there are, and the upstream that it leads to."""
    edge, upstream = converse.edge, FakeUpstream()
    way = edge.way(name, upstream, signing, **criteria)
    edge.station = replace(edge.station, ways=(way, *edge.station.ways))
    return upstream


async def test_a_recipient_of_another_route_is_asked_for_separately(converse: Conversation) -> None:
    """452: what comes back in a transaction of its own goes its own way."""
    partner = add_way(converse, "partner", rcpt_to=("partner.test",))
    await converse(
        OPENING
        + """\
C: RCPT TO:<b@example.net>
S: 250 2.1.5 Ok
C: RCPT TO:<c@partner.test>
S: 452 4.5.3 This recipient goes another way: send to it separately
C: RCPT TO:<d@example.net>
S: 250 2.1.5 Ok
"""
        + MESSAGE
        + """\
C: MAIL FROM:<bounces@example.com>
S: 250 2.1.0 OK
C: RCPT TO:<c@partner.test>
S: 250 2.1.5 Ok
"""
        + MESSAGE
        + BYE
    )
    assert len(partner.messages) == len(converse.edge.upstream.messages) == 1
    first, second = converse.edge.endings
    assert (first.route, first.rcpt_to) == ("default", ("b@example.net", "d@example.net"))
    assert first.rcpt_refused == 1
    assert (second.route, second.rcpt_to) == ("partner", ("c@partner.test",))


async def test_a_recipient_without_a_route(converse: Conversation) -> None:
    """550 for it alone; the transaction is not spoilt for others."""
    edge = converse.edge
    edge.station = replace(edge.station, ways=())
    add_way(converse, "partner", rcpt_to=("partner.test",))
    await converse(
        OPENING
        + """\
C: RCPT TO:<b@example.net>
S: 550 5.4.4 No route is configured for this recipient here
C: RCPT TO:<c@partner.test>
S: 250 2.1.5 Ok
"""
        + MESSAGE
        + BYE
    )
    assert edge.ending.outcome is Outcome.RELAYED


async def test_a_transaction_without_any_route(converse: Conversation) -> None:
    """It is told like any other that is refused."""
    converse.edge.station = replace(converse.edge.station, ways=())
    await converse(
        OPENING
        + """\
C: RCPT TO:<b@example.net>
S: 550 5.4.4 No route is configured for this recipient here
C: DATA
S: 554 5.5.1 No valid recipients
"""
        + BYE
    )
    ending = converse.edge.ending
    assert ending.outcome is Outcome.REJECTED
    assert ending.reason is not None
    assert ending.reason.value == "no_route"


@pytest.mark.parametrize(
    ("criteria", "is_taken"),
    [
        ({"mail_from": ("example.com",)}, True),
        ({"mail_from": ("<>",)}, False),
        ({"clients": frozenset({"local"})}, True),
        ({"clients": frozenset({"others"})}, False),
        ({"listeners": frozenset({""})}, True),
        ({"listeners": frozenset({"[::1]:25"})}, False),
    ],
)
async def test_what_decides(
    converse: Conversation, criteria: dict[str, Any], is_taken: bool
) -> None:
    """Reverse-path, client and listener, as the session knows them."""
    other = add_way(converse, "other", **criteria)
    await converse(OPENING + "C: RCPT TO:<b@example.net>\nS: 250 2.1.5 Ok\n" + MESSAGE + BYE)
    assert bool(other.messages) is is_taken
    assert bool(converse.edge.upstream.messages) is not is_taken


async def test_a_route_that_skips_is_told(converse: Conversation) -> None:
    """Unsigned by the operator's decision: the event says why."""
    internal = add_way(converse, "internal", SigningPolicy.SKIP)
    await converse(OPENING + "C: RCPT TO:<b@example.net>\nS: 250 2.1.5 Ok\n" + MESSAGE + BYE)
    [message] = internal.messages
    assert b"DKIM-Signature" not in message
    assert converse.edge.ending.unsigned is Unsigned.ROUTE_SKIPS
    assert converse.edge.ending.signatures == ()


async def test_what_is_offered_holds_on_every_way(converse: Conversation) -> None:
    """DSN that one of the ways does not keep is not offered."""
    edge = converse.edge
    edge.upstream.capabilities = type(edge.upstream.capabilities)({"DSN": ()})
    other = add_way(converse, "other", rcpt_to=("partner.test",))
    assert not edge.station.offers("DSN")
    other.capabilities = edge.upstream.capabilities
    assert edge.station.offers("DSN")
