"""A zone in memory that is changed like one at a DNS provider, and asked like DNS.

It passes for a `Provider` and, by its `resolver`, for the DNS that the gate asks.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from relay.dns.publish import PublishFault
from tests.fakes.resolver import FakeResolver


@dataclass
class FakeZone:
    """Records by name; a `Provider`.

    Attributes:
        resolver: answers with these records.
        is_down: the provider fails.
        exchanges: every change that was made: name, before, after.
    """

    resolver: FakeResolver = field(default_factory=FakeResolver)
    name: str = "fake"
    is_down: bool = False
    exchanges: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = field(default_factory=list)

    async def find(self, name: str) -> tuple[str, ...]:
        """The TXT records at a name."""
        if self.is_down:
            raise PublishFault("fake", "no answer", "start it")
        return tuple(sorted(self.resolver.records.get(name, ())))

    async def exchange(self, name: str, before: tuple[str, ...], after: tuple[str, ...]) -> bool:
        """Put `after` in the place of `before`."""
        if await self.find(name) != before:
            return False
        self.exchanges.append((name, before, after))
        if after:
            self.resolver.records[name] = list(after)
        else:
            self.resolver.records.pop(name, None)
        return True
