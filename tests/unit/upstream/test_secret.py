"""Secrets in files that change."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from relay.upstream.secret import MAX_SECRET_OCTETS, Secret, SecretFault


class Told(list[tuple[str, bool]]):
    """What was told."""

    def __call__(self, text: str, is_taken: bool) -> None:
        """Be told."""
        self.append((text, is_taken))


def swap(path: Path, text: str) -> None:
    """Replace a file as `mv` does."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.rename(path)


def test_a_secret_of_the_settings() -> None:
    """As it is; not shown."""
    secret = Secret("hunter2")
    assert (secret.read(), secret.is_set, Secret().is_set) == ("hunter2", True, False)
    assert "hunter2" not in f"{secret!r} {secret}"


def test_a_file_is_read_anew_when_it_changes(tmp_path: Path) -> None:
    """And told of, once; the secret itself is not."""
    told, path = Told(), tmp_path / "secret"
    path.write_text("first one\n")
    secret = Secret(path=path, told=told)
    assert (secret.read(), secret.read(), told) == ("first one", "first one", [])
    swap(path, "second one\n")
    assert (secret.read(), secret.read()) == ("second one", "second one")
    [(text, is_taken)] = told
    assert is_taken
    assert str(path) in text
    assert "second" not in text


def test_a_link_that_is_pointed_elsewhere(tmp_path: Path) -> None:
    """What Kubernetes does with `..data`: the file's own name never changes."""
    for number in (1, 2):
        (tmp_path / f"v{number}").mkdir()
        (tmp_path / f"v{number}" / "secret").write_text(f"secret {number}")
    data, path = tmp_path / "..data", tmp_path / "secret"
    data.symlink_to("v1")
    path.symlink_to("..data/secret")
    secret = Secret(path=path)
    assert secret.read() == "secret 1"
    new = tmp_path / "..data_tmp"
    new.symlink_to("v2")
    new.rename(data)
    assert secret.read() == "secret 2"


@pytest.mark.parametrize("octets", [b"", b"\n", b"\xff\xfe", b"x" * (MAX_SECRET_OCTETS + 1), None])
def test_a_file_that_cannot_be_used_takes_nothing_away(
    tmp_path: Path, octets: bytes | None
) -> None:
    """Emptied, half written, too long, gone: the old one stays, told once, until it is better."""
    told, path = Told(), tmp_path / "secret"
    path.write_text("first one")
    secret = Secret(path=path, told=told)
    secret.read()
    if octets is None:
        path.unlink()
    else:
        path.write_bytes(octets)
    assert (secret.read(), secret.read()) == ("first one", "first one")
    [(text, is_taken)] = told
    assert not is_taken
    assert str(path) in text
    path.write_text("third")
    assert secret.read() == "third"
    assert told[1][1]


@pytest.mark.parametrize("octets", [b"", None])
def test_a_file_that_never_had_one(tmp_path: Path, octets: bytes | None) -> None:
    """An error with path and cause, until there is one."""
    path = tmp_path / "secret"
    if octets is not None:
        path.write_bytes(octets)
    secret = Secret(path=path, setting="oauth_token")
    assert secret.is_set
    for _ in range(2):
        with pytest.raises(SecretFault, match=f"oauth_token_file {path}"):
            secret.read()
    path.write_text("now")
    assert secret.read() == "now"


def test_a_file_that_has_not_changed_is_not_read(tmp_path: Path) -> None:
    """One `stat` only: octets written behind its back, dates restored, are not seen."""
    path = tmp_path / "secret"
    path.write_text("aaaa")
    before = path.stat()
    secret = Secret(path=path)
    secret.read()
    path.write_text("bbbb")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert secret.read() == "aaaa"
