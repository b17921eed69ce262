"""One SMTP connection after its opening: commands out, one reply per command back. IO.

RFC 5321 §4.2 (replies), §3.8 (421), §4.5.3.2 (timeouts); RFC 2920 (PIPELINING).
The connection is on a transport that somebody else opened. It decides synchronously, in
callbacks: no task, no future and no timer of its own belongs to a command; the pool calls
`check` now and then for the timeouts.

Whatever is not exactly one reply for each command makes the connection useless, at once and
for good: octets that nobody asked for would answer the next transaction's command.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from math import inf

from relay.core.capabilities import Capabilities
from relay.core.reply import Reply, ReplyReader, ReplySyntaxError
from relay.upstream.command import CLOSING, Command, Occupant
from relay.upstream.outflow import Outflow

READ_OCTETS = 4096  # of replies, at a time; longer ones take several reads


class Connection(asyncio.BufferedProtocol):
    """A connection that is ready for transactions.

    It reads into a buffer of its own: for the other kind of protocol, asyncio takes 256 KiB of
    fresh memory from the system for each reply.

    Attributes:
        capabilities: of the EHLO that counts, the one after TLS.
        security: how it is secured, for people: "TLSv1.3", "TLSv1.3, not verified" or "clear".
        is_secured: whether that is TLS with the hop's name and certificate verified.
        is_authenticated: whether we are logged in (RFC 4954).
        occupant: who hears of a failure, or None while nobody uses the connection.
        failure: why it is of no more use, or empty.
        transactions: how many it has carried or is carrying.
        loop: the event loop that it lives on.
        opened_at: by the loop's clock.
        idle_since: by the loop's clock; meaningful while the connection is idle.
    """

    __slots__ = (
        "_buffer",
        "_deadline",
        "_expected",
        "_on_closed",
        "_outflow",
        "_outstanding",
        "_patience",
        "_quiet_since",
        "_reader",
        "_transport",
        "capabilities",
        "failure",
        "idle_since",
        "is_authenticated",
        "is_secured",
        "loop",
        "occupant",
        "opened_at",
        "security",
        "transactions",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        capabilities: Capabilities,
        *,
        security: str,
        on_closed: Callable[[Connection], None],
        is_secured: bool = False,
        is_authenticated: bool = False,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self._transport = transport
        self._outflow = Outflow(transport, self.loop)
        self._on_closed = on_closed
        self._buffer = memoryview(bytearray(READ_OCTETS))
        self._reader = ReplyReader()
        self._expected: deque[Command] = deque()
        self._outstanding = 0  # how many of the expected replies are to commands already written
        self._deadline = inf
        self._patience = 0.0
        self._quiet_since = 0.0  # seen to be so by `check`; 0: not yet
        self.capabilities = capabilities
        self.security = security
        self.is_secured = is_secured
        self.is_authenticated = is_authenticated
        self.occupant: Occupant | None = None
        self.failure = ""
        self.transactions = 0
        self.opened_at = self.idle_since = self.loop.time()

    # What the owner of the connection asks of it.

    def command(self, *commands: Command) -> None:
        """Write commands: in one write when PIPELINING is offered, else each in its turn."""
        if self.failure:
            return
        self._quiet_since = 0.0
        self._expected.extend(commands)
        if not self.capabilities.pipelining:
            self._write_next()
            return
        if not self._outstanding:
            self.arm(commands[0].seconds)
        self._outstanding += len(commands)
        self._transport.write(b"".join([command.line for command in commands]))

    def expect(self, on_reply: Callable[[Reply], None]) -> None:
        """Await the reply to what is written with `write` next; `arm` sets its time."""
        self._expected.append(Command(b"", on_reply, inf))
        self._outstanding += 1

    def drop_unsent(self) -> None:
        """Forget the commands whose turn has not come; for a hop without PIPELINING."""
        while len(self._expected) > self._outstanding:
            self._expected.pop()

    def write(self, octets: bytes | memoryview) -> None:
        """Write message octets; call `drain` before the next run of them."""
        self._transport.write(octets)

    async def drain(self, seconds: float) -> None:
        """Return when more may be written, or an early reply or failure makes it pointless.

        Args:
            seconds: how long the peer may take without accepting a single octet.
        """
        if self._outflow.is_paused:
            self.arm(seconds)
        await self._outflow.drain()

    def arm(self, seconds: float) -> None:
        """Fail the connection unless something happens within this time."""
        self._patience = seconds
        self._deadline = self.loop.time() + seconds

    def check(self, now: float, *, keepalive_seconds: float = inf) -> None:
        """Fail the connection if its time is over; say NOOP where a client takes its time.

        A client may need longer for its message than the server waits for the next command
        (RFC 5321 §4.5.3.2.7). NOOP changes nothing of the transaction (§4.1.1.9).

        Args:
            now: the loop's clock.
            keepalive_seconds: how long nothing may be said within a transaction.
        """
        if now < self._deadline:
            if self.occupant is not None and not self._outstanding:
                self._keep_alive(now, keepalive_seconds)
            return
        if self.failure:  # the polite close after QUIT takes too long
            self._transport.abort()
            return
        if self._outflow.is_awaited:
            if self._outflow.has_moved():  # slow is not dead
                self.arm(self._patience)
                return
            self.abort(f"no octet of the message was taken within {self._patience:g} s")
            return
        self.abort(f"no reply to {self._expected[0]} within {self._patience:g} s")

    def _keep_alive(self, now: float, seconds: float) -> None:
        if not self._quiet_since:
            self._quiet_since = now
        elif now - self._quiet_since >= seconds:
            self.command(Command(b"NOOP\r\n", self._noop_answered, seconds))

    def quit(self, seconds: float) -> None:
        """Say QUIT and close when it is answered (RFC 5321 §4.1.1.10)."""
        self.command(Command(b"QUIT\r\n", self._quit_answered, seconds))

    def abort(self, why: str, cause: Exception | None = None) -> None:
        """Close at once, without a word: the state is not known to both sides any more."""
        self._transport.abort()
        self._fail(why, cause)

    # What the event loop tells us.

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the octets of replies go."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """So many octets have come."""
        self.received(bytes(self._buffer[:nbytes]))

    def received(self, data: bytes) -> None:
        """Match replies with commands, in order; a reply counts although garbage follows it.

        What is read at once answers only what was asked before: behind the reply to a command
        there can be none yet to the next one, which is written when that reply is seen.
        """
        asked, fault = self._outstanding, None
        replies: Sequence[Reply]
        try:
            replies = self._reader.feed(data)
        except ReplySyntaxError as exc:
            replies, fault = exc.replies, exc
        is_clean = fault is None and (
            len(replies) < asked or (len(replies) == asked and self._reader.is_empty)
        )
        for reply in replies[:asked]:
            if reply.is_intermediate and not is_clean:
                break  # the message is not given to who has answered it before it was sent
            self._answer(reply)
        if is_clean:
            return
        if fault is not None:
            self.abort(f"the server sent something that is not a reply: {fault}", fault)
        elif len(replies) > asked:
            self.abort(f"the server sent a reply that nobody asked for: {replies[asked]}")
        else:
            self.abort("the server sent octets that nobody asked for")

    def eof_received(self) -> None:
        """The server will say nothing more, so nothing more can be done here."""
        self.abort("the server closed the connection")

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone."""
        self._fail(f"the connection was lost: {exc}" if exc else "the connection was lost", exc)
        self._on_closed(self)

    def pause_writing(self) -> None:
        """The transport holds more than is good."""
        self._outflow.is_paused = True

    def resume_writing(self) -> None:
        """The transport can take more again."""
        self._outflow.is_paused = False
        self._outflow.wake()

    # Inner workings.

    def _answer(self, reply: Reply) -> None:
        if self.failure:
            return
        command = self._expected.popleft()
        self._outstanding -= 1
        # RFC 5321 §4.3.2: 3yz answers DATA and nothing else; 2yz to DATA is no acceptance.
        if reply.code // 100 == (2 if command.is_data else 3):
            self.abort(f"the server answered {command} with {reply}")
            return
        # Before the callback, which may ask the next thing and set its time.
        if not self._outstanding:
            self._deadline = inf
        elif self._expected[0].seconds < inf:  # else it has been set (`expect`)
            self.arm(self._expected[0].seconds)
        command.on_reply(reply)
        # A reply ends the wait of `drain`, a part of one does not: the peer could fill our
        # memory by saying it octet for octet without reading.
        self._outflow.wake()
        if reply.code == CLOSING:
            self.abort(f"the server closes the connection: {reply}")
        elif self._expected and not self._outstanding:
            self._write_next()

    def _write_next(self) -> None:
        """Write the first command if it is its turn; for a hop without PIPELINING."""
        if not self._outstanding and self._expected:
            self._outstanding = 1
            self.arm(self._expected[0].seconds)
            self._transport.write(self._expected[0].line)

    def _fail(self, why: str, cause: Exception | None) -> None:
        if self.failure:
            return
        self.failure = why
        self._expected.clear()
        self._outstanding = 0
        self._deadline = inf
        self._outflow.wake()
        occupant, self.occupant = self.occupant, None
        if occupant is not None:
            occupant.connection_failed(why, cause)

    def _noop_answered(self, reply: Reply) -> None:
        if not reply.is_positive:
            self.abort(f"the server answered NOOP with {reply}")

    def _quit_answered(self, _reply: Reply) -> None:
        patience = self._patience
        self._fail("QUIT", None)
        self._transport.close()
        self.arm(patience)
