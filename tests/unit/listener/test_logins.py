"""Logins: checked off the loop and few at a time, remembered when right, slowed when wrong."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from argon2 import PasswordHasher

from relay.core.sasl import Credentials
from relay.listener.logins import LoginLimits, Logins
from tests.fakes.edge import CHEAP

pytestmark = pytest.mark.usefixtures("quiet")

LIMITS = LoginLimits()
RIGHT = Credentials(b"app", b"hunter2")
WRONG = Credentials(b"app", b"hunter2s")
NOBODY = Credentials(b"nobody", b"hunter2")
HERE, THERE = "192.0.2.1", "2001:db8::1"


@dataclass
class Bench:
    """Logins with a clock and a sleep of the test's own, and a look at every computation.

    Attributes:
        seconds: what time it is.
        waits: how long was slept; it takes no time.
        threads: where argon2 ran, each time.
        most: how many ran at a time, at most.
    """

    seconds: float = 1000.0
    waits: list[float] = field(default_factory=list)
    threads: list[str] = field(default_factory=list)
    most: int = 0
    running: int = 0
    may_run: threading.Event = field(default_factory=threading.Event)
    has_begun: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.may_run.set()
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()

    def make(self, limits: LoginLimits = LIMITS, hashes: Mapping[str, str] | None = None) -> Logins:
        """Logins with one that is "app", "hunter2"."""
        if hashes is None:
            hashes = {"app": CHEAP.hash("hunter2")}
        return Logins(hashes, limits, monotonic=lambda: self.seconds, sleep=self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        await asyncio.sleep(0)

    def enter(self) -> None:
        """A computation begins, in whatever thread."""
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
            self.threads.append(threading.current_thread().name)
        self._loop.call_soon_threadsafe(self.has_begun.set)
        assert self.may_run.wait(5)

    def leave(self) -> None:
        """It has ended."""
        with self._lock:
            self.running -= 1


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Every argon2 computation passes by here."""
    made = Bench()
    verify = PasswordHasher.verify

    def watched(hasher: PasswordHasher, stored: str, password: bytes) -> bool:
        made.enter()
        try:
            return verify(hasher, stored, password)
        finally:
            made.leave()

    monkeypatch.setattr(PasswordHasher, "verify", watched)
    return made


async def test_right_and_wrong(bench: Bench) -> None:
    """The password of the login, whole and exactly."""
    logins = bench.make(LoginLimits(max_failures=100))
    assert await logins.check(RIGHT, HERE)
    for login, password in (
        *((b"app", b"hunter2s"), (b"app", b"hunter"), (b"app", b"HUNTER2"), (b"app", b"")),
        *((b"APP", b"hunter2"), (b"app ", b"hunter2"), (b"", b"hunter2"), (b"nobody", b"hunter2")),
        *((b"ap", b"phunter2"), (b"\xff", b"\xff"), (b"app", b"hunter2\n")),
    ):
        assert not await logins.check(Credentials(login, password), HERE)


async def test_it_runs_off_the_loop(bench: Bench) -> None:
    """While argon2 computes, which takes a tenth of a second, everybody else is served."""
    bench.may_run.clear()
    logins = bench.make()
    async with asyncio.TaskGroup() as tasks:
        checking = tasks.create_task(logins.check(RIGHT, HERE))
        await bench.has_begun.wait()
        for _ in range(100):
            await asyncio.sleep(0)
        assert not checking.done()
        bench.may_run.set()
    assert checking.result()
    assert threading.main_thread().name not in bench.threads


@pytest.mark.parametrize("max_checks", [1, 2])
async def test_few_run_at_a_time(bench: Bench, max_checks: int) -> None:
    """Each takes 64 MiB: a hundred clients that log in together must wait for one another."""
    bench.may_run.clear()
    logins = bench.make(LoginLimits(max_checks=max_checks, max_failures=1000))
    async with asyncio.TaskGroup() as tasks:
        checks = [tasks.create_task(logins.check(NOBODY, f"192.0.2.{n}")) for n in range(20)]
        await bench.has_begun.wait()
        for _ in range(100):
            await asyncio.sleep(0)
        assert bench.running <= max_checks
        bench.may_run.set()
    assert not any(check.result() for check in checks)
    assert bench.most <= max_checks
    assert len(bench.threads) == 20


async def test_who_is_unknown_costs_as_much(bench: Bench) -> None:
    """Else the time would tell which logins there are."""
    empty: dict[str, str] = {}
    for hashes in (None, empty):
        before = len(bench.threads)
        assert not await bench.make(hashes=hashes).check(NOBODY, HERE)
        assert len(bench.threads) == before + 1


async def test_who_has_failed_too_often_costs_nothing(bench: Bench) -> None:
    """Those that asked at once are told no without a computation, and without counting."""
    logins = bench.make(LoginLimits(max_failures=3, max_checks=1))
    async with asyncio.TaskGroup() as tasks:
        for _ in range(50):
            tasks.create_task(logins.check(WRONG, HERE))
    assert len(bench.threads) == 3
    assert bench.waits == [1.0, 2.0, 4.0]
    assert logins.is_refused(HERE)
    assert not logins.is_refused(THERE)
    assert await logins.check(RIGHT, THERE)


async def test_a_success_is_remembered(bench: Bench) -> None:
    """For a while: that login with that password, from anywhere."""
    logins = bench.make(LoginLimits(remember_seconds=300.0))
    for address in (HERE, HERE, THERE):
        assert await logins.check(RIGHT, address)
    assert len(bench.threads) == 1
    bench.seconds += 299
    assert await logins.check(RIGHT, HERE)
    assert len(bench.threads) == 1
    bench.seconds += 2
    assert await logins.check(RIGHT, HERE)
    assert len(bench.threads) == 2


async def test_what_is_remembered_helps_nobody_else(bench: Bench) -> None:
    """Another password is checked, and a login cannot be moved into a password or back."""
    logins = bench.make()
    assert await logins.check(RIGHT, HERE)
    for other in (WRONG, Credentials(b"apph", b"unter2"), Credentials(b"ap", b"phunter2")):
        assert not await logins.check(other, HERE)
    assert len(bench.threads) == 4


async def test_a_failure_is_not_remembered(bench: Bench) -> None:
    """A wrong password costs a computation each time."""
    logins = bench.make()
    for _ in range(3):
        assert not await logins.check(WRONG, HERE)
    assert len(bench.threads) == 3


async def test_memory_is_bounded(bench: Bench) -> None:
    """However many logins succeed and addresses fail: the oldest are forgotten."""
    hashes = {f"app{n}": CHEAP.hash("hunter2") for n in range(5)}
    limits = LoginLimits(max_failures=1, max_remembered=3, max_addresses=3)
    logins = bench.make(limits, hashes)
    for number in range(5):
        assert await logins.check(Credentials(b"app%d" % number, b"hunter2"), HERE)
        await logins.check(WRONG, f"198.51.100.{number}")
    before = len(bench.threads)
    for number in (4, 3, 2):
        assert await logins.check(Credentials(b"app%d" % number, b"hunter2"), HERE)
    assert len(bench.threads) == before
    assert await logins.check(Credentials(b"app0", b"hunter2"), HERE)
    assert len(bench.threads) == before + 1
    refused = [logins.is_refused(f"198.51.100.{number}") for number in range(5)]
    assert refused == [False, False, True, True, True]


async def test_each_failure_is_answered_later(bench: Bench) -> None:
    """The delay doubles up to its limit; other addresses are not delayed."""
    logins = bench.make(LoginLimits(max_failures=100, delay_seconds=0.5, max_delay_seconds=5.0))
    for _ in range(6):
        await logins.check(WRONG, HERE)
    await logins.check(WRONG, THERE)
    assert bench.waits == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 0.5]


async def test_very_many_failures(bench: Bench) -> None:
    """The delay is a number still."""
    logins = bench.make(LoginLimits(max_failures=10_000))
    for _ in range(1100):
        await logins.check(WRONG, HERE)
    assert set(bench.waits[4:]) == {16.0}


async def test_failures_are_forgotten(bench: Bench) -> None:
    """When the window is over it begins anew, the delay too."""
    logins = bench.make(LoginLimits(max_failures=2, window_seconds=600.0))
    await logins.check(WRONG, HERE)
    bench.seconds += 599
    await logins.check(WRONG, HERE)
    assert logins.is_refused(HERE)
    bench.seconds += 601
    assert not logins.is_refused(HERE)
    await logins.check(WRONG, HERE)
    assert bench.waits == [1.0, 2.0, 1.0]


async def test_a_success_makes_up_for_failures(bench: Bench) -> None:
    """Who mistyped and then had it right begins anew."""
    logins = bench.make()
    await logins.check(WRONG, HERE)
    await logins.check(WRONG, HERE)
    assert await logins.check(RIGHT, HERE)
    await logins.check(WRONG, HERE)
    assert bench.waits == [1.0, 2.0, 1.0]


@pytest.mark.parametrize("stored", ["", "hunter2", "$argon2id$", "$2b$12$" + "x" * 53, "\0"])
async def test_a_hash_that_is_none(bench: Bench, stored: str) -> None:
    """Nobody gets in with it, and nothing breaks."""
    logins = bench.make(hashes={"app": stored, "other": CHEAP.hash("x")})
    assert not await logins.check(RIGHT, HERE)
    assert not await logins.check(Credentials(b"app", stored.encode() or b"x"), HERE)


async def test_a_client_that_does_not_wait(bench: Bench) -> None:
    """A check that is given up leaves its place to the next."""
    bench.may_run.clear()
    logins = bench.make(LoginLimits(max_checks=1))
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(logins.check(WRONG, HERE))
        await bench.has_begun.wait()
        second = tasks.create_task(logins.check(RIGHT, THERE))
        await asyncio.sleep(0)
        first.cancel()
        bench.may_run.set()
    assert second.result()


async def test_nothing_of_a_password_can_be_read(bench: Bench) -> None:
    """Neither in a repr, nor anywhere in what is kept: successes, failures, keys of both."""
    logins = bench.make()
    for credentials in (RIGHT, WRONG):
        await logins.check(credentials, HERE)
        assert "hunter2" not in repr(credentials)
    kept = repr(vars(logins))
    assert "hunter2" not in kept
    assert "hunter2" not in repr(logins)
