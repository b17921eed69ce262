"""Files that outlive the process."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from relay.state import MAX_STATE_OCTETS, StateFault, locked, read_state, write_state


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """In a folder that is made for it, for its owner alone, and nothing else is left there."""
    path = tmp_path / "new" / "state.json"
    write_state(path, {"one": 1})
    write_state(path, {"two": [2]})
    assert read_state(path) == {"two": [2]}
    assert [p.name for p in path.parent.iterdir()] == ["state.json"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_no_file_is_nothing(tmp_path: Path) -> None:
    """The first start."""
    assert read_state(tmp_path / "absent" / "state.json") == {}


def test_what_a_killed_process_left_is_cleared_away(tmp_path: Path) -> None:
    """The old file counts, and the unfinished one goes with the next write."""
    path = tmp_path / "state.json"
    write_state(path, {"old": 1})
    (tmp_path / ".state.json.0123.new").write_bytes(b'{"half')
    assert read_state(path) == {"old": 1}
    write_state(path, {"new": 1})
    assert [p.name for p in tmp_path.iterdir()] == ["state.json"]


@pytest.mark.parametrize("octets", [b"", b"{", b"[]", b"1", b"\xff", b'{"a": NaN}'])
def test_a_broken_file(tmp_path: Path, octets: bytes) -> None:
    """A fault with its path, and no other exception."""
    path = tmp_path / "state.json"
    path.write_bytes(octets)
    with pytest.raises(StateFault, match=r"state\.json: is broken"):
        read_state(path)


def test_a_file_without_end(tmp_path: Path) -> None:
    """Not more is read than a state can have."""
    path = tmp_path / "state.json"
    with path.open("wb") as file:
        file.truncate(MAX_STATE_OCTETS + 1)
    with pytest.raises(StateFault, match="over"):
        read_state(path)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """The fault names it; reading and locking say the same."""
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "state.json"
    for use in (lambda: write_state(path, {}), lambda: read_state(path), lambda: lock(path)):
        with pytest.raises(StateFault, match=r"file/state\.json"):
            use()


def lock(path: Path) -> None:
    """Take a lock and give it back."""
    with locked(path):
        pass


def test_a_lock_has_one_holder(tmp_path: Path) -> None:
    """Nobody waits: the second is told; when the first is done, the next has it."""
    path = tmp_path / "lock"
    with locked(path) as first:
        with locked(path) as second:
            assert (first, second) == (True, False)
        with locked(path) as third:  # the second gave nothing away
            assert not third
    with locked(path) as again:
        assert again
