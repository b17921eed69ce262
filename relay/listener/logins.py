"""Checks logins: argon2 off the loop, a short memory for successes, and patience for failures.

A check costs tens of milliseconds and 64 MiB on purpose, so only a few run at a time, and what
was right a moment ago is not checked again. An address that keeps failing waits longer each time
and is then refused for a while.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from relay.core.sasl import Credentials


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginLimits:
    """How failures are met; the defaults stand in relay/config/settings.py.

    Attributes:
        max_failures: of one address within `window_seconds`; then it is refused unheard.
        window_seconds: how long a failure counts.
        delay_seconds: before the first failure is answered; doubled for each further one.
        max_delay_seconds: the longest of these.
        remember_seconds: how long a success needs no new check.
        max_remembered: successes; the oldest are forgotten.
        max_addresses: of which failures are counted; the oldest are forgotten.
        max_checks: argon2 computations at a time.
    """

    max_failures: int = 10
    window_seconds: float = 600.0
    delay_seconds: float = 1.0
    max_delay_seconds: float = 16.0
    remember_seconds: float = 300.0
    max_remembered: int = 1_000
    max_addresses: int = 10_000
    max_checks: int = 2


class Logins:
    """The logins of all clients."""

    def __init__(
        self,
        hashes: Mapping[str, str],
        limits: LoginLimits,
        *,
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """Set up.

        Args:
            hashes: login name → argon2 hash.
            limits: how failures are met.
            monotonic: a clock that never goes back, in seconds.
            sleep: how time passes.
        """
        self._hashes = {name.encode("utf-8"): text for name, text in hashes.items()}
        self._limits = limits
        self._monotonic = monotonic
        self._sleep = sleep
        self._hasher = PasswordHasher()
        # Somebody unknown costs as much time as somebody known.
        self._decoy = next(iter(hashes.values()), "") or self._hasher.hash(secrets.token_hex(8))
        self._secret = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, float] = OrderedDict()
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._slots = asyncio.Semaphore(limits.max_checks)

    def is_refused(self, address: str) -> bool:
        """Whether this address has failed too often of late to be heard."""
        return self._count(address) >= self._limits.max_failures

    async def check(self, credentials: Credentials, address: str) -> bool:
        """Whether the password is right; a wrong one is answered late.

        Args:
            credentials: what the client said.
            address: of the client, or what else tells it from others; its failures are counted.
        """
        mark = self._mark(credentials)
        if self._right.get(mark, 0.0) > self._monotonic():
            return True
        stored = self._hashes.get(credentials.login)
        async with self._slots:
            if self.is_refused(address):  # many sessions may have asked at once
                return False
            matches = await asyncio.to_thread(
                self._verify, stored or self._decoy, credentials.password
            )
        if matches and stored is not None:
            self._right[mark] = self._monotonic() + self._limits.remember_seconds
            self._bound(self._right, self._limits.max_remembered)
            self._failures.pop(address, None)
            return True
        await self._wait_after_failure(address)
        return False

    def _verify(self, stored: str, password: bytes) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (Argon2Error, InvalidHashError):
            return False

    def _mark(self, credentials: Credentials) -> bytes:
        """What is remembered of a success: nothing that a password could be read from."""
        login = hashlib.sha256(credentials.login).digest()
        return hmac.digest(self._secret, login + credentials.password, "sha256")

    async def _wait_after_failure(self, address: str) -> None:
        count = self._count(address) + 1
        self._failures[address] = (count, self._monotonic() + self._limits.window_seconds)
        self._failures.move_to_end(address)
        self._bound(self._failures, self._limits.max_addresses)
        delay = self._limits.delay_seconds * 2 ** min(count - 1, 30)
        await self._sleep(min(delay, self._limits.max_delay_seconds))

    def _count(self, address: str) -> int:
        count, until = self._failures.get(address, (0, 0.0))
        return count if until > self._monotonic() else 0

    @staticmethod
    def _bound(memory: OrderedDict[Any, Any], most: int) -> None:
        while len(memory) > most:
            memory.popitem(last=False)
