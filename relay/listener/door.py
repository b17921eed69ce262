"""One listening socket, and who comes in through it: one client in each turn of the loop. IO.

Several processes may have the same socket. One that is busy takes its turns more rarely, and one
that has more sessions than others leaves a client to them for a moment; so all of them get their
share, and a client that waits in the queue of the system is lost with none of them.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

from relay.listener.endpoint import Endpoint

_LEAVE_SECONDS: Final = 0.002  # for another process to be quicker
_EXHAUSTED_SECONDS: Final = 1.0  # no file descriptors or memory: it is tried again
_MAX_QUEUE: Final = 65536


class Door:
    """A socket that clients connect to."""

    def __init__(
        self,
        bound: socket.socket,
        endpoint: Endpoint,
        *,
        path: Path | None = None,
        session: Callable[[Endpoint], asyncio.BaseProtocol],
        leaves_next: Callable[[], bool],
        failed: Callable[[str, Exception], None],
    ) -> None:
        """Take over a socket.

        Args:
            bound: it may listen already.
            endpoint: what its sessions have in common.
            path: to be removed when it closes; None where it is not ours.
            session: makes the protocol of a client.
            leaves_next: whether another process should have the next client.
            failed: told the name of the door and why a client, or for a moment anybody, cannot be
                let in.
        """
        bound.setblocking(False)
        self._bound = bound
        self._path = path
        self._session = session
        self._leaves_next = leaves_next
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._coming_in: set[asyncio.Task[None]] = set()
        self._resting: asyncio.TimerHandle | None = None
        self._is_leaving = self._is_watched = False
        self.endpoint = endpoint
        self.sockname: object = bound.getsockname()

    @property
    def name(self) -> str:
        """Where clients connect, for people."""
        if isinstance(self.sockname, tuple):
            host, port = self.sockname[:2]
            return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return f"unix:{self.sockname}"

    def open(self, backlog: int) -> None:
        """Listen and let clients in.

        Args:
            backlog: how many may wait in the queue of the system.

        Raises:
            OSError: it is nothing to listen on.
        """
        self.set_backlog(backlog)
        self._watch()

    def set_backlog(self, backlog: int) -> None:
        """Let so many wait in the queue of the system from now on.

        Raises:
            OSError: it is nothing to listen on.
        """
        self._bound.listen(backlog)

    def abandon(self) -> None:
        """Close at once; who waits in the queue is lost, unless other processes have it too."""
        self._unwatch()
        self._bound.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    async def close(self) -> None:
        """Let in those who wait in the queue, and close behind them."""
        if self._bound.fileno() < 0:
            return
        self._unwatch()
        for _ in range(_MAX_QUEUE):
            if not self._let_in():
                break
        while self._coming_in:
            await asyncio.wait(self._coming_in)
        self.abandon()

    def _watch(self) -> None:
        self._resting = None
        self._is_watched = True
        self._loop.add_reader(self._bound, self._ready)

    def _unwatch(self) -> None:
        if self._is_watched:
            self._loop.remove_reader(self._bound)
        if self._resting is not None:
            self._resting.cancel()
        self._is_watched, self._resting = False, None

    def _rest(self, seconds: float) -> None:
        self._unwatch()
        self._resting = self._loop.call_later(seconds, self._watch)

    def _ready(self) -> None:
        """Somebody waits, or did a moment ago."""
        self._is_leaving = not self._is_leaving and self._leaves_next()
        if self._is_leaving:
            self._rest(_LEAVE_SECONDS)
        else:
            self._let_in()

    def _let_in(self) -> bool:
        """Let one client in; whether there may be more."""
        try:
            client, _ = self._bound.accept()
        except (BlockingIOError, InterruptedError):
            return False
        except ConnectionAbortedError:
            return True
        except OSError as exc:
            self._failed(self.name, exc)
            if self._is_watched:
                self._rest(_EXHAUSTED_SECONDS)
            return False
        client.setblocking(False)
        # Not in a task group: like the session's own task it ends by itself, and soon.
        task = self._loop.create_task(self._receive(client))
        self._coming_in.add(task)
        task.add_done_callback(self._coming_in.discard)
        return True

    async def _receive(self, client: socket.socket) -> None:
        try:
            client.getpeername()  # who has gone already has no address to be known by
            await self._loop.connect_accepted_socket(lambda: self._session(self.endpoint), client)
        except OSError:
            client.close()
        except Exception as exc:  # a fault of ours; who comes next is let in all the same
            client.close()
            self._failed(self.name, exc)
