"""Commands of extensions in every state, and every command between two chunks.

RFC 3030 (BDAT), RFC 3207 (STARTTLS), RFC 4954 (AUTH). The table of RFC 5321's own commands
stands in test_order_of_commands.py.
"""

from __future__ import annotations

import pytest

from relay.listener.endpoint import Endpoint, ListenerTls
from tests.fakes.certificates import Certificates
from tests.fakes.edge import Edge
from tests.fakes.transcript import Conversation, Segments
from tests.fakes.upstream import reply

GREETING = "S: 220 relay.example ESMTP dkim-relay"
EHLO = """\
C: EHLO c
S: 250-relay.example
S: 250-SIZE 100000
S: 250-PIPELINING
S: 250-8BITMIME
S: 250-SMTPUTF8
S: 250-ENHANCEDSTATUSCODES
S: 250-CHUNKING
S: 250-LIMITS MAILMAX=10000 RCPTMAX=4
S: 250-STARTTLS
S: 250 AUTH PLAIN LOGIN"""
HELO = "C: HELO c\nS: 250 relay.example"
MAIL = "C: MAIL FROM:<a@example.com>\nS: 250 2.1.0 OK"
RCPT = "C: RCPT TO:<b@example.net>\nS: 250 2.1.5 Ok"
REFUSED = "C: RCPT TO:<nobody@example.net>\nS: 550 5.1.1 No such user"
CHUNK = "C< BDAT 3\\r\\nX: \nS: 250 2.0.0 3 octets received"
BYE = "C: QUIT\nS: 221 2.0.0 Goodbye"

GREETED, AFTER_EHLO, AFTER_HELO = "greeted", "after EHLO", "after HELO"
AFTER_MAIL, AFTER_RCPT, AFTER_REFUSAL = "after MAIL", "after RCPT", "after a refused RCPT"
BETWEEN = "between chunks"
STATES = {
    GREETED: (),
    AFTER_EHLO: (EHLO,),
    AFTER_HELO: (HELO,),
    AFTER_MAIL: (EHLO, MAIL),
    AFTER_RCPT: (EHLO, MAIL, RCPT),
    AFTER_REFUSAL: (EHLO, MAIL, REFUSED),
    BETWEEN: (EHLO, MAIL, RCPT, CHUNK),
}

OK = "250 2.0.0 OK"
BAD_SEQUENCE = "503 5.5.1 Bad sequence of commands"
BAD_ARGUMENT = "501 5.5.4 Bad argument"
NO_RECIPIENTS = "554 5.5.1 No valid recipients"
UNKNOWN = "504 5.5.4 Authentication mechanism not known"
RIGHT = "235 2.7.0 Authentication successful"
WRONG = "535 5.7.8 Authentication credentials invalid"
READY = "220 2.0.0 Ready to start TLS"

# A command, its reply in most states, and the others.
TABLE = [
    ("C: AUTH", BAD_SEQUENCE, {AFTER_EHLO: BAD_ARGUMENT}),
    ("C: AUTH X", BAD_SEQUENCE, {AFTER_EHLO: UNKNOWN}),
    ("C: AUTH PLAIN AGFwcABzZWNyZXQ=", BAD_SEQUENCE, {AFTER_EHLO: RIGHT}),
    ("C: AUTH PLAIN AGFwcAB4", BAD_SEQUENCE, {AFTER_EHLO: WRONG}),
    ("C: STARTTLS x", BAD_ARGUMENT, {}),
    (
        "C< BDAT 6\\r\\nRSET\\r\\n",
        BAD_SEQUENCE,
        {
            AFTER_RCPT: "250 2.0.0 6 octets received",
            BETWEEN: "250 2.0.0 6 octets received",
            AFTER_REFUSAL: NO_RECIPIENTS,
        },
    ),
    (
        "C< BDAT 0\\r\\n",
        BAD_SEQUENCE,
        {
            AFTER_RCPT: "250 2.0.0 0 octets received",
            BETWEEN: "250 2.0.0 0 octets received",
            AFTER_REFUSAL: NO_RECIPIENTS,
        },
    ),
    (
        "C< BDAT 3 LAST\\r\\nabc",
        BAD_SEQUENCE,
        {
            AFTER_RCPT: "554 5.6.0 A header line has no colon",
            BETWEEN: "550 5.6.0 The From header field must stand exactly once",
            AFTER_REFUSAL: NO_RECIPIENTS,
        },
    ),
    (
        "C< BDAT 20 LAST\\r\\nFrom: a@example.com\\n",
        BAD_SEQUENCE,
        {
            AFTER_RCPT: "554 5.6.0 Bare CR or LF in the message",
            BETWEEN: "554 5.6.0 Bare CR or LF in the message",
            AFTER_REFUSAL: NO_RECIPIENTS,
        },
    ),
]
BETWEEN_CHUNKS = [
    ("MAIL FROM:<x@example.com>", BAD_SEQUENCE),
    ("RCPT TO:<x@example.net>", BAD_SEQUENCE),
    ("RCPT", BAD_SEQUENCE),
    ("DATA", BAD_SEQUENCE),
    ("DATA now", BAD_ARGUMENT),
    ("RSET", OK),
    ("RSET all", BAD_ARGUMENT),
    ("NOOP", OK),
    ("VRFY x", "252 2.5.0 Cannot verify, but will take mail for it"),
    ("HELP", "214 2.0.0 See RFC 5321"),
    ("EXPN x", "502 5.5.1 Command not implemented"),
    ("HELO c", "250 relay.example"),
    ("HELO", BAD_ARGUMENT),
    ("X", "500 5.5.2 Command not understood"),
    ("", "500 5.5.2 Command not understood"),
]


@pytest.fixture
async def edge(certificates: Certificates) -> Edge:
    """An edge that offers everything."""
    endpoint = Endpoint(
        tls=ListenerTls.STARTTLS, certificates=certificates.listener(), may_auth_in_clear=True
    )
    made = Edge(endpoint=endpoint, passwords={"app": "secret"})
    made.upstream.answers[b"nobody@example.net"] = reply(b"550 5.1.1 No such user")
    return made


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[0][3:])
async def test_a_command_of_an_extension(
    converse: Conversation, row: tuple[str, str, dict[str, str]], state: str
) -> None:
    """One reply in each state, and the session goes on."""
    command, usual, others = row
    said = others.get(state, usual)
    steps = [GREETING, *STATES[state], command, f"S: {said}"]
    if said in (RIGHT, WRONG) and converse.segments is Segments.WHOLE:
        steps.append("C: QUIT")  # thrown away: it was sent before the answer was known
    else:
        steps.append(BYE)
    await converse("\n".join(steps))
    assert converse.edge.upstream.open_transactions == 0
    assert converse.edge.memory.octets == 0
    assert not converse.edge.faults


@pytest.mark.parametrize("row", BETWEEN_CHUNKS, ids=lambda row: row[0] or "(empty)")
async def test_a_command_between_chunks(converse: Conversation, row: tuple[str, str]) -> None:
    """Only BDAT, and what leaves the message alone or ends it."""
    command, said = row
    await converse("\n".join([GREETING, *STATES[BETWEEN], f"C: {command}", f"S: {said}", BYE]))
    assert converse.edge.upstream.open_transactions == 0
    assert converse.edge.memory.octets == 0
    assert not converse.edge.upstream.messages


@pytest.mark.parametrize("state", STATES)
async def test_starttls(converse: Conversation, state: str) -> None:
    """It may be said in every state, and ends the transaction (RFC 3207 §4.2)."""
    steps = [GREETING, *STATES[state], "C: STARTTLS", f"S: {READY}"]
    await converse("\n".join(steps))
    assert converse.edge.upstream.open_transactions == 0
    assert converse.edge.memory.octets == 0
    assert not converse.edge.faults


@pytest.mark.parametrize("state", STATES)
async def test_nothing_is_answered_behind_a_bad_chunk(converse: Conversation, state: str) -> None:
    """Where it ends is not known: 501, and the session is over in every state."""
    await converse(
        "\n".join([GREETING, *STATES[state], "C: BDAT x", f"S: {BAD_ARGUMENT}", "C: NOOP"])
    )
    assert converse.edge.upstream.open_transactions == 0
