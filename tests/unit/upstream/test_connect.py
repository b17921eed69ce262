"""Opening a connection: the hand-over from aiosmtplib, TLS, AUTH, and what errors say."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import pytest
import uvloop

from relay.core.errors import Reason, Rejection
from relay.upstream.connect import Opener
from relay.upstream.protocol import Connection
from relay.upstream.settings import Tls
from tests.fakes.certificates import Certificates
from tests.fakes.pools import (
    BODY,
    HEADER,
    accepted_transaction,
    mail_from,
    pool_to,
    rcpt_to,
    relay,
    upstream,
)
from tests.fakes.processes import free_port
from tests.fakes.smarthost import ALL_EXTENSIONS, Fault, Pause, Smarthost, reply

USERS = {"app": "only for tests"}
LOGIN = {"username": "app", "password": "only for tests"}
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def has_ipv6() -> bool:
    """Whether this machine can talk to itself so."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


async def opened(host: Smarthost, **changes: Any) -> Connection:
    """A connection that nobody but the test has."""
    return await Opener(upstream(host.port, **changes)).open(lambda connection: None)


async def refused(host: Smarthost | int, **changes: Any) -> Rejection:
    """Why there is no connection."""
    async with pool_to(host, **changes) as pool:
        with pytest.raises(Rejection) as caught:
            await pool.begin(mail_from())
        snapshot = pool.snapshot()
        assert (snapshot.idle, snapshot.busy, snapshot.opening) == (0, 0, 0)
    assert caught.value.reply.code == 451
    assert caught.value.reason is Reason.UPSTREAM_UNAVAILABLE
    if isinstance(host, Smarthost):
        await host.until(lambda: host.open_sessions == 0)
    return caught.value


def on_loop(loop: str, test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test on a loop of a certain kind."""
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(test())


# The hand-over.


@pytest.mark.parametrize("tls", [Tls.NONE, Tls.STARTTLS, Tls.IMPLICIT])
@pytest.mark.parametrize("loop", LOOPS)
def test_the_transport_changes_hands_on_every_loop_and_in_every_mode(
    loop: str, tls: Tls, certificates: Certificates
) -> None:
    """Our protocol speaks, aiosmtplib's objects are forgotten, large messages pass."""

    async def test() -> None:
        host = Smarthost(
            extensions=ALL_EXTENSIONS,
            tls=None if tls is Tls.NONE else certificates.server(),
            implicit=tls is Tls.IMPLICIT,
            users=USERS,
        )
        login: dict[str, Any] = LOGIN | {"insecure_auth": tls is Tls.NONE}
        body = b"x" * 998 + b"\r\n"
        async with host, pool_to(host, tls=tls, ca_file=certificates.ca_file, **login) as pool:
            for repeats in (1, 1, 2000):
                assert (await relay(pool, body=body * repeats)).code == 250
                gc.collect()  # what aiosmtplib leaves behind must not close the transport
            assert [len(r.octets) for r in host.accepted][-1] > 2_000_000
            long_reply = reply(*["250-2.1.5 " + "x" * 100] * 200, "250 2.1.5 in several reads")
            host.on("rcpt", long_reply)
            transaction = await accepted_transaction(pool)
            again = await transaction.recipient(rcpt_to())
            assert again.wire() == long_reply
            await transaction.abandon()
            [session] = host.sessions
            assert session.user == "app"
            assert bool(session.tls) == (tls is not Tls.NONE)
            assert host.violations == []
        assert host.open_sessions == 0

    on_loop(loop, test)


@pytest.mark.parametrize("loop", LOOPS)
def test_small_writes_are_not_held_back(loop: str) -> None:
    """TCP_NODELAY: Nagle's algorithm against delayed acknowledgements costs 40 ms a reply."""

    async def test() -> None:
        async with Smarthost() as host:
            connection = await opened(host)
            sock = connection._transport.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
            connection.abort("done")

    on_loop(loop, test)


@pytest.mark.parametrize("stage", ["banner", "ehlo"])
async def test_a_surplus_reply_is_not_taken_over(stage: str) -> None:
    """It would answer our first command; it lies in aiosmtplib's buffer."""
    usual = {"banner": "220 hello", "ehlo": "250 smarthost.test"}[stage]
    async with Smarthost() as host:
        host.on(stage, reply(usual, "250 surplus"))
        rejection = await refused(host)
        assert rejection.reply.enhanced == "4.4.2"
        assert "250 surplus" in rejection.detail


async def test_a_surplus_reply_after_auth_is_not_taken_over() -> None:
    """The same, at the last moment before the hand-over."""
    async with Smarthost(users=USERS) as host:
        host.on("auth", reply("235 2.7.0 in", "250 surplus"))
        rejection = await refused(host, insecure_auth=True, **LOGIN)
        assert rejection.reply.enhanced == "4.4.2"


async def test_capabilities_are_those_after_starttls(certificates: Certificates) -> None:
    """RFC 3207 §4.2: what was said in clear does not count."""
    host = Smarthost(
        extensions=("CHUNKING", "SIZE 1"),
        extensions_after_tls=("PIPELINING", "SIZE 2000"),
        tls=certificates.server(),
    )
    async with host:
        connection = await opened(host, tls=Tls.STARTTLS, ca_file=certificates.ca_file)
        assert connection.capabilities.pipelining
        assert not connection.capabilities.chunking
        assert connection.capabilities.size_limit == 2000
        assert connection.security.startswith("TLSv1.")
        connection.abort("done")


async def test_replies_injected_before_tls_do_not_count(certificates: Certificates) -> None:
    """STARTTLS response injection: clear octets behind 220 are no part of the TLS session."""
    host = Smarthost(tls=certificates.server())
    injected = reply("220 go", "250-evil.test", "250-CHUNKING", "250 AUTH PLAIN")
    host.on("starttls", injected)
    async with host, pool_to(host, tls=Tls.STARTTLS, ca_file=certificates.ca_file) as pool:
        transaction = await pool.begin(mail_from())
        assert not transaction.capabilities.chunking
        assert (await transaction.recipient(rcpt_to())).code == 250
        await transaction.abandon()


async def test_a_server_that_knows_only_helo_has_no_capabilities() -> None:
    """RFC 5321 §3.2; mail goes all the same, one command at a time."""
    async with Smarthost() as host, pool_to(host) as pool:
        host.on("ehlo", reply("502 5.5.1 What?"))
        assert (await relay(pool)).code == 250
        assert host.sessions[0].verbs[:3] == ["EHLO", "HELO", "MAIL"]
        assert host.received[0].mail == b"MAIL FROM:<app@example.com>"
        assert host.violations == []


async def test_we_say_who_we_are() -> None:
    """`ehlo_name`, without asking the DNS for it."""
    async with Smarthost() as host:
        (await opened(host, ehlo_name="relay.example.com")).abort("done")
        assert host.sessions[0].lines == [b"EHLO relay.example.com"]


# Unreachable.


async def test_nobody_listens() -> None:
    """451 4.4.1 with host, port and the system's words."""
    port = free_port()
    rejection = await refused(port)
    assert rejection.reply.enhanced == "4.4.1"
    assert f"127.0.0.1:{port}" in rejection.detail
    assert rejection.__cause__ is not None


@pytest.mark.parametrize("stage", ["banner", "ehlo"])
async def test_a_server_that_says_no(stage: str) -> None:
    """554 at the greeting is no verdict on the message: 451 for the client, the words for us."""
    async with Smarthost() as host:
        host.on(stage, reply("554 5.3.2 Not today"))
        host.on("helo", reply("554 5.3.2 Not today"))
        rejection = await refused(host)
        assert rejection.reply.enhanced == "4.4.1"
        assert "554 5.3.2 Not today" in rejection.detail


@pytest.mark.parametrize("stage", ["connect", "ehlo"])
async def test_a_server_that_says_nothing(stage: str) -> None:
    """451 4.4.1 within the time, and which step it was."""
    async with Smarthost() as host:
        host.on(stage, Fault.BLACK_HOLE)
        rejection = await refused(host, connect_seconds=0.1)
        assert rejection.reply.enhanced == "4.4.1"
        assert ("greeting" if stage == "connect" else "at EHLO") in rejection.detail


async def test_all_steps_together_have_a_limit() -> None:
    """Each step is just quick enough, and all of them take too long."""
    async with Smarthost(users=USERS) as host:
        for stage, usual in (("banner", "220 a"), ("ehlo", "250-b"), ("auth", "235 c")):
            lines = (usual, "250 AUTH PLAIN") if stage == "ehlo" else (usual,)
            host.on(stage, Pause(0.15), reply(*lines))
        rejection = await refused(host, connect_seconds=0.2, insecure_auth=True, **LOGIN)
        assert rejection.reply.enhanced == "4.4.1"


@pytest.mark.parametrize("fault", [Fault.CLOSE, Fault.RESET])
@pytest.mark.parametrize("stage", ["connect", "ehlo"])
async def test_a_server_that_hangs_up(stage: str, fault: Fault) -> None:
    """451 4.4.x, whenever it does."""
    async with Smarthost() as host:
        host.on(stage, fault)
        rejection = await refused(host)
        assert rejection.reply.enhanced == ("4.4.1" if stage == "connect" else "4.4.2")


# TLS.


@pytest.mark.parametrize("tls", Tls)
async def test_requiretls_is_kept_over_verified_tls_only(
    tls: Tls, certificates: Certificates
) -> None:
    """RFC 8689: passed on, or 550 5.7.30 before anything is written."""
    host = Smarthost(
        extensions=("PIPELINING", "REQUIRETLS"),
        tls=None if tls is Tls.NONE else certificates.server(),
        implicit=tls is Tls.IMPLICIT,
    )
    ca_file = certificates.ca_file
    if tls is Tls.IMPLICIT or tls is Tls.STARTTLS:
        async with host, pool_to(host, tls=tls, ca_file=ca_file) as pool:
            assert pool.is_secured
            transaction = await pool.begin(mail_from(requiretls=True))
            assert (await transaction.recipient(rcpt_to())).code == 250
            assert host.sessions[0].lines[-2] == b"MAIL FROM:<app@example.com> REQUIRETLS"
            await transaction.abandon()
    else:
        async with host, pool_to(host, tls=tls) as pool:
            assert not pool.is_secured
            with pytest.raises(Rejection) as caught:
                await pool.begin(mail_from(requiretls=True))
            assert str(caught.value.reply) == "550 5.7.30 REQUIRETLS support required"
            assert caught.value.reason is Reason.NOT_CARRIABLE
            assert "MAIL" not in host.sessions[0].verbs
            assert (await relay(pool)).code == 250  # by the same connection
            assert len(host.sessions) == 1


@pytest.mark.parametrize("tls", [Tls.STARTTLS, Tls.IMPLICIT])
async def test_a_certificate_of_an_unknown_ca_is_refused(
    tls: Tls, certificates: Certificates
) -> None:
    """451 4.7.5; the log has the verifier's words, and nothing went over the connection."""
    async with Smarthost(tls=certificates.server(), implicit=tls is Tls.IMPLICIT) as host:
        rejection = await refused(host, tls=tls)
        assert rejection.reply.enhanced == "4.7.5"
        assert "unable to get local issuer certificate" in rejection.detail
        assert "the system's trust store" in rejection.detail
        assert all(
            line.startswith((b"EHLO", b"STARTTLS")) for s in host.sessions for line in s.lines
        )


@pytest.mark.parametrize("tls", [Tls.STARTTLS, Tls.IMPLICIT])
async def test_a_certificate_of_another_name_is_refused(
    tls: Tls, certificates: Certificates
) -> None:
    """The name is checked as well as the chain."""
    context = certificates.server("other.test")
    async with Smarthost(tls=context, implicit=tls is Tls.IMPLICIT) as host:
        rejection = await refused(host, tls=tls, ca_file=certificates.ca_file)
        assert rejection.reply.enhanced == "4.7.5"
        assert "127.0.0.1" in rejection.detail


async def test_a_certificate_that_has_expired_is_refused(certificates: Certificates) -> None:
    """Between one connection and the next: those that stand go on, and the log says why."""
    async with Smarthost(tls=certificates.server()) as host:
        changes: dict[str, Any] = {"tls": Tls.STARTTLS, "ca_file": certificates.ca_file}
        async with pool_to(host, **changes) as pool:
            held = await accepted_transaction(pool)
            host.tls = certificates.server(until=datetime(2001, 1, 1, tzinfo=UTC))
            with pytest.raises(Rejection) as caught:
                await pool.begin(mail_from())
            assert caught.value.reply.enhanced == "4.7.5"
            assert "certificate has expired" in caught.value.detail
            assert (await held.send(HEADER, [BODY])).code == 250
            assert (await relay(pool)).code == 250


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on loopback")
async def test_an_address_of_ipv6(certificates: Certificates) -> None:
    """As it stands in brackets in a URL: connected to, and found in the certificate."""
    async with Smarthost(tls=certificates.server("::1")) as host:
        server = await asyncio.start_server(host._connected, "::1", 0)
        port = server.sockets[0].getsockname()[1]
        settings = upstream(port, host="::1", tls=Tls.STARTTLS, ca_file=certificates.ca_file)
        connection = await Opener(settings).open(lambda connection: None)
        assert connection.is_secured
        assert settings.hop == f"esp ([::1]:{port})"
        connection.abort("enough")
        server.close()
        host.tls = certificates.server("::2")
        server = await asyncio.start_server(host._connected, "::1", port)
        with pytest.raises(Rejection, match="::1"):
            await Opener(settings).open(lambda connection: None)
        server.close()


async def test_starttls_that_is_not_offered_is_never_done_without() -> None:
    """451 4.7.4: no mail in clear, and the log has what was offered."""
    async with Smarthost() as host:
        rejection = await refused(host, tls=Tls.STARTTLS)
        assert rejection.reply.enhanced == "4.7.4"
        assert "tls = starttls" in rejection.detail
        assert "PIPELINING, SIZE 50000000" in rejection.detail
        assert host.sessions[0].verbs == ["EHLO"]


async def test_starttls_that_is_refused_is_never_done_without(certificates: Certificates) -> None:
    """The same for 454."""
    async with Smarthost(tls=certificates.server()) as host:
        host.on("starttls", reply("454 4.7.0 TLS not available"))
        rejection = await refused(host, tls=Tls.STARTTLS, ca_file=certificates.ca_file)
        assert rejection.reply.enhanced == "4.7.4"
        assert "454 4.7.0 TLS not available" in rejection.detail


async def test_implicit_tls_to_a_port_that_speaks_clear_text() -> None:
    """465 against 587: the log names the other setting."""
    async with Smarthost() as host:
        rejection = await refused(host, tls=Tls.IMPLICIT)
        assert rejection.reply.enhanced == "4.7.5"
        assert 'try tls = "starttls"' in rejection.detail


async def test_clear_text_to_a_port_that_speaks_tls(certificates: Certificates) -> None:
    """The other way round: no greeting comes, because the server waits for TLS."""
    async with Smarthost(tls=certificates.server(), implicit=True) as host:
        rejection = await refused(
            host.port, tls=Tls.STARTTLS, ca_file=certificates.ca_file, connect_seconds=0.1
        )
        assert rejection.reply.enhanced == "4.4.1"
        assert 'try tls = "implicit"' in rejection.detail


async def test_a_server_that_hangs_up_in_the_handshake() -> None:
    """Right after its 220."""
    async with Smarthost() as host:
        host.extensions = ("STARTTLS",)
        host.on("starttls", reply("220 go"), Fault.CLOSE)
        rejection = await refused(host, tls=Tls.STARTTLS)
        assert rejection.reply.enhanced == "4.7.5"
        assert "at STARTTLS" in rejection.detail


@pytest.mark.parametrize("tls", [Tls.STARTTLS, Tls.IMPLICIT])
async def test_a_handshake_that_fails(tls: Tls) -> None:
    """451 4.7.5, also when the server just hangs up instead of sending an alert."""
    without_certificate = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    async with Smarthost(tls=without_certificate, implicit=tls is Tls.IMPLICIT) as host:
        rejection = await refused(host, tls=tls)
        assert rejection.reply.enhanced == "4.7.5"
        assert "the handshake failed" in rejection.detail
        assert isinstance(rejection.__cause__, Exception)


async def test_a_ca_file_that_cannot_be_used() -> None:
    """451 4.7.5 with its path."""
    async with Smarthost() as host:
        rejection = await refused(host, tls=Tls.STARTTLS, ca_file="/nowhere/ca.pem")
        assert rejection.reply.enhanced == "4.7.5"
        assert "/nowhere/ca.pem" in rejection.detail
        assert host.sessions == []


async def test_opportunistic_takes_tls_from_anybody(certificates: Certificates) -> None:
    """RFC 7435: better than nothing, and said so."""
    async with Smarthost(tls=certificates.server("other.test")) as host:
        connection = await opened(host, tls=Tls.OPPORTUNISTIC)
        assert host.sessions[0].tls
        assert connection.security.endswith("not verified")
        connection.abort("done")


async def test_opportunistic_goes_on_in_clear_where_there_is_no_tls() -> None:
    """Not offered."""
    async with Smarthost() as host, pool_to(host, tls=Tls.OPPORTUNISTIC) as pool:
        assert (await relay(pool)).code == 250


async def test_opportunistic_goes_on_in_clear_where_tls_is_refused(
    certificates: Certificates,
) -> None:
    """454 to STARTTLS."""
    async with (
        Smarthost(tls=certificates.server()) as host,
        pool_to(host, tls=Tls.OPPORTUNISTIC) as pool,
    ):
        host.on("starttls", reply("454 4.7.0 Not now"))
        assert (await relay(pool)).code == 250


async def test_opportunistic_goes_on_in_clear_where_the_handshake_fails() -> None:
    """On a second connection, since the first is neither clear nor TLS."""
    without_certificate = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    async with (
        Smarthost(tls=without_certificate) as host,
        pool_to(host, tls=Tls.OPPORTUNISTIC) as pool,
    ):
        assert (await relay(pool)).code == 250
        assert host.accepted[0].session == 2


# AUTH.


@pytest.mark.parametrize("tls", [Tls.NONE, Tls.OPPORTUNISTIC])
async def test_no_credentials_over_what_is_not_verified(
    tls: Tls, certificates: Certificates
) -> None:
    """451 4.7.0 before anything is opened; the log says which setting permits it."""
    async with Smarthost(tls=certificates.server(), users=USERS) as host:
        rejection = await refused(host, tls=tls, **LOGIN)
        assert rejection.reply.enhanced == "4.7.0"
        assert "insecure_auth" in rejection.detail
        assert host.sessions == []


@pytest.mark.parametrize("tls", [Tls.NONE, Tls.OPPORTUNISTIC])
async def test_insecure_auth_is_the_operators_word(tls: Tls) -> None:
    """For that one upstream."""
    async with Smarthost(users=USERS) as host:
        (await opened(host, tls=tls, insecure_auth=True, **LOGIN)).abort("done")
        assert host.sessions[0].user == "app"


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
async def test_either_mechanism(mechanism: str, certificates: Certificates) -> None:
    """Whichever the hop has."""
    host = Smarthost(tls=certificates.server(), users=USERS, mechanisms=(mechanism,))
    async with host:
        settings = {"tls": Tls.STARTTLS, "ca_file": certificates.ca_file} | LOGIN
        (await opened(host, **settings)).abort("done")
        assert host.sessions[0].user == "app"
        assert host.sessions[0].verbs[:3] == ["EHLO", "STARTTLS", "EHLO"]


async def test_login_where_plain_is_offered_but_not_known() -> None:
    """Some servers advertise more than they have."""
    async with Smarthost(users=USERS) as host:
        host.on("auth", reply("504 5.5.4 No PLAIN here"), match=b"PLAIN")
        (await opened(host, insecure_auth=True, **LOGIN)).abort("done")
        assert host.sessions[0].user == "app"


async def test_wrong_credentials_are_tried_once() -> None:
    """451 4.7.0; a second mechanism would count as a second failed login."""
    async with Smarthost(users=USERS) as host:
        rejection = await refused(host, insecure_auth=True, username="app", password="not this one")
        assert rejection.reply.enhanced == "4.7.0"
        assert "535 5.7.8 Who?" in rejection.detail
        assert "AUTH PLAIN LOGIN" in rejection.detail
        assert "not this one" not in f"{rejection.detail} {rejection.reply}"
        assert host.sessions[0].verbs.count("AUTH") == 1


@pytest.mark.parametrize("mechanisms", [(), ("NTLM", "XOAUTH2")])
async def test_auth_that_is_not_offered(mechanisms: tuple[str, ...]) -> None:
    """The log has what was offered instead."""
    users = USERS if mechanisms else None
    async with Smarthost(users=users, mechanisms=mechanisms) as host:
        rejection = await refused(host, insecure_auth=True, **LOGIN)
        assert rejection.reply.enhanced == "4.7.0"
        assert "CRAM-MD5, PLAIN and LOGIN are not offered" in rejection.detail
        assert ("NTLM XOAUTH2" in rejection.detail) == bool(mechanisms)


async def test_a_server_that_goes_in_the_middle_of_auth() -> None:
    """451 4.4.2, and which step it was."""
    async with Smarthost(users=USERS) as host:
        host.on("auth", Fault.CLOSE)
        rejection = await refused(host, insecure_auth=True, **LOGIN)
        assert rejection.reply.enhanced == "4.4.2"
        assert "at AUTH" in rejection.detail


@pytest.mark.parametrize("secured", [False, True])
async def test_cancelled_at_any_moment(certificates: Certificates, secured: bool) -> None:
    """It ends there and then, and nothing stays open; also when a reply comes at that moment."""
    tls = certificates.server() if secured else None
    changes = {"tls": Tls.STARTTLS, "ca_file": certificates.ca_file} if secured else {}
    async with Smarthost(tls=tls, users=USERS) as host:
        for turns in range(10_000):
            opener = Opener(upstream(host.port, insecure_auth=True, **LOGIN, **changes))
            await opener._truster.trust()  # reads files in a thread, which takes its time
            opening = asyncio.ensure_future(opener.open(lambda connection: None))
            for _ in range(turns):
                await asyncio.sleep(0)
            if opening.done():
                (await opening).abort("enough")
                break
            opening.cancel()
            await asyncio.wait([opening])
            assert opening.cancelled(), turns
        assert turns > 5
        await host.until(lambda: host.open_sessions == 0)
