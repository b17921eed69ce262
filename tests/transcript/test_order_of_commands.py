"""Every command in every state, by RFC 5321 §4.1.4 and §4.3.2."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from relay.core.reply import Reply
from tests.fakes.transcript import Conversation
from tests.fakes.upstream import reply

GREETING = "S: 220 relay.example ESMTP dkim-relay"
EHLO = """\
C: EHLO client.example
S: 250-relay.example
S: 250-SIZE 100000
S: 250-PIPELINING
S: 250-8BITMIME
S: 250-SMTPUTF8
S: 250-ENHANCEDSTATUSCODES
S: 250-CHUNKING
S: 250 LIMITS MAILMAX=10000 RCPTMAX=4"""
EHLO_REPLY = EHLO.partition("\n")[2]
MAIL = "C: MAIL FROM:<a@example.com>\nS: 250 2.1.0 OK"
RCPT = "C: RCPT TO:<b@example.net>\nS: 250 2.1.5 Ok"
RCPT_REFUSED = "C: RCPT TO:<nobody@example.net>\nS: 550 5.1.1 No such user"
BYE = "C: QUIT\nS: 221 2.0.0 Goodbye"

STATES = {
    "greeted": (),
    "after EHLO": (EHLO,),
    "after HELO": ("C: HELO client.example\nS: 250 relay.example",),
    "in a transaction": (EHLO, MAIL),
    "after RCPT": (EHLO, MAIL, RCPT),
    "after a refused RCPT": (EHLO, MAIL, RCPT_REFUSED),
}

OK = "250 2.0.0 OK"
BAD_SEQUENCE = "503 5.5.1 Bad sequence of commands"
BAD_ARGUMENT = "501 5.5.4 Bad argument"
NOT_IMPLEMENTED = "502 5.5.1 Command not implemented"
NOT_UNDERSTOOD = "500 5.5.2 Command not understood"


@dataclass(frozen=True)
class Case:
    """A command, its reply in every state, and those states that reply otherwise."""

    command: str
    reply: str
    otherwise: tuple[tuple[str, str], ...] = ()

    def reply_in(self, state: str) -> str:
        """The reply in a state, as lines of a transcript."""
        said = dict(self.otherwise).get(state, self.reply)
        return said if said.startswith("S: ") else f"S: {said}"


GO_AHEAD = "354 End data with <CR><LF>.<CR><LF>"
QUEUED = "250 2.0.0 Ok: queued as 4F"
HELLO = "C: From: a@example.com\nC:\x20\nC: Hello.\nC: ."
NO_RECIPIENTS = "554 5.5.1 No valid recipients"
OPEN = ("after EHLO", "after HELO")
BUSY = ("in a transaction", "after RCPT", "after a refused RCPT")
CASES = (
    Case("HELO client.example", "250 relay.example"),
    Case("HELO", BAD_ARGUMENT),
    Case("EHLO client.example", EHLO_REPLY),
    Case("EHLO", BAD_ARGUMENT),
    Case("MAIL FROM:<x@example.com>", BAD_SEQUENCE, tuple((s, "250 2.1.0 OK") for s in OPEN)),
    Case("MAIL", BAD_SEQUENCE, tuple((s, "501 5.1.7 Bad reverse-path") for s in OPEN)),
    Case("RCPT TO:<x@example.net>", BAD_SEQUENCE, tuple((s, "250 2.1.5 Ok") for s in BUSY)),
    Case("RCPT", BAD_SEQUENCE, tuple((s, "501 5.1.3 Bad forward-path") for s in BUSY)),
    Case("DATA now", BAD_ARGUMENT),
    Case("RSET", OK),
    Case("RSET all", BAD_ARGUMENT),
    Case("NOOP", OK),
    Case("NOOP with a word", OK),
    Case("VRFY someone", "252 2.5.0 Cannot verify, but will take mail for it"),
    Case("VRFY", BAD_ARGUMENT),
    Case("HELP", "214 2.0.0 See RFC 5321"),
    Case("HELP MAIL", "214 2.0.0 See RFC 5321"),
    Case("EXPN list", NOT_IMPLEMENTED),
    Case("AUTH PLAIN AGEAYg==", NOT_IMPLEMENTED),
    Case("STARTTLS", NOT_IMPLEMENTED),
    Case("XCLIENT ADDR=192.0.2.1", NOT_UNDERSTOOD),
    Case("X", NOT_UNDERSTOOD),
    Case("", NOT_UNDERSTOOD),
    Case(" NOOP", NOT_UNDERSTOOD),
    Case("NOOP\tx", NOT_UNDERSTOOD),
    Case("rSeT", OK),
    Case("RSET   ", OK),
)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.command or "(empty)")
async def test_a_command_is_answered_by_the_state(
    converse: Conversation, case: Case, state: str
) -> None:
    """A command has one reply in each state, however it arrives."""
    converse.edge.upstream.answers[b"nobody@example.net"] = _no_such_user()
    steps = [GREETING, *STATES[state], f"C: {case.command}", case.reply_in(state), BYE]
    await converse("\n".join(steps))
    assert converse.edge.upstream.open_transactions == 0
    assert not converse.edge.faults


@pytest.mark.parametrize(
    ("state", "exchange"),
    [
        ("greeted", f"C: DATA\nS: {BAD_SEQUENCE}"),
        ("after EHLO", f"C: DATA\nS: {BAD_SEQUENCE}"),
        ("after HELO", f"C: DATA\nS: {BAD_SEQUENCE}"),
        ("in a transaction", f"C: DATA\nS: {BAD_SEQUENCE}"),
        ("after RCPT", f"C: DATA\nS: {GO_AHEAD}\n{HELLO}\nS: {QUEUED}"),
        ("after a refused RCPT", f"C: DATA\nS: {NO_RECIPIENTS}"),
    ],
)
async def test_data_needs_an_accepted_recipient(
    converse: Conversation, state: str, exchange: str
) -> None:
    """DATA without MAIL or RCPT is 503, with refused recipients only 554 (RFC 2920 §3.1)."""
    converse.edge.upstream.answers[b"nobody@example.net"] = _no_such_user()
    await converse("\n".join([GREETING, *STATES[state], exchange, BYE]))


@pytest.mark.parametrize("state", STATES)
async def test_nothing_is_answered_after_quit(converse: Conversation, state: str) -> None:
    """QUIT is answered and ends the session in every state; what follows is not looked at."""
    converse.edge.upstream.answers[b"nobody@example.net"] = _no_such_user()
    await converse("\n".join([GREETING, *STATES[state], BYE, "C: NOOP", "C: MAIL FROM:<>"]))
    assert converse.edge.upstream.open_transactions == 0


@pytest.mark.parametrize("verb", ["RSET", "EHLO client.example", "HELO client.example"])
async def test_a_transaction_is_forgotten(converse: Conversation, verb: str) -> None:
    """RSET, and a new greeting (RFC 5321 §4.1.4), end the transaction here and upstream."""
    reply = {"R": f"S: {OK}", "E": EHLO_REPLY, "H": "S: 250 relay.example"}[verb[0]]
    await converse(
        "\n".join(
            [
                *(GREETING, EHLO, MAIL, RCPT),
                *(f"C: {verb}", reply),
                f"C: DATA\nS: {BAD_SEQUENCE}",
                f"C: RCPT TO:<c@example.net>\nS: {BAD_SEQUENCE}",
                *(MAIL, RCPT, f"C: DATA\nS: {GO_AHEAD}\n{HELLO}\nS: {QUEUED}"),
                BYE,
            ]
        )
    )
    first, second = converse.edge.upstream.transactions
    assert first.is_abandoned
    assert not second.is_abandoned
    assert len(converse.edge.upstream.messages) == 1


async def test_a_bad_greeting_changes_nothing(converse: Conversation) -> None:
    """EHLO without a name is refused, and the transaction goes on (RFC 5321 §4.1.4)."""
    await converse(
        "\n".join(
            [
                *(GREETING, EHLO, MAIL, RCPT, f"C: EHLO\nS: {BAD_ARGUMENT}"),
                *(f"C: DATA\nS: {GO_AHEAD}\n{HELLO}\nS: {QUEUED}", BYE),
            ]
        )
    )


async def test_messages_follow_one_another(converse: Conversation) -> None:
    """A session carries several messages, each a transaction of its own."""
    one = [MAIL, RCPT, f"C: DATA\nS: {GO_AHEAD}\n{HELLO}\nS: {QUEUED}"]
    await converse("\n".join([GREETING, EHLO, *one, *one, *one, BYE]))
    assert len(converse.edge.upstream.messages) == 3
    assert len(converse.edge.endings) == 3


def _no_such_user() -> Reply:
    return reply(b"550 5.1.1 No such user")
