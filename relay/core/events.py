"""Facts: what happened, once, for the log line and the counters alike. Pure.

An event's name is `subject.past_participle`; its fields are the log's and carry their units.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from relay.core.errors import Reason
from relay.core.immutable import immutable_by_name


class Outcome(StrEnum):
    """How a transaction ended; the value is the event's name."""

    RELAYED = "message.relayed"
    REJECTED = "message.rejected"
    DEFERRED = "message.deferred"
    UNKNOWN = "message.outcome_unknown"
    ABANDONED = "message.abandoned"


class Unsigned(StrEnum):
    """Why a message left without a signature of ours: the label of logs and metrics."""

    ROUTE_SKIPS = "route_skips"
    SIGNED_BY_AUTHOR = "signed_by_author"


class Event(Protocol):
    """Anything that is told to `observe`."""

    @property
    def name(self) -> str:
        """`subject.past_participle`."""


@immutable_by_name
class TransactionEnded:
    """The canonical fact of one transaction: who, as whom, to whom, through whom, and how.

    Attributes:
        session_id, queue_id: ours.
        client, client_rule: address of the client, and the rule that let it in.
        mail_from: RFC5321.MailFrom, empty for null.
        from_address: RFC5322.From, empty when the message was not read so far.
        signing_domain, signatures: d=, and "selector/algorithm" of each signature.
        unsigned: why there is none, when an operator chose that.
        message_id: RFC 5322's, as it left.
        trace_id: of the message's traceparent field (W3C Trace Context).
        rcpt_to, rcpt_refused: forward-paths the upstream accepted, and how many it did not.
        size_octets: the message as received.
        route, upstream: their names.
        reply: what the client heard.
        reason, detail: why not, empty when relayed.
        client_left: the client was gone before it heard the reply.
        total_seconds: from MAIL to the reply.
        sign_seconds: to make the message fit for the upstream and sign it.
        upstream_seconds: from handing it over to the reply; 0 when it was not.
    """

    outcome: Outcome
    session_id: str
    queue_id: str
    client: str
    client_rule: str
    mail_from: str
    from_address: str = ""
    signing_domain: str = ""
    signatures: tuple[str, ...] = ()
    unsigned: Unsigned | None = None
    message_id: str = ""
    trace_id: str = ""
    rcpt_to: tuple[str, ...] = ()
    rcpt_refused: int = 0
    size_octets: int = 0
    route: str = ""
    upstream: str = ""
    reply: str = ""
    reason: Reason | None = None
    detail: str = ""
    client_left: bool = False
    total_seconds: float = 0.0
    sign_seconds: float = 0.0
    upstream_seconds: float = 0.0

    @property
    def name(self) -> str:
        """The event's name, by outcome."""
        return self.outcome.value


@dataclass(frozen=True, slots=True)
class Noted:
    """A fact that needs no type of its own: a name, a level, and fields.

    An exception among the fields is logged with its traceback.
    """

    name: str
    level: str = "info"
    fields: tuple[tuple[str, object], ...] = ()
