"""The gate: when a key may sign, and how often its record is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from relay.core.dkim.algorithm import PublicKey
from relay.core.dkim.query import TxtAnswer, TxtOutcome
from relay.core.dkim.record import record_text
from relay.dns.gate import Gate, OpenGate, RecordChange, RecordGate
from relay.dns.judge import RecordState
from relay.dns.memory import Memory
from relay.dns.standing import Pace
from relay.dns.survey import Hop, ServerAnswer, Survey
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


DAY = 86400.0


class FakeAuthority:
    """Every authoritative server of one name, from a table that a test changes."""

    def __init__(self) -> None:
        self.says: dict[str, TxtAnswer] = {}

    def publish(self, server: str, *publics: PublicKey) -> None:
        """Give a server these records."""
        records = tuple(record_text(public).encode() for public in publics)
        outcome = TxtOutcome.FOUND if records else TxtOutcome.NXDOMAIN
        self.says[server] = TxtAnswer(outcome, records)

    def silence(self, *servers: str) -> None:
        """Let servers answer no more."""
        for server in servers:
            self.says[server] = TxtAnswer(TxtOutcome.TIMEOUT)

    async def survey(self, name: str) -> Survey:
        """What all of them say."""
        answers = [
            ServerAnswer(name, server.partition("/")[0], server, answer)
            for server, answer in self.says.items()
        ]
        return Survey((Hop(name, "example.com", tuple(answers), "" if answers else "not found"),))


class TestEverywhere:
    """All authoritative servers count, and the resolver only where they cannot be asked."""

    @pytest.fixture
    def authority(self) -> FakeAuthority:
        """No servers yet."""
        return FakeAuthority()

    @pytest.fixture
    def clock(self) -> list[float]:
        """Seconds since 1970, for a test to change."""
        return [1.8e9]

    @pytest.fixture
    def gate(
        self, resolver: FakeResolver, authority: FakeAuthority, clock: list[float]
    ) -> RecordGate:
        """A gate that asks them."""
        return RecordGate(resolver, authority, now=lambda: clock[0])

    async def test_one_server_without_the_record_holds_a_new_key_up(
        self, key: PublicHalf, gate: RecordGate, authority: FakeAuthority
    ) -> None:
        """It is named, and as soon as it has the record the gate opens."""
        authority.publish("ns1", key.public)
        authority.publish("ns2")
        await gate.check([key])
        assert (gate.is_open(key), gate.state(key)) == (False, S.MISSING)
        assert "not everywhere yet: it matches at ns1, but ns2" in gate.detail(key)
        authority.publish("ns2", key.public)
        await gate.check([key])
        assert (gate.is_open(key), gate.state(key)) == (True, S.MATCHES)
        assert "published and matching at ns1, ns2" in gate.detail(key)

    async def test_an_open_key_stays_while_one_server_has_it(
        self, key: PublicHalf, gate: RecordGate, authority: FakeAuthority
    ) -> None:
        """A secondary that lags is told, and stops no mail; all of them without it do."""
        authority.publish("ns1", key.public)
        authority.publish("ns2", key.public)
        await gate.check([key])
        authority.publish("ns2")
        (change,) = await gate.check([key])
        assert (change.is_open, change.after) == (True, S.MISSING)
        assert "ns2" in change.detail
        assert "goes on signing" in change.detail
        authority.publish("ns1")
        (change,) = await gate.check([key])
        assert (change.is_open, change.after) == (False, S.MISSING)

    async def test_a_silent_server_holds_a_new_key_up_for_a_while(
        self, key: PublicHalf, gate: RecordGate, authority: FakeAuthority, clock: list[float]
    ) -> None:
        """It may have an old zone; after an hour it counts as out of service."""
        authority.publish("ns1", key.public)
        authority.silence("ns2")
        await gate.check([key])
        assert (gate.is_open(key), gate.state(key)) == (False, S.TEMPERROR)
        assert "no answer from ns2" in gate.detail(key)
        clock[0] += 3599
        await gate.check([key])
        assert not gate.is_open(key)
        clock[0] += 1
        await gate.check([key])
        assert (gate.is_open(key), gate.state(key)) == (True, S.MATCHES)

    async def test_an_address_that_does_not_answer_beside_one_that_does(
        self, key: PublicHalf, gate: RecordGate, authority: FakeAuthority
    ) -> None:
        """A host without IPv6 reaches half of the addresses: the server has answered."""
        authority.publish("ns1/192.0.2.1", key.public)
        authority.silence("ns1/2001:db8::1")
        await gate.check([key])
        assert gate.is_open(key)

    @pytest.mark.parametrize("servers", [(), ("ns1", "ns2")])
    async def test_the_resolver_where_no_server_can_be_asked(
        self,
        key: PublicHalf,
        gate: RecordGate,
        authority: FakeAuthority,
        publish: Callable[..., None],
        servers: tuple[str, ...],
    ) -> None:
        """A closed network: the servers are not found, or none can be reached."""
        authority.silence(*servers)
        await gate.check([key])
        assert not gate.is_open(key)
        publish(key.public)
        await gate.check([key])
        assert (gate.is_open(key), gate.state(key)) == (True, S.MATCHES)

    async def test_the_resolver_is_not_asked_where_servers_answer(
        self,
        key: PublicHalf,
        gate: RecordGate,
        authority: FakeAuthority,
        resolver: FakeResolver,
    ) -> None:
        """It would keep the absence of a record that is about to be published."""
        authority.publish("ns1")
        await gate.check([key])
        assert resolver.asked == []


class TestMemory:
    """What was seen outlives the process."""

    @pytest.fixture
    def clock(self) -> list[float]:
        """Seconds since 1970, for a test to change."""
        return [1.8e9]

    async def seen(self, folder: Path, key: PublicHalf, now: float) -> None:
        """An earlier process that saw the record."""
        memory = Memory(folder)
        gate = RecordGate(published(key), memory=memory, now=lambda: now)
        await gate.check([key])
        await memory.save(now)

    def restarted(self, folder: Path, resolver: FakeResolver, clock: list[float]) -> RecordGate:
        """The next process."""
        memory = Memory(folder)
        memory.load()
        return RecordGate(resolver, memory=memory, now=lambda: clock[0])

    async def test_it_signs_at_once_after_a_restart(
        self, key: PublicHalf, resolver: FakeResolver, clock: list[float], tmp_path: Path
    ) -> None:
        """Nothing is asked before, and nothing is waited for."""
        await self.seen(tmp_path, key, clock[0])
        clock[0] += 7 * DAY
        gate = self.restarted(tmp_path, resolver, clock)
        assert gate.is_open(key)
        assert "it matched when it was last seen, at 2027-01-15T08:00:00Z" in gate.detail(key)
        changes: list[RecordChange] = []
        await gate.start([key], changes.append, within_seconds=5)
        assert (changes, resolver.asked) == ([], [])

    async def test_an_old_sighting_counts_once_dns_did_not_answer(
        self, key: PublicHalf, resolver: FakeResolver, clock: list[float], tmp_path: Path
    ) -> None:
        """Past the grace the record is asked for first; an outage then stops nothing."""
        await self.seen(tmp_path, key, clock[0])
        clock[0] += 7 * DAY + 1
        gate = self.restarted(tmp_path, resolver, clock)
        assert not gate.is_open(key)
        resolver.servfail = {NAME}
        await gate.check([key])
        assert (gate.is_open(key), gate.state(key)) == (True, S.TEMPERROR)

    async def test_an_old_sighting_is_nothing_against_an_answer(
        self, key: PublicHalf, resolver: FakeResolver, clock: list[float], tmp_path: Path
    ) -> None:
        """The record has gone: the gate closes, and stays closed after the next restart."""
        await self.seen(tmp_path, key, clock[0])
        memory = Memory(tmp_path)
        memory.load()
        gate = RecordGate(resolver, memory=memory, now=lambda: clock[0] + 1)
        assert gate.is_open(key)
        await gate.check([key])
        assert not gate.is_open(key)
        await memory.save(clock[0] + 1)
        resolver.servfail = {NAME}
        again = self.restarted(tmp_path, resolver, clock)
        await again.check([key])
        assert not again.is_open(key)

    async def test_it_belongs_to_the_key(
        self,
        key: PublicHalf,
        resolver: FakeResolver,
        clock: list[float],
        tmp_path: Path,
        other_rsa_public: PublicKey,
    ) -> None:
        """Another key at the selector was never seen."""
        await self.seen(tmp_path, key, clock[0])
        gate = self.restarted(tmp_path, resolver, clock)
        assert not gate.is_open(PublicHalf(other_rsa_public))

    async def test_a_key_that_comes_back_is_remembered_without_a_folder(
        self, key: PublicHalf, resolver: FakeResolver, publish: Callable[..., None]
    ) -> None:
        """A keyring that holds some keys at a time drops and loads them."""
        publish(key.public)
        watched = Watched(resolver, rounds=3)
        watched.keys = [key]
        watched.before_round = {1: watched.keys.clear, 2: lambda: watched.keys.append(key)}
        await watched.run()
        assert watched.gate.is_open(key)


class TestStart:
    """The service does not wait long."""

    async def test_no_answer(self, key: PublicHalf, publish: Callable[..., None]) -> None:
        """A server that takes for ever is given up; what others answered is kept."""
        other = PublicHalf(key.public, selector="s2")

        class Slow(FakeResolver):
            async def txt(self, name: str) -> TxtAnswer:
                if name == NAME:
                    await asyncio.Event().wait()
                return await super().txt(name)

        gate = RecordGate(Slow(records={"s2._domainkey.example.com": [record_text(key.public)]}))
        changes: list[RecordChange] = []
        await gate.start([key, other], changes.append, within_seconds=0.05)
        assert [(c.selector, c.is_open) for c in changes] == [("s2", True)]
        assert gate.state(key) is S.UNCHECKED


def published(key: PublicHalf) -> FakeResolver:
    """DNS with the record of a key."""
    return FakeResolver(records={NAME: [record_text(key.public)]})


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
        self._now = 0.0
        pace = Pace(notice_seconds=1000)
        self.gate = RecordGate(resolver, pace=pace, monotonic=lambda: self._now, sleep=self._sleep)

    async def run(self) -> None:
        """Watch for the given number of rounds."""
        with pytest.raises(asyncio.CancelledError):
            await self.gate.watch(lambda: self.keys, self.changes.append)

    async def _sleep(self, seconds: float) -> None:
        self._now += seconds
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
        assert watched.slept == [2, 4, 8, 300, 300, 300, 300, 300, 300]
        assert watched.asked == [1, 2, 3, 4, 5, 6, 7, 8, 9]
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
        assert (watched.slept, watched.asked) == ([300, 300], [1, 2])

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

    async def test_many_keys_are_asked_for_in_turn(
        self, key: PublicHalf, resolver: FakeResolver
    ) -> None:
        """All at first, some at a time; then so many in a second and no more, the oldest first."""
        at_once = most = 0

        async def txt(name: str) -> TxtAnswer:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0)
            at_once -= 1
            return TxtAnswer(TxtOutcome.FOUND, (record_text(key.public).encode(),))

        resolver.txt = txt  # type: ignore[method-assign] # this instance only
        watched = Watched(resolver, rounds=8)
        watched.keys = [PublicHalf(key.public, selector=f"s{n}") for n in range(110)]
        await watched.run()
        assert most == Pace().max_at_once
        assert len(watched.changes) == 110
        assert watched.slept == [300, 1, 1, 1, 1, 1, 295, 1]

    async def test_mail_that_waits_wakes_it(
        self, key: PublicHalf, resolver: FakeResolver, publish: Callable[..., None]
    ) -> None:
        """A key that is asked for is checked at once, not in the next round."""
        publish(key.public)
        gate = RecordGate(resolver, pace=Pace(notice_seconds=1000))
        keys: list[PublicHalf] = []
        matched = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(gate.watch(lambda: keys, lambda change: matched.set()))
            await asyncio.sleep(0)
            keys.append(key)
            assert not gate.is_open(key)
            await matched.wait()
            watching.cancel()
        assert gate.is_open(key)


async def test_the_open_gate_asks_nobody(key: PublicHalf) -> None:
    """Gate off: every key signs, nothing is known, watching ends at once."""
    gate: Gate = OpenGate()
    assert gate.is_open(key)
    assert gate.state(key) is S.UNCHECKED
    assert "dns.gate" in gate.detail(key)
    assert await gate.check([key]) == ()
    await gate.watch(lambda: [key], lambda change: pytest.fail(f"nothing changes: {change}"))
    assert gate.is_open(key)
