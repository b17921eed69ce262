"""Key files: permissions, faults that name path, mode and fix, and writing without a window."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from relay.core.dkim.algorithm import Algorithm
from relay.core.errors import KeyFault
from relay.keyring import files
from relay.keyring.files import FileKey, read_key_file, write_key_pair

if TYPE_CHECKING:
    from tests.unit.keyring.conftest import PutKey

NOBODY = 65534


def read(path: Path) -> FileKey:
    """Read as the key s1 of example.com."""
    return read_key_file(path, domain="example.com", selector="s1")


def mode_of(path: Path) -> int:
    """The permission bits of a file or folder."""
    return stat.S_IMODE(path.stat().st_mode)


@contextmanager
def umask_of(umask: int) -> Iterator[None]:
    """The process has this umask for a while."""
    before = os.umask(umask)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def unprivileged() -> Iterator[int]:
    """Be somebody to whom permissions apply; root for the tests' own files again afterwards."""
    if os.geteuid() != 0:
        yield os.geteuid()
        return
    group, groups = os.getegid(), os.getgroups()
    os.setgroups([])
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield NOBODY
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


@pytest.fixture
def open_way(tmp_path: Path) -> Iterator[None]:
    """Everybody may pass through our own folders above the test's, as long as it runs."""
    with ExitStack() as closing:
        for folder in [tmp_path, *tmp_path.parents]:
            status = folder.stat()
            if status.st_uid == os.getuid() and not status.st_mode & stat.S_IXOTH:
                closing.callback(folder.chmod, stat.S_IMODE(status.st_mode))
                folder.chmod(stat.S_IMODE(status.st_mode) | stat.S_IXOTH)
        yield


class TestRead:
    """One file, opened once."""

    async def test_a_key_signs_for_its_public_half(self, put_key: PutKey) -> None:
        """What is read can sign, and knows where it came from."""
        path = put_key("example.com/s1.pem")
        key = read(path)
        digest = hashlib.sha256(b"message").digest()
        assert key.public.verifies(await key.sign(digest), digest)
        assert (key.domain, key.selector, key.path) == ("example.com", "s1", path)
        assert (key.mode, key.modified_seconds, key.warnings) == (0o600, 1_700_000_000, ())

    def test_the_private_key_is_not_shown(self, put_key: PutKey) -> None:
        """Not in logs by accident."""
        assert "PrivateKey" not in repr(read(put_key("example.com/s1.pem")))

    @pytest.mark.parametrize("mode", [0o600, 0o400, 0o700, 0o601])
    def test_a_private_file_is_fine(self, put_key: PutKey, mode: int) -> None:
        """Nobody else can read or write it."""
        assert read(put_key("example.com/s1.pem", mode=mode)).warnings == ()

    @pytest.mark.parametrize("mode", [0o640, 0o440, 0o660, 0o620])
    def test_a_file_of_the_group_is_used_with_a_warning(self, put_key: PutKey, mode: int) -> None:
        """A mounted Secret often is; the warning has the exact command."""
        path = put_key("example.com/s1.pem", mode=mode)
        (warning,) = read(path).warnings
        assert warning.where == f"{path} (mode {mode:04o})"
        assert warning.fix == f"chmod 0600 {path}"

    @pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o666, 0o444])
    def test_a_file_of_everybody_is_refused(self, put_key: PutKey, mode: int) -> None:
        """The fault names the path, the mode and the exact command, which helps."""
        path = put_key("example.com/with space's.pem", mode=mode)
        with pytest.raises(KeyFault, match="everybody on this host") as caught:
            read(path)
        fault = caught.value.fault
        assert fault.where == f"{path} (mode {mode:04o})"
        assert os.system(fault.fix) == 0  # noqa: S605 - the command is what is tested
        assert read(path).warnings == ()

    def test_a_secret_mounted_by_kubernetes(self, put_key: PutKey, keys_dir: Path) -> None:
        """Links into ..data are followed; what counts is the file, and the fix is the volume's."""
        real = put_key("example.com/..2026_11_20/s1.pem", mode=0o440)
        folder = keys_dir / "example.com"
        (folder / "..data").symlink_to("..2026_11_20")
        link = folder / "s1.pem"
        link.symlink_to("..data/s1.pem")
        (warning,) = read(link).warnings
        assert warning.where == f"{link} (mode 0440)"
        assert "defaultMode: 0400" in warning.fix
        real.chmod(0o644)  # the default of Kubernetes
        with pytest.raises(KeyFault, match="defaultMode: 0400"):
            read(link)

    def test_a_warning_for_the_size(
        self, put_key: PutKey, keys_dir: Path, rsa_key: rsa.RSAPrivateKey
    ) -> None:
        """RFC 8301: 1024 bits still sign, with a warning."""
        written = write_key_pair(keys_dir, "example.com", "weak", bits=1024)
        (warning,) = read(written.key_path).warnings
        assert "1024 bits" in warning.what
        assert warning.fix == "dkim-relay keys new example.com"

    def test_contents_are_named_with_their_fix(self, put_key: PutKey) -> None:
        """The path in the command is quoted for a shell."""
        path = put_key("example.com/a b.pem", b"\x30\x82")
        with pytest.raises(KeyFault) as caught:
            read(path)
        assert caught.value.fault.where == f"{path} (mode 0600)"
        assert caught.value.fault.what == "a key in DER"
        assert f"-in '{path}'" in caught.value.fault.fix

    def test_a_file_that_is_too_long(self, put_key: PutKey, rsa_pem: bytes) -> None:
        """Not read to its end, whatever it is."""
        path = put_key("example.com/s1.pem", rsa_pem + b"\n" * files.MAX_KEY_FILE_OCTETS)
        with pytest.raises(KeyFault, match="is over 65536 octets"):
            read(path)

    def test_what_is_no_file(self, keys_dir: Path) -> None:
        """Folders, pipes, sockets, devices, links to nothing or to themselves: none blocks."""
        paths = {name: keys_dir / name for name in ("folder", "pipe", "absent", "dangling", "loop")}
        paths["folder"].mkdir()
        os.mkfifo(paths["pipe"])
        paths["dangling"].symlink_to("nowhere")
        paths["loop"].symlink_to("loop")
        paths["device"] = Path("/dev/null")
        for path in paths.values():
            with pytest.raises(KeyFault) as caught:
                read(path)
            assert str(path) in caught.value.fault.where
            assert caught.value.fault.fix

    def test_a_socket_is_no_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Opening one fails with an error of its own."""
        monkeypatch.chdir(tmp_path)  # the name of a socket is short
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind("s1.pem")
            with pytest.raises(KeyFault, match="cannot be opened"):
                read(Path("s1.pem"))

    @pytest.mark.usefixtures("open_way")
    def test_a_file_of_somebody_else(self, put_key: PutKey) -> None:
        """The fault names the file, its mode and owner, and the command that gives it to us."""
        path = put_key("example.com/s1.pem", mode=0o000)
        path.parent.chmod(0o711)
        path.parent.parent.chmod(0o711)
        with unprivileged() as uid, pytest.raises(KeyFault) as caught:
            read(path)
        assert caught.value.fault.where == f"{path} (mode 0000)"
        assert f"uid {uid} may not read it" in caught.value.fault.what
        assert caught.value.fault.fix == f"chown {uid} {path} && chmod 0600 {path}"

    @pytest.mark.usefixtures("open_way")
    def test_a_closed_folder_above_is_the_one_named(self, put_key: PutKey) -> None:
        """The fault names the folder that is closed, not the file that is fine."""
        path = put_key("example.com/s1.pem")
        path.parent.parent.chmod(0o711)
        path.parent.chmod(0o000)
        with unprivileged() as uid, pytest.raises(KeyFault) as caught:
            read(path)
        path.parent.chmod(0o700)
        assert caught.value.fault.where == str(path)
        assert caught.value.fault.what == f"uid {uid} may not enter {path.parent} (mode 0000)"


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
        key = read(written.key_path)
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
        monkeypatch.setattr(files, "taken_selectors", lambda *_: frozenset())
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
