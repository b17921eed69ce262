"""A smarthost that records everything and misbehaves on demand. RFC 5321, on raw streams.

In a test on the same event loop::

    async with Smarthost() as host:
        host.on("rcpt", reply("550 5.1.1 No such user"), match=b"bad@")
        ...  # talk to 127.0.0.1, host.port
        [received] = host.received
        assert received.octets == message

For a relay in a process of its own, in a thread::

    with in_thread(Smarthost(extensions=("8BITMIME",))) as host:
        ...

Without any rule it is a correct server: it keeps the order of commands, refuses a nested MAIL
and a message without recipients, and notes under `violations` what a client must never do
(pipelining or parameters that are not offered, commands with control characters, an unfinished
message).

Stages of `Smarthost.on`, in the order of a session: connect (before the greeting), banner,
ehlo, helo, starttls, auth, mail, rcpt, data, body (within the message, `after` octets), dot
(the reply to the message, by DATA or BDAT), rset, noop, quit. Steps, done in their order
instead of the usual reply:

* `bytes`: written as they are: `reply("250 one", "250 two")` is two replies at once,
  `reply("250-two", "250 lines")` is one reply; garbage is as easy
* `Drip`: the same, one octet per segment
* `Pause`: lets time pass; never to synchronise a test with something
* `Fault`: closes, resets, or falls silent; nothing after it is done
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Self

from tests.fakes.smarthost_dialogue import Dialogue
from tests.fakes.smarthost_script import (
    STAGES,
    Drip,
    Fault,
    Pause,
    Received,
    Rule,
    Session,
    Step,
    reply,
)

__all__ = [
    "ALL_EXTENSIONS",
    "EXTENSIONS",
    "Drip",
    "Fault",
    "Pause",
    "Received",
    "Session",
    "Smarthost",
    "Step",
    "in_thread",
    "reply",
]

EXTENSIONS = ("PIPELINING", "SIZE 50000000", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")
ALL_EXTENSIONS = (*EXTENSIONS, "CHUNKING")


class Smarthost:
    """See the text of the module.

    Args:
        extensions: EHLO keywords, besides STARTTLS and AUTH.
        extensions_after_tls: the same after STARTTLS; None: no difference.
        tls: of a server; offered as STARTTLS, or spoken at once when `implicit`.
        implicit: whether TLS starts with the first octet.
        users: name → password; AUTH is offered when there are any, also in clear.
        mechanisms: of AUTH.
        is_lmtp: whether LMTP is spoken (RFC 2033); messages to several recipients are not.
        path: of a UNIX socket to listen on, in place of a port.
        port: 0: any free one.
        receive_buffer_octets: of the kernel, 0: its default; small ones fill soon.
    """

    def __init__(
        self,
        *,
        extensions: Sequence[str] = EXTENSIONS,
        extensions_after_tls: Sequence[str] | None = None,
        tls: ssl.SSLContext | None = None,
        implicit: bool = False,
        users: Mapping[str, str] | None = None,
        mechanisms: Sequence[str] = ("PLAIN", "LOGIN"),
        is_lmtp: bool = False,
        path: str = "",
        port: int = 0,
        receive_buffer_octets: int = 0,
    ) -> None:
        self.extensions = extensions
        self.extensions_after_tls = extensions_after_tls
        self.tls = tls
        self.implicit = implicit
        self.users = users or {}
        self.mechanisms = mechanisms
        self.is_lmtp = is_lmtp
        self.path = path
        self.port = port
        self.received: list[Received] = []
        self.sessions: list[Session] = []
        self.violations: list[str] = []
        self._receive_buffer_octets = receive_buffer_octets
        self._rules: list[Rule] = []
        self._server: asyncio.Server | None = None
        self._dialogues: dict[asyncio.Task[None], Dialogue] = {}
        self._changed = asyncio.Event()

    @property
    def accepted(self) -> list[Received]:
        """The messages that were answered 2yz."""
        return [received for received in self.received if received.is_accepted]

    @property
    def open_sessions(self) -> int:
        """How many connections stand."""
        return sum(session.is_open for session in self.sessions)

    def on(
        self,
        stage: str,
        *steps: Step,
        match: bytes = b"",
        session: int | None = None,
        after: int = 0,
        times: int | None = None,
    ) -> None:
        """Do something else than usual; of several rules that fit, the oldest is taken.

        Args:
            stage: one of `STAGES`.
            steps: see the text of the module.
            match: octets that the command must contain.
            session: number of the only connection that is meant.
            after: octets of the message, for the stage "body".
            times: how often; None: always.
        """
        if stage not in STAGES:
            raise ValueError(f"not a stage: {stage}")
        self._rules.append(Rule(stage, steps, match, session, after, times))

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds that sessions or messages can change."""
        async with asyncio.timeout(20):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def stop_listening(self) -> None:
        """Refuse further connections; those that stand go on."""
        if self._server is not None:
            self._server.close()

    async def drop_sessions(self) -> None:
        """Close all connections without a word."""
        for dialogue in self._dialogues.values():
            dialogue.writer.close()
        await self.until(lambda: self.open_sessions == 0)

    async def __aenter__(self) -> Self:
        context = self.tls if self.implicit else None
        if self.path:
            self._server = await asyncio.start_unix_server(
                self._connected, path=self.path, ssl=context
            )
            return self
        listening = socket.create_server(("127.0.0.1", self.port), backlog=512)
        if self._receive_buffer_octets:
            size = self._receive_buffer_octets
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
        self.port = listening.getsockname()[1]
        self._server = await asyncio.start_server(self._connected, sock=listening, ssl=context)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        tasks = list(self._dialogues)
        for dialogue in self._dialogues.values():
            dialogue.writer.transport.abort()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("not in a task")
        # asyncio does it only for sockets that it has made itself; without it, two small writes
        # in a row wait for the client's delayed acknowledgement.
        if not self.path:
            connection = writer.get_extra_info("socket")
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        session = Session(len(self.sessions) + 1)
        self.sessions.append(session)
        dialogue = Dialogue(self, session, reader, writer)
        self._dialogues[task] = dialogue
        self.changed()
        try:
            await dialogue.run()
        except (ConnectionError, ssl.SSLError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            session.is_open = False
            del self._dialogues[task]
            self.changed()

    # For sessions.

    def changed(self) -> None:
        """Let `until` look again."""
        self._changed.set()

    def rule(self, stage: str, line: bytes, session: int, after: int = 0) -> Rule | None:
        """The rule for this moment; it counts as used."""
        for rule in self._rules:
            if (
                rule.stage == stage
                and rule.match in line
                and rule.session in (None, session)
                and rule.after <= after
                and rule.times != 0
            ):
                if rule.times is not None:
                    rule.times -= 1
                return rule
        return None


@contextmanager
def in_thread(host: Smarthost) -> Iterator[Smarthost]:
    """Run a smarthost in a thread with a loop of its own."""
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def main() -> None:
        async with host:
            ready.set()
            await stop.wait()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(main())

    thread = threading.Thread(target=run, name="smarthost")
    thread.start()
    try:
        if not ready.wait(10):
            raise RuntimeError("the smarthost did not start")
        yield host
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
