"""The gate: when a key may sign, and how often its record is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from relay.core.dkim.algorithm import PublicKey
from relay.core.dkim.record import record_text
from relay.dns.gate import Gate, OpenGate, Pace, RecordChange, RecordGate, RecordState
from tests.fakes.resolver import FakeResolver

S = RecordState
NAME = "s1._domainkey.example.com"


@dataclass(frozen=True, eq=False)
class PublicHalf:
    """A signing key of which only the public half is of interest."""

    public: PublicKey
    domain: str = "example.com"
    selector: str = "s1"

    async def sign(self, digest: bytes) -> bytes:
        """Not for this key."""
        raise AssertionError("a gate never signs")


@pytest.fixture
def key(rsa_public: PublicKey) -> PublicHalf:
    """A key to publish."""
    return PublicHalf(rsa_public)


@pytest.fixture
def resolver() -> FakeResolver:
    """DNS without any record."""
    return FakeResolver()


@pytest.fixture
def publish(resolver: FakeResolver) -> Callable[..., None]:
    """Put the records of keys at the name, in place of all others."""

    def put(*publics: PublicKey) -> None:
        resolver.records[NAME] = [record_text(public) for public in publics]

    return put


class TestRecordGate:
    """Open only with a record that was seen and matches."""

    def test_an_unchecked_key_may_not_sign(self, key: PublicHalf, resolver: FakeResolver) -> None:
        """Nothing is asked by asking the gate, and nothing is assumed."""
        gate = RecordGate(resolver)
        assert (gate.is_open(key), gate.state(key)) == (False, S.UNCHECKED)
        assert gate.detail(key) == f"{NAME}: its record was not asked for yet"
        assert resolver.asked == []

    async def test_it_opens_when_the_record_appears(
        self, key: PublicHalf, resolver: FakeResolver, publish: Callable[..., None]
    ) -> None:
        """Missing, then published; each change is told once, with the name of the record."""
        gate = RecordGate(resolver)
        (missing,) = await gate.check([key])
        assert (missing.before, missing.after, missing.is_open) == (S.UNCHECKED, S.MISSING, False)
        assert missing.detail.startswith(f"{NAME}: the name does not exist")
        assert await gate.check([key]) == ()
        publish(key.public)
        (found,) = await gate.check([key])
        assert (found.before, found.after, found.is_open) == (S.MISSING, S.MATCHES, True)
        assert (gate.is_open(key), gate.state(key)) == (True, S.MATCHES)
        assert "published and matching" in gate.detail(key)

    @pytest.mark.parametrize("failure", ["servfail", "timeout"])
    async def test_dns_that_is_down_does_not_close_it(
        self,
        key: PublicHalf,
        resolver: FakeResolver,
        publish: Callable[..., None],
        failure: str,
    ) -> None:
        """A key that was seen before goes on signing; one that was not does not start."""
        setattr(resolver, failure, {NAME})
        gate = RecordGate(resolver)
        await gate.check([key])
        assert (gate.is_open(key), gate.state(key)) == (False, S.TEMPERROR)
        publish(key.public)
        setattr(resolver, failure, ())
        await gate.check([key])
        setattr(resolver, failure, {NAME})
        (change,) = await gate.check([key])
        assert (change.after, change.is_open, gate.is_open(key)) == (S.TEMPERROR, True, True)
        assert "goes on signing" in gate.detail(key)
        assert await gate.check([key]) == ()
        assert gate.is_open(key)

    @pytest.mark.parametrize(
        ("records", "state"),
        [
            (None, S.MISSING),
            ([], S.MISSING),
            (["v=DKIM1; k=rsa; p="], S.REVOKED),
            (["v=DKIM1; k=rsa"], S.MALFORMED),
            (["other", "v=DKIM1; k=rsa; p="], S.SEVERAL),
        ],
    )
    async def test_a_wrong_or_lost_record_closes_it(
        self,
        key: PublicHalf,
        resolver: FakeResolver,
        publish: Callable[..., None],
        records: list[str] | None,
        state: RecordState,
    ) -> None:
        """Receivers see the same, so a key that matched once stops."""
        gate = RecordGate(resolver)
        publish(key.public)
        await gate.check([key])
        if records is None:
            del resolver.records[NAME]
        else:
            resolver.records[NAME] = records
        (change,) = await gate.check([key])
        assert (change.after, change.is_open, gate.is_open(key)) == (state, False, False)

    async def test_another_key_at_the_selector_closes_it(
        self,
        key: PublicHalf,
        resolver: FakeResolver,
        publish: Callable[..., None],
        other_rsa_public: PublicKey,
    ) -> None:
        """Somebody replaced the record: the detail has both fingerprints."""
        gate = RecordGate(resolver)
        publish(key.public)
        await gate.check([key])
        publish(other_rsa_public)
        await gate.check([key])
        assert (gate.is_open(key), gate.state(key)) == (False, S.DIFFERENT)
        assert key.public.fingerprint in gate.detail(key)
        assert other_rsa_public.fingerprint in gate.detail(key)

    async def test_what_was_seen_belongs_to_the_key_not_to_its_name(
        self,
        key: PublicHalf,
        resolver: FakeResolver,
        publish: Callable[..., None],
        other_rsa_public: PublicKey,
    ) -> None:
        """The file was replaced: the new key starts unchecked, the same key read again does not."""
        gate = RecordGate(resolver)
        publish(key.public)
        await gate.check([key])
        again = PublicHalf(PublicKey(key.public.algorithm, key.public.key))
        assert gate.is_open(again)
        replaced = PublicHalf(other_rsa_public)
        assert (gate.is_open(replaced), gate.state(replaced)) == (False, S.UNCHECKED)

    async def test_keys_are_independent(
        self, key: PublicHalf, resolver: FakeResolver, publish: Callable[..., None]
    ) -> None:
        """Each key has its own gate, and they are asked for together."""
        other = PublicHalf(key.public, selector="s2")
        gate = RecordGate(resolver)
        publish(key.public)
        changes = await gate.check([key, other])
        assert [(c.selector, c.is_open) for c in changes] == [("s1", True), ("s2", False)]
        assert (gate.is_open(key), gate.is_open(other)) == (True, False)


class TestPace:
    """Often while a record does not match, rarely once it does."""

    def test_waits_grow_to_the_longest(self) -> None:
        """2 s, doubled up to a minute, as long as nothing changes."""
        waits = [0.0]
        for _ in range(7):
            waits.append(Pace().after(S.MISSING, waits[-1]))
        assert waits[1:] == [2, 4, 8, 16, 32, 60, 60]

    def test_a_record_that_matches_is_looked_at_rarely(self) -> None:
        """Five minutes, whatever came before; and after it the short waits again."""
        assert Pace().after(S.MATCHES, 16) == 300
        assert Pace().after(S.TEMPERROR, 0) == 2


class Watched:
    """A gate's `watch` in time that passes only when it sleeps."""

    def __init__(self, resolver: FakeResolver, *, rounds: int) -> None:
        self.resolver = resolver
        self.keys: list[PublicHalf] = []
        self.slept: list[float] = []
        self.asked: list[int] = []
        self.changes: list[RecordChange] = []
        self.before_round: dict[int, Callable[[], None]] = {}
        self._rounds = rounds
        self.gate = RecordGate(resolver, sleep=self._sleep)

    async def run(self) -> None:
        """Watch for the given number of rounds."""
        with pytest.raises(asyncio.CancelledError):
            await self.gate.watch(lambda: self.keys, self.changes.append)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.asked.append(len(self.resolver.asked))
        if len(self.slept) == self._rounds:
            raise asyncio.CancelledError
        self.before_round.get(len(self.slept), lambda: None)()


class TestWatch:
    """The loop of the service's task group."""

    async def test_fast_until_it_matches_then_slow(
        self, key: PublicHalf, resolver: FakeResolver, publish: Callable[..., None]
    ) -> None:
        """A record that appears is seen after seconds; then minutes pass between questions."""
        watched = Watched(resolver, rounds=9)
        watched.keys = [key]
        watched.before_round = {3: lambda: publish(key.public)}
        await watched.run()
        assert watched.slept == [2, 4, 8, 60, 60, 60, 60, 60, 60]
        assert watched.asked == [1, 2, 3, 4, 4, 4, 4, 4, 5]
        assert [change.after for change in watched.changes] == [S.MISSING, S.MATCHES]

    async def test_a_key_that_was_checked_before_is_not_asked_for_at_once(
        self, key: PublicHalf, resolver: FakeResolver, publish: Callable[..., None]
    ) -> None:
        """The service checks before it listens; the watch goes on from there."""
        publish(key.public)
        watched = Watched(resolver, rounds=2)
        watched.keys = [key]
        await watched.gate.check([key])
        await watched.run()
        assert watched.asked == [1, 1]

    async def test_keys_come_and_go(
        self, key: PublicHalf, resolver: FakeResolver, publish: Callable[..., None]
    ) -> None:
        """A key that is added is asked for in the next round; one that went is forgotten."""
        other = PublicHalf(key.public, selector="s2")
        publish(key.public)
        watched = Watched(resolver, rounds=4)
        watched.before_round = {
            1: lambda: watched.keys.append(key),
            2: lambda: watched.keys.append(other),
            3: watched.keys.clear,
        }
        await watched.run()
        assert resolver.asked == [NAME, "s2._domainkey.example.com"]
        assert watched.gate.state(key) is S.UNCHECKED

    async def test_a_key_replaced_at_its_selector_is_asked_for_at_once(
        self,
        key: PublicHalf,
        resolver: FakeResolver,
        publish: Callable[..., None],
        other_rsa_public: PublicKey,
    ) -> None:
        """The five minutes of the old key do not hold up the new one."""
        publish(key.public)
        watched = Watched(resolver, rounds=2)
        watched.keys = [key]
        watched.before_round = {
            1: lambda: watched.keys.__setitem__(0, PublicHalf(other_rsa_public))
        }
        await watched.run()
        assert [change.after for change in watched.changes] == [S.MATCHES, S.DIFFERENT]


async def test_the_open_gate_asks_nobody(key: PublicHalf) -> None:
    """Gate off: every key signs, nothing is known, watching ends at once."""
    gate: Gate = OpenGate()
    assert gate.is_open(key)
    assert gate.state(key) is S.UNCHECKED
    assert "dns.gate" in gate.detail(key)
    assert await gate.check([key]) == ()
    await gate.watch(lambda: [key], lambda change: pytest.fail(f"nothing changes: {change}"))
    assert gate.is_open(key)
