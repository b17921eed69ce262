"""One mail transaction with the next hop: MAIL and RCPT, then the message. IO.

RFC 5321 §3.3 and §4.1.1, RFC 2920 (PIPELINING).
The hop's replies are handed on as they are. Where there is none, a `Rejection` says whether
the hop can have the message: `UPSTREAM_LOST` (it cannot) or `OUTCOME_UNKNOWN` (it may).

Deviation: a kept connection that dies before it has answered anything, or answers 421 to MAIL,
is replaced once, without the client's knowledge. A transaction that has another upstream to go
to goes there when the connection is lost, or 421 is said on it, before a recipient was accepted.
Nothing was accepted, so nothing can be sent twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from enum import Enum, auto

from relay.core.capabilities import Capabilities
from relay.core.envelope import MailCommand, RcptCommand
from relay.core.errors import Rejection
from relay.core.profile import Profile
from relay.core.reply import ONE_AT_A_TIME, Reply
from relay.upstream import rejections
from relay.upstream.pending import PendingReply
from relay.upstream.protocol import CLOSING, Command, Connection
from relay.upstream.rejections import Unusable
from relay.upstream.settings import UpstreamSettings
from relay.upstream.source import Detour, Source
from relay.upstream.transfer import Transfer
from relay.upstream.wire import mail_line, message_parts, rcpt_line


class _Stage(Enum):
    ADDRESSING = auto()  # MAIL and RCPT
    SENDING = auto()
    OVER = auto()


class Transaction:
    """One transaction, made by `Pool.begin`. Call `abandon` in the end, in any case.

    Attributes:
        accepted: how many recipients the hop has accepted (2yz).
    """

    __slots__ = (
        "_connection",
        "_detour",
        "_failure",
        "_has_heard",
        "_has_replayed",
        "_mail",
        "_mail_is_issued",
        "_mail_line",
        "_mail_refusal",
        "_must_replay",
        "_recipients",
        "_replay_lock",
        "_source",
        "_stage",
        "accepted",
    )

    def __init__(
        self,
        mail: MailCommand,
        connection: Connection,
        *,
        source: Source,
        detour: Detour | None = None,
    ) -> None:
        self.accepted = 0
        self._source = source
        self._detour = detour
        self._mail = mail
        self._mail_is_issued = False
        self._mail_refusal: Reply | None = None
        self._recipients: list[PendingReply] = []
        self._stage = _Stage.ADDRESSING
        self._failure: Rejection | None = None
        self._has_heard = False
        self._has_replayed = False
        self._must_replay = ""  # what happened to the connection, when that is to be hidden
        self._replay_lock: asyncio.Lock | None = None
        self._occupy(connection)

    @property
    def upstream(self) -> str:
        """The upstream's name, for the log."""
        return self._settings.name

    @property
    def profile(self) -> Profile:
        """What the upstream rewrites and limits; final once a recipient was accepted."""
        return self._settings.profile

    @property
    def _settings(self) -> UpstreamSettings:
        return self._source.settings

    @property
    def capabilities(self) -> Capabilities:
        """What the hop offers on this connection; final once a recipient was accepted."""
        return self._connection.capabilities

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of the connection."""
        return self._connection.loop

    @property
    def is_waiting(self) -> bool:
        """Whether the replies may still come without anything being done for it."""
        return not self._must_replay and self._failure is None

    def recipient(self, rcpt: RcptCommand) -> PendingReply:
        """Write RCPT, and MAIL before the first one (RFC 5321 §4.1.1.2, §4.1.1.3).

        Returns:
            The hop's reply to come. When MAIL is refused, MAIL's own reply for each.

        Raises:
            ValueError: a control character in the path or a parameter; nothing was written.
            RuntimeError: the transaction is past its recipients.
        """
        if self._stage is not _Stage.ADDRESSING:
            raise RuntimeError("a recipient after the message")
        line = rcpt_line(rcpt, self._connection.capabilities)
        pending = PendingReply(self, rcpt)
        self._recipients.append(pending)
        if self._mail_refusal is not None:
            pending.settle(self._mail_refusal)
        elif 0 < self._settings.max_recipients <= sum(p.is_hoped for p in self._recipients[:-1]):
            pending.settle(ONE_AT_A_TIME)
        elif self.is_waiting:
            self._source.spend(1)
            self._issue(Command(line, pending.answered, self._settings.timeouts.rcpt_seconds))
        return pending

    async def send(self, header: bytes, body: Sequence[bytes]) -> Reply:
        """Send the message and end the transaction; see `relay.upstream.transfer`.

        The octets are not changed, but for dot-stuffing when the hop lacks CHUNKING. When
        the caller is cancelled on the way, the connection is closed.

        Args:
            header: the header section with its last CRLF.
            body: blocks of octets after the blank line, CRLF only, no dot-stuffing.

        Returns:
            The hop's reply as it is; any 2yz says that the hop has the message.

        Raises:
            Rejection: the connection was lost; `reason` says whether the hop may have the
                message.
            ValueError: header or body does not end in CRLF; nothing was written.
            RuntimeError: no recipient was accepted, or the transaction is over.
        """
        parts = message_parts(header, body)
        for pending in self._recipients:
            if pending.reply is None:
                await pending
        if self._failure is not None:
            raise self._failure
        if self._stage is not _Stage.ADDRESSING or not self.accepted:
            raise RuntimeError("a message without an accepted recipient")
        self._stage = _Stage.SENDING
        try:
            transfer = Transfer(parts, self._connection, self._settings)
            reply = await transfer.run()
            self._source.observe(reply)
        except BaseException:  # cancellation too: a message half sent is never left behind
            self._connection.abort("the message was given up on the way")
            raise
        finally:
            self._stage = _Stage.OVER
            self._recipients.clear()
        # RFC 3030 §2: a refused BDAT asks for RSET; after DATA it does no harm.
        self._source.give_back(self._connection, reset=not reply.is_positive)
        return reply

    async def abandon(self) -> None:
        """End the transaction if it is not over; recipients still awaited are rejected."""
        stage, self._stage = self._stage, _Stage.OVER
        if stage is _Stage.SENDING:
            self._connection.abort("the transaction was abandoned on the way")
        elif stage is _Stage.ADDRESSING:
            if self._failure is None:
                self._fail(rejections.lost(f"{self._settings.hop}: the transaction was abandoned"))
            self._recipients.clear()
            self._connection.drop_unsent()
            self._source.give_back(self._connection, reset=self._mail_is_issued)

    async def recover(self) -> None:
        """Begin anew on another connection, or say why there will be no reply.

        Raises:
            Rejection: the connection was lost, and this transaction cannot begin anew.
        """
        if self._replay_lock is None:
            self._replay_lock = asyncio.Lock()
        async with self._replay_lock:  # several recipients may be awaited at once
            if self._must_replay:
                await self._replay()
        if self._failure is not None:
            raise self._failure

    def rcpt_answered(self, reply: Reply) -> bool:
        """Count the reply to one RCPT; called by its `PendingReply`.

        Returns:
            Whether it counts: 421 does not where the transaction has somewhere else to go.
        """
        if reply.code == CLOSING:
            self._source.observe(reply)
            if self._can_replay and self._leads_on:
                return False  # the connection fails now
        self._has_heard = True
        if reply.is_positive:
            self.accepted += 1
        return True

    def connection_failed(self, why: str, cause: Exception | None) -> None:
        """The connection is of no more use; called by it."""
        if self._can_replay:
            self._must_replay = why
            self._wake_recipients()
        else:
            rejection = rejections.lost(f"{self._settings.hop}: {why}")
            rejection.__cause__ = cause
            self._fail(rejection)

    def _occupy(self, connection: Connection) -> None:
        """Take a connection into use.

        Raises:
            Rejection: 550 5.6.7 or 5.7.30, it cannot carry what MAIL asks for.
        """
        self._mail_line = mail_line(
            self._mail,
            connection.capabilities,
            is_secured=connection.is_secured,
            is_authenticated=connection.is_authenticated,
        )
        self._connection = connection  # ours from here on: given back once, by `abandon` or `send`
        connection.transactions += 1
        connection.occupant = self

    def _issue(self, *recipients: Command) -> None:
        """Write RCPTs, with MAIL before the first, in one write if the hop offers PIPELINING."""
        if self._mail_is_issued:
            self._connection.command(*recipients)
            return
        self._mail_is_issued = True
        seconds = self._settings.timeouts.mail_seconds
        mail = Command(self._mail_line, self._mail_answered, seconds)
        self._connection.command(mail, *recipients)

    def _mail_answered(self, reply: Reply) -> None:
        self._source.observe(reply)
        if reply.code == CLOSING and self._can_replay:
            return  # a kept connection was idle for too long, or another hop is next; it fails now
        self._has_heard = True
        if not reply.is_positive:
            self._mail_refusal = reply
            self._connection.drop_unsent()
            for pending in self._recipients:
                pending.settle(reply)

    def _fail(self, rejection: Rejection) -> None:
        self._must_replay = ""
        self._failure = rejection
        self._wake_recipients()

    def _wake_recipients(self) -> None:
        for pending in self._recipients:
            pending.wake()

    @property
    def _can_replay(self) -> bool:
        """Whether this may begin anew somewhere; not once a recipient was accepted."""
        if self.accepted or self._stage is not _Stage.ADDRESSING:
            return False
        return self._is_stale or self._leads_on

    @property
    def _is_stale(self) -> bool:
        """Whether no reply at all was heard on a connection that was kept from before."""
        is_kept = self._connection.transactions > 1
        return is_kept and not (self._has_heard or self._has_replayed)

    @property
    def _leads_on(self) -> bool:
        return self._detour is not None and self._detour.leads_on(self._source)

    async def _replay(self) -> None:
        """Begin anew on another connection, with the recipients that have no reply yet."""
        try:
            source, connection = await self._elsewhere(self._must_replay)
        except Rejection as rejection:
            self._fail(rejection)
            return
        is_fallback, self._source = source is not self._source, source
        self._must_replay = ""
        self._has_replayed = True
        self._has_heard = self._mail_is_issued = False
        if self._stage is not _Stage.ADDRESSING:  # abandoned meanwhile
            source.give_back(connection, reset=False)
            return
        try:
            self._occupy(connection)
        except Rejection as rejection:
            source.give_back(connection, reset=False)
            # What a fallback cannot carry, the upstream it stands in for may: later, not never.
            lost = rejections.lost(f"{self._settings.hop}: {rejection.detail}")
            self._fail(lost if is_fallback else rejection)
            return
        self._issue_again()

    async def _elsewhere(self, why: str) -> tuple[Source, Connection]:
        """Another connection to the same upstream, if the last one was only old; else the next."""
        if self._is_stale:
            try:
                return self._source, await self._source.replace(why)
            except Unusable as exc:
                if not self._leads_on:
                    raise
                why = exc.detail
        if self._detour is None:
            raise rejections.lost(f"{self._settings.hop}: {why}")
        return await self._detour.onward(self._source, why)

    def _issue_again(self) -> None:
        waiting = [p for p in self._recipients if p.reply is None]
        if maximum := self._settings.max_recipients:  # of a fallback it may be another
            for pending in waiting[maximum:]:
                pending.settle(ONE_AT_A_TIME)
            del waiting[maximum:]
        if waiting:
            seconds = self._settings.timeouts.rcpt_seconds
            offered = self._connection.capabilities  # which may differ from those of the dead one
            self._source.spend(len(waiting))
            self._issue(
                *(Command(rcpt_line(p.rcpt, offered), p.answered, seconds) for p in waiting)
            )
