"""One connection: commands in, replies out. RFC 5321 §3 and §4, RFC 2920, RFC 1870, RFC 6531.

The command loop, DATA, the address parser and the exception answers of aiosmtpd's class are
replaced: replies to a pipelined group leave in one write, recipients of a group travel upstream
together, octets are parsed by our own grammar, and a fault is 451 and a clean session.
Deviation: none known; `tests/transcript` has the sessions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import ClassVar, Final

from relay.core import reply as say
from relay.core.envelope import ParameterFault, parse_mail, parse_rcpt
from relay.core.errors import Reason, Rejection, SyntaxFault
from relay.core.events import Noted
from relay.core.message import MessageReader
from relay.core.policy import ClientRule
from relay.core.reply import Reply
from relay.listener.connection import Connection
from relay.listener.data import DataDecoder
from relay.listener.transit import Peer, Station, Transit

_EXTENSIONS: Final = (b"PIPELINING", b"8BITMIME", b"SMTPUTF8", b"ENHANCEDSTATUSCODES")


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLimits:
    """How much one session may do; the defaults stand in relay/config/settings.py."""

    max_recipients: int
    max_command_octets: int
    max_bad_commands: int
    idle_seconds: float


class Session(Connection):
    """A client's conversation."""

    def __init__(
        self,
        station: Station,
        limits: SessionLimits,
        *,
        rules: tuple[ClientRule, ...],
        has_room: Callable[[Session], bool],
        closed: Callable[[Session], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Make a session for a connection to come.

        Args:
            station: what transactions share.
            limits: how much it may do.
            rules: the first that matches says who the client is.
            has_room: whether one more is taken; asked once connected.
            closed: told when all is over.
            loop: the running loop.
        """
        super().__init__(station.hostname, loop=loop)
        self.session_id = station.unique()
        self._station = station
        self._limits = limits
        self._rules = rules
        self._has_room = has_room
        self._told_closed = closed
        self._rule: ClientRule | None = None
        self._helo = b""
        self._is_extended = False
        self._transit: Transit | None = None
        self._pending: list[Awaitable[Reply]] = []  # recipients whose reply is on its way
        self._message: MessageReader | None = None
        self._is_discarding = self._is_expired = self._is_over = False
        self._farewell: Reply | None = None
        self._bad_commands = 0
        self._data_was_too_long = self._is_overrun

    def expire(self, now: float) -> None:
        """Say 421 to a client that was silent for too long while it was its turn."""
        if self._waiter is not None and now - self._heard_at > self._limits.idle_seconds:
            self._is_expired = True
            self._farewell = say.IDLE_TOO_LONG
            self._wake()

    def drain(self) -> None:
        """Say 421 at the next command; a message whose DATA has begun is finished first."""
        self._farewell = say.SHUTTING_DOWN
        self._wake()

    async def _handle_client(self) -> None:
        """The session from greeting to close; the task that aiosmtpd starts."""
        try:
            await self._converse()
        except ConnectionError:
            pass  # the client went away while it was spoken to
        except Exception as exc:  # nothing may end a session in silence
            self._station.emit(Noted("session.failed", "error", (("exception", exc),)))
        finally:
            try:
                await self._end_transaction()
            finally:
                self._told_closed(self)
                self._writer.close()

    async def _converse(self) -> None:
        has_room = self._has_room(self)
        if has_room and self._farewell is None:
            self._rule = self._find_rule()
            self._say(Reply(220, (b"%b ESMTP dkim-relay" % self.hostname.encode("ascii"),)))
        else:
            self._farewell = self._farewell or say.TOO_MANY_CONNECTIONS
        while not self._is_over:
            if self._farewell is not None:
                await self._settle()
                self._say(self._farewell)
                break
            line = self._next_line()
            if line is not None:
                await self._obey(line)
                continue
            await self._flush()
            if self._is_eof or self._is_lost:
                break
            if self._farewell is None:
                await self._hear()
        await self._flush()

    def _find_rule(self) -> ClientRule | None:
        if not self.address:
            return None
        address = ip_address(self.address)
        address = getattr(address, "ipv4_mapped", None) or address
        return next((rule for rule in self._rules if rule.matches(address)), None)

    def _next_line(self) -> bytes | None:
        """The next command line with its line end, or None while it is not complete."""
        end = self._input.find(b"\n")
        limit = self._limits.max_command_octets
        if end < 0:
            if len(self._input) > limit:
                self._is_discarding = True
                self._input.clear()
            return None
        line = bytes(self._input[: min(end + 1, limit + 1)])
        del self._input[: end + 1]
        if self._is_discarding or end >= limit:
            self._is_discarding = False
            return b"" if len(line) <= limit else line
        return line

    async def _obey(self, line: bytes) -> None:
        """Do one command; whatever goes wrong, the client gets a reply and a clean session."""
        verb, _, argument = line.strip(b"\r\n").partition(b" ")
        verb = verb.upper()
        if verb != b"RCPT":  # the replies of a pipelined group come in order (RFC 2920 §3.2)
            await self._settle()
        try:
            if len(line) > self._limits.max_command_octets or not line:
                self._complain(say.LINE_TOO_LONG)
            elif not line.endswith(b"\r\n") or b"\r" in line[:-2] or b"\0" in line:
                self._complain(say.BARE_NEWLINE)
            else:
                command = self._COMMANDS.get(verb)
                if command is None:
                    self._complain(say.NOT_UNDERSTOOD)
                else:
                    await command(self, argument.rstrip(b" "))
        except Rejection as exc:
            self._say(exc.reply)
        except ConnectionError:
            raise
        except Exception as exc:  # 451, never exception text on the wire
            self._station.emit(Noted("internal.failed", "error", (("exception", exc),)))
            await self._settle()
            await self._end_transaction()
            self._say(say.INTERNAL_ERROR)

    def _say(self, reply: Reply) -> None:
        self._output.append(reply.wire())

    def _complain(self, reply: Reply) -> None:
        """Say that a command makes no sense; too many of them end the session."""
        self._say(reply)
        self._bad_commands += 1
        if self._bad_commands >= self._limits.max_bad_commands:
            self._say(say.TOO_MANY_BAD_COMMANDS)
            self._is_over = True

    async def _settle(self) -> None:
        """Wait for the replies of recipients that were sent upstream."""
        while self._pending:
            self._say(await self._pending.pop(0))

    async def _flush(self) -> None:
        await self._settle()
        await self._write_out()

    async def _end_transaction(self) -> None:
        transit, self._transit = self._transit, None
        for reply in self._pending:
            await reply
        self._pending.clear()
        if transit is not None:
            await transit.end()

    # ---- commands ------------------------------------------------------------------------------

    async def _helo_command(self, argument: bytes) -> None:
        if await self._greet(argument, is_extended=False):
            self._say(Reply(250, (self.hostname.encode("ascii"),)))

    async def _ehlo_command(self, argument: bytes) -> None:
        if await self._greet(argument, is_extended=True):
            size = b"SIZE %d" % self._station.read_limits.max_message_octets
            self._say(Reply(250, (self.hostname.encode("ascii"), size, *_EXTENSIONS)))

    async def _greet(self, argument: bytes, *, is_extended: bool) -> bool:
        # Any word is taken: what clients call themselves proves nothing (RFC 5321 §4.1.4).
        if not argument or len(argument) > 255:
            self._complain(say.BAD_ARGUMENT)
            return False
        await self._end_transaction()
        self._helo = argument
        self._is_extended = is_extended
        return True

    async def _mail_command(self, argument: bytes) -> None:
        if not self._helo or self._transit is not None:
            self._complain(say.BAD_SEQUENCE)
            return
        if self._rule is None:
            raise self._not_permitted()
        try:
            mail = parse_mail(argument)
        except ParameterFault:
            self._complain(say.UNKNOWN_PARAMETER)
            return
        except SyntaxFault:
            self._complain(say.BAD_SENDER)
            return
        limit = self._station.read_limits.max_message_octets
        if mail.size is not None and mail.size > limit > 0:
            self._say(say.MESSAGE_TOO_BIG)  # RFC 1870 §6.1
            return
        peer = Peer(
            session_id=self.session_id,
            address=self.address,
            helo=self._helo,
            protocol="UTF8SMTP" if mail.smtputf8 else "ESMTP" if self._is_extended else "SMTP",
            rule=self._rule,
        )
        self._transit = Transit(self._station, peer, mail, client_is_gone=lambda: self.is_gone)
        self._say(say.SENDER_OK)

    def _not_permitted(self) -> Rejection:
        detail = f"{self.address} is in no [[clients]] networks"
        fields = (("client", self.address), ("session_id", self.session_id), ("detail", detail))
        self._station.emit(Noted("client.refused", "warning", fields))
        return Rejection(say.NOT_PERMITTED, Reason.CLIENT_NOT_PERMITTED, detail)

    async def _rcpt_command(self, argument: bytes) -> None:
        transit = self._transit
        if transit is None:
            await self._settle()
            self._complain(say.BAD_SEQUENCE)
            return
        try:
            rcpt = parse_rcpt(argument, smtputf8=transit.mail.smtputf8)
        except SyntaxFault as exc:
            await self._settle()
            unknown = isinstance(exc, ParameterFault)
            self._complain(say.UNKNOWN_PARAMETER if unknown else say.BAD_RECIPIENT)
            return
        if len(transit.accepted) + len(self._pending) >= self._limits.max_recipients:
            await self._settle()
            self._say(say.TOO_MANY_RECIPIENTS)  # RFC 5321 §4.5.3.1.10
            return
        await transit.open()
        self._pending.append(transit.recipient(rcpt))

    async def _data_command(self, argument: bytes) -> None:
        transit = self._transit
        if argument:
            self._complain(say.BAD_ARGUMENT)
            return
        if transit is None or not transit.was_tried:
            self._complain(say.BAD_SEQUENCE)
            return
        if not transit.accepted:
            self._say(say.NO_RECIPIENTS)  # RFC 2920 §3.1
            return
        self._say(say.GO_AHEAD)
        if not await self._take_message(transit):
            return
        self._transit = self._message = None
        self._say(await transit.finish())

    async def _take_message(self, transit: Transit) -> bool:
        """Read DATA to its end; False when the client left first, or sends without end."""
        self._message = transit.reader()
        self._decoder = DataDecoder(self._message.feed)
        early, self._input = bytes(self._input), bytearray()
        if early:
            self.data_received(early)
        await self._flush()
        while self._is_reading_data():
            if self._is_eof or self._is_lost or self._is_expired or self._is_overrun():
                if self._is_overrun():
                    self._say(say.MESSAGE_TOO_BIG)
                if self._is_expired:
                    self._say(say.IDLE_TOO_LONG)
                self._decoder, self._is_over = None, True
                return False
            await self._hear()
        return True

    def _is_reading_data(self) -> bool:
        return self._decoder is not None

    def _is_overrun(self) -> bool:
        """Whether a client goes on far behind the size limit, so that waiting makes no sense."""
        limit = self._station.read_limits.max_message_octets
        return self._message is not None and self._message.size_octets > 2 * limit > 0

    async def _rset_command(self, argument: bytes) -> None:
        if argument:
            self._complain(say.BAD_ARGUMENT)
            return
        await self._end_transaction()
        self._say(say.OK)

    async def _noop_command(self, argument: bytes) -> None:
        self._say(say.OK)

    async def _vrfy_command(self, argument: bytes) -> None:
        self._say(say.CANNOT_VRFY if argument else say.BAD_ARGUMENT)

    async def _help_command(self, argument: bytes) -> None:
        self._say(say.HELP)

    async def _quit_command(self, argument: bytes) -> None:
        self._say(say.GOODBYE)
        self._is_over = True

    async def _other_command(self, argument: bytes) -> None:
        self._complain(say.NOT_IMPLEMENTED)

    _COMMANDS: ClassVar[dict[bytes, Callable[[Session, bytes], Awaitable[None]]]] = {
        b"HELO": _helo_command,
        b"EHLO": _ehlo_command,
        b"MAIL": _mail_command,
        b"RCPT": _rcpt_command,
        b"DATA": _data_command,
        b"RSET": _rset_command,
        b"NOOP": _noop_command,
        b"VRFY": _vrfy_command,
        b"HELP": _help_command,
        b"QUIT": _quit_command,
        b"EXPN": _other_command,
        b"AUTH": _other_command,
        b"STARTTLS": _other_command,
        b"BDAT": _other_command,
    }
