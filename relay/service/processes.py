"""One worker as the supervisor sees it: a process, what it says, what it is asked. IO."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Self

from relay.core.errors import RelayError
from relay.service.channel import Channel, Message, read_faults
from relay.service.notify import VARIABLES


class WorkerGone(RelayError):
    """The process has ended, and with it what it was asked."""


class WorkerProcess:
    """A process that was started; see `start`.

    Attributes:
        ready: done when it serves; with ConfigError when it cannot, with WorkerGone when it ended.
        heard_at: when it said something last, on the loop's clock; None before that.
    """

    def __init__(self, process: asyncio.subprocess.Process, channel: Channel) -> None:
        """See `start`."""
        loop = asyncio.get_running_loop()
        self._process = process
        self._channel = channel
        self._numbers = itertools.count()
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self.ready: asyncio.Future[None] = loop.create_future()
        self.heard_at: float | None = None

    @classmethod
    async def start(
        cls,
        options: Sequence[str],
        first: Message,
        files: Sequence[int],
        environ: Mapping[str, str],
    ) -> Self:
        """Start one: this very program, with a channel and the sockets.

        Args:
            options: of the interpreter.
            first: what it is told first.
            files: descriptors that it inherits.
            environ: its environment, but for what is for this process alone.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, *options, "-P", "-m", "relay", "serve"),
                *("--worker", str(theirs.fileno())),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), *files),
                env=_environment(environ),
            )
        worker = cls(process, await Channel.on(ours))
        worker._channel.send(first)
        return worker

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def is_ready(self) -> bool:
        """Whether it serves."""
        return self.ready.done() and self.ready.exception() is None and self._is_running

    @property
    def _is_running(self) -> bool:
        return self._process.returncode is None

    def drain(self) -> None:
        """Have it finish its messages in flight and end; what has not begun to serve ends now."""
        if self.is_ready:
            self.tell("drain")
        elif self._is_running:
            self._process.terminate()

    async def run(self) -> int:
        """Hear what it says until it ends; its exit status."""
        while (message := await self._channel.receive()) is not None:
            self.heard_at = asyncio.get_running_loop().time()
            self._take(message)
        status = await self._process.wait()
        self._channel.close()
        gone = WorkerGone(f"the process ended ({_how(status)})")
        for future in (self.ready, *self._asked.values()):
            if not future.done():
                future.set_exception(gone)
                future.exception()  # whether or not anybody asks
        return status

    async def ask(self, what: str, **message: object) -> Any:
        """Its answer to a question.

        Raises:
            WorkerGone: it has ended, or could not do it.
        """
        number = next(self._numbers)
        future = self._asked[number] = asyncio.get_running_loop().create_future()
        self._channel.send({"id": number, "ask": what, **message})
        try:
            if not self._is_running:
                raise WorkerGone("the process ended")
            return await future
        finally:
            del self._asked[number]

    def tell(self, what: str) -> None:
        """Have it do something, without an answer."""
        self._channel.send({"id": next(self._numbers), "ask": what})

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def _take(self, message: Message) -> None:
        if "to" in message:
            future = self._asked.get(message["to"])
            if future is not None and not future.done():
                if "failed" in message:
                    future.set_exception(WorkerGone(message["failed"]))
                else:
                    future.set_result(message["answer"])
        elif self.ready.done():
            return
        elif "faults" in message:
            self.ready.set_exception(read_faults(message["faults"]))
        elif "ready" in message:
            self.ready.set_result(None)


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    """That of the worker: it finds the same modules, and speaks to no service manager."""
    kept = {name: text for name, text in environ.items() if name not in VARIABLES}
    return {**kept, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def _how(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"status {status}"
