"""MAIL and RCPT: paths and parameters as a client may write them, and what goes on of them.

RFC 5321 §4.1.2, RFC 1870, RFC 6152, RFC 6531. Our own grammar on octets: nothing is decoded.
"""

from __future__ import annotations

import pytest

from relay.core.policy import ClientRule
from tests.fakes.edge import Edge
from tests.fakes.transcript import Conversation, Segments

HELO = "S: 220 relay.example ESMTP dkim-relay\nC: HELO c\nS: 250 relay.example"
BYE = "C: QUIT\nS: 221 2.0.0 Goodbye"
OK = "250 2.1.0 OK"
BAD_SENDER = "501 5.1.7 Bad reverse-path"
BAD_RECIPIENT = "501 5.1.3 Bad forward-path"
BAD_ARGUMENT = "501 5.5.4 Bad argument"
BAD_SEQUENCE = "503 5.5.1 Bad sequence of commands"
UNKNOWN = "555 5.5.4 Parameter not known"
TOO_BIG = "552 5.3.4 Message is over the size limit"
A200 = "a" * 200

SENDERS = [
    ("<>", OK),
    ("<a@example.com>", OK),
    (" <a@example.com>", OK),
    ("<a@example.com>   ", OK),
    ("<a+b=c@sub.example.com>", OK),
    ('<"a b"@example.com>', OK),
    (r'<"a\"b>"@example.com>', OK),
    ("<a@[192.0.2.1]>", OK),
    ("<a@[IPv6:2001:db8::1]>", OK),
    ("<@hop.example,@hop2.example:a@example.com>", OK),
    ("<a@xn--mnchen-3ya.example>", OK),
    ("a@example.com", BAD_SENDER),
    ("<a@example.com", BAD_SENDER),
    ("a@example.com>", BAD_SENDER),
    ("<a@example.com>x", BAD_SENDER),
    ("<<a@example.com>>", BAD_SENDER),
    ("<a b@example.com>", BAD_SENDER),
    ("<a@b@example.com>", BAD_SENDER),
    ("<a@example..com>", BAD_SENDER),
    ("<a@-example.com>", BAD_SENDER),
    ("<a@>", BAD_SENDER),
    ("<@example.com>", BAD_SENDER),
    ("<a>", BAD_SENDER),
    ("<postmaster>", BAD_SENDER),
    ("<a@[300.0.0.1]>", BAD_SENDER),
    ("<a@[]>", BAD_SENDER),
    (".a@example.com", BAD_SENDER),
    ("<a@example.com>\t", BAD_SENDER),
    (f"<{A200}@example.com>", OK),
    (f"<{A200}@{A200[:60]}.example>", BAD_SENDER),
    ("<ä@example.com>", BAD_SENDER),
    ("<ä@example.com> SMTPUTF8", OK),
    ("<a@ä.example> smtputf8", OK),
    ("<a@example.com> SIZE=100000", OK),
    ("<a@example.com> size=0", OK),
    ("<a@example.com> SIZE=100001", TOO_BIG),
    ("<a@example.com> SIZE=99999999999999999999", TOO_BIG),
    ("<a@example.com> BODY=7BIT", OK),
    ("<a@example.com> body=8bitmime", OK),
    ("<a@example.com> BODY=8BITMIME SIZE=10 SMTPUTF8", OK),
    ("<a@example.com> MT-PRIORITY=3", UNKNOWN),
    ("<a@example.com> XVERP", UNKNOWN),
    ("<a@example.com> SIZE=1 COLOUR=red", UNKNOWN),
]
# The path is fine in these; 501 5.1.7 would send people to look for a fault in their address.
BAD_PARAMETERS = [
    "SIZE",
    "SIZE=",
    "SIZE=-1",
    "SIZE=1k",
    "SIZE=" + "9" * 21,
    "BODY",
    "BODY=9BIT",
    "BODY=BINARYMIME",
    "SMTPUTF8=yes",
    "SIZE=1 SIZE=1",
    "=1",
    "-X=1",
    "X=1=2",
]


@pytest.mark.parametrize(("sender", "reply"), SENDERS)
async def test_a_sender(converse: Conversation, sender: str, reply: str) -> None:
    """MAIL is answered by its grammar, and a fault leaves the session as it was."""
    again = BAD_SEQUENCE if reply == OK else OK
    await converse(f"{HELO}\nC: MAIL FROM:{sender}\nS: {reply}\nC: MAIL FROM:<>\nS: {again}\n{BYE}")


@pytest.mark.parametrize("parameters", BAD_PARAMETERS)
async def test_a_bad_value_of_a_parameter_of_mail(converse: Conversation, parameters: str) -> None:
    """A parameter outside its grammar is 501 5.5.4, RFC 3463 §3.6: not a fault of the path."""
    command = f"C: MAIL FROM:<a@example.com> {parameters}"
    await converse(f"{HELO}\n{command}\nS: {BAD_ARGUMENT}\n{BYE}")


RECIPIENTS = [
    ("<b@example.net>", "250 2.1.5 Ok", "b@example.net"),
    (" <b@example.net>", "250 2.1.5 Ok", "b@example.net"),
    ("<B@Example.NET>", "250 2.1.5 Ok", "B@Example.NET"),
    ("<Postmaster>", "250 2.1.5 Ok", "Postmaster"),
    ("<@hop.example:b@example.net>", "250 2.1.5 Ok", "b@example.net"),
    ('<"b c"@example.net>', "250 2.1.5 Ok", '"b c"@example.net'),
    ("<=?utf-8?q?a=40b?=@example.net>", "250 2.1.5 Ok", "=?utf-8?q?a=40b?=@example.net"),
    ("<>", BAD_RECIPIENT, None),
    ("<b>", BAD_RECIPIENT, None),
    ("b@example.net", BAD_RECIPIENT, None),
    ("<ä@example.net>", BAD_RECIPIENT, None),
    ("<b@example.net> RRVS=2026-01-01T00:00:00Z", UNKNOWN, None),
    ("<b@example.net> SIZE=1", UNKNOWN, None),
    # Release blocker 1: aiosmtpd would have decoded these into a second command.
    ("<=?utf-8?q?a=0d=0aRCPT_TO:=3cvictim=40x.y=3e?=@b.example>", BAD_RECIPIENT, None),
    ("<u@=?utf-8?q?good.example=3e=0d=0aRCPT_TO:=3cv=40x.y?=>", BAD_RECIPIENT, None),
]


@pytest.mark.parametrize(("recipient", "reply", "carried"), RECIPIENTS)
async def test_a_recipient(
    converse: Conversation, recipient: str, reply: str, carried: str | None
) -> None:
    """RCPT is answered by its grammar; what goes upstream is the path, octet for octet."""
    await converse(
        f"{HELO}\nC: MAIL FROM:<a@example.com>\nS: {OK}\nC: RCPT TO:{recipient}\nS: {reply}\n{BYE}"
    )
    given = [t.recipients for t in converse.edge.upstream.transactions]
    if carried is None:
        assert not given
    else:
        [[rcpt]] = given
        assert rcpt.forward_path.octets == carried.encode()


@pytest.mark.parametrize("parameters", ["=x", "-X=1", "X=1=2", "X="])
async def test_a_bad_parameter_of_rcpt(converse: Conversation, parameters: str) -> None:
    """The same for RCPT."""
    await converse(
        f"{HELO}\nC: MAIL FROM:<a@example.com>\nS: {OK}\n"
        f"C: RCPT TO:<b@example.net> {parameters}\nS: {BAD_ARGUMENT}\n{BYE}"
    )


async def test_utf8_recipients_of_a_utf8_transaction(converse: Conversation) -> None:
    """With SMTPUTF8 asked for, a path in UTF-8 is carried as it stands; other octets are not."""
    await converse(
        f"{HELO}\nC: MAIL FROM:<a@example.com> SMTPUTF8\nS: {OK}\n"
        "C: RCPT TO:<ä@ö.example>\n"
        "S: 250 2.1.5 Ok\n"
        "C< RCPT TO:<\\xe4@example.net>\\r\\n\n"
        f"S: {BAD_RECIPIENT}\n{BYE}"
    )
    [transaction] = converse.edge.upstream.transactions
    assert transaction.mail.smtputf8
    assert converse.edge.upstream.given == ["ä@ö.example".encode()]


@pytest.mark.parametrize(
    "command",
    [
        r"MAIL FROM:<a@example.com>\n",
        r"MAIL FROM:<a\r@example.com>\r\n",
        r"MAIL FROM:<a@example.com>\r\r\n",
        r"MAIL FROM:<a\0@example.com>\r\n",
        r"\0MAIL FROM:<a@example.com>\r\n",
        r"MAIL FROM:<a@example.com>\rRCPT TO:<b@example.net>\r\n",
        r"\rMAIL FROM:<a@example.com>\r\n",
        r"\n",
    ],
)
async def test_bare_line_ends_and_nul_in_commands(converse: Conversation, command: str) -> None:
    """A command with a bare CR, a bare LF or a NUL is not done, and is one command only."""
    await converse(
        f"{HELO}\nC< {command}\n"
        "S: 500 5.5.2 Bare CR, bare LF or NUL in a command\n"
        f"C: MAIL FROM:<>\nS: {OK}\n{BYE}"
    )


@pytest.mark.parametrize(
    "path", [r"a\x01b@example.net", r"a\x7fb@example.net", r'"a\x08"@example.net', r"a\tb@e.net"]
)
async def test_control_characters_in_a_path(converse: Conversation, path: str) -> None:
    """Control characters are refused, also within quotes."""
    await converse(
        f"{HELO}\nC: MAIL FROM:<a@example.com>\nS: {OK}\n"
        f"C< RCPT TO:<{path}>\\r\\n\nS: {BAD_RECIPIENT}\n{BYE}"
    )


@pytest.mark.parametrize("segments", Segments)
@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"])
async def test_a_client_of_no_network(segments: Segments, address: str) -> None:
    """A client that no rule names is greeted, and may not send (never an open relay)."""
    edge = Edge()
    await Conversation(edge, segments)(
        f"{HELO}\nC: MAIL FROM:<a@example.com>\nS: 550 5.7.1 This client may not send mail here\n"
        f"C: RCPT TO:<b@example.net>\nS: {BAD_SEQUENCE}\n{BYE}",
        client=edge.client(address),
    )
    assert edge.upstream.begins == 0


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "::1%lo"])
async def test_a_client_on_this_machine(address: str) -> None:
    """Loopback is loopback in each of its forms."""
    edge = Edge()
    await Conversation(edge, Segments.LINES)(
        f"{HELO}\nC: MAIL FROM:<a@example.com>\nS: {OK}\n{BYE}", client=edge.client(address)
    )


async def test_the_first_rule_that_matches_counts() -> None:
    """Rules are asked in their order."""
    narrow = ClientRule("narrow", Edge().rules[0].networks, ("other.example",))
    edge = Edge(rules=(narrow, *Edge().rules))
    await Conversation(edge, Segments.LINES)(
        f"{HELO}\nC: MAIL FROM:<a@example.com>\nS: {OK}\n"
        "C: RCPT TO:<b@example.net>\nS: 250 2.1.5 Ok\n"
        "C: DATA\nS: 354 End data with <CR><LF>.<CR><LF>\n"
        "C: From: a@example.com\nC:\x20\nC: .\n"
        f"S: 550 5.7.1 This client may not use this From address\n{BYE}"
    )
    assert edge.ending.client_rule == "narrow"
    assert not edge.upstream.messages
