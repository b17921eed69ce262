"""The admin port, open while the relay serves. IO.

Nothing of HTTP is imported before it is opened: without it, the relay is smaller.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from relay import clock
from relay.admin.source import Source
from relay.config.admin import Admin
from relay.config.values import split_host_port
from relay.core.errors import ConfigError, Fault
from relay.core.events import Event, Noted
from relay.listener.bind import Binding, bind
from relay.upstream.secret import Secret, SecretFault

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from relay.admin.http import Connections

_BACKLOG: Final = 64
_MIN_TOKEN_OCTETS: Final = 16


class AdminPort:
    """The port: bound before anything else is begun, answering once there is something to say.

    Attributes:
        address: where it listens, ports resolved; empty when it is switched off.
    """

    def __init__(
        self,
        bound: socket.socket | None,
        address: str,
        application: Callable[[Source], ASGIApp],
    ) -> None:
        """See `admin_port`."""
        self.address = address
        self._bound = bound
        self._application = application
        self._server: asyncio.Server | None = None
        self._connections: Connections | None = None

    async def serve(self, source: Source) -> None:
        """Answer from now on; who has come before was waiting.

        Args:
            source: the relay.
        """
        if self._bound is None:
            return
        from relay.admin.http import Connections

        self._connections, loop = Connections(self._application(source)), asyncio.get_running_loop()
        is_unix = self._bound.family == socket.AF_UNIX
        create = loop.create_unix_server if is_unix else loop.create_server
        self._server = await create(self._connections.accept, sock=self._bound, backlog=_BACKLOG)

    async def close(self) -> None:
        """Answer no more."""
        if self._server is not None and self._connections is not None:
            self._server.close()
            await self._connections.close()


@asynccontextmanager
async def admin_port(
    settings: Admin, emit: Callable[[Event], None], *, now: Callable[[], float] = clock.now
) -> AsyncIterator[AdminPort]:
    """The port, until the context ends; around all that it tells of, so that it tells of its end.

    Args:
        settings: where, and to whom.
        emit: is told of faults.
        now: seconds since 1970.

    Raises:
        ConfigError: the address cannot be had, or the token.
    """
    token, hosts = _token(settings, emit), _hosts(settings)

    def application(source: Source) -> ASGIApp:
        from relay.admin.http import application

        return application(source, token=token, hosts=hosts, now=now, emit=emit)

    with _bound(settings) as (bound, address):
        port = AdminPort(bound, address, application)
        try:
            yield port
        finally:
            await port.close()


@contextmanager
def _bound(settings: Admin) -> Iterator[tuple[socket.socket | None, str]]:
    """A bound socket and its address; a UNIX socket's path is gone at the end."""
    if not settings.address:
        yield None, ""
        return
    try:
        bound = bind(Binding(address=settings.address, mode=int(settings.unix_mode, 8)))
        bound.listen(_BACKLOG)
    except OSError as exc:
        what = f"cannot listen on {settings.address}: {exc.strerror or exc}"
        fix = 'stop what listens there, choose another address, or "" for none'
        raise ConfigError((Fault("admin.address", what, fix),)) from exc
    with bound:
        if bound.family != socket.AF_UNIX:
            host, port, *_ = bound.getsockname()
            yield bound, f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            return
        try:
            yield bound, settings.address
        finally:
            with suppress(OSError):
                Path(settings.address.removeprefix("unix:")).unlink()


def check_token(settings: Admin) -> None:
    """See that the token, if one is asked for, is there and long enough.

    Args:
        settings: the section [admin].

    Raises:
        ConfigError: there is none in its file, or a short one.
    """
    _token(settings, lambda _: None)


def _hosts(settings: Admin) -> frozenset[str] | None:
    """By which names it may be asked; None: by any, because a token is asked for, or no TCP."""
    if settings.token_file or not settings.address or settings.address.startswith("unix:"):
        return None
    host, _ = split_host_port(settings.address)
    return frozenset(("localhost", host.lower(), *settings.hosts))


def _token(settings: Admin, emit: Callable[[Event], None]) -> Callable[[], str] | None:
    """What reads the token as it is now; None when none is asked for.

    Raises:
        ConfigError: there is none in its file, or a short one.
    """
    if not settings.token_file:
        return None

    def told(text: str, is_taken: bool) -> None:
        level = "info" if is_taken else "warning"
        emit(Noted("admin.token_read", level, (("detail", text),)))

    secret = Secret(path=Path(settings.token_file), setting="token", told=told)
    fix = "for example: head -c 32 /dev/urandom | base64 > FILE"
    try:
        token = secret.read()
    except SecretFault as exc:
        raise ConfigError((Fault("admin.token_file", str(exc), fix),)) from exc
    if len(token) < _MIN_TOKEN_OCTETS:
        what = f"{settings.token_file}: a token has at least {_MIN_TOKEN_OCTETS} characters"
        raise ConfigError((Fault("admin.token_file", what, fix),))
    return secret.read
