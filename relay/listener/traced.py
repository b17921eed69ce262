"""A session whose dialogue is in the log: a search for faults, not for every day."""

from __future__ import annotations

from relay.core.events import Noted
from relay.core.reply import Reply
from relay.core.wire_trace import command_shown, reply_shown
from relay.listener.session import Session


class TracedSession(Session):
    """Tells each command and reply; what AUTH says, and messages, it does not see."""

    async def _obey(self, line: bytes) -> None:
        self._tell(command_shown(line))
        await super()._obey(line)

    def _say(self, reply: Reply) -> None:
        for line in reply_shown(reply):
            self._tell(line)
        super()._say(reply)

    def _tell(self, line: str) -> None:
        place = (("client", self.address), ("session_id", self.session_id))
        self._emit(Noted("wire.client", "info", (*place, ("detail", line))))
