"""The conversation over a connection: lines in, replies out. RFC 5321 §2.4, §4, RFC 2920.

Replies to a pipelined group leave in one write, and recipients of a group travel upstream
together while their replies keep their places. Whatever goes wrong in a command, the client gets
a reply with a code and a clean session.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from relay.core import reply as say
from relay.core.errors import Rejection
from relay.core.events import Event, Noted
from relay.core.reply import Reply
from relay.listener.connection import Connection
from relay.listener.endpoint import Endpoint
from relay.listener.limits import LIMIT_REPLIES, SessionLimits, limit_reached

_COMMANDS_PER_TURN: Final = 100  # then others get the event loop for a moment
_SHORT_OCTETS: Final = 512  # RFC 5321 §4.5.3.1.4
# A page in a browser may post to a port of this machine: its body must not be commands.
_NOT_SMTP: Final = frozenset({b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"CONNECT", b"TRACE"})


class Conversation(Connection):
    """Reads commands, writes replies; what commands do is `Session`'s."""

    def __init__(
        self,
        hostname: str,
        endpoint: Endpoint,
        limits: SessionLimits,
        *,
        emit: Callable[[Event], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """See `Session`."""
        super().__init__(hostname, endpoint, loop=loop)
        self.session_id = ""
        self._limit_by(limits)
        self._reached: set[str] = set()
        self._emit = emit
        self._pending: list[Coroutine[Any, Any, Reply]] = []  # replies on their way, in order
        self._is_over = self._has_talked = False
        self._line_since = 0.0  # when the first octet of an unfinished line came; 0: there is none
        self._overlong = b""  # the beginning of a line whose end is awaited and thrown away
        self._writing_since = 0.0
        self._farewell: Reply | None = None
        self._bad_commands = 0

    def _limit_by(self, limits: SessionLimits) -> None:
        self._limits = limits
        # A line within this is within every limit, whatever it says.
        self._short_octets = min(_SHORT_OCTETS, limits.max_command_octets)

    # What Session says.

    async def _begin(self) -> None:
        """Greet, or set a farewell."""

    def _do(self, verb: bytes, argument: bytes) -> Awaitable[None]:
        """Do one command."""
        raise NotImplementedError

    async def _end_transaction(self, why: str) -> None:
        """Let go of the transaction under way."""

    def _ended(self) -> None:
        """All is over: the task has ended and the connection is gone."""

    # The session, from greeting to close.

    async def _handle_client(self) -> None:
        """The task that aiosmtpd starts."""
        try:
            await self._converse()
        except ConnectionError:
            pass  # the client went away while it was spoken to
        except Exception as exc:  # nothing may end a session in silence
            self._emit(Noted("session.failed", "error", (("exception", exc),)))
        finally:
            try:
                is_ours = self._is_aborted or self._farewell is not None
                why = "the relay ended the session" if is_ours else "the client left"
                await self._end_transaction(why)
            except Exception as exc:  # nobody awaits this task
                self._tell_fault(exc)
            finally:
                self._has_talked = True
                self._writer.close()
                if self._is_lost:
                    self._ended()

    def connection_lost(self, error: Exception | None) -> None:
        """The client is gone."""
        is_news = not self._is_lost
        super().connection_lost(error)
        if self._has_talked and is_news:
            self._ended()

    async def _converse(self) -> None:
        await self._begin()
        commands = 0
        while not self._is_over:
            if self._farewell is not None:
                await self._settle()
                self._say(self._farewell)
                break
            line = self._next_line()
            if line is not None:
                await self._obey(line)
                commands += 1
                if commands % _COMMANDS_PER_TURN == 0:
                    await self._flush()
                    await asyncio.sleep(0)
                continue
            if self._pending or self._output:
                await self._flush()
            # What came while replies were awaited comes first; the end may be behind it.
            if (self._is_eof or self._is_lost) and not self._has_news:
                break
            await self._hear()
        await self._flush()

    def sweep(self, now: float) -> None:
        """Look at the time; called now and then. Ends a session whose client is too slow."""
        limits = self._limits
        if self._has_talked or self._writing_since:
            since = self._writing_since or self._heard_at
            if now - since > limits.idle_seconds:
                self.abort()  # it does not read what it is told
        elif self._waiter is not None and self._decoder is None:
            is_idle = now - self._heard_at > limits.idle_seconds
            is_slow = self._line_since and now - self._line_since > limits.command_seconds
            if is_idle or is_slow:
                self._tell_limit("idle_seconds" if is_idle else "command_seconds")
                self._dismiss(say.IDLE_TOO_LONG)

    def drain(self) -> None:
        """Say 421 at the next command; a message that has begun to come is finished first."""
        if self._is_handshaking:
            self.abort()  # there is nothing to lose yet, and nobody to say it to
        self._dismiss(say.SHUTTING_DOWN)

    def _dismiss(self, farewell: Reply) -> None:
        self._farewell = farewell
        self._wake()

    # Lines and replies.

    def _line_limit(self, octets: bytes | bytearray) -> int:
        """How long the line that begins with these octets may be, its end included."""
        return self._limits.max_command_octets

    def _next_line(self) -> bytes | None:
        """The next command line with its line end, or None while it is not complete.

        Of one that is too long, the beginning: one octet more than it may have.
        """
        if not (self._input or self._overlong):
            self._line_since = 0.0
            return None
        end = self._input.find(b"\n")
        if 0 <= end < self._short_octets and not self._overlong:
            line = bytes(self._input[: end + 1])  # as nearly all are
            del self._input[: end + 1]
            self._line_since = 0.0
            return line
        limit = self._line_limit(self._input)
        if end < 0:
            if len(self._input) > limit:
                self._overlong = self._overlong or bytes(self._input[: limit + 1])
                self._input.clear()
            self._line_since = self._line_since or self._heard_at
            return None
        line = self._overlong or bytes(self._input[: min(end + 1, limit + 1)])
        del self._input[: end + 1]
        self._line_since, self._overlong = 0.0, b""
        return line

    async def _obey(self, line: bytes) -> None:
        """Do one command; whatever goes wrong, the client gets a reply and a clean session."""
        try:
            verb = line[:-2].partition(b" ")[0].upper()
            is_whole = line.endswith(b"\r\n") and line.count(b"\r") == 1 and line.find(b"\0") < 0
            is_odd = not is_whole or len(line) > self._short_octets or verb in _NOT_SMTP
            if is_odd and await self._refuse_line(line, verb, is_whole=is_whole):
                return
            if self._pending and verb != b"RCPT":  # replies in the order of commands
                await self._settle()  # RFC 2920 §3.2
            await self._do(verb, line[len(verb) : -2].strip(b" "))
        except Rejection as exc:
            self._say(exc.reply)
        except ConnectionError:
            raise
        except Exception as exc:  # 451, never exception text on the wire
            self._tell_fault(exc)
            await self._end_transaction("an internal error")
            self._say(say.INTERNAL_ERROR)

    async def _refuse_line(self, line: bytes, verb: bytes, *, is_whole: bool) -> bool:
        """Look closer at a line that may be no command; whether it was refused."""
        if verb in _NOT_SMTP:
            await self._settle()
            self._say(say.NOT_SMTP)
            self._is_over = True
            return True
        if len(line) > self._line_limit(line):
            fault = say.AUTH_TOO_LONG if verb == b"AUTH" else say.LINE_TOO_LONG
        elif is_whole:
            return False
        else:
            fault = say.BARE_NEWLINE
        await self._complain(fault)
        if verb == b"BDAT":
            self._is_over = True  # its chunk is no command, and where it ends is not known
        return True

    def _tell_fault(self, fault: Exception) -> None:
        self._emit(Noted("internal.failed", "error", (("exception", fault),)))

    def _tell_limit(self, name: str) -> None:
        """Tell once in a session that it has come to a limit."""
        if name not in self._reached:
            self._reached.add(name)
            self._emit(limit_reached(name, self.address, self.session_id))

    def _say(self, reply: Reply) -> None:
        self._output.append(reply.wire())
        if reply.code >= 400:
            for spoken, limit in LIMIT_REPLIES:
                if reply is spoken:  # an upstream may have the same words
                    self._tell_limit(limit)

    async def _complain(self, reply: Reply) -> None:
        """Say that a command makes no sense; too many of them end the session."""
        await self._settle()
        self._say(reply)
        self._bad_commands += 1
        if self._bad_commands >= self._limits.max_bad_commands:
            self._say(say.TOO_MANY_BAD_COMMANDS)
            self._is_over = True

    async def _settle(self) -> None:
        """Wait for the replies that are on their way, so that the next one is in its place."""
        while self._pending:
            try:
                self._say(await self._pending.pop(0))
            except Exception as exc:  # each command gets a reply, and the session goes on
                self._tell_fault(exc)
                unanswered = 1 + len(self._pending)
                await self._end_transaction("an internal error")
                self._output += [say.INTERNAL_ERROR.wire()] * unanswered

    async def _flush(self) -> None:
        """Send everything said, when no more of a pipelined group is there."""
        if self._pending:
            await self._settle()
        if not self._output:
            return
        self._heard_at = self.loop.time()  # from now on it is the client's turn
        if self._write_out():
            self._writing_since = self._heard_at
            try:
                await self._writer.drain()
            finally:
                self._writing_since = 0.0
                self._heard_at = self.loop.time()
