"""Certificates of clients: who a client is by its name or fingerprint there. RFC 5280 §4.2.1.6."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from relay.core.policy import ClientRule
from relay.listener.endpoint import Endpoint, ListenerTls
from tests.fakes.certificates import Certificates
from tests.fakes.edge import Edge, until_connections
from tests.fakes.smtp_client import SocketClient

pytestmark = pytest.mark.usefixtures("quiet")

IMPLICIT = ListenerTls.IMPLICIT


async def may_send(edge: Edge, context: ssl.SSLContext, tls: ListenerTls = IMPLICIT) -> bool:
    """Whether a client that connects with this context may send."""
    async with edge.listening() as listeners, SocketClient(*listeners.addresses[0]) as client:
        await client.begin(context, tls)
        said = (await client.say(b"EHLO c", b"MAIL FROM:<>"))[1]
    assert said.startswith((b"250 ", b"550 5.7.1 ")), said
    return said.startswith(b"250 ")


def asking(certificates: Certificates, *names: str, tls: ListenerTls = IMPLICIT) -> Edge:
    """An edge for clients whose certificate has one of these names."""
    rule = ClientRule("machines", certificates=frozenset(names))
    presented = certificates.listener(asks_clients=True)
    return Edge(endpoint=Endpoint(tls=tls, certificates=presented), rules=(rule,))


@pytest.mark.parametrize("tls", [IMPLICIT, ListenerTls.STARTTLS])
@pytest.mark.parametrize(
    ("names", "shown", "allowed"),
    [
        (("app.example.net",), ("app.example.net",), True),
        (("app.example.net",), ("other.example.net", "app.example.net"), True),
        (("app.example.net",), ("APP.Example.NET",), True),
        (("app@example.net",), ("app@example.net",), True),
        (("app.example.net",), ("other.example.net",), False),
        (("app.example.net",), ("x.app.example.net",), False),
        (("app.example.net",), ("*.example.net",), False),
        (("example.net",), ("app@example.net",), False),
    ],
)
async def test_a_client_by_the_name_in_its_certificate(
    certificates: Certificates,
    tls: ListenerTls,
    names: tuple[str, ...],
    shown: tuple[str, ...],
    allowed: bool,
) -> None:
    """Names are compared whole, in any letters."""
    edge = asking(certificates, *names, tls=tls)
    assert await may_send(edge, certificates.client(*shown).context, tls) is allowed


async def test_a_client_by_its_fingerprint(certificates: Certificates) -> None:
    """One certificate, whatever stands in it; another of the same name is another."""
    mine = certificates.client("app.example.net")
    edge = asking(certificates, mine.fingerprint)
    assert await may_send(edge, mine.context)
    assert not await may_send(edge, certificates.client("app.example.net").context)


async def test_a_client_without_a_certificate(certificates: Certificates) -> None:
    """It is let in to log in, perhaps, but it is nobody."""
    edge = asking(certificates, "app.example.net")
    assert not await may_send(edge, certificates.trusting())


async def test_a_certificate_of_another_ca(certificates: Certificates, tmp_path: Path) -> None:
    """It proves nothing, so there is no handshake."""
    (tmp_path / "elsewhere").mkdir()
    other = Certificates(tmp_path / "elsewhere").client("app.example.net")
    other.context.load_verify_locations(certificates.ca_file)
    edge = asking(certificates, "app.example.net")
    # With TLS 1.3 the client would believe it is through before it hears of the refusal.
    other.context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with edge.listening() as listeners, SocketClient(*listeners.addresses[0]) as client:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await client.secure(other.context)
        await until_connections(listeners, 0)
    assert not edge.faults


async def test_a_listener_that_does_not_ask(
    make: Callable[..., Edge], certificates: Certificates
) -> None:
    """Without CAs of clients no certificate is asked for, and none counts."""
    mine = certificates.client("app.example.net")
    rule = ClientRule("machines", certificates=frozenset({"app.example.net", mine.fingerprint}))
    assert not await may_send(make(IMPLICIT, rules=(rule,)), mine.context)


async def test_before_starttls_it_is_nobody(certificates: Certificates) -> None:
    """The certificate counts from TLS on."""
    edge = asking(certificates, "app.example.net", tls=ListenerTls.STARTTLS)
    async with edge.listening() as listeners, SocketClient(*listeners.addresses[0]) as client:
        await client.reply()
        said = await client.say(b"EHLO c", b"MAIL FROM:<>")
        assert said[1].startswith(b"550 5.7.1 ")


async def test_a_certificate_and_a_login(certificates: Certificates) -> None:
    """A rule that names both needs both; 530 says that the login is what is missing."""
    presented = certificates.listener(asks_clients=True)
    rule = ClientRule("both", certificates=frozenset({"app.example.net"}), login="app")
    edge = Edge(
        endpoint=Endpoint(tls=IMPLICIT, certificates=presented),
        rules=(rule,),
        passwords={"app": "secret"},
    )
    login = b"AUTH PLAIN AGFwcABzZWNyZXQ="
    mine = certificates.client("app.example.net").context
    for context, before, after in (
        (mine, b"530 5.7.0 ", b"250 2.1.0 "),
        (certificates.trusting(), b"550 5.7.1 ", b"550 5.7.1 "),
    ):
        async with edge.listening() as listeners, SocketClient(*listeners.addresses[0]) as client:
            await client.begin(context, IMPLICIT)
            said = await client.say(b"EHLO c", b"MAIL FROM:<>", login, b"MAIL FROM:<>")
            assert said[1].startswith(before)
            assert said[2].startswith(b"235 ")
            assert said[3].startswith(after)
