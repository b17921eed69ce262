"""A hop that is a list: what flow hands over is kept, and a reply comes back.

Pure. It stands behind the protocol of `relay.flow.Hop`, as an upstream's transaction does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from relay.core.capabilities import Capabilities, parse_capabilities
from relay.core.errors import Rejection
from relay.core.profile import GENERIC, Profile
from relay.core.reply import Reply, own

ESMTP = parse_capabilities([b"SIZE 0", b"8BITMIME", b"SMTPUTF8", b"PIPELINING"])
HELO_ONLY = Capabilities()


@dataclass
class FakeHop:
    """Takes every message.

    Attributes:
        capabilities: what it offers.
        profile: what it is known to do.
        reply: its answer to the end of the data.
        lost: raised instead of an answer, when there is one.
        sent: the header section and the body of each message, as they were handed over.
    """

    capabilities: Capabilities = ESMTP
    profile: Profile = GENERIC
    reply: Reply = field(default_factory=lambda: own(250, "2.0.0", "Queued as 1"))
    lost: Rejection | None = None
    sent: list[tuple[bytes, tuple[bytes, ...]]] = field(default_factory=list)

    async def send(self, header: bytes, body: Sequence[bytes]) -> Reply:
        """Keep the octets."""
        self.sent.append((header, tuple(body)))
        if self.lost is not None:
            raise self.lost
        return self.reply

    @property
    def octets(self) -> bytes:
        """The one message that was sent, as it stands on the wire before dot-stuffing."""
        ((header, body),) = self.sent
        return header + b"\r\n" + b"".join(body)
