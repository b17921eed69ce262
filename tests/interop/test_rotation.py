"""From nothing to a rotated key under steady traffic; see `rotation_scene`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.bind import Bind
from tests.interop.relay_process import RelayProcess
from tests.interop.rotation_scene import DOMAIN, UPDATER, Scene, scene

STEPS = (
    "key.rotation_begun",
    "key.made",
    "key.published",
    "key.taken_into_use",
    "key.superseded",
    "key.destroyed",
    "key.withdrawn",
)


@pytest.fixture
def bind(tmp_path: Path) -> Iterator[Bind]:
    """The one name server of an empty zone that takes updates."""
    with Bind(tmp_path / "bind", zones={DOMAIN: ""}, updaters=[UPDATER]) as running:
        yield running


async def test_by_command_under_steady_traffic(tmp_path: Path, bind: Bind) -> None:
    """A new key, published, the gate opens, keys rotate, the new key signs, keys retire."""
    async with scene(tmp_path, bind) as at_work:
        sink, relay = at_work.sink, at_work.relay
        await sink.more(60, relay)
        assert set(sink.selectors) == {"s1"}
        said = await at_work.command("keys", "rotate", DOMAIN)
        assert "Published" in said
        await sink.until(lambda: sink.selectors[-1] != "s1", relay)
        await sink.more(60, relay)
        new = sink.selectors[-1]
        assert at_work.published() == ["s1", new]
        await sink.until(lambda: due(at_work), relay)
        said = await at_work.command("keys", "retire", DOMAIN)
        assert f"Removed the record at s1._domainkey.{DOMAIN}" in said
        await sink.more(60, relay)
        await at_work.assert_all_is_well()
        assert list(dict.fromkeys(sink.selectors)) == ["s1", new]
        assert sink.selectors == sorted(sink.selectors, key=["s1", new].index)
        assert at_work.published() == [new]
        assert [path.name for path in (tmp_path / "keys" / DOMAIN).glob("*.pem")] == [f"{new}.pem"]


def due(at_work: Scene) -> bool:
    """Whether the service has said that the old key's time has passed."""
    return any(event["event"] == "rotation.due" for event in at_work.relay.events())


async def test_unattended(tmp_path: Path, bind: Bind) -> None:
    """With a provider and a period nobody does anything, and keys come and go."""
    async with scene(tmp_path, bind, 'every = "6s"') as at_work:
        sink, relay = at_work.sink, at_work.relay
        await sink.more(1, relay)
        at_work.pause.close()

        def two_are_gone() -> bool:
            events = [e for e in relay.events() if e["event"] == "key.withdrawn"]
            return len(events) >= 2

        await sink.until(two_are_gone, relay)
        await sink.more(20, relay)
        await at_work.assert_all_is_well()
        used = list(dict.fromkeys(sink.selectors))
        assert used[0] == "s1"
        assert len(used) >= 3
        assert "s1" not in at_work.published()


async def test_two_relays_on_the_same_folders(tmp_path: Path, bind: Bind) -> None:
    """Unattended, each key is made and published once, both sign with it, the old one ends."""
    every = 'every = "10s"'
    async with scene(tmp_path, bind, every, relays=2, retire_after="8s") as at_work:
        sink, relays = at_work.sink, at_work.relays

        def of(event: str) -> list[str]:
            """The selectors of an event, in the logs of both."""
            return [
                str(line["selector"])
                for relay in at_work.relays
                for line in relay.events()
                if line["event"] == event
            ]

        await sink.until(lambda: all(map(signed_with, relays)), at_work.relay)
        at_work.pause.close()
        await sink.until(lambda: "s1" in of("key.withdrawn"), at_work.relay)
        await sink.more(40, at_work.relay)
        await at_work.assert_all_is_well()
    # They went on until they were stopped, perhaps in the middle of the next key.
    gone, made = of("key.withdrawn"), of("key.made")
    used = [signed_with(relay) for relay in relays]
    assert used[0][:2] == used[1][:2] == ["s1", min(made)]
    assert gone == ["s1"]
    # Each step of each key was taken by one of the two, and never again by the other.
    for event in STEPS:
        assert set(Counter(of(event)).values()) == {1}, event
    added = [line for line in bind.log.splitlines() if "adding an RR at" in line]
    assert len(added) - len(of("key.published")) in (1, 2)  # s1 by the command, and one untold
    left = {path.stem for path in (tmp_path / "keys" / DOMAIN).glob("*.pem")}
    told = {"s1", *made} - set(of("key.destroyed"))
    assert told <= left
    assert len(left - told) <= 1
    # A new key that is not published yet, and an old one that is gone, are told, and nothing else.
    said = {
        str(line["event"])
        for relay in relays
        for line in relay.events()
        if line["level"] in ("warning", "error")
    }
    assert said <= {"rotation.questionable", "key.mismatched", "key.removed"}


def signed_with(relay: RelayProcess) -> list[str]:
    """Selectors of what a relay signed, in the order of their first use."""
    relayed = [event for event in relay.events() if event["event"] == "message.relayed"]
    names = (name.partition("/")[0] for event in relayed for name in event["signatures"])
    return list(dict.fromkeys(names))
