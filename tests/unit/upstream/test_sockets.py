"""LMTP, and UNIX sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from relay.core.errors import Rejection
from relay.upstream.connect import Opener
from relay.upstream.protocol import Connection
from relay.upstream.rejections import Unusable
from relay.upstream.settings import Tls
from tests.fakes.certificates import Certificates
from tests.fakes.pools import MESSAGE, pool_to, relay, upstream
from tests.fakes.smarthost import Smarthost, reply

USERS = {"app": "only for tests"}
LOGIN = {"username": "app", "password": "only for tests"}


@asynccontextmanager
async def on_socket(path: Path, **settings: Any) -> AsyncIterator[Smarthost]:
    """A smarthost on a UNIX socket."""
    async with Smarthost(path=str(path), **settings) as host:
        yield host


async def opened(host: Smarthost, **changes: Any) -> Connection:
    """A connection, closed at once."""
    settings = upstream(host.port, socket_path=host.path, is_lmtp=host.is_lmtp, **changes)
    connection = await Opener(settings).open(lambda connection: None)
    connection.abort("done")
    return connection


@pytest.mark.parametrize("is_lmtp", [True, False])
async def test_a_unix_socket(is_lmtp: bool, tmp_path: Path) -> None:
    """SMTP and LMTP: a message goes through."""
    path = tmp_path / "socket"
    async with (
        on_socket(path, is_lmtp=is_lmtp) as host,
        pool_to(host, socket_path=str(path), is_lmtp=is_lmtp) as pool,
    ):
        assert (await relay(pool)).code == 250
        [received] = host.received
        assert received.octets == MESSAGE
        assert host.sessions[0].verbs[0] == ("LHLO" if is_lmtp else "EHLO")
        assert host.violations == []
        assert not pool.is_secured


async def test_what_the_log_says_of_a_unix_socket(tmp_path: Path) -> None:
    """Its path, where there would be host and port."""
    path = tmp_path / "socket"
    async with on_socket(path) as host:
        assert (await opened(host)).security == "UNIX socket"
    settings = upstream(0, socket_path=str(path))
    with pytest.raises(Unusable) as caught:
        await Opener(settings).open(lambda connection: None)
    assert caught.value.reply.enhanced == "4.4.1"
    assert f"({path})" in caught.value.detail
    assert "at UNIX socket" in caught.value.detail


async def test_a_password_over_a_unix_socket(tmp_path: Path) -> None:
    """Nobody listens in: no insecure_auth is asked for; PLAIN is as good as any."""
    async with on_socket(tmp_path / "socket", users=USERS) as host:
        assert (await opened(host, **LOGIN)).is_authenticated


async def test_lmtp_over_tcp(certificates: Certificates) -> None:
    """RFC 2033 §4.1: LHLO, also after STARTTLS; capabilities are read as EHLO's."""
    host = Smarthost(is_lmtp=True, tls=certificates.server(), users=USERS)
    settings: dict[str, Any] = {"tls": Tls.STARTTLS, "ca_file": certificates.ca_file}
    async with host:
        connection = await opened(host, **settings, **LOGIN)
        assert connection.capabilities.pipelining
        assert host.sessions[0].verbs[:4] == ["LHLO", "STARTTLS", "LHLO", "AUTH"]


async def test_lmtp_to_an_smtp_server() -> None:
    """The log names the mistake; EHLO or HELO are not tried."""
    async with Smarthost() as host:
        settings = upstream(host.port, is_lmtp=True)
        with pytest.raises(Rejection) as caught:
            await Opener(settings).open(lambda connection: None)
        assert caught.value.reply.enhanced == "4.4.1"
        assert "500 5.5.2 What?" in caught.value.detail
        assert "may not speak LMTP" in caught.value.detail
        assert host.sessions[0].verbs == ["LHLO"]


async def test_a_surplus_reply_to_lhlo() -> None:
    """It would answer our first command."""
    async with Smarthost(is_lmtp=True) as host:
        host.on("ehlo", reply("250 here", "250 surplus"))
        with pytest.raises(Rejection) as caught:
            await opened(host)
        assert "250 surplus" in caught.value.detail


def test_one_recipient_for_lmtp() -> None:
    """RFC 2033 §4.2: one reply for each recipient; with one recipient that is one reply."""
    assert upstream(24, is_lmtp=True).max_recipients == 1
    assert upstream(24, is_lmtp=True, max_recipients=50).max_recipients == 1
    assert upstream(25, max_recipients=50).max_recipients == 50
    assert upstream(25).max_recipients == 0
