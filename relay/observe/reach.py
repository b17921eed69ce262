"""Whether upstreams can be reached, learnt from what is told of their connections. No IO."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from relay.core.events import Event, Noted

_OPENED: Final = "upstream.opened"
_FAILED: Final = "upstream.failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """The last attempts at an upstream: whether the very last failed; else as `UpstreamStatus`."""

    has_failed: bool = False
    connected_at: float | None = None
    secured: str = ""
    failed_at: float | None = None
    error: str = ""


class Contacts:
    """The last attempts at every upstream."""

    def __init__(self, *, now: Callable[[], float]) -> None:
        """Nothing was tried yet; `now` is in seconds since 1970."""
        self._now = now
        self._known: dict[str, Contact] = {}

    def of(self, upstream: str) -> Contact:
        """The last attempts at an upstream of this name."""
        return self._known.get(upstream, Contact())

    def emit(self, event: Event) -> None:
        """Take note of a connection that could be opened, or could not; others pass by."""
        if not isinstance(event, Noted) or event.name not in (_OPENED, _FAILED):
            return
        fields, now = dict(event.fields), self._now()
        name, detail = str(fields.get("upstream", "")), str(fields.get("detail", ""))
        known = self.of(name)
        self._known[name] = (
            replace(known, has_failed=True, failed_at=now, error=detail)
            if event.name == _FAILED
            else replace(known, has_failed=False, connected_at=now, secured=detail)
        )
