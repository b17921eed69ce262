"""An upstream in memory, behind the protocols of `relay.listener.transit`.

It accepts what it is not told to refuse, keeps what it got, and may hold its replies back::

    upstream.answers[b"bad@example.net"] = reply(b"550 5.1.1 No such user")
    upstream.final = Rejection(...)          # or any exception: it is raised
    upstream.final_gate.clear()              # the reply to a message waits for `set`
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any

from relay.core.capabilities import Capabilities
from relay.core.envelope import MailCommand, RcptCommand
from relay.core.errors import Reason, Rejection
from relay.core.profile import GENERIC, Profile
from relay.core.reply import Reply, own

QUEUED = Reply(250, (b"2.0.0 Ok: queued as 4F",))
RECIPIENT_OK = Reply(250, (b"2.1.5 Ok",))
EVERYTHING = Capabilities({"PIPELINING": (), "8BITMIME": (), "SMTPUTF8": ()})

Answer = Reply | Exception


def reply(*lines: bytes) -> Reply:
    """A reply as an upstream writes it: `reply(b"550-no", b"550 such user")`."""
    return Reply(int(lines[0][:3]), tuple(line[4:] for line in lines))


def lost() -> Rejection:
    """What a transaction raises whose connection is gone."""
    return Rejection(own(451, "4.4.2", "Lost"), Reason.UPSTREAM_LOST, "the fake was told so")


def unavailable() -> Rejection:
    """What a pool raises that has no connection."""
    said = own(451, "4.4.1", "The next hop cannot be reached now")
    return Rejection(said, Reason.UPSTREAM_UNAVAILABLE, "fake (192.0.2.1:25): refused")


class _PendingReply(Awaitable[Reply]):
    """The reply to one RCPT; like the real one, it may be left without being awaited."""

    def __init__(self, transaction: FakeTransaction, answer: Answer) -> None:
        self._transaction = transaction
        self._answer = answer

    def __await__(self) -> Generator[Any, None, Reply]:
        return self._come().__await__()

    async def _come(self) -> Reply:
        await self._transaction.may_answer.wait()
        if self._transaction.is_abandoned:
            raise lost()
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


class FakeTransaction:
    """One transaction, as it went.

    Attributes:
        recipients: in the order of their RCPTs, refused ones too.
        message: what was sent, octet for octet; None while nothing was.
        is_abandoned: whether it was ended without a message.
        is_over: whether it ended, one way or the other.
    """

    upstream = "fake"

    def __init__(self, owner: FakeUpstream, mail: MailCommand) -> None:
        self._owner = owner
        self.mail = mail
        self.recipients: list[RcptCommand] = []
        self.message: bytes | None = None
        self.is_abandoned = False
        self.is_over = False
        self.may_answer = asyncio.Event()
        if not owner.holds_recipients:
            self.may_answer.set()

    @property
    def capabilities(self) -> Capabilities:
        """What the upstream offers."""
        return self._owner.capabilities

    @property
    def profile(self) -> Profile:
        """What the upstream is known to do."""
        return GENERIC

    def recipient(self, rcpt: RcptCommand) -> Awaitable[Reply]:
        """Take a recipient; its reply may be awaited later."""
        self.recipients.append(rcpt)
        self._owner.changed()
        answer = self._owner.answers.get(rcpt.forward_path.octets, RECIPIENT_OK)
        return _PendingReply(self, answer)

    async def send(self, header: bytes, body: Sequence[bytes]) -> Reply:
        """Take the message."""
        self.message = b"".join((header, b"\r\n", *body))
        self._owner.changed()
        await self._owner.final_gate.wait()
        self.is_over = True
        self._owner.changed()
        if isinstance(self._owner.final, Exception):
            raise self._owner.final
        return self._owner.final

    async def abandon(self) -> None:
        """End without a message, unless it is over."""
        if not self.is_over:
            self.is_abandoned = self.is_over = True
            self.may_answer.set()
            self._owner.changed()
        if self._owner.abandon_fault is not None:
            raise self._owner.abandon_fault


class FakeUpstream:
    """Where transactions are begun; make it within a running loop.

    Attributes:
        capabilities: what it offers.
        is_secured: whether it says that its connections are verified TLS.
        answers: recipient → its answer; every other is accepted.
        final: the answer to a message.
        begin_fault: raised instead of beginning a transaction.
        abandon_fault: raised when a transaction is abandoned.
        holds_recipients: the replies to RCPT wait for `release`, in transactions to come.
        final_gate: the reply to a message waits while it is cleared.
        transactions: all that were begun.
    """

    def __init__(self) -> None:
        self.capabilities = EVERYTHING
        self.is_secured = False
        self.answers: dict[bytes, Answer] = {}
        self.final: Answer = QUEUED
        self.begin_fault: Exception | None = None
        self.abandon_fault: Exception | None = None
        self.holds_recipients = False
        self.final_gate = asyncio.Event()
        self.final_gate.set()
        self.transactions: list[FakeTransaction] = []
        self.begins = 0
        self._event = asyncio.Event()

    def offers(self, keyword: str) -> bool:
        """Whether the upstream is known to offer this."""
        return self.capabilities is not None and keyword in self.capabilities

    async def begin(self, mail: MailCommand) -> FakeTransaction:
        """Begin a transaction."""
        self.begins += 1
        if self.begin_fault is not None:
            raise self.begin_fault
        transaction = FakeTransaction(self, mail)
        self.transactions.append(transaction)
        return transaction

    @property
    def messages(self) -> list[bytes]:
        """Every message that was sent."""
        return [t.message for t in self.transactions if t.message is not None]

    @property
    def open_transactions(self) -> int:
        """How many are neither sent nor abandoned."""
        return sum(not t.is_over for t in self.transactions)

    def changed(self) -> None:
        """Let `until` look again."""
        self._event.set()

    def release(self) -> None:
        """Let the replies to RCPT go."""
        self.holds_recipients = False
        for transaction in self.transactions:
            transaction.may_answer.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something holds that a transaction can change."""
        async with asyncio.timeout(5):
            while not condition():
                self._event.clear()
                await self._event.wait()

    async def until_sent(self, count: int = 1) -> None:
        """Wait until so many messages have come, whether they are answered or not."""
        await self.until(lambda: len(self.messages) >= count)

    async def until_given(self, count: int = 1) -> None:
        """Wait until so many recipients have come in the transaction begun last."""
        await self.until(lambda: bool(self.transactions) and len(self.given) >= count)

    @property
    def given(self) -> list[bytes]:
        """The recipients of the transaction begun last."""
        return [rcpt.forward_path.octets for rcpt in self.transactions[-1].recipients]
