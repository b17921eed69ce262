"""Asking for many records at once, and again until they are right. IO by what it is given.

Only so many domains are under way at once, so that thousands of them neither overrun the
resolver nor this process.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from relay.cli.dns_targets import Target
from relay.core.dkim.alignment import Organizational
from relay.dns.check import RecordCheck, RecordReport, Wanted
from relay.dns.finding import Finding
from relay.dns.surroundings import DomainWanted, look_around
from relay.keyring.folder import Found

_Item = TypeVar("_Item")
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 1.0, 30.0


@dataclass(frozen=True, slots=True)
class DomainReport:
    """What was found of a domain.

    Attributes:
        domain: in A-labels.
        records: one for each key.
        findings: about what stands around them.
    """

    domain: str
    records: tuple[RecordReport, ...]
    findings: tuple[Finding, ...] = ()

    @property
    def is_right(self) -> bool:
        """Whether every record of it is."""
        return all(record.is_right for record in self.records)


class Teller(Protocol):
    """Told how it goes on."""

    def progress(self, done: int, total: int) -> None:
        """So many domains of so many were asked for."""

    def waiting(self, reports: Sequence[DomainReport], seconds: float) -> None:
        """Some records are not right yet; they are asked for again after so many seconds."""

    def changed(self, before: RecordReport, after: RecordReport) -> None:
        """The record stands differently than before."""


@dataclass(frozen=True, slots=True)
class Checker:
    """Checks domains.

    Attributes:
        check: asks for one record.
        read: opens a key file; called outside of the loop.
        organizational: by the public suffix list.
        teller: told how it goes on.
        max_concurrent: domains under way at once.
        sleep: how time passes between rounds.
        monotonic: seconds since whenever, for the time that is left.
    """

    check: RecordCheck
    read: Callable[[Found], Wanted]
    organizational: Organizational
    teller: Teller
    max_concurrent: int = 16
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    monotonic: Callable[[], float] = time.monotonic

    async def all_of(self, targets: Sequence[Target]) -> list[DomainReport]:
        """Everything about every domain, in the same order."""
        done = 0

        async def one(target: Target) -> DomainReport:
            nonlocal done
            report = await self._domain(target)
            done += 1
            self.teller.progress(done, len(targets))
            return report

        return await self._bounded(one, targets)

    async def until_right(
        self, reports: Sequence[DomainReport], *, timeout_seconds: float
    ) -> list[DomainReport]:
        """Ask again for the records that are not right, until they are or the time is up.

        A round that has begun is ended; what it costs counts as time.
        """
        current, wait = list(reports), _FIRST_WAIT_SECONDS
        deadline = self.monotonic() + timeout_seconds
        while not all(report.is_right for report in current):
            left = deadline - self.monotonic()
            if left <= 0:
                break
            pause = min(wait, left)
            self.teller.waiting(current, pause)
            await self.sleep(pause)
            wait = min(2 * wait, _LONGEST_WAIT_SECONDS)
            current = await self._bounded(self._again, current)
        return current

    async def _domain(self, target: Target) -> DomainReport:
        wanted = await asyncio.to_thread(target.load, self.read)
        publics = [one.public for one in wanted if one.public is not None]
        around = DomainWanted(target.domain, target.has_subdomains, publics, target.others)
        async with asyncio.TaskGroup() as group:
            records = [group.create_task(self.check.check(one)) for one in wanted]
            found = group.create_task(look_around(around, self.check.resolver, self.organizational))
        return DomainReport(target.domain, tuple(r.result() for r in records), found.result())

    async def _again(self, report: DomainReport) -> DomainReport:
        if report.is_right:
            return report
        return replace(report, records=tuple([await self._record(r) for r in report.records]))

    async def _record(self, before: RecordReport) -> RecordReport:
        if before.is_right:
            return before
        after = await self.check.check(before.wanted)
        if _gist(before) != _gist(after):
            self.teller.changed(before, after)
        return after

    async def _bounded(
        self, work: Callable[[_Item], Awaitable[DomainReport]], items: Sequence[_Item]
    ) -> list[DomainReport]:
        """The work on each item, so many at once."""
        results: dict[int, DomainReport] = {}
        waiting = iter(enumerate(items))

        async def worker() -> None:
            for index, item in waiting:  # each takes the next one
                results[index] = await work(item)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(self.max_concurrent, len(items))):
                group.create_task(worker())
        return [results[index] for index in range(len(items))]


def _gist(report: RecordReport) -> tuple[object, ...]:
    """What makes two reports of a record the same for somebody who waits."""
    states = [(one.shown, one.trouble, one.answer.records) for one in report.survey.answers]
    return report.state, states, report.is_right
