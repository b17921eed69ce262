"""HTTP for the admin port: starlette and uvicorn's protocol, held to limits. IO.

Of uvicorn only the protocol is taken, and the relay's own event loop: its server would install
signal handlers, wake up ten times a second, and log by itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from relay.admin.answers import Answers, not_answered
from relay.admin.guard import Guard
from relay.admin.source import Source
from relay.core.errors import RelayError
from relay.core.events import Event

MAX_CONNECTIONS: Final = 64
MAX_REQUEST_OCTETS: Final = 16 * 1024
IDLE_SECONDS: Final = 15
CONNECTION_SECONDS: Final = 60.0
_CLOSING_SECONDS: Final = 1.0


def application(
    source: Source,
    *,
    token: Callable[[], str] | None,
    hosts: frozenset[str] | None,
    now: Callable[[], float],
    emit: Callable[[Event], None],
) -> ASGIApp:
    """All that is answered, behind the guard; see `Guard` for the arguments."""
    app = Starlette(
        routes=Answers(source, now=now).routes, exception_handlers={RelayError: not_answered}
    )
    return Guard(app, token=token, hosts=hosts, now=now, emit=emit)


class Connections:
    """The connections of one application."""

    def __init__(self, app: ASGIApp, *, connection_seconds: float = CONNECTION_SECONDS) -> None:
        """None is open.

        Args:
            app: what answers.
            connection_seconds: after which a connection is closed, whatever it does.
        """
        for name in ("uvicorn.error", "uvicorn.access"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # clients choose what is in it
        self._config = uvicorn.Config(
            app,
            interface="asgi3",
            lifespan="off",
            ws="none",
            http="h11",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            h11_max_incomplete_event_size=MAX_REQUEST_OCTETS,
            timeout_keep_alive=IDLE_SECONDS,
        )
        self._config.load()
        self._seconds = connection_seconds
        self._state = ServerState()
        self._by_age: dict[_Bounded, None] = {}

    def accept(self) -> asyncio.Protocol:
        """The protocol of a new connection."""
        return _Bounded(self._config, self._state, self._seconds, self._by_age)

    async def close(self) -> None:
        """End them all; answers that are being given have a moment to get out."""
        for connection in tuple(self._state.connections):
            connection.shutdown()
        if self._state.tasks:
            _, late = await asyncio.wait(self._state.tasks, timeout=_CLOSING_SECONDS)
            for task in late:
                task.cancel()
        for connection in tuple(self._state.connections):
            if connection.transport is not None:
                connection.transport.abort()
        await asyncio.sleep(0)  # connection_lost is called in the next turn


class _Bounded(H11Protocol):
    """A connection that ends after a time: uvicorn waits for a first request for ever.

    When there are too many, the oldest one ends: clients that hold connections take neither the
    descriptors of mail nor the answers of those that look after the relay.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        state: ServerState,
        seconds: float,
        by_age: dict[_Bounded, None],
    ) -> None:
        super().__init__(config, state, {}, asyncio.get_running_loop())
        self._seconds = seconds
        self._by_age = by_age
        self._end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
        super().connection_made(transport)
        self._end = self.loop.call_later(self._seconds, transport.abort)
        self._by_age[self] = None
        if len(self._by_age) > MAX_CONNECTIONS:
            oldest = next(iter(self._by_age))
            del self._by_age[oldest]
            oldest.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._by_age.pop(self, None)
        if self._end is not None:
            self._end.cancel()
        super().connection_lost(exc)
