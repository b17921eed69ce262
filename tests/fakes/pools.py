"""Pools to a fake smarthost, and the envelope and message that tests send through them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from relay.core.address import parse_path
from relay.core.envelope import MailCommand, RcptCommand
from relay.core.reply import Reply
from relay.upstream.events import UpstreamEvent
from relay.upstream.pool import Pool
from relay.upstream.secret import Secret
from relay.upstream.settings import Tls, UpstreamSettings
from relay.upstream.transaction import Transaction
from tests.fakes.smarthost import Smarthost

HEADER = b"From: App <app@example.com>\r\nTo: ann@sink.test\r\nSubject: test\r\n"
BODY = b"one\r\n.two\r\n\r\n..three\r\n"
MESSAGE = HEADER + b"\r\n" + BODY
LINE = b"The quick brown fox jumps over the lazy dog, and this line is 78 octets long.\r\n"


def mail_from(path: bytes = b"app@example.com", **parameters: Any) -> MailCommand:
    """MAIL with its parameters as `MailCommand` names them."""
    return MailCommand(parse_path(path), **parameters)


def rcpt_to(path: bytes = b"ann@sink.test", **parameters: Any) -> RcptCommand:
    """RCPT with its parameters as `RcptCommand` names them."""
    return RcptCommand(parse_path(path), **parameters)


def upstream(port: int, **changes: Any) -> UpstreamSettings:
    """Settings of an upstream on loopback, in clear and without any pause unless changed."""
    settings: dict[str, Any] = {
        "name": "esp",
        "host": "127.0.0.1",
        "port": port,
        "tls": Tls.NONE,
        "breaker_seconds": 0.0,
        "backoff_seconds": 0.0,
    } | changes
    if isinstance(password := settings.get("password"), str):
        settings["password"] = Secret(password)
    return UpstreamSettings(**settings)


@asynccontextmanager
async def pool_to(
    host: Smarthost | int, *, emit: Callable[[UpstreamEvent], None] | None = None, **changes: Any
) -> AsyncIterator[Pool]:
    """A pool to a smarthost or port; closed at the end."""
    port = host if isinstance(host, int) else host.port
    pool = Pool(upstream(port, **changes), emit=emit or (lambda event: None))
    try:
        yield pool
    finally:
        await pool.close()


async def accepted_transaction(pool: Pool, *recipients: bytes) -> Transaction:
    """A transaction whose recipients are all accepted, ready to `send`."""
    transaction = await pool.begin(mail_from())
    for path in recipients or (b"ann@sink.test",):
        reply = await transaction.recipient(rcpt_to(path))
        if not reply.is_positive:
            raise RuntimeError(str(reply))
    return transaction


async def relay(pool: Pool, header: bytes = HEADER, body: bytes = BODY) -> Reply:
    """One message to one recipient; the reply to it."""
    transaction = await accepted_transaction(pool)
    try:
        return await transaction.send(header, [body])
    finally:
        await transaction.abandon()


async def settled(pool: Pool, *, idle: int) -> None:
    """Wait until so many connections are idle; the loop is all that has to run for it."""
    async with asyncio.timeout(20):
        while pool.snapshot().idle != idle:  # noqa: ASYNC110 - a pool tells nobody of this
            await asyncio.sleep(0)
