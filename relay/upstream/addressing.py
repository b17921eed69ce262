"""MAIL and RCPT of one transaction, up to the last reply; on another connection if need be. IO.

RFC 5321 §3.3 and §4.1.1, RFC 2920 (PIPELINING).

Deviation: a kept connection that dies before it has answered anything, or answers 421 to MAIL,
is replaced once, without the client's knowledge. A transaction that has another upstream to go
to goes there when the connection is lost, or 421 is said on it, before a recipient was accepted.
Nothing was accepted, so nothing can be sent twice.
"""

from __future__ import annotations

import asyncio

from relay.core.envelope import MailCommand, RcptCommand
from relay.core.errors import Rejection
from relay.core.reply import ONE_AT_A_TIME, Reply
from relay.upstream import rejections
from relay.upstream.command import CLOSING, Command
from relay.upstream.pending import PendingReply
from relay.upstream.protocol import Connection
from relay.upstream.rejections import Unusable
from relay.upstream.settings import UpstreamSettings
from relay.upstream.source import Detour, Source
from relay.upstream.wire import mail_line, rcpt_line


class Addressing:
    """The envelope of one transaction.

    Args:
        mail: of the transaction.
        connection: to begin on; ours from here on, and to be given back once: `give_back`, or by
            who goes on with it after `end`.
        source: where it is from.
        detour: where else it may go.

    Attributes:
        accepted: how many recipients the hop has accepted (2yz).
        connection: the one that it is on now; final once a recipient was accepted.
        source: where that is from.
        failure: why there will be no more replies, or None.
        is_over: whether the message goes out, or the transaction was given up.

    Raises:
        Rejection: 550 5.6.7 or 5.7.30, the connection cannot carry what MAIL asks for.
        ValueError: a control character in the path or in a parameter.
    """

    __slots__ = (
        "_detour",
        "_has_heard",
        "_has_replayed",
        "_mail",
        "_mail_is_issued",
        "_mail_line",
        "_mail_refusal",
        "_must_replay",
        "_recipients",
        "_replay_lock",
        "accepted",
        "connection",
        "failure",
        "is_over",
        "source",
    )

    def __init__(
        self, mail: MailCommand, connection: Connection, source: Source, detour: Detour | None
    ) -> None:
        self.accepted = 0
        self.source = source
        self.failure: Rejection | None = None
        self.is_over = False
        self._detour = detour
        self._mail = mail
        self._mail_is_issued = False
        self._mail_refusal: Reply | None = None
        self._recipients: list[PendingReply] = []
        self._has_heard = False
        self._has_replayed = False
        self._must_replay = ""  # what happened to the connection, when that is to be hidden
        self._replay_lock: asyncio.Lock | None = None
        self._occupy(connection)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of the connection."""
        return self.connection.loop

    @property
    def is_waiting(self) -> bool:
        """Whether the replies may still come without anything being done for it."""
        return not self._must_replay and self.failure is None

    def recipient(self, rcpt: RcptCommand) -> PendingReply:
        """Write RCPT, and MAIL before the first one; see `Transaction.recipient`."""
        line = rcpt_line(rcpt, self.connection.capabilities)
        pending = PendingReply(self, rcpt)
        self._recipients.append(pending)
        if self._mail_refusal is not None:
            pending.settle(self._mail_refusal)
        elif 0 < self._settings.max_recipients <= sum(p.is_hoped for p in self._recipients[:-1]):
            pending.settle(ONE_AT_A_TIME)
        elif self.is_waiting:
            self.source.spend(1)
            self._issue(Command(line, pending.answered, self._settings.timeouts.rcpt_seconds))
        return pending

    async def replies(self) -> None:
        """Wait until every recipient has its reply.

        Raises:
            Rejection: the connection was lost.
        """
        for pending in self._recipients:
            if pending.reply is None:
                await pending
        if self.failure is not None:
            raise self.failure

    def end(self) -> Connection:
        """No recipient comes any more; the connection is for the message now."""
        self.is_over = True
        self._recipients.clear()
        return self.connection

    def give_up(self) -> None:
        """Give the connection back; recipients still awaited are rejected."""
        if self.failure is None:
            self._fail(rejections.lost(f"{self._settings.hop}: the transaction was abandoned"))
        connection = self.end()
        connection.drop_unsent()
        self.source.give_back(connection, reset=self._mail_is_issued)

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
        if self.failure is not None:
            raise self.failure

    def rcpt_answered(self, reply: Reply) -> bool:
        """Count the reply to one RCPT; called by its `PendingReply`.

        Returns:
            Whether it counts: 421 does not where the transaction has somewhere else to go.
        """
        if reply.code == CLOSING:
            self.source.observe(reply)
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

    @property
    def _settings(self) -> UpstreamSettings:
        return self.source.settings

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
        self.connection = connection
        connection.transactions += 1
        connection.occupant = self

    def _issue(self, *recipients: Command) -> None:
        """Write RCPTs, with MAIL before the first, in one write if the hop offers PIPELINING."""
        if self._mail_is_issued:
            self.connection.command(*recipients)
            return
        self._mail_is_issued = True
        seconds = self._settings.timeouts.mail_seconds
        mail = Command(self._mail_line, self._mail_answered, seconds)
        self.connection.command(mail, *recipients)

    def _mail_answered(self, reply: Reply) -> None:
        self.source.observe(reply)
        if reply.code == CLOSING and self._can_replay:
            return  # a kept connection was idle for too long, or another hop is next; it fails now
        self._has_heard = True
        if not reply.is_positive:
            self._mail_refusal = reply
            self.connection.drop_unsent()
            for pending in self._recipients:
                pending.settle(reply)

    def _fail(self, rejection: Rejection) -> None:
        self._must_replay = ""
        self.failure = rejection
        self._wake_recipients()

    def _wake_recipients(self) -> None:
        for pending in self._recipients:
            pending.wake()

    @property
    def _can_replay(self) -> bool:
        """Whether this may begin anew somewhere; not once a recipient was accepted."""
        if self.accepted or self.is_over:
            return False
        return self._is_stale or self._leads_on

    @property
    def _is_stale(self) -> bool:
        """Whether no reply at all was heard on a connection that was kept from before."""
        is_kept = self.connection.transactions > 1
        return is_kept and not (self._has_heard or self._has_replayed)

    @property
    def _leads_on(self) -> bool:
        return self._detour is not None and self._detour.leads_on(self.source)

    async def _replay(self) -> None:
        """Begin anew on another connection, with the recipients that have no reply yet."""
        try:
            source, connection = await self._elsewhere(self._must_replay)
        except Rejection as rejection:
            self._fail(rejection)
            return
        is_fallback, self.source = source is not self.source, source
        self._must_replay = ""
        self._has_replayed = True
        self._has_heard = self._mail_is_issued = False
        if self.is_over:  # abandoned meanwhile
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
                return self.source, await self.source.replace(why)
            except Unusable as exc:
                if not self._leads_on:
                    raise
                why = exc.detail
        if self._detour is None:
            raise rejections.lost(f"{self._settings.hop}: {why}")
        return await self._detour.onward(self.source, why)

    def _issue_again(self) -> None:
        waiting = [p for p in self._recipients if p.reply is None]
        if maximum := self._settings.max_recipients:  # of a fallback it may be another
            for pending in waiting[maximum:]:
                pending.settle(ONE_AT_A_TIME)
            del waiting[maximum:]
        if waiting:
            seconds = self._settings.timeouts.rcpt_seconds
            offered = self.connection.capabilities  # which may differ from those of the dead one
            self.source.spend(len(waiting))
            self._issue(
                *(Command(rcpt_line(p.rcpt, offered), p.answered, seconds) for p in waiting)
            )
