"""AUTH: who logs in, how it may be written, and what a wrong password costs (RFC 4954)."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from relay.core.events import Noted
from relay.core.policy import ClientRule
from relay.listener.endpoint import Endpoint
from relay.listener.logins import LoginLimits
from tests.fakes.edge import LIMITS, MESSAGE, Edge
from tests.fakes.transcript import Conversation, Segments, hold

PASSWORD = "hunter2-öÄ"
RULE = ClientRule("app", login="app", from_addresses=("example.com",))
PATIENT = replace(LIMITS, max_bad_commands=100)

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
S: 250 AUTH PLAIN LOGIN"""
DONE = "S: 235 2.7.0 Authentication successful"
FAILED = "S: 535 5.7.8 Authentication credentials invalid"
CANCELLED = "S: 501 5.7.0 Authentication cancelled"
INVALID = "S: 501 5.5.2 Not a valid response"
BAD_SEQUENCE = "S: 503 5.5.1 Bad sequence of commands"
TOO_LONG = "S: 500 5.5.6 Authentication exchange line is too long"
TOO_MANY = "S: 421 4.7.0 Too many failed logins, try again later"
ENOUGH = "S: 421 4.7.0 Too many failed logins in one session"
MAIL = "C: MAIL FROM:<a@example.com>\nS: 250 2.1.0 OK"
BYE = "C: QUIT\nS: 221 2.0.0 Goodbye"


def b64(text: str | bytes) -> str:
    """Base64 of a response."""
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


PLAIN = b64(f"\0app\0{PASSWORD}")
WRONG = b64("\0app\0wrong")
USER, PASS = b64("app"), b64(PASSWORD)
ASK_USER, ASK_PASS = "S: 334 VXNlcm5hbWU6", "S: 334 UGFzc3dvcmQ6"


Make = Callable[..., Edge]


@pytest.fixture
def make(caplog: pytest.LogCaptureFixture) -> Iterator[Make]:
    """Makes edges whose only client logs in.

    After the test no password is in their events, in what was logged, or in a repr.
    """
    made: list[Edge] = []
    caplog.set_level(0)

    def make_edge(**changes: Any) -> Edge:
        arguments: dict[str, Any] = {
            "limits": PATIENT,
            "rules": (RULE,),
            "endpoint": Endpoint(may_auth_in_clear=True),
            "passwords": {"app": PASSWORD},
        }
        made.append(Edge(**{**arguments, **changes}))
        return made[-1]

    yield make_edge
    shown = "\n".join([repr(event) for edge in made for event in edge.events] + [caplog.text])
    for secret in (PASSWORD, PASS, PLAIN, "wrong", WRONG):
        assert secret not in shown


@pytest.fixture
async def edge(make: Make) -> Edge:
    """One that takes AUTH in clear."""
    return make()


# ---- how it may be written ---------------------------------------------------------------------

EXCHANGES = {
    "PLAIN with an initial response": f"C: AUTH PLAIN {PLAIN}",
    "PLAIN without": f"C: AUTH PLAIN\nS: 334 \nC: {PLAIN}",
    "PLAIN for oneself": f"C: AUTH PLAIN {b64(f'app{chr(0)}app{chr(0)}{PASSWORD}')}",
    "LOGIN": f"C: AUTH LOGIN\n{ASK_USER}\nC: {USER}\n{ASK_PASS}\nC: {PASS}",
    "LOGIN with an initial response": f"C: AUTH LOGIN {USER}\n{ASK_PASS}\nC: {PASS}",
    "in small letters": f"C: auth plain {PLAIN}",
    "in any letters": f"C: aUtH LoGiN {USER}\n{ASK_PASS}\nC: {PASS}",
    "with a blank behind": f"C: AUTH PLAIN {PLAIN} ",
}


@pytest.mark.parametrize("how", EXCHANGES)
async def test_a_login(converse: Conversation, how: str) -> None:
    """Each form lets the client in; MAIL is refused before and taken after."""
    needed = "S: 530 5.7.0 Authentication required"
    steps = [GREETING, EHLO, f"C: MAIL FROM:<a@example.com>\n{needed}", EXCHANGES[how], DONE]
    if converse.segments is Segments.WHOLE:
        # What stands behind AUTH in the same segment is thrown away: send it later.
        client = converse.edge.client()
        await hold(client, "\n".join([*steps, MAIL, BYE]))
        await client.rest()
    else:
        await converse("\n".join([*steps, MAIL, BYE]))
    assert not converse.edge.faults


REFUSED = {
    "no mechanism": ("C: AUTH", "S: 501 5.5.4 Bad argument"),
    "an unknown mechanism": (
        "C: AUTH CRAM-MD5",
        "S: 504 5.5.4 Authentication mechanism not known",
    ),
    "an unknown mechanism with a response": (
        f"C: AUTH XOAUTH2 {PLAIN}",
        "S: 504 5.5.4 Authentication mechanism not known",
    ),
    "a mechanism with a tab": (
        f"C: AUTH PLAIN\t{PLAIN}",
        "S: 504 5.5.4 Authentication mechanism not known",
    ),
    "PLAIN cancelled": ("C: AUTH PLAIN\nS: 334 \nC: *", CANCELLED),
    "LOGIN cancelled": (f"C: AUTH LOGIN\n{ASK_USER}\nC: *", CANCELLED),
    "LOGIN cancelled late": (f"C: AUTH LOGIN\n{ASK_USER}\nC: {USER}\n{ASK_PASS}\nC: *", CANCELLED),
    "PLAIN with nothing": ("C: AUTH PLAIN =", INVALID),
    "PLAIN with an empty line": ("C: AUTH PLAIN\nS: 334 \nC:\x20", INVALID),
    "LOGIN with no name": (f"C: AUTH LOGIN =\n{ASK_PASS}\nC: {PASS}", INVALID),
    "LOGIN with no password": (f"C: AUTH LOGIN {USER}\n{ASK_PASS}\nC:\x20", INVALID),
    "not base64": ("C: AUTH PLAIN !!!!", INVALID),
    "base64 with a star": ("C: AUTH PLAIN *", INVALID),
    "base64 without its padding": (f"C: AUTH PLAIN {PLAIN[:-1]}", INVALID),
    "base64 behind its padding": (f"C: AUTH PLAIN {b64('a')}{PLAIN}", INVALID),
    "base64 with blanks": (f"C: AUTH PLAIN {PLAIN[:8]} {PLAIN[8:]}", INVALID),
    "base64 with a NUL": (r"C< AUTH PLAIN\r\n" + "\nS: 334 \n" + r"C< AG\x00Fw\r\n", INVALID),
    "base64 of the web": (f"C: AUTH LOGIN {USER}\n{ASK_PASS}\nC: __--", INVALID),
    "PLAIN of two parts": (f"C: AUTH PLAIN {b64(f'app{chr(0)}{PASSWORD}')}", INVALID),
    "PLAIN of four parts": (f"C: AUTH PLAIN {b64(f'{chr(0)}app{chr(0)}x{chr(0)}y')}", INVALID),
    "PLAIN as somebody else": (
        f"C: AUTH PLAIN {b64(f'root{chr(0)}app{chr(0)}{PASSWORD}')}",
        INVALID,
    ),
    "PLAIN without a password": (f"C: AUTH PLAIN {b64(f'{chr(0)}app{chr(0)}')}", INVALID),
    "PLAIN without a name": (f"C: AUTH PLAIN {b64(f'{chr(0)}{chr(0)}{PASSWORD}')}", INVALID),
    "a bare LF behind a response": (
        "C: AUTH PLAIN\nS: 334 \n" + rf"C< {PLAIN}\n",
        "S: 500 5.5.2 Bare CR, bare LF or NUL in a command",
    ),
    "a bare CR within a response": (
        "C: AUTH PLAIN\nS: 334 \n" + rf"C< {PLAIN[:8]}\r{PLAIN[8:]}\r\n",
        INVALID,
    ),
}


@pytest.mark.parametrize("how", REFUSED)
async def test_an_exchange_that_is_none(converse: Conversation, how: str) -> None:
    """It is refused by its own code, costs no check of a password, and the session goes on."""
    said, reply = REFUSED[how]
    edge = converse.edge
    await converse("\n".join([GREETING, EHLO, said, reply, "C: NOOP\nS: 250 2.0.0 OK", BYE]))
    assert not edge.waits
    assert not [e for e in edge.events if e.name == "client.login_failed"]
    assert not edge.faults


@pytest.mark.parametrize("behind", [Segments.LINES, Segments.WHOLE])
async def test_commands_behind_auth_are_thrown_away(edge: Edge, behind: Segments) -> None:
    """Who pipelines behind AUTH does not know the answer: nothing of it is obeyed."""
    client = edge.client()
    await hold(client, "\n".join([GREETING, EHLO]))
    if behind is Segments.WHOLE:
        client.send(f"AUTH PLAIN {PLAIN}\r\n".encode() + b"MAIL FROM:<>\r\nNOOP\r\nNO")
    else:
        await hold(client, "C: AUTH PLAIN\nS: 334 ")
        client.send(f"{PLAIN}\r\n".encode())
        client.send(b"MAIL FROM:<>\r\nNOOP\r\nNO")
    assert await client.reply() == DONE[3:].encode() + b"\r\n"
    await hold(client, f"C: RSET\nS: 250 2.0.0 OK\n{MAIL}\n{BYE}")
    assert await client.rest() == b""


@pytest.mark.parametrize("behind", [b"MAIL FROM:<a@example.com>\r\n", b"QUIT\r\n"])
async def test_commands_behind_a_wrong_password_are_thrown_away(edge: Edge, behind: bytes) -> None:
    """The same when the answer is no, however long it took."""
    client = edge.client()
    await hold(client, "\n".join([GREETING, EHLO]))
    client.send(f"AUTH PLAIN {WRONG}\r\n".encode() + behind)
    assert await client.reply() == FAILED[3:].encode() + b"\r\n"
    await hold(client, f"C: NOOP\nS: 250 2.0.0 OK\n{BYE}")
    assert await client.rest() == b""


# ---- when it may be said -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "before",
    [
        [],
        ["C: HELO c\nS: 250 relay.example"],
        [EHLO, "C: HELO c\nS: 250 relay.example"],
    ],
    ids=["before EHLO", "after HELO", "after EHLO and HELO"],
)
async def test_auth_needs_ehlo(converse: Conversation, before: list[str]) -> None:
    """RFC 4954 §4: it is an extension."""
    await converse("\n".join([GREETING, *before, f"C: AUTH PLAIN {PLAIN}", BAD_SEQUENCE, BYE]))


async def test_not_within_a_transaction(make: Make) -> None:
    """RFC 4954 §4: after MAIL it is a bad sequence; the transaction goes on."""
    edge = make(rules=(ClientRule("all", listeners=frozenset({""})),))
    client = edge.client()
    await hold(client, "\n".join([GREETING, EHLO, MAIL, f"C: AUTH PLAIN {PLAIN}", BAD_SEQUENCE]))
    await hold(client, f"C: RCPT TO:<b@example.net>\nS: 250 2.1.5 Ok\n{BYE}")
    await client.rest()


async def test_not_twice(edge: Edge) -> None:
    """RFC 4954 §4: once it has succeeded, no more."""
    client = edge.client()
    again = EHLO.replace("S: 250-LIMITS", "S: 250 LIMITS").rpartition("\n")[0]
    await hold(
        client,
        "\n".join(
            [
                *(GREETING, EHLO, f"C: AUTH PLAIN {PLAIN}", DONE),
                *(f"C: AUTH PLAIN {PLAIN}", BAD_SEQUENCE, again),
                *(f"C: AUTH LOGIN {USER}", BAD_SEQUENCE, MAIL, BYE),
            ]
        ),
    )
    await client.rest()


async def test_in_clear(make: Make) -> None:
    """A listener that does not say so takes no password in clear, and does not offer to."""
    edge = make(endpoint=Endpoint())
    client = edge.client()
    without = EHLO.replace("S: 250-LIMITS", "S: 250 LIMITS").rpartition("\n")[0]
    needs_tls = "S: 538 5.7.11 Encryption required for authentication"
    await hold(
        client,
        "\n".join([GREETING, without, f"C: AUTH PLAIN {PLAIN}", needs_tls, "C: AUTH", needs_tls]),
    )
    await hold(client, BYE)
    await client.rest()
    assert not edge.waits


# ---- long ones ---------------------------------------------------------------------------------


@pytest.mark.parametrize("octets", [2048, 12_287, 12_288, 12_289, 20_000, 100_000])
@pytest.mark.parametrize("where", ["initial", "response"])
@pytest.mark.parametrize("cut", [100, 1 << 20])
async def test_a_long_response(edge: Edge, octets: int, where: str, cut: int) -> None:
    """RFC 4954 §4: responses of 12,288 octets are taken; what is longer is 500 5.5.6."""
    client = edge.client()
    await hold(client, "\n".join([GREETING, EHLO]))
    response = b64(b"\0app\0" + b"x" * (octets * 3 // 4)).encode()[:octets]
    expected = FAILED if octets % 4 == 0 else INVALID
    expected = TOO_LONG if octets > 12_288 else expected
    if where == "initial":
        response = b"AUTH PLAIN " + response
    else:
        await hold(client, "C: AUTH PLAIN\nS: 334 ")
    line = response + b"\r\n"
    for position in range(0, len(line), cut):
        client.send(line[position : position + cut])
        await asyncio.sleep(0)
    await hold(client, f"{expected}\nC: NOOP\nS: 250 2.0.0 OK\n{BYE}")
    assert await client.rest() == b""


async def test_a_response_without_an_end(edge: Edge) -> None:
    """Megabytes of it are thrown away as they come, and time ends it."""
    client = edge.client()
    await hold(client, f"{GREETING}\n{EHLO}\nC: AUTH PLAIN\nS: 334 ")
    for _ in range(40):
        client.send(b"A" * 65_536)
        await asyncio.sleep(0)
        assert client.unsent_octets < 512 * 1024
    for session in tuple(edge.sessions):
        session.sweep(asyncio.get_running_loop().time() + 301)
    assert await client.rest() == b"421 4.4.2 Nothing was heard for too long\r\n"


@pytest.mark.parametrize("how", ["end", "vanish"])
@pytest.mark.parametrize("said", ["C: AUTH PLAIN\nS: 334 ", f"C: AUTH LOGIN {USER}\n{ASK_PASS}"])
async def test_a_client_that_leaves_within_the_exchange(edge: Edge, said: str, how: str) -> None:
    """The session ends with it, and nothing was checked."""
    client = edge.client()
    await hold(client, f"{GREETING}\n{EHLO}\n{said}")
    client.send(b"aGFsZg")
    getattr(client, how)()
    assert await client.rest() == b""
    await edge.until_over()
    assert not edge.faults
    assert not edge.waits


async def test_draining_within_the_exchange(edge: Edge) -> None:
    """The end of the service is said instead of the next challenge."""
    client = edge.client()
    await hold(client, f"{GREETING}\n{EHLO}\nC: AUTH LOGIN\n{ASK_USER}")
    for session in tuple(edge.sessions):
        session.drain()
    assert await client.rest() == b"421 4.3.2 The service is shutting down\r\n"


# ---- wrong ones --------------------------------------------------------------------------------


async def test_the_third_failure_is_the_last(edge: Edge) -> None:
    """Each is answered later than the one before; then the session is closed."""
    client = edge.client()
    unknown = b64("\0nobody\0wrong")
    await hold(
        client,
        "\n".join(
            [
                *(GREETING, EHLO, f"C: AUTH PLAIN {WRONG}", FAILED),
                *(f"C: AUTH PLAIN {unknown}", FAILED, f"C: AUTH LOGIN {USER}", ASK_PASS),
                *(f"C: {b64('wrong')}", FAILED, ENOUGH),
            ]
        ),
    )
    assert await client.rest() == b""
    assert edge.waits == [1.0, 2.0, 4.0]
    noted = [e for e in edge.events if isinstance(e, Noted)]
    failed = [dict(e.fields) for e in noted if e.name == "client.login_failed"]
    assert [f["login"] for f in failed] == ["app", "nobody", "app"]
    assert {f["client"] for f in failed} == {"127.0.0.1"}


@pytest.mark.parametrize("most", [1, 2, 5])
async def test_how_many_failures_a_session_has(make: Make, most: int) -> None:
    """As many as the settings say."""
    edge = make(limits=replace(PATIENT, max_failed_logins=most))
    client = edge.client()
    failures = [f"C: AUTH PLAIN {WRONG}\n{FAILED}"] * most
    await hold(client, "\n".join([GREETING, EHLO, *failures, ENOUGH]))
    assert await client.rest() == b""
    reached = [dict(e.fields) for e in edge.events if isinstance(e, Noted)]
    assert [f["limit"] for f in reached if "limit" in f] == ["max_failed_logins_per_session"]


async def test_an_address_that_fails_too_often(make: Make) -> None:
    """After so many failures it is refused unheard, right ones too, until the window is over."""
    limits = LoginLimits(max_failures=4, window_seconds=600.0)
    edge = make(login_limits=limits)

    async def attempt(response: str, *said: str, address: str = "127.0.0.1") -> None:
        client = edge.client(address)
        steps = [GREETING, EHLO, f"C: AUTH PLAIN {response}", *said]
        await hold(client, "\n".join(steps))
        client.end()
        assert await client.rest() == b""

    for _ in range(3):
        await attempt(WRONG, FAILED)
    await attempt(WRONG, FAILED, TOO_MANY)
    await attempt(PLAIN, TOO_MANY)
    await attempt(PLAIN, DONE, address="127.0.0.2")
    edge.seconds += 599
    await attempt(PLAIN, TOO_MANY)
    edge.seconds += 2
    await attempt(PLAIN, DONE)
    assert edge.waits == [1.0, 2.0, 4.0, 8.0]


async def test_many_sessions_of_one_address_at_once(make: Make) -> None:
    """Opening sessions side by side buys no more guesses than the limit."""
    edge = make(login_limits=LoginLimits(max_failures=4, max_checks=1))
    clients = [edge.client() for _ in range(40)]
    for client in clients:
        client.send(f"EHLO c\r\nAUTH PLAIN {WRONG}\r\nQUIT\r\n".encode())
    said = []
    for client in clients:
        client.end()
        said.append(await client.rest())
    assert all(b"535 5.7.8" in octets or b"421 4.7.0" in octets for octets in said)
    assert len(edge.waits) == 4


# ---- what it is good for -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("from_field", "said"),
    [
        (b"From: a@example.com", b"250 2.0.0 Ok: queued as 4F"),
        (b"From: a@closed.example", b"550 5.7.1 This client may not use this From address"),
    ],
)
async def test_a_login_says_what_may_stand_in_from(
    edge: Edge, from_field: bytes, said: bytes
) -> None:
    """The rule of the login decides, for the From field."""
    client = edge.client()
    await hold(client, "\n".join([GREETING, EHLO, f"C: AUTH PLAIN {PLAIN}", DONE]))
    client.send(b"MAIL FROM:<>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n")
    client.send(MESSAGE.replace(b"From: a@example.com", from_field) + b".\r\nQUIT\r\n")
    assert (await client.rest()).splitlines()[-2] == said
    assert edge.ending.client_rule == "app"


async def test_530_only_when_a_login_would_help(make: Make) -> None:
    """Who could log in is told so; who could not is told that it is not wanted (RFC 4954 §6)."""
    rule = replace(RULE, listeners=frozenset({"other"}))
    edge = make(rules=(rule,))
    client = edge.client()
    not_permitted = "S: 550 5.7.1 This client may not send mail here"
    await hold(client, f"{GREETING}\n{EHLO}\nC: MAIL FROM:<>\n{not_permitted}")
    await hold(client, f"C: AUTH PLAIN {PLAIN}\n{DONE}\nC: MAIL FROM:<>\n{not_permitted}\n{BYE}")
    await client.rest()
    assert not edge.upstream.begins


async def test_a_refused_client_does_not_fill_the_log(make: Make) -> None:
    """It is told so a few times; then it has made too many bad commands."""
    edge = make(limits=LIMITS)
    client = edge.client()
    client.send(b"EHLO c\r\n" + b"MAIL FROM:<>\r\n" * 1000)
    client.end()
    heard = await client.rest()
    assert heard.count(b"530 5.7.0") == 3
    assert heard.endswith(b"421 4.7.0 Too many bad commands\r\n")
    assert len([e for e in edge.events if e.name == "client.refused"]) == 3


async def test_the_trace_says_that_it_logged_in(make: Make) -> None:
    """RFC 3848: ESMTPA."""
    edge = make(received="full")
    client = edge.client()
    await hold(client, "\n".join([GREETING, EHLO, f"C: AUTH PLAIN {PLAIN}", DONE]))
    client.send(b"MAIL FROM:<>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n" + MESSAGE + b".\r\nQUIT\r\n")
    await client.rest()
    assert b" with ESMTPA id " in edge.upstream.messages[0]
