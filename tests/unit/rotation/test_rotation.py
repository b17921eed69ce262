"""Rotation on a real folder, with DNS in memory: step by step, unattended, killed anywhere."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from relay.core.dkim.algorithm import Algorithm
from relay.core.errors import KeyFault
from relay.keyring.writing import write_key_pair
from relay.rotation.journal import JOURNAL, LOCK
from relay.rotation.plan import Act, Order, Waits
from relay.rotation.rotation import Progress
from relay.rotation.surroundings import RotationFault
from relay.state import locked
from tests.fakes.rotations import (
    BY_HAND,
    DAY,
    DOMAIN,
    ED25519,
    START,
    UNATTENDED,
    KilledError,
    World,
)


def acts(progress: Progress) -> list[Act]:
    """What was done."""
    return [step.act for step in progress.steps]


class TestByHand:
    """Without a provider: the commands do what can be done, and say the rest."""

    async def test_from_the_old_key_to_the_new_one(self, world: World) -> None:
        """rotate, publish by hand, the gate opens, seven days, retire."""
        world.policy = BY_HAND
        progress = await world.tick(Order(rotates=ED25519))
        assert acts(progress) == [Act.USE, Act.INTEND, Act.MAKE]
        new = progress.steps[-1].entry.selector
        assert new == "s202311-ed25519"
        assert world.selectors == ["s1", new]
        [due] = progress.dues
        assert (due.waits, due.selector) == (Waits.PUBLISH, new)
        # Again, before it is published: nothing more is made.
        assert acts(await world.tick(Order(rotates=ED25519))) == []
        world.publish(new)
        world.now += DAY
        progress = await world.tick()
        assert acts(progress) == [Act.USE, Act.SUPERSEDE]
        [due] = progress.dues
        assert (due.waits, due.selector, due.at_seconds) == (
            Waits.RETIRE,
            "s1",
            world.now + 7 * DAY,
        )
        world.now += 7 * DAY - 1
        assert acts(await world.tick(Order(retires=True))) == []
        assert world.selectors == ["s1", new]
        world.now += 1
        assert acts(await world.tick()) == []  # nobody asked
        progress = await world.tick(Order(retires=True))
        assert acts(progress) == [Act.RETIRE, Act.DESTROY, Act.FINISH]
        assert world.selectors == [new]
        assert not (world.keys_dir / DOMAIN / "s1.txt").exists()
        assert world.published == ["s1", new]  # for the operator to remove
        assert [entry.selector for entry in progress.state.journal.past] == ["s1"]

    async def test_retire_at_once(self, world: World) -> None:
        """A key that was stolen: one selector, whatever its time."""
        world.policy = BY_HAND
        new = (await world.tick(Order(rotates=ED25519))).steps[-1].entry.selector
        world.publish(new)
        await world.tick()
        await world.tick(Order(retires_now="s1"))
        assert world.selectors == [new]

    async def test_the_only_key_is_not_retired(self, world: World) -> None:
        """There would be nothing to sign with."""
        assert acts(await world.tick(Order(retires_now="s1"))) == [Act.USE]
        assert world.selectors == ["s1"]

    async def test_the_new_record_goes_away_again(self, world: World) -> None:
        """The old key signs again, so its days begin anew."""
        world.policy = BY_HAND
        new = (await world.tick(Order(rotates=ED25519))).steps[-1].entry.selector
        world.publish(new)
        await world.tick()
        name = f"{new}._domainkey.{DOMAIN}"
        del world.zone.resolver.records[name]
        world.now += 6 * DAY
        assert acts(await world.tick()) == [Act.RESUME]
        world.publish(new)
        progress = await world.tick()
        assert acts(progress) == [Act.SUPERSEDE]
        assert progress.dues[0].at_seconds == world.now + 7 * DAY

    async def test_a_selector_is_never_used_again(self, world: World) -> None:
        """Receivers may have the old record in their caches."""
        world.policy = replace(BY_HAND, retire_after_seconds=1)
        seen = {"s1"}
        for _ in range(3):
            new = (await world.tick(Order(rotates=ED25519))).steps[-1].entry.selector
            assert new not in seen
            seen.add(new)
            world.publish(new)
            world.now += 100
            await world.tick()
            world.now += 2
            await world.tick(Order(retires=True))
            assert world.selectors == [new]

    async def test_rsa_that_is_too_short_is_followed_by_2048(self, tmp_path: Path) -> None:
        """And another kind of key keeps its kind."""
        world = World(tmp_path / "rsa", BY_HAND)
        write_key_pair(world.keys_dir, DOMAIN, "old", Algorithm.RSA_SHA256, 1024)
        world.publish("old")
        order = Order(rotates=frozenset(Algorithm), template="n{year}")
        progress = await world.tick(order)
        assert [s.entry.bits for s in progress.steps if s.act is Act.MAKE] == [2048]
        assert world.selectors == ["n2023", "old"]

    async def test_no_folder(self, world: World) -> None:
        """The fault names the command that makes a first key."""
        with pytest.raises(KeyFault, match=r"dkim-relay keys new other\.example"):
            await world.process().advance("other.example")

    async def test_a_folder_that_is_spelt_in_letters_of_its_own(self, tmp_path: Path) -> None:
        """The next key lies beside the old one, in the folder that is there."""
        domain = "xn--bcher-kva.example"
        world = World(tmp_path, policy=BY_HAND)
        written = write_key_pair(tmp_path, domain, "s1", Algorithm.ED25519_SHA256)
        written.key_path.parent.rename(tmp_path / "bücher.example")
        world.zone.resolver.records[written.record.name] = [written.record.value]
        progress = await world.process().advance(domain, Order(rotates=ED25519))
        assert acts(progress) == [Act.USE, Act.INTEND, Act.MAKE]
        assert os.listdir(tmp_path) == ["bücher.example"]
        assert {key.selector for key in progress.state.facts} == {"s1", "s202311-ed25519"}


class TestUnattended:
    """With a provider: everything by itself."""

    async def run(self, world: World, days: float) -> list[str]:
        """Twice a day a round, each by a new process; the selectors that signed at each."""
        signing = []
        for _ in range(int(days * 2)):
            progress = await world.tick()
            signing.append(next(key.selector for key in progress.state.facts if key.is_open))
            world.now += DAY / 2
        return list(dict.fromkeys(signing))

    async def test_a_year(self, world: World) -> None:
        """Four keys, one after the other, each with its record; at the end one is left."""
        signing = await self.run(world, 380)
        assert signing == [
            "s1", "s202402-ed25519", "s202405-ed25519", "s202408-ed25519", "s202411-ed25519",
        ]  # fmt: skip
        assert world.selectors == ["s202411-ed25519"]
        assert world.published == ["s202411-ed25519"]

    async def test_revoking(self, world: World) -> None:
        """The old record stays, with an empty p=."""
        world.policy = replace(UNATTENDED, revokes=True)
        await self.run(world, 100)
        assert world.zone.resolver.records[f"s1._domainkey.{DOMAIN}"] == ["v=DKIM1; k=ed25519; p="]

    async def test_a_first_key_is_published(self, world: World) -> None:
        """`keys new` is enough."""
        world.zone.resolver.records.clear()
        assert acts(await world.tick()) == [Act.PUBLISH]
        assert acts(await world.tick()) == [Act.USE]

    async def test_somebody_elses_record_is_left_alone(self, world: World) -> None:
        """Told as a fault; the old key goes on."""
        world.now += 91 * DAY
        name = f"s202402-ed25519._domainkey.{DOMAIN}"
        world.zone.resolver.records[name] = ["v=DKIM1; p="]
        progress = await world.tick()
        assert "not this key's" in str(progress.faults[0])
        assert world.zone.resolver.records[name] == ["v=DKIM1; p="]
        assert [key.is_open for key in progress.state.facts] == [False, True]

    async def test_a_provider_that_is_down(self, world: World) -> None:
        """Told, and tried again."""
        world.now += 91 * DAY
        world.zone.is_down = True
        progress = await world.tick()
        assert str(progress.faults[0]) == "fake: no answer (start it)"
        world.zone.is_down = False
        assert acts(await world.tick()) == [Act.PUBLISH]

    async def test_without_a_provider_nothing_is_made(self, world: World) -> None:
        """It is only said to be due."""
        world.policy = replace(UNATTENDED, is_published_by_us=False)
        world.now += 91 * DAY
        progress = await world.tick()
        assert acts(progress) == [Act.USE]
        [due] = progress.dues
        assert (due.waits, due.at_seconds) == (Waits.ROTATE, START + 90 * DAY)


class TestKilled:
    """Whatever ends the process, and wherever: the next one goes on."""

    async def whole(self, world: World) -> None:
        """One rotation from beginning to end: rounds until only the new key is left."""
        world.now = START + 91 * DAY
        for _ in range(5):
            progress = await world.tick()
            assert any(key.is_open for key in progress.state.facts), "no key can sign"
            world.now += 4 * DAY

    async def test_at_every_effect(self, tmp_path: Path) -> None:
        """The end is the same: one key, one record, nothing hidden left behind."""
        calm = self.begin(tmp_path / "calm")
        await self.whole(calm)
        assert len(calm.effects) > 15
        for number in range(1, len(calm.effects) + 1):
            world = self.begin(tmp_path / str(number))
            world.kill_after = number
            with pytest.raises(KilledError):
                await self.whole(world)
            world.kill_after = None
            await self.whole(world)
            assert (number, world.selectors) == (number, ["s202402-ed25519"])
            assert (number, world.published) == (number, ["s202402-ed25519"])
            left = sorted(path.name for path in (world.keys_dir / DOMAIN).iterdir())
            assert left == [JOURNAL, LOCK, "s202402-ed25519.pem", "s202402-ed25519.txt"]

    def begin(self, folder: Path) -> World:
        """A domain with one key in use."""
        world = World(folder)
        world.key("s1")
        return world

    @pytest.mark.parametrize("octets", [b"", b"-----BEGIN PRIVATE KEY-----\nMC4C"])
    async def test_in_the_middle_of_a_key_file(self, world: World, octets: bytes) -> None:
        """A half-written key was intended by us and used by nobody: it is made anew."""
        world.policy = BY_HAND
        world.kill_after = 4  # the second journal: the intention
        with pytest.raises(KilledError):
            await world.tick(Order(rotates=ED25519))
        world.kill_after = None
        path = world.keys_dir / DOMAIN / "s202311-ed25519.pem"
        path.write_bytes(octets)
        path.chmod(0o600)
        assert acts(await world.tick()) == [Act.MAKE]
        assert world.read("s202311-ed25519").algorithm is Algorithm.ED25519_SHA256

    @pytest.mark.parametrize("octets", [b"", b"{", b'{"version": 9}', b'{"version": 1}', b"[]"])
    async def test_a_broken_journal(self, world: World, octets: bytes) -> None:
        """Told, and begun anew: the old record then stays its days from now on."""
        world.policy = BY_HAND
        new = (await world.tick(Order(rotates=ED25519))).steps[-1].entry.selector
        world.publish(new)
        await world.tick()
        (world.keys_dir / DOMAIN / JOURNAL).write_bytes(octets)
        world.now += 8 * DAY
        progress = await world.tick(Order(retires=True))
        assert octets == b"" or JOURNAL in progress.faults[0].where
        assert world.selectors == ["s1", new]
        assert progress.dues[0].at_seconds == world.now + 7 * DAY


class TestTwoProcesses:
    """Replicas on one folder."""

    async def test_one_works_at_a_time(self, world: World) -> None:
        """The other says so, and changes nothing."""
        with locked(world.keys_dir / DOMAIN / LOCK) as is_ours:
            assert is_ours
            with pytest.raises(RotationFault, match="another process"):
                await world.tick()
        assert not (world.keys_dir / DOMAIN / JOURNAL).exists()

    async def test_side_by_side(self, world: World) -> None:
        """Both run all the time: still one new key, one record."""
        world.now += 91 * DAY
        one, other = world.process(), world.process()
        for _ in range(10):
            for process in (one, other):
                await process.advance(DOMAIN)
            world.now += DAY
        assert len(world.selectors) == 1
        assert world.published == world.selectors
        assert len(world.zone.exchanges) == 2

    async def test_a_folder_that_is_read_only(
        self, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The fault says what to do; nothing is changed."""
        (world.keys_dir / DOMAIN / LOCK).mkdir()  # cannot be opened for writing, even by root
        with pytest.raises(RotationFault, match="must be able to write"):
            await world.tick()
