"""AUTH within a session. RFC 4954, RFC 4616 (PLAIN), LOGIN.

Offered over TLS, or in clear where the listener says so. What was pipelined behind AUTH is thrown
away: it was sent by somebody who did not know the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from relay.core import reply as say
from relay.core.errors import SyntaxFault
from relay.core.events import Event, Noted
from relay.core.reply import Reply
from relay.core.sasl import (
    LOGIN_PASSWORD,
    LOGIN_USERNAME,
    MAX_INITIAL_OCTETS,
    Credentials,
    decode_response,
    read_plain,
)
from relay.listener.conversation import Conversation
from relay.listener.endpoint import Endpoint
from relay.listener.limits import SessionLimits
from relay.listener.logins import Logins

_COMMAND_OCTETS: Final = MAX_INITIAL_OCTETS + len(b"AUTH PLAIN \r\n")
_RESPONSE_OCTETS: Final = MAX_INITIAL_OCTETS + len(b"\r\n")


class _NoResponse(Exception):
    """The client did not go on; the reply to that was said."""


class Authentication(Conversation):
    """A conversation whose client may say who it is."""

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
        super().__init__(hostname, endpoint, limits, emit=emit, loop=loop)
        self._logins: Logins | None = None
        self._login = ""
        self._is_extended = self._is_asking = self._login_would_help = False
        self._login_failures = 0

    def _identify(self) -> None:
        """Find out again who the client is."""

    def _is_in_transaction(self) -> bool:
        """Whether MAIL was given."""
        return False

    def _may_authenticate(self) -> bool:
        """Whether AUTH is offered now."""
        is_safe = self._is_secured or self.endpoint.may_auth_in_clear
        return self._logins is not None and is_safe and not self._login

    def _line_limit(self, octets: bytes | bytearray) -> int:
        if self._is_asking:
            return _RESPONSE_OCTETS
        return _COMMAND_OCTETS if octets[:5].upper() == b"AUTH " else super()._line_limit(octets)

    async def _auth_command(self, argument: bytes) -> None:
        refusal = self._auth_refusal(argument)
        if refusal is not None:
            await self._complain(refusal)
            return
        if self._logins is None:
            return
        who = self._limits.counted_as(self.address) or f"uid {self.uid}"  # of a UNIX socket
        if self._logins.is_refused(who):
            self._farewell = say.AUTH_REFUSED
            return
        try:
            credentials = await self._ask(argument)
        except _NoResponse:
            return
        except SyntaxFault:
            await self._complain(say.AUTH_NOT_BASE64)
            return
        is_right = await self._logins.check(credentials, who)
        self._input.clear()
        name = credentials.login.decode("utf-8", "backslashreplace")
        if is_right:
            self._login = name
            self._identify()
            self._say(say.AUTH_DONE)
        else:
            self._refuse_login(name, is_refused=self._logins.is_refused(who))

    def _refuse_login(self, name: str, *, is_refused: bool) -> None:
        """Say that it was wrong; after too many that it is over.

        Args:
            name: what the client said it is.
            is_refused: whether its address has failed too often.
        """
        fields = (("client", self.address), ("login", name[:200]))
        self._emit(Noted("client.login_failed", "warning", fields))
        self._say(say.AUTH_FAILED)
        self._login_failures += 1
        if is_refused:
            self._farewell = say.AUTH_REFUSED
        elif self._login_failures >= self._limits.max_failed_logins:
            self._farewell = say.AUTH_ENOUGH

    def _auth_refusal(self, argument: bytes) -> Reply | None:
        """Why AUTH is not taken now (RFC 4954 §4)."""
        mechanism = argument.partition(b" ")[0].upper()
        if self._logins is None:
            return say.NOT_IMPLEMENTED
        if not self._is_extended or self._login or self._is_in_transaction():
            return say.BAD_SEQUENCE
        if not self._may_authenticate():
            return say.AUTH_NEEDS_TLS
        if not mechanism:
            return say.BAD_ARGUMENT
        return None if mechanism in (b"PLAIN", b"LOGIN") else say.AUTH_UNKNOWN

    async def _ask(self, argument: bytes) -> Credentials:
        """The exchange of a mechanism, with or without an initial response."""
        mechanism, _, initial = argument.partition(b" ")
        if mechanism.upper() == b"PLAIN":
            return read_plain(decode_response(initial or await self._response(b"")))
        login = decode_response(initial or await self._response(LOGIN_USERNAME))
        password = decode_response(await self._response(LOGIN_PASSWORD))
        if not login or not password:
            raise SyntaxFault("an empty name or password")
        return Credentials(login, password)

    async def _response(self, challenge: bytes) -> bytes:
        """Challenge the client and wait for its line."""
        self._say(Reply(334, (challenge,)))
        self._is_asking = True
        try:
            await self._flush()
            line = self._next_line()
            while line is None:
                if self._is_eof or self._is_lost or self._farewell is not None:
                    raise _NoResponse
                await self._hear()
                line = self._next_line()
            if len(line) > _RESPONSE_OCTETS:
                await self._complain(say.AUTH_TOO_LONG)
                raise _NoResponse
        finally:
            self._is_asking = False
        if not line.endswith(b"\r\n"):
            await self._complain(say.BARE_NEWLINE)
            raise _NoResponse
        if line == b"*\r\n":
            self._say(say.AUTH_CANCELLED)
            raise _NoResponse
        return line[:-2]
