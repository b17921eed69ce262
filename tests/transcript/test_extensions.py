"""What EHLO offers, and when: nothing that would not be kept (RFC 5321 §4.1.1.1)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relay.core.capabilities import Capabilities
from relay.listener.endpoint import Endpoint, ListenerTls
from tests.fakes.certificates import Certificates
from tests.fakes.edge import LIMITS, Edge
from tests.fakes.smtp_client import MemoryClient
from tests.fakes.upstream import EVERYTHING

ALWAYS = ["SIZE 100000", "PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "CHUNKING"]
LIMITS_LINE = "LIMITS MAILMAX=10000 RCPTMAX=4"
AUTH = "AUTH PLAIN LOGIN"
PASSWORDS = {"app": "secret"}


def upstream_with(*keywords: str) -> Capabilities:
    """What an upstream offers, some keywords more."""
    return Capabilities({**EVERYTHING.keywords, **dict.fromkeys(keywords, ())})


async def offered(client: MemoryClient) -> list[str]:
    """The keywords of EHLO, in their order; the greeting is heard already."""
    client.send(b"EHLO c\r\n")
    name, *lines = (await client.reply()).decode().splitlines()
    assert name == "250-relay.example"
    assert [line[3] for line in lines] == ["-"] * (len(lines) - 1) + [" "]
    return [line[4:] for line in lines]


async def leave(client: MemoryClient) -> None:
    """End the session."""
    client.send(b"QUIT\r\n")
    await client.rest()


async def test_in_clear_without_anything() -> None:
    """A plain listener offers neither TLS nor AUTH, and no DSN while nobody asked the upstream."""
    edge = Edge()
    client = edge.client()
    await client.reply()
    assert await offered(client) == [*ALWAYS, LIMITS_LINE]
    await leave(client)


@pytest.mark.parametrize("tls", [ListenerTls.STARTTLS, ListenerTls.IMPLICIT])
@pytest.mark.parametrize("passwords", [None, PASSWORDS], ids=["no logins", "logins"])
@pytest.mark.parametrize("insecure", [False, True], ids=["", "insecure_auth"])
async def test_before_and_after_tls(
    certificates: Certificates, tls: ListenerTls, passwords: dict[str, str] | None, insecure: bool
) -> None:
    """STARTTLS goes once it is done; AUTH comes with TLS, or where the listener says so."""
    endpoint = Endpoint(tls=tls, certificates=certificates.listener(), may_auth_in_clear=insecure)
    edge = Edge(endpoint=endpoint, passwords=passwords)
    client = edge.client()
    if tls is ListenerTls.STARTTLS:
        await client.reply()
        in_clear = [AUTH] if passwords and insecure else []
        assert await offered(client) == [*ALWAYS, LIMITS_LINE, "STARTTLS", *in_clear]
        client.send(b"STARTTLS\r\n")
        assert await client.reply() == b"220 2.0.0 Ready to start TLS\r\n"
    await client.secure(certificates.trusting())
    if tls is ListenerTls.IMPLICIT:
        assert await client.reply() == b"220 relay.example ESMTP dkim-relay\r\n"
    secured = [AUTH] if passwords else []
    assert await offered(client) == [*ALWAYS, LIMITS_LINE, *secured]
    await leave(client)
    assert not edge.faults


async def test_auth_is_not_offered_twice() -> None:
    """Who has logged in is not asked again (RFC 4954 §4)."""
    edge = Edge(endpoint=Endpoint(may_auth_in_clear=True), passwords=PASSWORDS)
    client = edge.client()
    await client.reply()
    assert AUTH in await offered(client)
    client.send(b"AUTH PLAIN AGFwcABzZWNyZXQ=\r\n")
    assert await client.reply() == b"235 2.7.0 Authentication successful\r\n"
    assert await offered(client) == [*ALWAYS, LIMITS_LINE]
    await leave(client)


async def test_auth_is_not_offered_to_whom_nobody_can_be() -> None:
    """A listener that would take AUTH in clear, and no login in the settings: AUTH is unknown."""
    edge = Edge(endpoint=Endpoint(may_auth_in_clear=True))
    client = edge.client()
    await client.reply()
    assert AUTH not in await offered(client)
    client.send(b"AUTH PLAIN AGFwcABzZWNyZXQ=\r\n")
    assert await client.reply() == b"502 5.5.1 Command not implemented\r\n"
    await leave(client)


@pytest.mark.parametrize("keywords", [(), ("DSN",)])
async def test_dsn_depends_on_the_next_hop(keywords: tuple[str, ...]) -> None:
    """What a client asks of DSN can be kept only when the hop has it (RFC 3461 §4)."""
    edge = Edge()
    edge.upstream.capabilities = upstream_with(*keywords)
    client = edge.client()
    await client.reply()
    assert await offered(client) == [*ALWAYS, LIMITS_LINE, *keywords]
    client.send(b"MAIL FROM:<a@example.com> RET=HDRS ENVID=QQ314159\r\n")
    said = await client.reply()
    assert said == (b"250 2.1.0 OK\r\n" if keywords else b"555 5.5.4 Parameter not known\r\n")
    if not keywords:
        client.send(b"MAIL FROM:<a@example.com>\r\n")
        await client.reply()
    client.send(b"RCPT TO:<b@example.net> NOTIFY=NEVER ORCPT=rfc822;Bob@Example.NET\r\n")
    said = await client.reply()
    assert said == (b"250 2.1.5 Ok\r\n" if keywords else b"555 5.5.4 Parameter not known\r\n")
    await leave(client)
    if keywords:
        [transaction] = edge.upstream.transactions
        assert transaction.mail.ret == "HDRS"
        assert transaction.mail.envelope_id == b"QQ314159"
        assert transaction.recipients[0].notify == b"NEVER"
        assert transaction.recipients[0].original_recipient == b"rfc822;Bob@Example.NET"


async def test_an_eight_bit_original_recipient_needs_smtputf8() -> None:
    """RFC 6533 §3: as raw UTF-8 only behind SMTPUTF8; written in ASCII it always may stand."""
    edge = Edge()
    edge.upstream.capabilities = upstream_with("DSN", "SMTPUTF8")
    client = edge.client()
    await client.reply()
    await offered(client)
    raw = "RCPT TO:<b@example.net> ORCPT=utf-8;ä@example.net\r\n".encode()
    ascii_only = b"RCPT TO:<b@example.net> ORCPT=utf-8;\\x{E4}@example.net\r\n"
    said = []
    for octets in (
        *(b"MAIL FROM:<a@example.com>\r\n", raw, ascii_only, b"RSET\r\n"),
        *(b"MAIL FROM:<a@example.com> SMTPUTF8\r\n", raw),
    ):
        client.send(octets)
        said.append(await client.reply())
    ok, taken = b"250 2.1.0 OK\r\n", b"250 2.1.5 Ok\r\n"
    assert said == [
        *(ok, b"501 5.5.4 Bad argument\r\n", taken, b"250 2.0.0 OK\r\n"),
        *(ok, taken),
    ]
    await leave(client)


@pytest.mark.parametrize("client_secured", [False, True])
@pytest.mark.parametrize("upstream_secured", [False, True])
@pytest.mark.parametrize("is_offered", [False, True])
async def test_requiretls_needs_a_secured_path(
    certificates: Certificates, client_secured: bool, upstream_secured: bool, is_offered: bool
) -> None:
    """RFC 8689 §3: over TLS, to a hop that is secured and offers it; otherwise it is refused."""
    tls = ListenerTls.IMPLICIT if client_secured else ListenerTls.NONE
    edge = Edge(endpoint=Endpoint(tls=tls, certificates=certificates.listener()))
    edge.upstream.capabilities = upstream_with(*(["REQUIRETLS"] if is_offered else []))
    edge.upstream.is_secured = upstream_secured
    client = edge.client()
    if client_secured:
        await client.secure(certificates.trusting())
    await client.reply()
    can_be_kept = client_secured and upstream_secured and is_offered
    assert ("REQUIRETLS" in await offered(client)) is can_be_kept
    client.send(b"MAIL FROM:<a@example.com> REQUIRETLS\r\n")
    said = await client.reply()
    assert said == (b"250 2.1.0 OK\r\n" if can_be_kept else b"555 5.5.4 Parameter not known\r\n")
    if can_be_kept:
        client.send(b"RCPT TO:<b@example.net>\r\n")
        await client.reply()
        assert edge.upstream.transactions[0].mail.requiretls
    await leave(client)


async def test_limits_are_those_that_hold() -> None:
    """RFC 9422: the numbers that are offered are the numbers at which it ends."""
    edge = Edge(limits=replace(LIMITS, max_messages=2, max_recipients=3))
    client = edge.client()
    await client.reply()
    assert "LIMITS MAILMAX=2 RCPTMAX=3" in await offered(client)
    client.send(b"MAIL FROM:<>\r\n" + b"RCPT TO:<b@example.net>\r\n" * 4 + b"RSET\r\n")
    client.send(b"MAIL FROM:<>\r\nRSET\r\nMAIL FROM:<>\r\nNOOP\r\n")
    said = [line[:3] for line in (await client.rest()).splitlines()]
    assert said == [b"250", b"250", b"250", b"250", b"452", b"250", b"250", b"250", b"421"]


async def test_size_is_that_which_holds() -> None:
    """The number behind SIZE is taken, one more is not (RFC 1870 §6)."""
    edge = Edge()
    client = edge.client()
    await client.reply()
    size = int((await offered(client))[0].split()[1])
    client.send(b"MAIL FROM:<> SIZE=%d\r\nRSET\r\nMAIL FROM:<> SIZE=%d\r\n" % (size, size + 1))
    client.send(b"QUIT\r\n")
    assert [line[:3] for line in (await client.rest()).splitlines()] == [
        *(b"250", b"250", b"552", b"221")
    ]


async def test_ehlo_is_one_write(certificates: Certificates) -> None:
    """With everything in it, it still leaves in one piece."""
    endpoint = Endpoint(
        tls=ListenerTls.STARTTLS, certificates=certificates.listener(), may_auth_in_clear=True
    )
    edge = Edge(endpoint=endpoint, passwords=PASSWORDS)
    edge.upstream.capabilities = upstream_with("DSN")
    client = edge.client()
    await client.reply()
    assert await offered(client) == [*ALWAYS, LIMITS_LINE, "DSN", "STARTTLS", AUTH]
    assert len(client.wire.writes) == 2
    await leave(client)


async def test_helo_offers_nothing() -> None:
    """HELO is answered with one line, and AUTH is not taken behind it (RFC 4954 §4)."""
    edge = Edge(endpoint=Endpoint(may_auth_in_clear=True), passwords=PASSWORDS)
    client = edge.client()
    client.send(b"HELO c\r\nAUTH PLAIN AGFwcABzZWNyZXQ=\r\nQUIT\r\n")
    assert (await client.rest()).splitlines()[1:] == [
        b"250 relay.example",
        b"503 5.5.1 Bad sequence of commands",
        b"221 2.0.0 Goodbye",
    ]
