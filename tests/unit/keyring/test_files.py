"""Key files: permissions, and faults that name path, mode and fix."""

from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from relay.core.errors import KeyFault
from relay.keyring import files
from relay.keyring.files import FileKey, read_key_file
from relay.keyring.writing import write_key_pair
from tests.fakes.permissions import NOBODY, unprivileged

if TYPE_CHECKING:
    from tests.unit.keyring.conftest import PutKey


def read(path: Path) -> FileKey:
    """Read as the key s1 of example.com."""
    return read_key_file(path, domain="example.com", selector="s1")


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

    @pytest.mark.usefixtures("open_way")
    @pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
    @pytest.mark.parametrize(
        ("mode", "is_warned_of"), [(0o440, False), (0o640, False), (0o460, True)]
    )
    def test_a_file_of_another_that_we_read_by_its_group(
        self, put_key: PutKey, mode: int, is_warned_of: bool
    ) -> None:
        """A Secret with fsGroup: it is narrow enough, unless the group can write."""
        path = put_key("example.com/s1.pem", mode=mode)
        for folder in (path.parent, path.parent.parent):
            folder.chmod(0o711)
        os.chown(path, 0, NOBODY)
        with unprivileged():
            warnings = read(path).warnings
        assert [w.what for w in warnings] == ["the group can get at the key"] * is_warned_of

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
