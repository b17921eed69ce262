"""The commands of a session. RFC 5321 §3 and §4.1, and the extensions that EHLO names.

SIZE RFC 1870 · PIPELINING RFC 2920 · ENHANCEDSTATUSCODES RFC 2034 · CHUNKING RFC 3030 ·
STARTTLS RFC 3207 · DSN RFC 3461 · AUTH RFC 4954 · 8BITMIME RFC 6152 · SMTPUTF8 RFC 6531 ·
REQUIRETLS RFC 8689 · LIMITS RFC 9422.
Octets are parsed by our own grammar (relay.core.envelope). Deviation: any word is taken in EHLO,
because what clients call themselves proves nothing; `tests/transcript` has the sessions.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import ClassVar, Final

from relay.core import reply as say
from relay.core.envelope import MailCommand, ParameterFault, ValueFault, parse_mail, parse_rcpt
from relay.core.errors import Reason, SyntaxFault
from relay.core.events import Noted
from relay.core.policy import ClientRule, Identity, find_rule, login_would_help
from relay.core.reply import Reply
from relay.listener.authentication import Authentication
from relay.listener.certificates import certificate_names
from relay.listener.conversation import SessionLimits
from relay.listener.data import ChunkDecoder, DataDecoder, Incoming
from relay.listener.endpoint import PLAIN, Endpoint, ListenerTls
from relay.listener.intake import Intake
from relay.listener.logins import Logins
from relay.listener.memory import Memory
from relay.listener.transit import Peer, Station, Transit

__all__ = ["Session", "SessionLimits"]

_CHUNK: Final = re.compile(rb"([0-9]{1,20})(?: +(?i:(LAST)))?")  # RFC 3030 §2
# BDAT is refused too where TLS is needed, but behind its chunk.
_IN_CLEAR: Final = frozenset(
    {b"EHLO", b"HELO", b"NOOP", b"RSET", b"STARTTLS", b"QUIT", b"HELP", b"BDAT"}
)


class Session(Authentication, Intake):
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
        super().__init__(station.hostname, endpoint, limits, emit=station.emit, loop=loop)
        self.session_id = station.unique()
        self._station = station
        self._rules = rules
        self._refusal = refusal
        self._told_closed = closed
        self._told_opened = opened
        self._logins = logins
        self._memory = memory or Memory(_UNLIMITED)
        self._max_message_octets = station.read_limits.max_message_octets
        self._rule: ClientRule | None = None
        self._helo = b""
        self._messages = 0

    # Greeting and farewell.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        super().connection_made(transport)
        self._told_opened(self)

    async def _begin(self) -> None:
        if self._is_proxied and not await self._read_proxy_header():
            self._is_over = True
            return
        refusal = self._refusal(self)
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
            address=ip_address(self.address) if self.address else None,
            listener=self.endpoint.address,
            login=self._login,
            certificate=certificate_names(self._wire.get_extra_info)
            if self._is_secured
            else frozenset(),
            uid=self.uid,
        )
        self._rule = find_rule(self._rules, identity)
        self._login_would_help = login_would_help(self._rules, identity)

    def _is_in_transaction(self) -> bool:
        return self._transit is not None

    def _ended(self) -> None:
        self._release()
        self._told_closed(self)

    async def _end_transaction(self, why: str) -> None:
        transit, self._transit, self._message = self._transit, None, None
        self._release()
        for reply in self._pending:
            reply.close()
        self._pending.clear()
        if transit is not None:
            await transit.end(why)

    async def _do(self, verb: bytes, argument: bytes) -> None:
        command = self._COMMANDS.get(verb)
        if command is None:
            await self._complain(say.NOT_UNDERSTOOD)
        elif self._needs_tls() and verb not in _IN_CLEAR:
            self._say(say.TLS_NEEDED)  # RFC 3207 §4
        else:
            await command(self, argument)

    def _needs_tls(self) -> bool:
        return self.endpoint.requires_tls and not self._is_secured

    # HELO, EHLO, and what needs no transaction.

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

    def _offers(self, keyword: str) -> bool:
        return self._station.offers(keyword)

    def _offers_dsn(self) -> bool:
        """Only a hop that has DSN can keep what a client asks for with it."""
        return self._offers("DSN")

    def _offers_requiretls(self) -> bool:
        return self._is_secured and self._station.is_secured and self._offers("REQUIRETLS")

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

    # The transaction.

    async def _mail_command(self, argument: bytes) -> None:
        if not self._helo or self._transit is not None:
            await self._complain(say.BAD_SEQUENCE)
            return
        rule = self._rule
        if rule is None:
            await self._refuse_client()
            return
        mail = await self._parse_mail(argument)
        if mail is None:
            return
        peer = Peer(
            session_id=self.session_id,
            address=self.address,
            listener=self.endpoint.address,
            helo=self._helo,
            protocol=self._protocol(mail),
            rule=rule,
        )
        transit = Transit(self._station, peer, mail, client_is_gone=lambda: self.is_gone)
        refusal = self._refuse_mail(mail, rule)
        if refusal is not None:
            reply, reason = refusal
            transit.refuse(reply, reason, f"MAIL FROM:<{mail.reverse_path}>")
            await transit.end("refused")
            self._say(reply)
            return
        self._messages += 1
        if self._messages > self._limits.max_messages:
            self._farewell = say.TOO_MANY_MESSAGES
            return
        self._transit = transit
        self._say(say.SENDER_OK)

    async def _parse_mail(self, argument: bytes) -> MailCommand | None:
        try:
            mail = parse_mail(argument)
        except (ParameterFault, ValueFault) as exc:
            is_unknown = isinstance(exc, ParameterFault)
            await self._complain(say.UNKNOWN_PARAMETER if is_unknown else say.BAD_ARGUMENT)
            return None
        except SyntaxFault:
            await self._complain(say.BAD_SENDER)
            return None
        not_offered = (mail.ret or mail.envelope_id) and not self._offers_dsn()
        if not_offered or (mail.requiretls and not self._offers_requiretls()):
            await self._complain(say.UNKNOWN_PARAMETER)
            return None
        return mail

    def _refuse_mail(self, mail: MailCommand, rule: ClientRule) -> tuple[Reply, Reason] | None:
        limit = self._station.read_limits.max_message_octets
        if mail.size is not None and mail.size > limit > 0:  # RFC 1870 §6.1
            return say.MESSAGE_TOO_BIG, Reason.MESSAGE_SIZE
        if not rule.permits_reverse_path(mail.reverse_path):
            return say.SENDER_NOT_PERMITTED, Reason.REVERSE_PATH_NOT_PERMITTED
        return None

    def _protocol(self, mail: MailCommand) -> str:
        """The word after "with" in Received (RFC 3848, RFC 6531 §4.3)."""
        if not self._is_extended:
            return "SMTP"
        secured, known = "S" if self._is_secured else "", "A" if self._login else ""
        return ("UTF8SMTP" if mail.smtputf8 else "ESMTP") + secured + known

    async def _refuse_client(self) -> None:
        detail = f"{self.address or 'a local user'} matches no [[clients]]"
        fields = (("client", self.address), ("session_id", self.session_id), ("detail", detail))
        self._station.emit(Noted("client.refused", "warning", fields))
        may_log_in = self._login_would_help and self._logins is not None
        # One that goes on asking must not fill the log.
        await self._complain(say.AUTH_NEEDED if may_log_in else say.NOT_PERMITTED)

    async def _rcpt_command(self, argument: bytes) -> None:
        transit = self._transit
        if transit is None or self._message is not None:
            await self._complain(say.BAD_SEQUENCE)
            return
        try:
            rcpt = parse_rcpt(argument, smtputf8=transit.mail.smtputf8, dsn=self._offers_dsn())
        except (ParameterFault, ValueFault) as exc:
            is_unknown = isinstance(exc, ParameterFault)
            await self._complain(say.UNKNOWN_PARAMETER if is_unknown else say.BAD_ARGUMENT)
            return
        except SyntaxFault:
            await self._complain(say.BAD_RECIPIENT)
            return
        if len(transit.accepted) + len(self._pending) >= self._limits.max_recipients:
            await self._settle()  # some of those on their way may turn out refused
        if len(transit.accepted) >= self._limits.max_recipients:
            self._say(say.TOO_MANY_RECIPIENTS)  # RFC 5321 §4.5.3.1.10
            return
        self._pending.append(await transit.recipient(rcpt))

    async def _data_command(self, argument: bytes) -> None:
        transit = self._transit
        if argument:
            await self._complain(say.BAD_ARGUMENT)
        elif transit is None or not transit.was_tried or self._message is not None:
            await self._complain(say.BAD_SEQUENCE)  # also behind BDAT (RFC 3030 §2)
        elif not transit.accepted:
            self._say(say.NO_RECIPIENTS)  # RFC 2920 §3.1
        else:
            self._say(say.GO_AHEAD)
            self._message = transit.reader()
            if await self._read(DataDecoder(self._message.feed)):
                await self._finish(transit)

    async def _bdat_command(self, argument: bytes) -> None:
        """One chunk; its octets are read whatever the answer will be (RFC 3030 §2)."""
        found = _CHUNK.fullmatch(argument)
        if found is None:
            await self._complain(say.BAD_ARGUMENT)
            self._is_over = True  # where the chunk ends is not known, so what follows is no command
            return
        size, is_last, transit = int(found[1]), found[2] is not None, self._transit
        if transit is None or not transit.accepted:
            await self._refuse_chunk(size)
            return
        self._message = self._message or transit.reader()
        if not await self._read(ChunkDecoder(size, self._message.feed)):
            return
        if is_last:
            await self._finish(transit)
        else:
            self._say(Reply(250, (b"2.0.0 %d octets received" % size,)))

    async def _refuse_chunk(self, size: int) -> None:
        """Read a chunk that belongs to no message, then say so."""
        self._message = Incoming(self._station.read_limits, body_sink=_forget)
        self._message.refuse("5.5.1", "No transaction")
        is_read = await self._read(ChunkDecoder(size, self._message.feed))
        self._message = None
        if not is_read:
            return
        if self._needs_tls():
            self._say(say.TLS_NEEDED)
        elif self._transit is not None and self._transit.was_tried:
            self._say(say.NO_RECIPIENTS)
        else:
            await self._complain(say.BAD_SEQUENCE)

    async def _finish(self, transit: Transit) -> None:
        self._transit = None
        try:
            self._say(await transit.finish())
        finally:
            self._message = None
            self._release()

    _COMMANDS: ClassVar[dict[bytes, Callable[[Session, bytes], Awaitable[None]]]] = {
        b"HELO": _helo_command,
        b"EHLO": _ehlo_command,
        b"STARTTLS": _starttls_command,
        b"AUTH": Authentication._auth_command,
        b"MAIL": _mail_command,
        b"RCPT": _rcpt_command,
        b"DATA": _data_command,
        b"BDAT": _bdat_command,
        b"RSET": _rset_command,
        b"NOOP": _noop_command,
        b"VRFY": _vrfy_command,
        b"HELP": _help_command,
        b"QUIT": _quit_command,
        b"EXPN": _other_command,
    }


_UNLIMITED: Final = 1 << 62


def _forget(block: bytes) -> None:
    """Octets of a chunk that belongs to no transaction."""
