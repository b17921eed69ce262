"""What was seen of records, kept in the state folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay.core.dkim.algorithm import PublicKey
from relay.core.errors import Fault
from relay.dns.memory import FORGET_SECONDS, REFRESH_SECONDS, Memory, Seen, fingerprint
from relay.state import locked

NAME, OTHER = "s1._domainkey.example.com", "s2._domainkey.example.com"
NOW = 1.8e9


def seen(at: float = NOW, *, matches: bool = True) -> Seen:
    """A sighting of some key."""
    return Seen("f" * 64, matches, at)


def loaded(folder: Path) -> Memory:
    """The next process."""
    memory = Memory(folder)
    memory.load()
    return memory


async def test_it_outlives_the_process(tmp_path: Path) -> None:
    """In a folder that was not there."""
    memory = Memory(tmp_path / "state")
    memory.note(NAME, seen())
    await memory.save(NOW)
    assert loaded(tmp_path / "state").recall(NAME) == seen()


async def test_without_a_folder() -> None:
    """It lasts as long as the process."""
    memory = Memory()
    memory.load()
    memory.note(NAME, seen())
    await memory.save(NOW)
    memory.save_now(NOW)
    assert memory.recall(NAME) == seen()


async def test_the_same_again_is_not_written_all_the_time(tmp_path: Path) -> None:
    """Only when it is an hour younger, or says something else."""
    memory = Memory(tmp_path)
    memory.note(NAME, seen())
    await memory.save(NOW)
    written = (tmp_path / "records.json").stat().st_mtime_ns
    memory.note(NAME, seen(NOW + REFRESH_SECONDS - 1))
    await memory.save(NOW)
    assert (tmp_path / "records.json").stat().st_mtime_ns == written
    memory.note(NAME, seen(NOW + REFRESH_SECONDS))
    memory.save_now(NOW)
    assert loaded(tmp_path).recall(NAME) == seen(NOW + REFRESH_SECONDS)
    memory.note(NAME, seen(NOW + REFRESH_SECONDS + 1, matches=False))
    memory.save_now(NOW)
    assert loaded(tmp_path).recall(NAME) == seen(NOW + REFRESH_SECONDS + 1, matches=False)


async def test_two_processes_add_up(tmp_path: Path) -> None:
    """What one saw does not undo what the other saw; of the same name the later stands."""
    one, other = loaded(tmp_path), loaded(tmp_path)
    one.note(NAME, seen())
    other.note(OTHER, seen())
    other.note(NAME, seen(NOW - 10, matches=False))
    await one.save(NOW)
    await other.save(NOW)
    third = loaded(tmp_path)
    assert (third.recall(NAME), third.recall(OTHER)) == (seen(), seen())
    assert other.recall(NAME) == seen()


async def test_while_another_process_writes(tmp_path: Path) -> None:
    """Nothing is lost: it is written the next time."""
    memory = Memory(tmp_path)
    memory.note(NAME, seen())
    with locked(tmp_path / "records.lock"):
        await memory.save(NOW)
    assert not (tmp_path / "records.json").exists()
    await memory.save(NOW)
    assert loaded(tmp_path).recall(NAME) == seen()


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"{",
        b'{"version": 2, "records": {}}',
        b'{"records": {}}',
        b'{"version": 1, "records": []}',
        b'{"version": 1, "records": {"a": {"key": 1, "matches": true, "at": 1}}}',
        b'{"version": 1, "records": {"a": []}}',
    ],
)
async def test_a_broken_file(tmp_path: Path, octets: bytes) -> None:
    """One warning, a new beginning, and the file is good again."""
    path = tmp_path / "records.json"
    path.write_bytes(octets)
    faults: list[Fault] = []
    memory = Memory(tmp_path, warn=faults.append)
    memory.load()
    memory.note(NAME, seen())
    await memory.save(NOW)
    [fault] = faults
    assert fault.where == str(path)
    assert loaded(tmp_path).recall(NAME) == seen()


async def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """One warning however often it is tried; what was seen counts all the same."""
    (tmp_path / "state").write_text("")
    faults: list[Fault] = []
    memory = Memory(tmp_path / "state", warn=faults.append)
    memory.load()
    faults.clear()
    memory.note(NAME, seen())
    for _ in range(3):
        await memory.save(NOW)
    assert len(faults) == 1
    assert memory.recall(NAME) == seen()


async def test_what_has_long_gone_is_dropped(tmp_path: Path) -> None:
    """Keys that are in use are seen all the time."""
    memory = Memory(tmp_path)
    memory.note(NAME, seen())
    memory.note(OTHER, seen(NOW + FORGET_SECONDS))
    await memory.save(NOW + FORGET_SECONDS + 1)
    assert loaded(tmp_path).recall(NAME) is None
    assert loaded(tmp_path).recall(OTHER) is not None


def test_a_fingerprint_is_whole(rsa_public: PublicKey, other_rsa_public: PublicKey) -> None:
    """It is what decides whether a key was verified, so all of it counts."""
    assert len(fingerprint(rsa_public)) == 64
    assert fingerprint(rsa_public) != fingerprint(other_rsa_public)
