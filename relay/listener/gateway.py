"""Whether all clients seem to be one: container networks hide who they are. No IO."""

from __future__ import annotations

from typing import Final

from relay.core.events import Noted
from relay.listener.endpoint import read_address

_SESSIONS: Final = 200


class Gateway:
    """Looks at the addresses of sessions until it knows."""

    def __init__(self) -> None:
        """Nobody came yet."""
        self._address = ""
        self._sessions = 0
        self._is_settled = False

    def notice(self, address: str) -> Noted | None:
        """A session has begun; a warning, once, when many have one private address of elsewhere.

        Args:
            address: of its client; empty on a UNIX socket.
        """
        if self._is_settled or not address or read_address(address).is_loopback:
            return None
        self._address = self._address or address
        self._sessions += 1
        if address != self._address or not read_address(address).is_private:
            self._is_settled = True
        elif self._sessions >= _SESSIONS:
            self._is_settled = True
            detail = (
                f"all {self._sessions} sessions from elsewhere came from {address}: behind the "
                "gateway of a container network every client looks alike, and networks of "
                "[[clients]] cannot tell them apart; use a login, or the host's network"
            )
            return Noted("clients.alike", "warning", (("detail", detail),))
        return None
