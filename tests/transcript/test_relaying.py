"""Whole transactions: what the upstream says is what the client hears."""

from __future__ import annotations

import pytest

from relay.core.events import Outcome
from relay.core.reply import Reply
from tests.fakes.edge import Edge
from tests.fakes.transcript import Conversation
from tests.fakes.upstream import lost, reply, unavailable

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
C: Message-ID: <1@example.com>
C:\x20
C: Hello.
C: .
"""
BYE = """\
C: QUIT
S: 221 2.0.0 Goodbye"""


async def test_a_message_is_signed_and_relayed(converse: Conversation) -> None:
    """The upstream gets what the client sent, signed, with what must be in front."""
    await converse(
        OPENING
        + """\
C: RCPT TO:<b@example.net>
S: 250 2.1.5 Ok
"""
        + MESSAGE
        + "S: 250 2.0.0 Ok: queued as 4F\n"
        + BYE
    )
    [message] = converse.edge.upstream.messages
    assert message.startswith(b"DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;")
    assert message.endswith(
        b"Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n"
        b"From: a@example.com\r\nMessage-ID: <1@example.com>\r\n\r\nHello.\r\n"
    )
    ending = converse.edge.ending
    assert ending.outcome is Outcome.RELAYED
    assert ending.reply == "250 2.0.0 Ok: queued as 4F"
    assert (ending.mail_from, ending.from_address) == ("bounces@example.com", "a@example.com")
    assert ending.rcpt_to == ("b@example.net",)
    assert ending.message_id == "<1@example.com>"
    assert ending.signatures == ("s1/ed25519-sha256",)
    assert not ending.client_left


async def test_a_refused_recipient_is_refused_in_the_words_of_the_upstream(
    converse: Conversation,
) -> None:
    """Replies to RCPT pass with code, text and lines unchanged, and only the rest gets mail."""
    upstream = converse.edge.upstream
    upstream.answers[b"no@example.net"] = reply(b"550-5.1.1 No such user", b"550 5.1.1  here")
    upstream.answers[b"later@example.net"] = reply(b"450 greylisted, \xe4")
    await converse(
        OPENING
        + """\
C: RCPT TO:<no@example.net>
S: 550-5.1.1 No such user
S: 550 5.1.1  here
C: RCPT TO:<b@example.net>
S: 250 2.1.5 Ok
C: RCPT TO:<c@example.net>
S: 250 2.1.5 Ok
"""
        + MESSAGE
        + "S: 250 2.0.0 Ok: queued as 4F\n"
        + BYE
    )
    assert converse.edge.ending.rcpt_to == ("b@example.net", "c@example.net")
    assert converse.edge.ending.rcpt_refused == 1


@pytest.mark.parametrize(
    ("final", "said", "outcome"),
    [
        (reply(b"250-2.0.0 Ok", b"250 queued"), "S: 250-2.0.0 Ok\nS: 250 queued", Outcome.RELAYED),
        (reply(b"250 "), "S: 250 ", Outcome.RELAYED),
        (reply(b"251 2.1.5 forwarded"), "S: 251 2.1.5 forwarded", Outcome.RELAYED),
        (reply(b"554-5.7.1 Spam", b"554 5.7.1 go away"), None, Outcome.REJECTED),
        (reply(b"454 Throttling failure"), None, Outcome.DEFERRED),
        (lost(), "S: 451 4.4.2 Lost", Outcome.DEFERRED),
    ],
    ids=lambda value: str(value)[:20],
)
async def test_the_final_reply_is_the_upstreams(
    converse: Conversation, final: Reply | Exception, said: str | None, outcome: Outcome
) -> None:
    """What the upstream says to the message is said to the client, line by line."""
    converse.edge.upstream.final = final
    if said is None:
        assert isinstance(final, Reply)
        said = "\n".join(f"S: {line}" for line in final.wire().decode().splitlines())
    await converse(f"{OPENING}C: RCPT TO:<b@example.net>\nS: 250 2.1.5 Ok\n{MESSAGE}{said}\n{BYE}")
    assert converse.edge.ending.outcome is outcome
    assert converse.edge.upstream.open_transactions == 0


@pytest.mark.parametrize("answer", [b"354 go on", b"334 VXNlcm5hbWU6"])
@pytest.mark.parametrize("stage", ["recipient", "message"])
async def test_an_upstream_that_says_3yz_is_not_passed_on(
    edge: Edge, answer: bytes, stage: str
) -> None:
    """3yz asks a client to go on with something else; behind RCPT or a message it is no answer."""
    if stage == "recipient":
        edge.upstream.answers[b"b@example.net"] = reply(answer)
    else:
        edge.upstream.final = reply(answer)
    client = edge.client()
    octets = b"".join(
        line[3:].encode() + b"\r\n"
        for line in f"{OPENING}C: RCPT TO:<b@example.net>\n{MESSAGE}".splitlines()
        if line.startswith("C:")
    )
    client.send(octets)
    client.end()
    said = (await client.rest()).splitlines()
    at_recipient, at_end = said[3], said[-1]
    assert (at_recipient if stage == "recipient" else at_end).startswith(b"451 4.")


async def test_all_recipients_refused(converse: Conversation) -> None:
    """Then there is nothing to send, and DATA says so (RFC 2920 §3.1)."""
    converse.edge.upstream.answers[b"no@example.net"] = reply(b"550 5.1.1 No")
    await converse(
        OPENING
        + """\
C: RCPT TO:<no@example.net>
S: 550 5.1.1 No
C: RCPT TO:<no@example.net>
S: 550 5.1.1 No
C: DATA
S: 554 5.5.1 No valid recipients
C: RSET
S: 250 2.0.0 OK
"""
        + BYE
    )
    assert converse.edge.ending.outcome is Outcome.REJECTED
    assert converse.edge.ending.reply == "550 5.1.1 No"
    assert converse.edge.ending.rcpt_refused == 2


async def test_no_upstream_can_be_had(converse: Conversation) -> None:
    """Each recipient hears 451; one attempt is made in a transaction."""
    converse.edge.upstream.begin_fault = unavailable()
    await converse(
        OPENING
        + """\
C: RCPT TO:<b@example.net>
S: 451 4.4.1 The next hop cannot be reached now
C: RCPT TO:<c@example.net>
S: 451 4.4.1 The next hop cannot be reached now
C: DATA
S: 554 5.5.1 No valid recipients
"""
        + BYE
    )
    assert converse.edge.upstream.begins == 1
    ending = converse.edge.ending
    assert (ending.outcome, ending.rcpt_refused) == (Outcome.DEFERRED, 2)
    assert "192.0.2.1" in ending.detail  # for the log; the client is not told


async def test_the_limit_of_recipients(converse: Conversation) -> None:
    """Recipients beyond the limit are told 452, and the others get the message."""
    converse.edge.upstream.answers[b"no@example.net"] = reply(b"550 5.1.1 No")
    accepted = "C: RCPT TO:<b@example.net>\nS: 250 2.1.5 Ok\n"
    await converse(
        OPENING
        + accepted * 3
        + "C: RCPT TO:<no@example.net>\nS: 550 5.1.1 No\n"
        + accepted
        + "C: RCPT TO:<c@example.net>\nS: 452 4.5.3 Too many recipients\n" * 2
        + MESSAGE
        + "S: 250 2.0.0 Ok: queued as 4F\n"
        + BYE
    )
    assert len(converse.edge.ending.rcpt_to) == 4


async def test_a_recipient_that_is_no_command_is_answered_in_its_turn(
    converse: Conversation,
) -> None:
    """Replies come in the order of commands (RFC 2920 §3.2), or a client counts wrongly.

    The upstream's reply to the first recipient is on its way while the second is refused here.
    """
    await converse(
        OPENING
        + """\
C: RCPT TO:<b@example.net>
S: 250 2.1.5 Ok
C< RCPT TO:<bad\\0@example.net>\\r\\n
S: 500 5.5.2 Bare CR, bare LF or NUL in a command
C: RCPT TO:<c@example.net>
S: 250 2.1.5 Ok
C< RCPT TO:<d@example.net>\\n
S: 500 5.5.2 Bare CR, bare LF or NUL in a command
"""
        + BYE
    )


async def test_a_recipient_that_is_too_long_is_answered_in_its_turn(
    converse: Conversation,
) -> None:
    """The same for a line over the limit."""
    await converse(
        f"{OPENING}C: RCPT TO:<b@example.net>\nS: 250 2.1.5 Ok\n"
        f"C: RCPT TO:<{'c' * 600}@example.net>\nS: 500 5.5.2 Command line too long\n"
        f"C: RCPT TO:<>\nS: 501 5.1.3 Bad forward-path\n{BYE}"
    )


async def test_a_domain_whose_key_cannot_sign_now(converse: Conversation) -> None:
    """451 4.7.5 for that domain, never unsigned; another domain works in the same session."""
    closed = MESSAGE.replace("a@example.com", "a@closed.example")
    await converse(
        f"{OPENING}C: RCPT TO:<b@example.net>\nS: 250 2.1.5 Ok\n"
        f"{closed}S: 451 4.7.5 No signing key is usable for this domain now\n"
        "C: MAIL FROM:<a@closed.example>\nS: 250 2.1.0 OK\n"
        f"C: RCPT TO:<b@example.net>\nS: 250 2.1.5 Ok\n"
        f"{MESSAGE}S: 250 2.0.0 Ok: queued as 4F\n{BYE}"
    )
    first, second = converse.edge.endings
    assert first.outcome is Outcome.DEFERRED
    assert "not published" in first.detail
    assert second.outcome is Outcome.RELAYED
    assert converse.edge.upstream.transactions[0].is_abandoned
    assert len(converse.edge.upstream.messages) == 1


@pytest.mark.parametrize(
    ("field", "said"),
    [
        (
            "From: a@unknown.example",
            "550 5.7.1 No mail is signed for the From domain unknown.example here",
        ),
        (
            "From: a@sub.example.com",
            "550 5.7.1 No mail is signed for the From domain sub.example.com here",
        ),
        ("Subject: no From", "550 5.6.0 The From header field must stand exactly once"),
        ("From: a", "550 5.6.0 The From header field is not a valid address field"),
        ("no header at all", "554 5.6.0 A header line has no colon"),
    ],
)
async def test_a_message_that_may_not_be_signed(
    converse: Conversation, field: str, said: str
) -> None:
    """It is refused with the reason, upstream never sees it, and the session goes on."""
    message = MESSAGE.replace("From: a@example.com", field)
    again = MESSAGE.replace("Hello", "Again")
    await converse(
        f"{OPENING}C: RCPT TO:<b@example.net>\nS: 250 2.1.5 Ok\n{message}S: {said}\n"
        "C: MAIL FROM:<>\nS: 250 2.1.0 OK\nC: RCPT TO:<b@example.net>\nS: 250 2.1.5 Ok\n"
        f"{again}S: 250 2.0.0 Ok: queued as 4F\n{BYE}"
    )
    [message_sent] = converse.edge.upstream.messages
    assert message_sent.endswith(b"Again.\r\n")


async def test_a_null_reverse_path_is_signed_like_any_other(converse: Conversation) -> None:
    """DSNs and auto-replies are signed by their From domain."""
    await converse(
        f"{OPENING}C: RSET\nS: 250 2.0.0 OK\nC: MAIL FROM:<>\nS: 250 2.1.0 OK\n"
        f"C: RCPT TO:<b@example.net>\nS: 250 2.1.5 Ok\n{MESSAGE}"
        f"S: 250 2.0.0 Ok: queued as 4F\n{BYE}"
    )
    assert converse.edge.upstream.transactions[0].mail.reverse_path.is_null
    assert converse.edge.upstream.messages[0].startswith(b"DKIM-Signature:")
    assert converse.edge.ending.mail_from == ""
