"""Put key records into DNS and take them out, never at the cost of somebody else's. No IO itself.

A `Provider` can find the records at a name and exchange them for others if they are still the
same. That is all that a DNS provider has to offer; which exchange is right is decided here:

* a name without a record gets ours;
* a record that has our key, in whatever form, is ours: it stays, or goes when it is withdrawn;
* any other record is somebody's: it is only replaced when we are told to.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from relay.core.dkim.algorithm import PublicKey
from relay.core.dkim.query import TxtAnswer, TxtOutcome
from relay.core.dkim.record import parse_record, record_text
from relay.core.errors import Fault, RelayError, SyntaxFault
from relay.dns.judge import RecordState, judge

_TRIES = 3
_SHOWN_CHARACTERS = 60


class PublishFault(RelayError):
    """A record could not be put into DNS or taken out; `fault` says why and what to do."""

    def __init__(self, where: str, what: str, fix: str) -> None:
        self.fault = Fault(where, what, fix)
        super().__init__(str(self.fault))


class RecordConflict(PublishFault):
    """At the name there is a record that is not ours."""


class Provider(Protocol):
    """Where the records of some zones are changed."""

    @property
    def name(self) -> str:
        """As the settings call it."""

    async def find(self, name: str) -> tuple[str, ...]:
        """The TXT records at a name, each as one text; none when there are none.

        Args:
            name: the owner name in A-labels, without a final dot.

        Raises:
            PublishFault: that cannot be found out.
        """

    async def exchange(self, name: str, before: tuple[str, ...], after: tuple[str, ...]) -> bool:
        """Put `after` in the place of `before`, if that is still what is there.

        Returns:
            Whether it was, and is done; otherwise nothing has changed.

        Raises:
            PublishFault: it was refused, or the outcome is not known.
        """


class Done(StrEnum):
    """What had to be done."""

    PUBLISHED = "published"
    WITHDRAWN = "withdrawn"
    REVOKED = "revoked"  # p= is empty
    NOTHING = "nothing"  # it was as it should be


async def publish(
    provider: Provider, name: str, public: PublicKey, *, text: str = "", force: bool = False
) -> Done:
    """Publish the record of a key.

    Args:
        provider: who has the zone.
        name: the owner name of the record, without a final dot.
        public: the key.
        text: the record; empty for the plain one.
        force: replace what is there, whosoever it is.

    Raises:
        RecordConflict: there is another record, and no `force`.
        PublishFault: the provider cannot do it.
    """
    for _ in range(_TRIES):
        before = await provider.find(name)
        if before and _state(before, public) is RecordState.MATCHES:
            return Done.NOTHING
        if before and not force:
            raise _conflict(name, before, "give --force to replace it")
        if await provider.exchange(name, before, (text or record_text(public),)):
            return Done.PUBLISHED
    raise _restless(name)


async def withdraw(
    provider: Provider, name: str, public: PublicKey, *, revoke: bool = False
) -> Done:
    """Take the record of a key out of DNS, or empty its p= (RFC 6376 §3.6.1).

    Args:
        provider: who has the zone.
        name: the owner name of the record, without a final dot.
        public: the key.
        revoke: leave a record with an empty p=, which says that the key was revoked.

    Raises:
        RecordConflict: there is another record, which stays.
        PublishFault: the provider cannot do it.
    """
    after = (f"v=DKIM1; k={public.algorithm.key_type}; p=",) if revoke else ()
    for _ in range(_TRIES):
        before = await provider.find(name)
        if not before or (revoke and _state(before, public) is RecordState.REVOKED):
            return Done.NOTHING
        if not all(_has_key(text, public) for text in before):
            raise _conflict(name, before, "remove it by hand if it is to go")
        if await provider.exchange(name, before, after):
            return Done.REVOKED if revoke else Done.WITHDRAWN
    raise _restless(name)


def _state(texts: tuple[str, ...], public: PublicKey) -> RecordState:
    records = tuple(text.encode("utf-8") for text in texts)
    return judge(TxtAnswer(TxtOutcome.FOUND, records), public)[0]


def _has_key(text: str, public: PublicKey) -> bool:
    """Whether a record is this key's, or an empty one that revokes it."""
    try:
        record = parse_record(text.encode("utf-8"))
    except SyntaxFault:
        return False
    return record.public in (None, public)


def _conflict(name: str, texts: tuple[str, ...], fix: str) -> RecordConflict:
    shown = ", ".join(ascii(text[:_SHOWN_CHARACTERS]) for text in texts)
    return RecordConflict(name, f"has a record that is not this key's: {shown}", fix)


def _restless(name: str) -> PublishFault:
    return PublishFault(name, "somebody else changes this record too", "see who, and try again")
