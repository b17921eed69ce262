"""One transaction in proxy mode: from MAIL to the final reply. RFC 5321 §3.3.

One client transaction is one upstream transaction: each recipient's reply and the final one
are the upstream's own. Nothing is kept, so nothing that was answered 250 can be lost.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from functools import lru_cache
from typing import Any

from relay.core.complete import Trace
from relay.core.dkim.algorithm import Algorithm
from relay.core.dkim.canonical import BodyHash
from relay.core.envelope import MailCommand, RcptCommand
from relay.core.errors import Reason, Rejection
from relay.core.events import Noted, Outcome, TransactionEnded
from relay.core.message import Message
from relay.core.reader import MessageFault
from relay.core.reply import ANOTHER_ROUTE, INTERNAL_ERROR, NO_ROUTE, OUT_OF_ORDER, Reply
from relay.core.routing import Step, choose
from relay.core.trace_context import trace_id
from relay.flow import Accepted, Signed, Submission, accept, forward
from relay.listener.data import Incoming
from relay.listener.handover import Handover
from relay.listener.station import Peer, Station, Transaction, UnderWay, Way


class Transit:
    """One transaction. Calls come in the order MAIL, RCPT…, DATA; `end` or `finish` closes it."""

    def __init__(
        self,
        station: Station,
        peer: Peer,
        mail: MailCommand,
        *,
        client_is_gone: Callable[[], bool],
    ) -> None:
        """Begin with an accepted MAIL."""
        self._client_is_gone = client_is_gone
        self._station = station
        self._peer = peer
        self.mail = mail
        self.queue_id = station.unique()
        self.accepted: list[RcptCommand] = []
        self.refused = 0
        self._began_at = station.monotonic()
        self._way: Way | None = None
        self._transaction: Transaction | None = None
        self._unavailable: Rejection | None = None
        self._last_refusal: tuple[Reply, Reason, str] | None = None
        self._hash = BodyHash()
        self._reader: Incoming | None = None
        self._accepted: Accepted | None = None
        self._signed: Signed | None = None
        self._sign_seconds = self._upstream_seconds = 0.0

    @property
    def under_way(self) -> UnderWay:
        """Where it is counted from its beginning to its end."""
        return self._station.under_way

    @property
    def was_tried(self) -> bool:
        """Whether any recipient was given."""
        return bool(self.accepted) or self.refused > 0

    async def recipient(self, rcpt: RcptCommand) -> Coroutine[Any, Any, Reply]:
        """Send a recipient upstream; its reply may be awaited later.

        The first one decides which way the transaction goes.

        Raises:
            Rejection: no connection can be had; the same answer stands for the whole transaction.
        """
        way = self._choose(rcpt)
        if way is None:
            return self._decline(NO_ROUTE, Reason.NO_ROUTE, f"RCPT TO:<{rcpt.forward_path}>")
        if self._way is not None and way is not self._way:
            # One transaction here is one transaction there; clients send again what gets 452.
            detail = f"route {way.rule.name!r} after {self._way.rule.name!r}"
            return self._decline(ANOTHER_ROUTE, Reason.ANOTHER_ROUTE, detail)
        self._way = way
        transaction = self._transaction or await self._begin(way)
        return self._answer(rcpt, transaction.recipient(rcpt))

    def _choose(self, rcpt: RcptCommand) -> Way | None:
        step = Step(
            listener=self._peer.listener,
            client=self._peer.rule.name,
            mail_from=self.mail.reverse_path,
            rcpt_to=rcpt.forward_path,
        )
        return choose(self._station.ways, step)

    async def _decline(self, reply: Reply, reason: Reason, detail: str) -> Reply:
        self.refused += 1
        self._last_refusal = (reply, reason, detail)
        return reply

    async def _begin(self, way: Way) -> Transaction:
        if self._unavailable is None:
            try:
                self._transaction = await way.upstream.begin(self.mail)
            except Rejection as exc:
                self._unavailable = exc
            else:
                return self._transaction
        self.refused += 1
        why = self._unavailable
        self.refuse(why.reply, why.reason, why.detail)
        raise why

    async def _answer(self, rcpt: RcptCommand, reply: Awaitable[Reply]) -> Reply:
        try:
            answer = await reply
        except Rejection as exc:
            self.refused += 1
            self.refuse(exc.reply, exc.reason, exc.detail)
            return exc.reply
        except Exception as exc:
            self.refused += 1
            self.refuse(INTERNAL_ERROR, Reason.INTERNAL_ERROR, repr(exc))
            raise
        if answer.is_intermediate:  # passed on, it would make a client send data
            answer = OUT_OF_ORDER
        if answer.is_positive:
            self.accepted.append(rcpt)
        else:
            self.refused += 1
            self._last_refusal = (answer, Reason.UPSTREAM_REFUSED, "recipient refused")
        return answer

    def reader(self) -> Incoming:
        """What reads the message; the body hash is fed while it does."""
        self._reader = Incoming(self._station.read_limits, body_sink=self._hash.feed)
        return self._reader

    async def finish(self) -> Reply:
        """After the end of data: the stages of flow, and the reply for the client."""
        try:
            reply = await self._relay()
            if reply.is_intermediate:
                reply = OUT_OF_ORDER
            outcome = _outcome(reply)
            reason = None if reply.is_positive else Reason.UPSTREAM_REFUSED
            detail = ""
        except Rejection as exc:
            reply, reason, detail = exc.reply, exc.reason, exc.detail
            unknown = reason is Reason.OUTCOME_UNKNOWN
            outcome = Outcome.UNKNOWN if unknown else _outcome(reply)
            await self._let_go()
        except Exception as exc:  # the promise: 451, never silence, never a leak
            reply, reason, detail = INTERNAL_ERROR, Reason.INTERNAL_ERROR, repr(exc)
            outcome = Outcome.DEFERRED
            self._station.emit(Noted("internal.failed", "error", (("exception", exc),)))
            await self._let_go()
        self._tell(outcome, reply, reason, detail)
        return reply

    def refuse(self, reply: Reply, reason: Reason, detail: str) -> None:
        """Remember what the client is told, for the log, should nothing else come."""
        self._last_refusal = (reply, reason, detail)

    async def end(self, why: str) -> None:
        """No message came of it.

        Args:
            why: RSET, a new greeting, the client is gone …; a refusal says more.
        """
        await self._let_go()
        if not self.was_tried and self._last_refusal is None:
            return
        if self._last_refusal is not None:
            reply, reason, detail = self._last_refusal
            self._tell(_outcome(reply), reply, reason, detail)
        else:
            self._tell(Outcome.ABANDONED, None, None, why)

    async def _relay(self) -> Reply:
        station = self._station
        if self._reader is None or self._transaction is None or self._way is None:
            raise RuntimeError("finish() without a message or an upstream")
        try:
            message = self._reader.finish()
        except MessageFault as exc:
            raise exc.rejection() from exc
        now, terms = station.now(), self._way.terms
        self._accepted = accept(self._submission(message), terms, now)
        began_at, hop = station.monotonic(), Handover(self._transaction, station.monotonic)
        try:
            self._signed, reply = await forward(self._accepted, hop, station.keys, terms, now)
        finally:
            if hop.at is not None:
                self._sign_seconds = hop.at - began_at
                self._upstream_seconds = station.monotonic() - hop.at
        return reply

    def _submission(self, message: Message) -> Submission:
        station, peer = self._station, self._peer
        trace = None
        if station.received != "off":
            shown = peer.address if station.received == "full" else ""
            trace = Trace(peer.helo, shown, station.hostname, peer.protocol, self.queue_id)
        unique = f"{self.queue_id}.{int(station.now())}"
        return Submission(message, self._hash.digest(), peer.rule, trace, unique)

    async def _let_go(self) -> None:
        if self._transaction is not None:
            await self._transaction.abandon()

    def _tell(
        self, outcome: Outcome, reply: Reply | None, reason: Reason | None, detail: str
    ) -> None:
        accepted, signed, transaction = self._accepted, self._signed, self._transaction
        message = signed.message if signed else accepted.message if accepted else None
        keys = signed.keys if signed else ()
        self._station.emit(
            TransactionEnded(
                outcome=outcome,
                session_id=self._peer.session_id,
                queue_id=self.queue_id,
                client=self._peer.address,
                client_rule=self._peer.rule.name,
                mail_from=str(self.mail.reverse_path),
                from_address=str(accepted.admission.from_address) if accepted else "",
                signing_domain=accepted.admission.signing_domain if accepted else "",
                signatures=tuple([_label(key.selector, key.public.algorithm) for key in keys]),
                unsigned=accepted.unsigned if accepted else None,
                message_id=_message_id(message) if message else "",
                trace_id=trace_id(message) if message else "",
                rcpt_to=tuple([str(rcpt.forward_path) for rcpt in self.accepted]),
                rcpt_refused=self.refused,
                size_octets=self._reader.size_octets if self._reader else 0,
                route=self._way.rule.name if self._way else "",
                upstream=transaction.upstream if transaction else "",
                reply=str(reply) if reply else "",
                reason=reason,
                detail=detail,
                client_left=self._client_is_gone(),
                total_seconds=self._station.monotonic() - self._began_at,
                sign_seconds=self._sign_seconds,
                upstream_seconds=self._upstream_seconds,
            )
        )


def _outcome(reply: Reply) -> Outcome:
    if reply.is_positive:
        return Outcome.RELAYED
    return Outcome.DEFERRED if reply.is_transient else Outcome.REJECTED


@lru_cache(maxsize=256)
def _label(selector: str, algorithm: Algorithm) -> str:
    return f"{selector}/{algorithm}"


def _message_id(message: Message) -> str:
    """The first Message-ID, bounded, for the log."""
    value = next((f.value for f in message.named(b"message-id")), b"")
    return b"".join(value.split())[:512].decode("utf-8", "backslashreplace")
