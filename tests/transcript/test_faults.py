"""Something of ours breaks: 451 4.3.0, no word about it on the wire, and the session is clean.

Release blocker 4: aiosmtpd says `500 Error: (Class) text`, CRLF in it and all, and then refuses
the next MAIL as nested.
"""

from __future__ import annotations

import pytest

from relay.core.events import Outcome
from tests.fakes.edge import Edge
from tests.fakes.transcript import hold
from tests.fakes.upstream import lost

SECRET = "password=hunter2\r\n250 2.0.0 Ok: queued"
OPENING = "S: 220 relay.example ESMTP dkim-relay\nC: HELO c\nS: 250 relay.example\n"
MAIL = "C: MAIL FROM:<a@example.com>\nS: 250 2.1.0 OK\n"
RCPT = "C: RCPT TO:<b@example.net>\n"
RCPT_OK = RCPT + "S: 250 2.1.5 Ok\n"
DATA = (
    "C: DATA\nS: 354 End data with <CR><LF>.<CR><LF>\n"
    "C: From: a@example.com\nC:\x20\nC: Hello.\nC: .\n"
)
QUEUED = "S: 250 2.0.0 Ok: queued as 4F\n"
FAILED = "S: 451 4.3.0 Internal error, try again later\n"
BYE = "C: QUIT\nS: 221 2.0.0 Goodbye"


@pytest.mark.parametrize(
    "fault", [RuntimeError(SECRET), KeyError(SECRET), AssertionError(SECRET), ValueError(SECRET)]
)
async def test_no_connection_can_be_made_for_a_reason_nobody_knows(
    edge: Edge, fault: Exception
) -> None:
    """A fault while the upstream is taken: 451 to that recipient, then the next MAIL is fine."""
    edge.upstream.begin_fault = fault
    await _heals(
        edge, until=MAIL + RCPT + FAILED, then=RCPT + "S: 503 5.5.1 Bad sequence of commands\n"
    )


@pytest.mark.parametrize("fault", [RuntimeError(SECRET), OSError(5, SECRET), TimeoutError(SECRET)])
async def test_the_reply_to_a_recipient_fails(edge: Edge, fault: Exception) -> None:
    """A fault while the reply to RCPT is awaited is answered too, and upstream nothing stays."""
    edge.upstream.answers[b"b@example.net"] = fault
    await _heals(edge, until=MAIL + RCPT + FAILED)


async def test_several_pending_recipients_fail(edge: Edge) -> None:
    """Each of a pipelined group has its reply, whatever happened to it."""
    edge.upstream.answers[b"b@example.net"] = RuntimeError(SECRET)
    client = edge.client()
    client.send(b"HELO c\r\nMAIL FROM:<>\r\n" + b"RCPT TO:<b@example.net>\r\n" * 3 + b"NOOP\r\n")
    client.end()
    heard = (await client.rest()).splitlines()
    assert len(heard) == 7
    assert all(line.startswith((b"451 4.3.0", b"503 5.5.1")) for line in heard[3:6])
    assert heard[6] == b"250 2.0.0 OK"
    assert edge.upstream.open_transactions == 0


@pytest.mark.parametrize("kind", ["keys", "final"])
async def test_signing_or_sending_fails(edge: Edge, kind: str) -> None:
    """A fault behind the final dot: 451 as the reply to the message, told in the log."""
    if kind == "keys":
        edge.keys.fault = RuntimeError(SECRET)
    else:
        edge.upstream.final = RuntimeError(SECRET)
    client = edge.client()
    await hold(client, f"{OPENING}{MAIL}{RCPT_OK}{DATA}{FAILED}{MAIL}{RCPT_OK}{BYE}")
    await client.rest()
    first = edge.endings[0]
    assert first.outcome is Outcome.DEFERRED
    assert first.reply == "451 4.3.0 Internal error, try again later"
    assert edge.faults
    assert edge.upstream.open_transactions == 0


async def test_giving_up_fails(edge: Edge) -> None:
    """A fault while a transaction is ended: RSET hears 451, and the next MAIL is fine."""
    edge.upstream.abandon_fault = RuntimeError(SECRET)
    await _heals(edge, until=f"{MAIL}{RCPT_OK}C: RSET\n{FAILED}")


async def test_a_rejection_is_not_a_fault(edge: Edge) -> None:
    """What is expected to go wrong has its own reply, and no traceback."""
    edge.upstream.answers[b"b@example.net"] = lost()
    await _heals(edge, until=f"{MAIL}{RCPT}S: 451 4.4.2 Lost\nC: RSET\nS: 250 2.0.0 OK\n")
    assert not edge.faults


async def _heals(edge: Edge, *, until: str, then: str = "") -> None:
    """Hold a session in which something fails, mend it, and send a message in the same one."""
    client = edge.client()
    await hold(client, f"{OPENING}{until}{then}")
    edge.upstream.answers.clear()
    edge.upstream.begin_fault = edge.upstream.abandon_fault = edge.keys.fault = None
    assert edge.upstream.open_transactions == 0
    await hold(client, f"{MAIL}{RCPT_OK}{DATA}{QUEUED}{BYE}")
    assert await client.rest() == b""
    assert len(edge.upstream.messages) == 1
    assert b"hunter2" not in client.heard
