"""How many octets of messages may be in memory at a time, for all sessions together. No IO.

When there are too many, reading is held back where octets come in; whoever waits longest goes on
first. A session that waited too long gives its message up (452 4.3.1), which makes room, so no
two can wait for each other for ever.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable


class Memory:
    """The budget and who holds what of it."""

    def __init__(self, max_octets: int) -> None:
        """Set the budget."""
        self.max_octets = max_octets
        self._held: dict[object, int] = {}
        self._waiting: OrderedDict[object, Callable[[], None]] = OrderedDict()
        self.octets = 0

    @property
    def has_room(self) -> bool:
        """Whether reading may go on."""
        return self.octets <= self.max_octets

    def resize(self, max_octets: int) -> None:
        """Set another budget; what is held stays."""
        self.max_octets = max_octets
        self._let_go_on()

    def take(self, owner: object, octets: int) -> None:
        """Account for octets that came in: the session holds so many more now."""
        self._held[owner] = self._held.get(owner, 0) + octets
        self.octets += octets

    def wait(self, owner: object, resume: Callable[[], None]) -> None:
        """Call back when there is room; not any more once the owner has freed what it holds."""
        self._waiting.setdefault(owner, resume)

    def free(self, owner: object) -> None:
        """A session's message is gone; let those that wait go on while there is room."""
        self.octets -= self._held.pop(owner, 0)
        self._waiting.pop(owner, None)
        self._let_go_on()

    def _let_go_on(self) -> None:
        while self._waiting and self.has_room:
            _, resume = self._waiting.popitem(last=False)
            resume()
