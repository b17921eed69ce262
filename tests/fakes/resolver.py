"""A resolver that is a set of maps; it passes the same contract tests as the real one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field

from relay.core.dkim.query import TxtAnswer, TxtOutcome
from relay.dns.resolver import MAX_CNAMES


@dataclass
class FakeResolver:
    """Answers from maps that a test may change at any time; names are A-labels in lower case.

    Attributes:
        records: owner name to its TXT records, strings joined; none means NO_DATA.
        cnames: owner name to canonical name.
        servfail: names that servers fail on.
        timeout: names that no server answers for.
        asked: every name that was asked for, in order.
    """

    records: MutableMapping[str, Sequence[str]] = field(default_factory=dict)
    cnames: Mapping[str, str] = field(default_factory=dict)
    servfail: Collection[str] = ()
    timeout: Collection[str] = ()
    asked: list[str] = field(default_factory=list)

    async def txt(self, name: str) -> TxtAnswer:
        """The TXT records of a name."""
        self.asked.append(name)
        key = name.lower()
        detail = "asked the fake"
        for _ in range(MAX_CNAMES + 1):
            if key not in self.cnames:
                return self._answer(key, detail)
            key = self.cnames[key]
            detail += f", CNAME to {key}"
        return TxtAnswer(TxtOutcome.SERVFAIL, detail="a CNAME loop")

    def _answer(self, key: str, detail: str) -> TxtAnswer:
        if key in self.servfail:
            return TxtAnswer(TxtOutcome.SERVFAIL, detail=detail)
        if key in self.timeout:
            return TxtAnswer(TxtOutcome.TIMEOUT, detail=detail)
        if texts := self.records.get(key):
            records = tuple(sorted(text.encode() for text in texts))
            return TxtAnswer(TxtOutcome.FOUND, records, detail)
        names = [*self.records, *self.cnames]
        if any(name == key or name.endswith(f".{key}") for name in names):
            return TxtAnswer(TxtOutcome.NO_DATA, detail=detail)
        return TxtAnswer(TxtOutcome.NXDOMAIN, detail=detail)
