"""One mail transaction with the next hop: MAIL and RCPT, then the message. IO.

RFC 5321 §3.3. `addressing` has the first half, `transfer` the second; each is the occupant of
the connection in its time. The hop's replies are handed on as they are, but for
421 (`command.passed_on`). Where there is none, a
`Rejection` says whether the hop can have the message: `UPSTREAM_LOST` (it cannot) or
`OUTCOME_UNKNOWN` (it may).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto

from relay.core.capabilities import Capabilities
from relay.core.envelope import MailCommand, RcptCommand
from relay.core.profile import Profile
from relay.core.reply import Reply
from relay.upstream.addressing import Addressing
from relay.upstream.command import passed_on
from relay.upstream.pending import PendingReply
from relay.upstream.protocol import Connection
from relay.upstream.source import Detour, Source
from relay.upstream.transfer import Transfer
from relay.upstream.wire import message_parts


class _Stage(Enum):
    ADDRESSING = auto()  # MAIL and RCPT
    SENDING = auto()
    OVER = auto()


class Transaction:
    """One transaction, made by `Pool.begin`. Call `abandon` in the end, in any case.

    Args:
        mail: of the transaction.
        connection: to begin on; ours from here on, and given back once, by `send` or `abandon`.
        source: where it is from.
        detour: where else it may go.

    Raises:
        Rejection: 550 5.6.7 or 5.7.30, the connection cannot carry what MAIL asks for.
        ValueError: a control character in the path or in a parameter.
    """

    __slots__ = ("_addressing", "_stage")

    def __init__(
        self,
        mail: MailCommand,
        connection: Connection,
        *,
        source: Source,
        detour: Detour | None = None,
    ) -> None:
        self._addressing = Addressing(mail, connection, source, detour)
        self._stage = _Stage.ADDRESSING

    @property
    def accepted(self) -> int:
        """How many recipients the hop has accepted (2yz)."""
        return self._addressing.accepted

    @property
    def upstream(self) -> str:
        """The upstream's name, for the log."""
        return self._addressing.source.settings.name

    @property
    def profile(self) -> Profile:
        """What the upstream rewrites and limits; final once a recipient was accepted."""
        return self._addressing.source.settings.profile

    @property
    def capabilities(self) -> Capabilities:
        """What the hop offers on this connection; final once a recipient was accepted."""
        return self._addressing.connection.capabilities

    def recipient(self, rcpt: RcptCommand) -> PendingReply:
        """Write RCPT, and MAIL before the first one (RFC 5321 §4.1.1.2, §4.1.1.3).

        Returns:
            The hop's reply to come, 421 as 451. When MAIL is refused, MAIL's own reply for each.

        Raises:
            ValueError: a control character in the path or a parameter; nothing was written.
            RuntimeError: the transaction is past its recipients.
        """
        if self._stage is not _Stage.ADDRESSING:
            raise RuntimeError("a recipient after the message")
        return self._addressing.recipient(rcpt)

    async def send(self, header: bytes, body: Sequence[bytes]) -> Reply:
        """Send the message and end the transaction; see `relay.upstream.transfer`.

        The octets are not changed, but for dot-stuffing when the hop lacks CHUNKING. When
        the caller is cancelled on the way, the connection is closed.

        Args:
            header: the header section with its last CRLF.
            body: blocks of octets after the blank line, CRLF only, no dot-stuffing.

        Returns:
            The hop's reply, 421 as 451; any 2yz says that the hop has the message.

        Raises:
            Rejection: the connection was lost; `reason` says whether the hop may have the
                message.
            ValueError: header or body does not end in CRLF; nothing was written.
            RuntimeError: no recipient was accepted, or the transaction is over.
        """
        parts = message_parts(header, body)
        addressing = self._addressing
        await addressing.replies()
        if self._stage is not _Stage.ADDRESSING or not addressing.accepted:
            raise RuntimeError("a message without an accepted recipient")
        self._stage = _Stage.SENDING
        connection, source = addressing.end(), addressing.source
        try:
            reply = await Transfer(parts, connection, source.settings).run()
            source.observe(reply)
        except BaseException:  # cancellation too: a message half sent is never left behind
            connection.abort("the message was given up on the way")
            raise
        finally:
            self._stage = _Stage.OVER
        # RFC 3030 §2: a refused BDAT asks for RSET; after DATA it does no harm.
        source.give_back(connection, reset=not reply.is_positive)
        return passed_on(reply)

    async def abandon(self) -> None:
        """End the transaction if it is not over; recipients still awaited are rejected."""
        stage, self._stage = self._stage, _Stage.OVER
        if stage is _Stage.SENDING:
            self._addressing.connection.abort("the transaction was abandoned on the way")
        elif stage is _Stage.ADDRESSING:
            self._addressing.give_up()
