"""TLS on real sockets: what is taken and refused, what is forgotten, what is injected. RFC 3207."""

from __future__ import annotations

import ssl
import warnings
from collections.abc import Callable

import pytest

from relay.core.policy import ClientRule
from relay.listener.endpoint import Endpoint, ListenerTls
from tests.fakes.edge import MESSAGE, Edge, until_connections
from tests.fakes.smtp_client import SocketClient

pytestmark = pytest.mark.usefixtures("quiet")

GREETING = b"220 relay.example ESMTP dkim-relay\r\n"
READY = b"220 2.0.0 Ready to start TLS\r\n"
OK = b"250 2.0.0 OK\r\n"
BAD_SEQUENCE = b"503 5.5.1 Bad sequence of commands\r\n"
LOGIN = b"AUTH PLAIN AGFwcABzZWNyZXQ="
EHLO = (
    b"250-relay.example\r\n250-SIZE 100000\r\n250-PIPELINING\r\n250-8BITMIME\r\n"
    b"250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES\r\n250-CHUNKING\r\n"
    b"250 LIMITS MAILMAX=10000 RCPTMAX=4\r\n"
)
BOTH = (ListenerTls.STARTTLS, ListenerTls.IMPLICIT)

Make = Callable[..., Edge]


# ---- what it is --------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", BOTH)
async def test_a_message_over_tls(make: Make, trusting: ssl.SSLContext, tls: ListenerTls) -> None:
    """It is relayed, and its trace says ESMTPS (RFC 3848)."""
    edge = make(tls, received="full")
    async with edge.listening() as listeners, SocketClient(*listeners.addresses[0]) as client:
        await client.begin(trusting, tls)
        said = await client.say(
            *(b"EHLO c", b"MAIL FROM:<>", b"RCPT TO:<b@example.net>", b"DATA", MESSAGE + b".")
        )
        assert said[-1] == b"250 2.0.0 Ok: queued as 4F\r\n"
        assert await client.say(b"QUIT") == [b"221 2.0.0 Goodbye\r\n"]
        assert await client.rest() == b""
        await until_connections(listeners, 0)
    assert b" with ESMTPS id " in edge.upstream.messages[0]


@pytest.mark.parametrize("tls", BOTH)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_versions(
    make: Make, trusting: ssl.SSLContext, tls: ListenerTls, version: ssl.TLSVersion
) -> None:
    """TLS 1.2 and 1.3 are spoken."""
    trusting.minimum_version = trusting.maximum_version = version
    edge = make(tls)
    async with edge.listening() as listeners, SocketClient(*listeners.addresses[0]) as client:
        await client.begin(trusting, tls)
        assert client.tls is not None
        assert client.tls.version == version.name.replace("_", ".")
        assert await client.say(b"NOOP") == [OK]


@pytest.mark.parametrize("tls", BOTH)
async def test_a_message_of_many_records(
    make: Make, trusting: ssl.SSLContext, tls: ListenerTls
) -> None:
    """However little is read at a time, it arrives whole."""
    body = b"".join(b"%060d\r\n" % number for number in range(1_500))
    edge = make(tls)
    async with edge.listening() as listeners, SocketClient(*listeners.addresses[0]) as client:
        await client.begin(trusting, tls)
        said = await client.say(
            *(b"EHLO c", b"MAIL FROM:<>", b"RCPT TO:<b@example.net>", b"DATA"),
            b"From: a@example.com\r\n\r\n" + body + b".",
        )
        assert said[-1] == b"250 2.0.0 Ok: queued as 4F\r\n"
    assert edge.upstream.messages[0].endswith(b"\r\n\r\n" + body)


def _old(context: ssl.SSLContext) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")


def _weak(context: ssl.SSLContext) -> None:
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+AES+SHA256:AES+SHA:@SECLEVEL=0")  # CBC


REFUSED = {"TLS 1.1": _old, "only CBC": _weak}


@pytest.mark.parametrize("tls", BOTH)
@pytest.mark.parametrize("how", REFUSED)
async def test_what_is_too_old(
    make: Make, trusting: ssl.SSLContext, tls: ListenerTls, how: str
) -> None:
    """RFC 8997, RFC 9325: no handshake, and the session ends without noise."""
    REFUSED[how](trusting)
    edge = make(tls)
    async with edge.listening() as listeners, SocketClient(*listeners.addresses[0]) as client:
        if tls is ListenerTls.STARTTLS:
            await client.reply()
            await client.say(b"STARTTLS")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await client.secure(trusting)
        await until_connections(listeners, 0)
    assert not edge.faults


# ---- what is forgotten -------------------------------------------------------------------------


async def test_nothing_said_in_clear_counts(make: Make, trusting: ssl.SSLContext) -> None:
    """RFC 3207 §4.2: the greeting, the transaction and the login are to be given again."""
    edge = make(
        rules=(ClientRule("app", login="app"),),
        passwords={"app": "secret"},
    )
    edge.endpoint = Endpoint(
        tls=ListenerTls.STARTTLS, certificates=edge.endpoint.certificates, may_auth_in_clear=True
    )
    async with edge.listening() as listeners, SocketClient(*listeners.addresses[0]) as client:
        await client.reply()
        said = await client.say(
            *(b"EHLO c", LOGIN, b"MAIL FROM:<>", b"RCPT TO:<b@example.net>", b"STARTTLS")
        )
        assert said[1:] == [
            *(b"235 2.7.0 Authentication successful\r\n", b"250 2.1.0 OK\r\n"),
            *(b"250 2.1.5 Ok\r\n", READY),
        ]
        await client.secure(trusting)
        assert edge.upstream.open_transactions == 0
        assert await client.say(b"RCPT TO:<b@example.net>", b"MAIL FROM:<>", LOGIN) == (
            [BAD_SEQUENCE] * 3
        )


async def test_a_login_is_forgotten(make: Make, trusting: ssl.SSLContext) -> None:
    """Who has logged in in clear is nobody again behind STARTTLS, and may log in again."""
    edge = make(rules=(ClientRule("app", login="app"),), passwords={"app": "secret"})
    edge.endpoint = Endpoint(
        tls=ListenerTls.STARTTLS, certificates=edge.endpoint.certificates, may_auth_in_clear=True
    )
    async with edge.listening() as listeners, SocketClient(*listeners.addresses[0]) as client:
        await client.reply()
        assert (await client.say(b"EHLO c", LOGIN, b"STARTTLS"))[1:] == [
            b"235 2.7.0 Authentication successful\r\n",
            READY,
        ]
        await client.secure(trusting)
        ehlo, mail, auth, again = await client.say(
            b"EHLO c", b"MAIL FROM:<>", LOGIN, b"MAIL FROM:<>"
        )
        assert b"AUTH PLAIN LOGIN\r\n" in ehlo
        assert b"STARTTLS" not in ehlo
        assert mail == b"530 5.7.0 Authentication required\r\n"
        assert auth == b"235 2.7.0 Authentication successful\r\n"
        assert again == b"250 2.1.0 OK\r\n"


@pytest.mark.parametrize("tls", BOTH)
async def test_a_second_starttls(make: Make, trusting: ssl.SSLContext, tls: ListenerTls) -> None:
    """Within TLS it is a bad sequence, and the session goes on."""
    edge = make(tls)
    async with edge.listening() as listeners, SocketClient(*listeners.addresses[0]) as client:
        await client.begin(trusting, tls)
        assert await client.say(b"EHLO c", b"STARTTLS", b"NOOP") == [
            EHLO,
            BAD_SEQUENCE,
            OK,
        ]


async def test_starttls_with_an_argument(make: Make) -> None:
    """RFC 3207 §4: it has none; nothing is begun."""
    async with (
        make().listening() as listeners,
        SocketClient(*listeners.addresses[0]) as client,
    ):
        await client.reply()
        assert await client.say(b"STARTTLS now", b"NOOP") == [b"501 5.5.4 Bad argument\r\n", OK]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (b"NOOP", b"250 "),
        (b"HELP", b"214 "),
        (b"RSET", b"250 "),
        (b"EHLO c", b"250-"),
        (b"HELO c", b"250 "),
        (b"MAIL FROM:<>", b"530 5.7.0 Must issue a STARTTLS command first\r\n"),
        (b"RCPT TO:<b@example.net>", b"530 "),
        (b"DATA", b"530 "),
        (b"VRFY x", b"530 "),
        (b"EXPN x", b"530 "),
        (LOGIN, b"530 "),
        (b"AUTH", b"530 "),
        (b"X", b"500 "),
        (b"QUIT", b"221 "),
    ],
)
async def test_where_tls_is_needed(
    make: Make, trusting: ssl.SSLContext, command: bytes, said: bytes
) -> None:
    """RFC 3207 §4: 530 to everything but what leads to TLS or out; within TLS all is as ever."""
    edge = make(requires_tls=True, passwords={"app": "secret"})
    async with edge.listening() as listeners, SocketClient(*listeners.addresses[0]) as client:
        await client.reply()
        [heard] = await client.say(command)
        assert heard.startswith(said)
        if command == b"QUIT":
            return
        assert await client.say(b"STARTTLS") == [READY]
        await client.secure(trusting)
        assert (await client.say(b"EHLO c", b"MAIL FROM:<>"))[1] == b"250 2.1.0 OK\r\n"


# ---- what is injected --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "injected", [b"NOOP\r\n", b"EHLO evil\r\nMAIL FROM:<>\r\n", b"MAIL FROM:<evil@example.com>"]
)
async def test_what_stands_behind_starttls(
    make: Make, trusting: ssl.SSLContext, injected: bytes
) -> None:
    """RFC 3207 §4.2: in the same segment it is thrown away: neither answered nor obeyed."""
    edge = make()
    async with edge.listening() as listeners, SocketClient(*listeners.addresses[0]) as client:
        assert await client.reply() == GREETING
        await client.send(b"EHLO c\r\nSTARTTLS\r\n" + injected)
        await client.reply()
        assert await client.reply() == READY
        await client.secure(trusting)
        assert await client.say(b"VRFY x", b"RCPT TO:<b@example.net>") == [
            b"252 2.5.0 Cannot verify, but will take mail for it\r\n",
            BAD_SEQUENCE,
        ]


async def test_what_comes_behind_the_220(make: Make) -> None:
    """It is no ClientHello, so there is no session any more: nothing of it is answered."""
    edge = make()
    async with edge.listening() as listeners, SocketClient(*listeners.addresses[0]) as client:
        await client.reply()
        assert await client.say(b"STARTTLS") == [READY]
        await client.send(b"NOOP\r\nMAIL FROM:<>\r\n")
        heard = await client.rest()
        assert b"250" not in heard
        assert b"50" not in heard
        await until_connections(listeners, 0)
    assert not edge.faults
