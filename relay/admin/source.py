"""What the admin port asks for its answers. Pure."""

from __future__ import annotations

from typing import Protocol

from relay.core.status import Status


class Source(Protocol):
    """The relay, whether it is one process or several."""

    async def status(self, domain: str = "") -> Status:
        """How it is now.

        Args:
            domain: one that is listed in any case, if there is one of that name.
        """

    async def metrics(self) -> bytes:
        """The metrics of all processes, in the text format of Prometheus."""
