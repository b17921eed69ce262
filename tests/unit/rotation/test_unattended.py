"""The service's part: which domains are looked at, what is told, and how often."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from relay.core.events import Noted
from relay.rotation.journal import LOCK
from relay.rotation.plan import Order, Policy
from relay.rotation.unattended import Caretaker, hints
from relay.state import locked
from tests.fakes.rotations import BY_HAND, DAY, DOMAIN, ED25519, World


class Rounds:
    """A caretaker whose time is the world's."""

    def __init__(self, world: World, *, every_seconds: float = 3600) -> None:
        self.events: list[Noted] = []
        self.world = world
        self._caretaker = Caretaker(world.surroundings(), emit=self.events.append)
        self._every_seconds = every_seconds

    async def run(self, count: int, *domains: str) -> list[str]:
        """So many rounds; the events' names."""
        left = count

        async def sleep(seconds: float) -> None:
            nonlocal left
            left -= 1
            self.world.now += seconds
            if not left:
                raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await self._caretaker.run(
                lambda: domains or (DOMAIN,), every_seconds=self._every_seconds, sleep=sleep
            )
        return self.names

    @property
    def names(self) -> list[str]:
        """The events' names."""
        return [event.name for event in self.events]


async def test_a_rotation_as_the_log_has_it(world: World) -> None:
    """Every step once, in order, with domain and selector."""
    rounds = Rounds(world, every_seconds=DAY / 2)
    names = await rounds.run(200)
    assert names == [
        "key.taken_into_use",
        "key.rotation_begun",
        "key.made",
        "key.published",
        "key.taken_into_use",
        "key.superseded",
        "key.retiring",
        "key.destroyed",
        "key.withdrawn",
    ]
    assert dict(rounds.events[2].fields) == {"domain": DOMAIN, "selector": "s202402-ed25519"}


async def test_a_domain_without_rotation_is_left_alone(world: World) -> None:
    """No period, no journal: nothing is read, written or said."""
    world.policy = BY_HAND
    assert await Rounds(world).run(3, DOMAIN, "gone.example") == []
    assert not (world.keys_dir / DOMAIN / LOCK).exists()


async def test_what_is_due_is_said_once_a_day(world: World) -> None:
    """The command that does it is named."""
    world.policy = Policy(every_seconds=90 * DAY)
    world.now += 91 * DAY
    rounds = Rounds(world)
    names = await rounds.run(30)
    assert names == ["key.taken_into_use", "rotation.due", "rotation.due"]
    fields = dict(rounds.events[1].fields)
    assert fields["detail"] == f"it is due to be replaced: dkim-relay keys rotate {DOMAIN}"


async def test_a_key_that_nobody_publishes(world: World) -> None:
    """Said after an hour, not at once."""
    world.policy = BY_HAND
    await world.tick(Order(rotates=ED25519))
    rounds = Rounds(world, every_seconds=1800)
    await rounds.run(2)
    assert "rotation.due" not in rounds.names
    await rounds.run(2)
    assert "keys record" in str(dict(rounds.events[-1].fields)["detail"])


async def test_retired_by_hand(world: World) -> None:
    """A rotation that a command began is gone on with: the record to remove is named."""
    world.policy = BY_HAND
    new = (await world.tick(Order(rotates=ED25519))).steps[-1].entry.selector
    world.publish(new)
    await world.tick()
    world.kill_after = len(world.effects) + 2  # the decision to end it, and no more
    with pytest.raises(BaseException, match="journal"):
        await world.tick(Order(retires_now="s1"))
    world.kill_after = None
    rounds = Rounds(world)
    assert await rounds.run(1) == ["key.destroyed", "key.retired"]
    assert (
        dict(rounds.events[-1].fields)["detail"] == f"remove its record at s1._domainkey.{DOMAIN}"
    )


async def test_a_fault_costs_one_domain(world: World) -> None:
    """A folder that cannot be used is said once; the other domain goes on."""
    world.now += 91 * DAY
    folder = world.keys_dir / "bad.example"
    (folder / LOCK).mkdir(parents=True)
    rounds = Rounds(world)
    await rounds.run(5, "bad.example", DOMAIN)
    assert rounds.names.count("rotation.failed") == 1
    failed = next(event for event in rounds.events if event.name == "rotation.failed")
    assert dict(failed.fields)["domain"] == "bad.example"
    assert "key.published" in rounds.names


async def test_another_process_is_at_it(world: World) -> None:
    """No fault: it is looked at again in the next round."""
    rounds = Rounds(world)
    with locked(world.keys_dir / DOMAIN / LOCK):
        assert await rounds.run(2) == []
    assert await rounds.run(1) == ["key.taken_into_use"]


async def test_a_change_is_seen_at_once(world: World) -> None:
    """A settled domain is read once in an hour, and when something was put into its folder."""
    rounds = Rounds(world, every_seconds=60)
    await rounds.run(3)
    names = list(rounds.names)
    world.key("s2")
    await rounds.run(1)
    assert rounds.names[len(names) :] == ["key.taken_into_use", "key.superseded"]


def test_hints() -> None:
    """Less than seven days is for tests."""
    assert hints(Policy()) == ()
    assert "under 7d" in hints(replace(Policy(), retire_after_seconds=DAY))[0]
