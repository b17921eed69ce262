"""The keys folder, watched: what is new, changed or gone takes effect without a restart. IO.

Watching is looking: every few seconds the folders are listed and the files looked at, never
opened unless they are others than before. That sees every way in which files are changed, the
swap of a mounted Secret (`..data`) among them, on every file system. Looking at 20,000 domains
takes a second; the pause grows with it, so that looking costs a twentieth of a core at most.

A key is taken whole or not at all: one whose new file is half-written, wrong or locked goes on
as it was, and the log says why. A file has to be gone twice in a row before its key ends, so
that replacing files by hand leaves no moment without a key. A folder that cannot be listed
changes nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from relay.keyring.contents import Contents, Difference, Listed, difference
from relay.keyring.keyring import Keyring

_LOOK_SHARE = 0.05  # of a core, at most, for looking
_LOAD_SHARE = 0.25  # of a core, for keys that no mail waits for yet


class KeyWatch:
    """Keeps a keyring up to date, in the background."""

    def __init__(
        self,
        keyring: Keyring,
        *,
        every_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """Nothing is looked at yet.

        Args:
            keyring: what is kept up to date.
            every_seconds: the pause between two looks; 0: never look.
            monotonic: a clock that is never set, in seconds.
            sleep: how time passes.
        """
        self._keyring = keyring
        self._every_seconds = every_seconds
        self._monotonic = monotonic
        self._sleep = sleep
        self._missing: frozenset[tuple[str, str]] = frozenset()

    async def run(self) -> None:
        """For the service's task group; ends when cancelled."""
        while True:
            rest = await self._load_until(self._monotonic() + (self._every_seconds or 10.0))
            await self._sleep(rest)
            if self._every_seconds:
                started = self._monotonic()
                await self.look()
                took = self._monotonic() - started
                await self._sleep(max(0.0, took / _LOOK_SHARE - self._every_seconds))

    async def load(self, at_most: int) -> None:
        """Read the keys of the next domains that were not read yet."""
        for domain in self._keyring.pending[:at_most]:
            await self._keyring.load_domain(domain)

    async def look(self) -> None:
        """Look once, and take up what is new, changed or gone."""
        differ = self._keyring.list_anew(await asyncio.to_thread(self._find))
        for domain in {*differ, *self._keyring.waits_for_token()}:
            await self._keyring.load_domain(domain, is_anew=True)

    def _find(self) -> Difference:
        """What is another than before, as far as it counts; IO."""
        return difference(self._keyring.listed, self._without_gaps(self._keyring.look()))

    async def _load_until(self, end_seconds: float) -> float:
        """Read keys, gently, until a time; the seconds that are left then."""
        for domain in self._keyring.pending:
            started = self._monotonic()
            if started >= end_seconds:
                break
            await self._keyring.load_domain(domain)
            took = self._monotonic() - started
            await self._sleep(took * (1 / _LOAD_SHARE - 1))
        return max(0.0, end_seconds - self._monotonic())

    def _without_gaps(self, contents: Contents) -> Contents:
        """What lies in the folders, and what lay there at the last look but one."""
        before = self._keyring.listed
        if not contents.is_readable:
            domains = {**contents.domains, **before}
            return replace(contents, domains=domains)
        missing: set[tuple[str, str]] = set()
        domains = dict(contents.domains)
        for domain, old in before.items():
            new = domains.get(domain)
            if new is not None and not new.is_readable:
                domains[domain] = replace(new, found=old.found)
                continue
            gone = self._gone(domain, old, new)
            missing |= gone
            if gone - self._missing:
                domains[domain] = self._kept(domain, old, new)
        self._missing = frozenset(missing)
        return replace(contents, domains=domains)

    def _gone(self, domain: str, old: Listed, new: Listed | None) -> set[tuple[str, str]]:
        """What is not there: files by their selector, the folder by an empty one."""
        if new is None:
            return {(domain, ""), *((domain, file.selector) for file in old.found)}
        there = {file.selector for file in new.found}
        return {(domain, f.selector) for f in old.found if f.selector not in there}

    def _kept(self, domain: str, old: Listed, new: Listed | None) -> Listed:
        """The new listing, with those files that are missing for the first time."""
        if new is None:
            return old
        there = {file.selector for file in new.found}
        kept = (
            file
            for file in old.found
            if file.selector not in there and (domain, file.selector) not in self._missing
        )
        found = sorted((*new.found, *kept), key=lambda file: file.selector)
        return replace(new, found=tuple(found))
