"""When a message is handed over to its hop: before is our time, after is the upstream's. No IO."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from relay.core.capabilities import Capabilities
from relay.core.profile import Profile
from relay.core.reply import Reply
from relay.flow import Hop


class Handover:
    """The hop of a transaction, with a look at the clock.

    Attributes:
        at: when the message was handed over; None: it was not.
    """

    __slots__ = ("_hop", "_monotonic", "at")

    def __init__(self, hop: Hop, monotonic: Callable[[], float]) -> None:
        self._hop = hop
        self._monotonic = monotonic
        self.at: float | None = None

    @property
    def capabilities(self) -> Capabilities:
        """See `relay.flow.Hop`."""
        return self._hop.capabilities

    @property
    def profile(self) -> Profile:
        """See `relay.flow.Hop`."""
        return self._hop.profile

    async def send(self, header: bytes, body: Sequence[bytes]) -> Reply:
        """See `relay.flow.Hop`."""
        self.at = self._monotonic()
        return await self._hop.send(header, body)
