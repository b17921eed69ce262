"""The session: which command is whose, and what needs no transaction. RFC 5321 §4.1.

A session is built of what it can do, one idea on the other, and is one object to the event loop:

    Connection → Conversation → Handshakes, Authentication, Intake → Greeting → Mailing → Session

`tests/transcript` has the sessions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import ClassVar, Final

from relay.core import reply as say
from relay.core.policy import ClientRule
from relay.core.reply import Reply
from relay.listener.endpoint import PLAIN, Endpoint
from relay.listener.limits import SessionLimits
from relay.listener.logins import Logins
from relay.listener.mailing import Mailing
from relay.listener.memory import Memory
from relay.listener.station import Station

_UNLIMITED: Final = 1 << 62
# BDAT is refused too where TLS is needed, but behind its chunk.
_IN_CLEAR: Final = frozenset(
    {b"EHLO", b"HELO", b"NOOP", b"RSET", b"STARTTLS", b"QUIT", b"HELP", b"BDAT"}
)


class Session(Mailing):
    """A client's conversation, from greeting to close."""

    def __init__(
        self,
        station: Station,
        limits: SessionLimits,
        *,
        rules: tuple[ClientRule, ...],
        refusal: Callable[[Session], Reply | None],
        closed: Callable[[Session], None],
        opened: Callable[[Session], None] = lambda _: None,
        loop: asyncio.AbstractEventLoop,
        endpoint: Endpoint = PLAIN,
        logins: Logins | None = None,
        memory: Memory | None = None,
    ) -> None:
        """Make a session for a connection to come.

        Args:
            station: what transactions share.
            limits: how much it may do.
            rules: the first that matches says who the client is.
            refusal: what to say instead of a greeting, if anything; asked once it is known
                who connects.
            closed: told when all is over.
            opened: told of the connection.
            loop: the running loop.
            endpoint: the listener it comes to.
            logins: who may log in; None for nobody.
            memory: the budget for messages of all sessions.
        """
        super().__init__(
            station,
            limits,
            rules=rules,
            loop=loop,
            endpoint=endpoint,
            memory=memory or Memory(_UNLIMITED),
        )
        self.session_id = station.unique()
        self._logins = logins
        self._refusal = refusal
        self._told_closed = closed
        self._told_opened = opened
        self._take_up: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        super().connection_made(transport)
        self._told_opened(self)

    def change(
        self,
        station: Station,
        limits: SessionLimits,
        rules: tuple[ClientRule, ...],
        *,
        endpoint: Endpoint,
        logins: Logins | None,
    ) -> None:
        """Go by other settings from the next command on that is of no transaction under way."""

        def take_up() -> None:
            self._station, self._rules = station, rules
            self._limit_by(limits)
            self.hostname, self.endpoint, self._logins = station.hostname, endpoint, logins
            if not self._is_handshaking:
                self._identify()

        self._take_up = take_up

    def _refuse_connection(self) -> Reply | None:
        return self._refusal(self)

    def _ended(self) -> None:
        self._release()
        self._told_closed(self)

    def _do(self, verb: bytes, argument: bytes) -> Awaitable[None]:
        if self._take_up is not None and self._transit is None:
            self._take_up()
            self._take_up = None
        command = self._COMMANDS.get(verb)
        if command is None:
            return self._complain(say.NOT_UNDERSTOOD)
        if self._needs_tls() and verb not in _IN_CLEAR:
            return self._demand_tls()
        return command(self, argument)

    async def _demand_tls(self) -> None:
        self._say(say.TLS_NEEDED)  # RFC 3207 §4

    async def _noop_command(self, argument: bytes) -> None:
        self._say(say.OK)

    async def _vrfy_command(self, argument: bytes) -> None:
        self._say(say.CANNOT_VRFY if argument else say.BAD_ARGUMENT)

    async def _help_command(self, argument: bytes) -> None:
        self._say(say.HELP)

    async def _other_command(self, argument: bytes) -> None:
        await self._complain(say.NOT_IMPLEMENTED)

    async def _quit_command(self, argument: bytes) -> None:
        self._say(say.GOODBYE)
        self._is_over = True

    async def _rset_command(self, argument: bytes) -> None:
        if argument:
            await self._complain(say.BAD_ARGUMENT)
            return
        await self._end_transaction("RSET")
        self._say(say.OK)

    _COMMANDS: ClassVar[dict[bytes, Callable[[Session, bytes], Awaitable[None]]]] = {
        b"HELO": Mailing._helo_command,
        b"EHLO": Mailing._ehlo_command,
        b"STARTTLS": Mailing._starttls_command,
        b"AUTH": Mailing._auth_command,
        b"MAIL": Mailing._mail_command,
        b"RCPT": Mailing._rcpt_command,
        b"DATA": Mailing._data_command,
        b"BDAT": Mailing._bdat_command,
        b"RSET": _rset_command,
        b"NOOP": _noop_command,
        b"VRFY": _vrfy_command,
        b"HELP": _help_command,
        b"QUIT": _quit_command,
        b"EXPN": _other_command,
    }
