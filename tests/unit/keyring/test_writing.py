"""Keys are written without a window, and nothing is ever overwritten."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from relay.core.dkim.algorithm import Algorithm
from relay.core.errors import KeyFault
from relay.keyring import writing
from relay.keyring.files import read_key_file
from relay.keyring.writing import key_files, write_key, write_key_pair
from tests.fakes.permissions import mode_of, umask_of, unprivileged

if TYPE_CHECKING:
    from tests.unit.keyring.conftest import PutKey


class TestWrite:
    """Made private from the first moment, and never over anything."""

    @pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
    @pytest.mark.parametrize("algorithm", list(Algorithm))
    def test_a_pair_is_written_and_read_back(
        self, tmp_path: Path, algorithm: Algorithm, umask: int
    ) -> None:
        """Key 0600, record 0644, new folder 0700, whatever the umask."""
        keys_dir = tmp_path / "new" / "keys"
        with umask_of(umask):
            written = write_key_pair(keys_dir, "Example.COM", "S1", algorithm)
        assert written.key_path == keys_dir / "example.com" / "s1.pem"
        assert written.record_path == keys_dir / "example.com" / "s1.txt"
        assert mode_of(keys_dir / "example.com") == 0o700
        assert (mode_of(written.key_path), mode_of(written.record_path)) == (0o600, 0o644)
        key = read_key_file(written.key_path, domain="example.com", selector="s1")
        assert key.public == written.public
        assert (key.public.algorithm, key.warnings, written.warning) == (algorithm, (), "")
        assert written.record.name == "s1._domainkey.example.com"
        assert written.record.value in written.record_path.read_text()

    def test_the_narrowest_umask(self, keys_dir: Path) -> None:
        """The relay can read what was written under it."""
        (keys_dir / "example.com").mkdir(mode=0o700)
        with umask_of(0o777):
            written = write_key_pair(keys_dir, "example.com", "s1", Algorithm.ED25519_SHA256)
        assert (mode_of(written.key_path), mode_of(written.record_path)) == (0o600, 0o644)

    def test_it_is_private_before_the_first_octet(
        self, keys_dir: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No window: the mode is given to open, which refuses what exists and links."""
        opened: dict[str, tuple[int, int]] = {}
        real = os.open

        def recording(path: str | Path, flags: int, mode: int = 0o777) -> int:
            opened[Path(path).name] = flags, mode
            return real(path, flags, mode)

        monkeypatch.setattr(os, "open", recording)
        write_key_pair(keys_dir, "example.com", "s1", Algorithm.ED25519_SHA256)
        flags, mode = opened["s1.pem"]
        needed = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW
        assert (flags & needed, mode) == (needed, 0o600)

    def test_an_idn_domain_gets_a_folder_in_a_labels(self, keys_dir: Path) -> None:
        """As it is looked up in DNS and in the keyring."""
        written = write_key_pair(keys_dir, "bücher.example", "s1", Algorithm.ED25519_SHA256)
        assert written.key_path == keys_dir / "xn--bcher-kva.example" / "s1.pem"

    @pytest.mark.parametrize(
        "existing",
        ["example.com/s1.pem", "example.com/s1.txt", "EXAMPLE.com/S1.pem"],
    )
    def test_nothing_is_overwritten(self, put_key: PutKey, keys_dir: Path, existing: str) -> None:
        """A key or its record, in any spelling of the folder and file, stands."""
        path = put_key(existing, b"precious")
        with pytest.raises(KeyFault, match="never overwritten"):
            write_key_pair(keys_dir, "example.com", "s1", Algorithm.ED25519_SHA256)
        assert path.read_bytes() == b"precious"
        assert [p for p in keys_dir.rglob("*") if p.is_file()] == [path]

    def test_a_link_is_not_written_through(self, keys_dir: Path, tmp_path: Path) -> None:
        """A link that somebody put there, even to nothing, is something that exists."""
        (keys_dir / "example.com").mkdir()
        (keys_dir / "example.com" / "s1.pem").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(KeyFault, match="never overwritten"):
            write_key_pair(keys_dir, "example.com", "s1", Algorithm.ED25519_SHA256)
        assert not (tmp_path / "elsewhere").exists()

    def test_a_record_that_appears_meanwhile_leaves_no_key(
        self, keys_dir: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Two at once: the later one finds the file, and takes its own key away again."""
        monkeypatch.setattr(writing, "taken_selectors", lambda *_: frozenset())
        (keys_dir / "example.com").mkdir()
        record = keys_dir / "example.com" / "s1.txt"
        record.write_text("theirs")
        with pytest.raises(KeyFault, match="never overwritten"):
            write_key_pair(keys_dir, "example.com", "s1", Algorithm.ED25519_SHA256)
        assert list((keys_dir / "example.com").iterdir()) == [record]
        assert record.read_text() == "theirs"

    def test_a_full_disk_leaves_nothing(
        self, keys_dir: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A key that could not be written in full is not left for the relay to find."""

        def full(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(KeyFault, match="No space left"):
            write_key_pair(keys_dir, "example.com", "s1", Algorithm.ED25519_SHA256)
        assert list((keys_dir / "example.com").iterdir()) == []

    @pytest.mark.parametrize("bits", [0, 512, 1023, 4097, 16384])
    def test_sizes_that_no_receiver_takes(self, keys_dir: Path, bits: int) -> None:
        """RFC 8301 §3.2; nothing is made."""
        with pytest.raises(KeyFault, match="1024 to 4096"):
            write_key_pair(keys_dir, "example.com", "s1", bits=bits)
        assert list(keys_dir.iterdir()) == []

    def test_sizes_with_a_warning(self, keys_dir: Path) -> None:
        """1024 is made when asked for, and the warning says why not to."""
        assert "factored" in write_key_pair(keys_dir, "example.com", "s1", bits=1024).warning

    @pytest.mark.parametrize(
        ("domain", "selector"),
        [
            ("../evil.example", "s1"),
            ("example.com/..", "s1"),
            ("a..b", "s1"),
            ("", "s1"),
            ("localhost", "s1"),
            ("example.com", "../../s1"),
            ("example.com", ""),
            ("example.com", "."),
            ("example.com", "s" * 64),
            ("example.com", ".".join(["s" * 60] * 4)),
        ],
    )
    def test_bad_names_make_nothing(
        self, tmp_path: Path, keys_dir: Path, domain: str, selector: str
    ) -> None:
        """No folder, no file, inside or outside."""
        with pytest.raises(KeyFault):
            write_key_pair(keys_dir, domain, selector, Algorithm.ED25519_SHA256)
        assert list(tmp_path.rglob("*")) == [keys_dir]

    def test_a_keys_folder_that_is_a_file(self, tmp_path: Path) -> None:
        """The fault names the path."""
        (tmp_path / "keys").write_text("")
        with pytest.raises(KeyFault, match="cannot be written") as caught:
            write_key_pair(tmp_path / "keys", "example.com", "s1", Algorithm.ED25519_SHA256)
        assert str(tmp_path / "keys") in caught.value.fault.where

    @pytest.mark.usefixtures("open_way")
    def test_a_keys_folder_that_is_closed(self, keys_dir: Path) -> None:
        """The fault says who must be able to write."""
        keys_dir.chmod(0o555)
        with unprivileged() as uid, pytest.raises(KeyFault, match="cannot be written") as caught:
            write_key_pair(keys_dir, "example.com", "s1", Algorithm.ED25519_SHA256)
        assert f"uid {uid}" in caught.value.fault.fix


class TestKeyOfSomebodyElse:
    """A key that was not made here: its age is kept, and replacing is asked for."""

    def test_its_age_is_kept(self, keys_dir: Path, rsa_key: rsa.RSAPrivateKey) -> None:
        """The newest key of a domain signs: an import does not make an old key new."""
        written = write_key(keys_dir, "example.com", "s1", rsa_key, modified_seconds=1_600_000_000)
        assert written.key_path.stat().st_mtime == 1_600_000_000
        assert mode_of(written.key_path) == 0o600

    @pytest.mark.parametrize("existing", ["example.com/s1.pem", "EXAMPLE.com/S1.pem"])
    def test_what_is_there_is_replaced_when_asked_for(
        self, put_key: PutKey, keys_dir: Path, rsa_key: rsa.RSAPrivateKey, existing: str
    ) -> None:
        """In its place, whatever the spelling, with the mode of a key; nothing else is left."""
        path = put_key(existing, b"old", mode=0o644)
        with pytest.raises(KeyFault, match="never overwritten"):
            write_key_pair(keys_dir, "example.com", "s1")
        written = write_key(keys_dir, "example.com", "s1", rsa_key, replaces=True)
        assert written.key_path == path
        assert (mode_of(path), path.stat().st_nlink) == (0o600, 1)
        assert read_key_file(path, domain="example.com", selector="s1").public == written.public
        assert sorted(path.parent.iterdir()) == [path, path.with_suffix(".txt")]

    def test_a_link_is_replaced_and_not_what_it_leads_to(
        self, put_key: PutKey, keys_dir: Path, tmp_path: Path, rsa_key: rsa.RSAPrivateKey
    ) -> None:
        """A key elsewhere keeps its octets."""
        target = tmp_path / "elsewhere"
        target.write_bytes(b"precious")
        link = keys_dir / "example.com" / "s1.pem"
        link.parent.mkdir()
        link.symlink_to(target)
        write_key(keys_dir, "example.com", "s1", rsa_key, replaces=True)
        assert not link.is_symlink()
        assert target.read_bytes() == b"precious"

    def test_a_full_disk_leaves_the_old_key(
        self,
        put_key: PutKey,
        keys_dir: Path,
        rsa_key: rsa.RSAPrivateKey,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Replacing is whole or not at all."""
        path = put_key("example.com/s1.pem", b"old")

        def full(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(KeyFault, match="No space left"):
            write_key(keys_dir, "example.com", "s1", rsa_key, replaces=True)
        assert path.read_bytes() == b"old"
        assert list(path.parent.iterdir()) == [path]

    def test_the_files_of_a_selector_are_found(self, put_key: PutKey, keys_dir: Path) -> None:
        """Those that are there in any spelling, beside each other; else where they would be."""
        key = put_key("EXAMPLE.com/S1.pem")
        assert key_files(keys_dir, "example.com", "s1") == (key, key.with_name("S1.txt"))
        folder = keys_dir / "example.com"
        assert key_files(keys_dir, "example.com", "s2") == (folder / "s2.pem", folder / "s2.txt")
