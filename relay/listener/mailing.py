"""A mail transaction, from MAIL to its final reply. RFC 5321 §3.3, CHUNKING RFC 3030 §2.

Octets are parsed by our own grammar (relay.core.envelope); what a transaction does is `Transit`'s.
"""

from __future__ import annotations

import asyncio
import re
from typing import Final

from relay.core import reply as say
from relay.core.envelope import MailCommand, ParameterFault, ValueFault, parse_mail, parse_rcpt
from relay.core.errors import Reason, SyntaxFault
from relay.core.events import Noted
from relay.core.policy import ClientRule
from relay.core.reply import Reply
from relay.listener.data import DataDecoder, Incoming
from relay.listener.endpoint import Endpoint
from relay.listener.greeting import Greeting
from relay.listener.intake import Intake
from relay.listener.limits import SessionLimits
from relay.listener.memory import Memory
from relay.listener.station import Peer, Station
from relay.listener.transit import Transit

_CHUNK: Final = re.compile(rb"([0-9]{1,20})(?: +(?i:(LAST)))?")  # RFC 3030 §2


class Mailing(Greeting, Intake):
    """A conversation in which mail is handed over."""

    def __init__(
        self,
        station: Station,
        limits: SessionLimits,
        *,
        rules: tuple[ClientRule, ...],
        loop: asyncio.AbstractEventLoop,
        endpoint: Endpoint,
        memory: Memory,
    ) -> None:
        """See `Session`."""
        super().__init__(station, limits, rules=rules, loop=loop, endpoint=endpoint)
        self._memory = memory
        self._max_message_octets = station.read_limits.max_message_octets
        self._messages = 0

    def _is_in_transaction(self) -> bool:
        return self._transit is not None

    async def _end_transaction(self, why: str) -> None:
        transit, self._transit, self._message = self._transit, None, None
        self._release()
        for reply in self._pending:
            reply.close()
        self._pending.clear()
        if transit is not None:
            try:
                await transit.end(why)
            finally:
                transit.under_way.discard(transit)

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
        self._max_message_octets = self._station.read_limits.max_message_octets
        transit.under_way.add(transit)
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
        if not await self._read_chunk(size, self._message.feed):
            return
        if is_last:
            await self._finish(transit)
        else:
            self._say(Reply(250, (b"2.0.0 %d octets received" % size,)))

    async def _refuse_chunk(self, size: int) -> None:
        """Read a chunk that belongs to no message, then say so."""
        self._message = Incoming(self._station.read_limits, body_sink=_forget)
        self._message.refuse("5.5.1", "No transaction")
        is_read = await self._read_chunk(size, self._message.feed)
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
            transit.under_way.discard(transit)


def _forget(block: bytes) -> None:
    """Octets of a chunk that belongs to no transaction."""
