"""The reply to one RCPT, before it is there. RFC 2920: several may be under way at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Generator
from typing import Any, Protocol

from relay.core.envelope import RcptCommand
from relay.core.reply import Reply
from relay.upstream.command import passed_on


class Awaited(Protocol):
    """The transaction that a recipient belongs to."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that it lives on."""

    @property
    def is_waiting(self) -> bool:
        """Whether the replies may still come without anything being done for it."""

    async def recover(self) -> None:
        """Begin anew on another connection, or say why there will be no reply.

        Raises:
            Rejection: there will be none.
        """

    def rcpt_answered(self, reply: Reply) -> bool:
        """Count the reply to one RCPT; whether it counts."""


class PendingReply(Awaitable[Reply]):
    """The reply to one RCPT, to be awaited by one task; again, when that was cancelled.

    Raises (when awaited):
        Rejection: the connection was lost before the reply came.
    """

    __slots__ = ("_transaction", "_woken", "rcpt", "reply")

    def __init__(self, transaction: Awaited, rcpt: RcptCommand) -> None:
        self._transaction = transaction
        self._woken: asyncio.Future[None] | None = None
        self.rcpt = rcpt
        self.reply: Reply | None = None

    def __await__(self) -> Generator[Any, None, Reply]:
        while self.reply is None:
            if self._transaction.is_waiting:
                self._woken = self._transaction.loop.create_future()
                yield from self._woken
            else:
                yield from self._transaction.recover().__await__()
        return self.reply

    @property
    def is_hoped(self) -> bool:
        """Whether the hop has accepted it, or may yet."""
        return self.reply is None or self.reply.is_positive

    def answered(self, reply: Reply) -> None:
        """Take the hop's reply to this RCPT."""
        if self._transaction.rcpt_answered(reply):
            self.settle(reply)

    def settle(self, reply: Reply) -> None:
        """Take a reply, unless there is one: MAIL's own stands for all when MAIL is refused.

        Our client hears it as `passed_on` has it.
        """
        if self.reply is None:
            self.reply = passed_on(reply)
            self.wake()

    def wake(self) -> None:
        """Let the awaiting task look again."""
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)
