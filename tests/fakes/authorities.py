"""Authoritative servers that are sets of maps, behind the protocol of the real ones."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from relay.core.dkim.query import TxtAnswer, TxtOutcome
from relay.dns.dnssec import DnssecState
from relay.dns.survey import Hop, ServerAnswer, Survey, Trouble
from tests.fakes.resolver import FakeResolver

_OUTCOMES = {Trouble.TIMEOUT: TxtOutcome.TIMEOUT}


@dataclass
class FakeAuthority:
    """Servers by name; a test may change them at any time.

    Attributes:
        servers: name of a server to what it has, or what is wrong with it.
        problem: why no server can be asked; empty when they can.
        asked: every name that was asked for, in order.
        most_under_way: names asked for at once.
    """

    servers: Mapping[str, FakeResolver | Trouble]
    problem: str = ""
    asked: list[str] = field(default_factory=list)
    most_under_way: int = 0
    _under_way: int = 0

    async def survey(self, name: str) -> Survey:
        """What each server says."""
        self.asked.append(name)
        self._under_way += 1
        self.most_under_way = max(self.most_under_way, self._under_way)
        for _ in range(3):  # as an answer takes a while
            await asyncio.sleep(0)
        self._under_way -= 1
        if self.problem:
            return Survey((Hop(name, problem=self.problem),))
        answers = [await self._ask(name, server) for server in self.servers]
        return Survey((Hop(name, "example.com", tuple(answers)),))

    async def _ask(self, name: str, server: str) -> ServerAnswer:
        has = self.servers[server]
        address = f"{server}:53"
        if isinstance(has, FakeResolver):
            return ServerAnswer(name, server, address, await has.txt(name))
        outcome = _OUTCOMES.get(has, TxtOutcome.SERVFAIL)
        return ServerAnswer(name, server, address, TxtAnswer(outcome, detail=has.value), has)


@dataclass
class FakeDnssec:
    """The same state for every name."""

    always: DnssecState = DnssecState.UNSIGNED

    async def state(self, name: str) -> DnssecState:
        """How the name stands."""
        return self.always
