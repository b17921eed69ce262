"""Who the client is and what it is offered: greeting, EHLO, STARTTLS. RFC 5321 §3.1, §4.1.1.1.

SIZE RFC 1870 · PIPELINING RFC 2920 · ENHANCEDSTATUSCODES RFC 2034 · CHUNKING RFC 3030 ·
STARTTLS RFC 3207 · DSN RFC 3461 · AUTH RFC 4954 · 8BITMIME RFC 6152 · SMTPUTF8 RFC 6531 ·
REQUIRETLS RFC 8689 · LIMITS RFC 9422.
Deviation: any word is taken in EHLO, because what clients call themselves proves nothing.
"""

from __future__ import annotations

import asyncio

from relay.core import reply as say
from relay.core.policy import ClientRule, Identity, find_rule, login_would_help
from relay.core.reply import Reply
from relay.listener.authentication import Authentication
from relay.listener.certificates import certificate_names
from relay.listener.endpoint import Endpoint, ListenerTls, read_address
from relay.listener.handshakes import Handshakes
from relay.listener.limits import SessionLimits
from relay.listener.station import Station


class Greeting(Handshakes, Authentication):
    """A conversation in which both sides have said who they are."""

    def __init__(
        self,
        station: Station,
        limits: SessionLimits,
        *,
        rules: tuple[ClientRule, ...],
        loop: asyncio.AbstractEventLoop,
        endpoint: Endpoint,
    ) -> None:
        """See `Session`."""
        super().__init__(station.hostname, endpoint, limits, emit=station.emit, loop=loop)
        self._station = station
        self._rules = rules
        self._rule: ClientRule | None = None
        self._helo = b""

    def _refuse_connection(self) -> Reply | None:
        """What is said instead of a greeting, if anything; asked once it is known who connects."""

    async def _begin(self) -> None:
        if self._is_proxied and not await self._read_proxy_header():
            self._is_over = True
            return
        refusal = self._refuse_connection()
        certificates = self.endpoint.certificates
        is_implicit = self.endpoint.tls is ListenerTls.IMPLICIT and certificates is not None
        # A handshake is dear: who is not let in gets none, and so no word either.
        if is_implicit and (refusal or not certificates or not await self._start_tls(certificates)):
            self._is_over = True
            return
        self._farewell = refusal or self._farewell
        if self._farewell is None:
            self._identify()
            self._say(Reply(220, (b"%b ESMTP dkim-relay" % self.hostname.encode("ascii"),)))

    def _identify(self) -> None:
        """Find out again who the client is: it connected, secured the connection, logged in."""
        identity = Identity(
            address=read_address(self.address) if self.address else None,
            listener=self.endpoint.address,
            login=self._login,
            certificate=certificate_names(self._wire.get_extra_info)
            if self._is_secured
            else frozenset(),
            uid=self.uid,
        )
        self._rule = find_rule(self._rules, identity)
        self._login_would_help = login_would_help(self._rules, identity)

    def _needs_tls(self) -> bool:
        return self.endpoint.requires_tls and not self._is_secured

    async def _helo_command(self, argument: bytes) -> None:
        if await self._greet(argument, is_extended=False):
            self._say(Reply(250, (self.hostname.encode("ascii"),)))

    async def _ehlo_command(self, argument: bytes) -> None:
        if await self._greet(argument, is_extended=True):
            self._say(Reply(250, (self.hostname.encode("ascii"), *self._extensions())))

    async def _greet(self, argument: bytes, *, is_extended: bool) -> bool:
        if not argument or len(argument) > 255:
            await self._complain(say.BAD_ARGUMENT)
            return False
        await self._end_transaction("a new greeting")
        self._helo = argument
        self._is_extended = is_extended
        return True

    def _extensions(self) -> list[bytes]:
        """What EHLO offers now; only what is really kept (RFC 5321 §4.1.1.1)."""
        limits = b"LIMITS MAILMAX=%d RCPTMAX=%d"
        offered = [
            b"SIZE %d" % self._station.read_limits.max_message_octets,
            *(b"PIPELINING", b"8BITMIME", b"SMTPUTF8", b"ENHANCEDSTATUSCODES", b"CHUNKING"),
            limits % (self._limits.max_messages, self._limits.max_recipients),
        ]
        if self._offers_dsn():
            offered.append(b"DSN")
        if self._may_start_tls():
            offered.append(b"STARTTLS")
        if self._may_authenticate():
            offered.append(b"AUTH PLAIN LOGIN")
        if self._offers_requiretls():
            offered.append(b"REQUIRETLS")
        return offered

    def _offers_dsn(self) -> bool:
        """Only a hop that has DSN can keep what a client asks for with it."""
        return self._station.offers("DSN")

    def _offers_requiretls(self) -> bool:
        station = self._station
        return self._is_secured and station.is_secured and station.offers("REQUIRETLS")

    def _may_start_tls(self) -> bool:
        endpoint = self.endpoint
        has_tls = endpoint.tls is ListenerTls.STARTTLS and endpoint.certificates is not None
        return has_tls and not self._is_secured

    async def _starttls_command(self, argument: bytes) -> None:
        certificates = self.endpoint.certificates
        if argument:
            await self._complain(say.BAD_ARGUMENT)
        elif not self._may_start_tls() or certificates is None:
            await self._complain(say.BAD_SEQUENCE if self._is_secured else say.NOT_IMPLEMENTED)
        else:
            await self._end_transaction("STARTTLS")
            self._pause()  # what comes from now on is TLS, what came before is nobody's
            self._input.clear()
            self._say(say.READY_FOR_TLS)
            await self._flush()
            if not await self._start_tls(certificates):
                self._is_over = True
                return
            # RFC 3207 §4.2: nothing that was said in clear counts any more.
            self._helo, self._login, self._is_extended = b"", "", False
            self._identify()
