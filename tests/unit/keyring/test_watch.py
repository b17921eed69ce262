"""Files change while mail flows: what is new counts, what is broken does not, nothing is torn."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from relay.core.errors import Rejection
from relay.dns.gate import OpenGate
from relay.keyring.changes import Became, KeyChange
from relay.keyring.contents import difference
from relay.keyring.keyring import Keyring
from relay.keyring.loading import KeySource
from relay.keyring.watch import KeyWatch
from tests.fakes.keys import rsa_private

if TYPE_CHECKING:
    from tests.unit.keyring.conftest import PutKey


@dataclass(frozen=True)
class Settings:
    """The part of a domain's settings that the keyring reads."""

    selectors: tuple[str, ...] | None = None
    passphrase_file: str = ""


@dataclass
class Ring:
    """A keyring over the test's folder, its watch, and what it said."""

    keyring: Keyring
    watch: KeyWatch
    changes: list[KeyChange] = field(default_factory=list)

    async def look(self) -> list[tuple[Became, str]]:
        """Look once and read what is new; what was said of it, with the selector."""
        self.changes.clear()
        await self.watch.look()
        await self.watch.load(1000)
        return [(change.became, change.selector) for change in self.changes]

    async def signs(self, domain: str = "example.com") -> list[str]:
        """The selectors that sign now, with the public key of each."""
        return [
            f"{key.selector}:{key.public.fingerprint}" for key in await self.keyring.signers(domain)
        ]

    async def refusal(self, domain: str = "example.com") -> str:
        """What is said when no key can sign."""
        with pytest.raises(Rejection) as caught:
            await self.keyring.signers(domain)
        assert caught.value.reply.code == 451
        return caught.value.detail


def make_ring(keys_dir: Path, **settings: Settings) -> Ring:
    """A ring that has not looked yet."""
    changes: list[KeyChange] = []
    source = KeySource(keys_dir, {name.replace("_", "."): s for name, s in settings.items()})
    keyring = Keyring(source, gate=OpenGate(), report=changes.append)
    return Ring(keyring, KeyWatch(keyring, every_seconds=10), changes)


@pytest.fixture
def ring(keys_dir: Path) -> Ring:
    """The ring over the keys folder; example.com is configured, other domains are not."""
    return make_ring(keys_dir, example_com=Settings())


@pytest.fixture(scope="module")
def other_pem() -> bytes:
    """A second RSA key."""
    return pem(rsa_private(number=2))


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, passphrase: bytes = b"") -> bytes:
    """A key in PEM, encrypted with a passphrase if there is one."""
    lock = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock)


class TestChanges:
    """What takes effect at the next look."""

    async def test_nothing_changed(self, put_key: PutKey, ring: Ring) -> None:
        """A second look reads no file again and says nothing: the key is the same object."""
        put_key("example.com/s1.pem")
        assert await ring.look() == [(Became.LOADED, "s1")]
        before = ring.keyring.keys
        assert await ring.look() == []
        assert ring.keyring.keys[0] is before[0]

    async def test_a_new_key_and_a_new_domain(self, put_key: PutKey, ring: Ring) -> None:
        """Both appear without a restart; the live set of domains has the new one."""
        put_key("example.com/s1.pem", age_seconds=86400)
        await ring.look()
        domains = ring.keyring.domains
        assert "new.example" not in domains
        put_key("example.com/s2.pem")
        put_key("new.example/s1.pem")
        assert sorted(await ring.look()) == [(Became.LOADED, "s1"), (Became.LOADED, "s2")]
        assert "new.example" in domains
        assert [name.partition(":")[0] for name in await ring.signs()] == ["s2"]
        assert len(await ring.signs("new.example")) == 1

    async def test_another_key_under_the_same_selector(
        self, put_key: PutKey, ring: Ring, other_pem: bytes
    ) -> None:
        """It is taken, and said to be another."""
        put_key("example.com/s1.pem")
        await ring.look()
        before = await ring.signs()
        put_key("example.com/s1.pem", other_pem)
        assert await ring.look() == [(Became.REPLACED, "s1")]
        assert await ring.signs() != before

    async def test_a_file_that_is_only_touched(self, put_key: PutKey, ring: Ring) -> None:
        """The same key again is nothing to tell."""
        path = put_key("example.com/s1.pem")
        await ring.look()
        os.utime(path)
        assert await ring.look() == []
        assert len(await ring.signs()) == 1

    async def test_a_key_that_is_mended(self, put_key: PutKey, ring: Ring) -> None:
        """A fault at the start ends when the file is put right, and no sooner is it read again."""
        path = put_key("example.com/s1.pem", mode=0o644)
        assert await ring.look() == [(Became.FAILED, "s1")]
        assert "everybody on this host" in await ring.refusal()
        assert await ring.look() == []
        path.chmod(0o600)
        assert await ring.look() == [(Became.LOADED, "s1")]
        assert ring.keyring.faults == ()

    async def test_permissions_that_open_later(self, put_key: PutKey, ring: Ring) -> None:
        """A file that becomes readable to everybody is told; the key that was loaded goes on."""
        path = put_key("example.com/s1.pem")
        await ring.look()
        path.chmod(0o644)
        assert await ring.look() == [(Became.FAILED, "s1")]
        assert "goes on signing" in ring.changes[0].detail
        assert ring.changes[0].fix == f"chmod 0600 {path}"
        assert len(await ring.signs()) == 1


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "half-written": lambda octets: octets[: len(octets) // 2],
    "emptied": lambda octets: b"",
    "damaged": lambda octets: octets.replace(octets[400:404], b"AAAA"),
    "a certificate": lambda octets: (
        b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    ),
    "encrypted": lambda octets: pem(rsa_private(number=2), b"secret"),
    "of a wrong type": lambda octets: pem(ec.generate_private_key(ec.SECP256R1())),
}


class TestBroken:
    """Whole or not at all: what cannot be used does not touch what is in use."""

    @pytest.mark.parametrize("how", BROKEN)
    async def test_the_old_key_goes_on(
        self, how: str, put_key: PutKey, ring: Ring, other_pem: bytes
    ) -> None:
        """The fault names file and reason once; when the file is whole, its key counts."""
        put_key("example.com/s1.pem")
        await ring.look()
        before = await ring.signs()
        path = put_key("example.com/s1.pem", BROKEN[how](other_pem))
        assert await ring.look() == [(Became.FAILED, "s1")]
        change = ring.changes[0]
        assert change.where.startswith(str(path))
        assert change.detail.endswith("; the key loaded before goes on signing")
        assert await ring.signs() == before
        assert [fault.where for fault in ring.keyring.faults] == [change.where]
        assert await ring.look() == []
        put_key("example.com/s1.pem", other_pem)
        assert await ring.look() == [(Became.REPLACED, "s1")]
        assert ring.keyring.faults == ()

    async def test_a_bad_key_beside_a_good_one(
        self, put_key: PutKey, ring: Ring, other_pem: bytes
    ) -> None:
        """Each file counts for itself: a good new key signs, a removed one ends."""
        put_key("example.com/s1.pem", age_seconds=86400)
        gone = put_key("example.com/s0.pem", age_seconds=2 * 86400)
        await ring.look()
        put_key("example.com/s2.pem", other_pem)
        put_key("example.com/s3.pem", b"nonsense")
        gone.unlink()
        await ring.look()
        await ring.look()
        assert [key.selector for key in ring.keyring.keys] == ["s2", "s1"]

    async def test_a_folder_that_cannot_be_listed(self, put_key: PutKey, keys_dir: Path) -> None:
        """A closed or broken folder is not an empty one: its keys go on."""
        folder = put_key("example.com/s1.pem").parent
        ring = make_ring(keys_dir)
        await ring.look()
        aside = keys_dir.parent / "aside"
        folder.rename(aside)
        folder.symlink_to(keys_dir / ".nowhere")
        for said in ([(Became.FAILED, "")], []):
            assert await ring.look() == said
            assert len(await ring.signs()) == 1
        folder.unlink()
        aside.rename(folder)
        assert await ring.look() == []
        assert ring.keyring.faults == ()

    async def test_a_keys_folder_that_is_gone(self, put_key: PutKey, keys_dir: Path) -> None:
        """A volume that is not mounted takes no key and no domain away."""
        put_key("example.com/s1.pem")
        ring = make_ring(keys_dir)
        await ring.look()
        os.rename(keys_dir, keys_dir.parent / "aside")
        assert await ring.look() == [(Became.FAILED, "")]
        assert await ring.look() == []
        assert await ring.look() == []
        assert len(await ring.signs()) == 1

    async def test_a_folder_in_place_of_a_file(self, put_key: PutKey, ring: Ring) -> None:
        """What cannot be opened is no reason to drop the key that was loaded."""
        path = put_key("example.com/s1.pem")
        await ring.look()
        path.unlink()
        path.mkdir()
        assert await ring.look() == [(Became.FAILED, "s1")]
        assert "is not a file" in ring.changes[0].detail
        assert len(await ring.signs()) == 1


class TestRemoval:
    """A file that is gone ends its key, once that is sure."""

    async def test_the_last_key(self, put_key: PutKey, ring: Ring) -> None:
        """Gone twice in a row, the key ends; the domain is ours still, and its mail waits."""
        path = put_key("example.com/s1.pem")
        await ring.look()
        path.unlink()
        assert await ring.look() == []
        assert len(await ring.signs()) == 1
        assert (Became.REMOVED, "s1") in await ring.look()
        removed = ring.changes[0]
        assert "the last one, so mail from this domain waits" in removed.detail
        assert "there is no key" in await ring.refusal()

    async def test_a_file_that_comes_back(
        self, put_key: PutKey, ring: Ring, other_pem: bytes
    ) -> None:
        """Replaced by hand, with a look in the middle: there is no moment without a key."""
        path = put_key("example.com/s1.pem")
        await ring.look()
        for content in (other_pem, None, other_pem):
            path.unlink()
            assert await ring.look() == []
            assert len(await ring.signs()) == 1
            put_key("example.com/s1.pem", content)
            assert await ring.look() == [(Became.REPLACED, "s1")]

    async def test_a_folder_of_its_own(self, put_key: PutKey, ring: Ring) -> None:
        """A domain that nobody configured ends with its folder; the log says what that means."""
        folder = put_key("other.example/s1.pem").parent
        await ring.look()
        shutil.rmtree(folder)
        assert await ring.look() == []
        assert "other.example" in ring.keyring.domains
        assert await ring.look() == [(Became.REMOVED, "s1")]
        assert "is refused" in ring.changes[0].detail
        assert "other.example" not in ring.keyring.domains

    async def test_a_folder_that_is_moved_away_and_back(self, put_key: PutKey, ring: Ring) -> None:
        """`mv` out and `mv` in, with a look between them."""
        folder = put_key("other.example/s1.pem").parent
        await ring.look()
        folder.rename(folder.with_name(".aside"))
        assert await ring.look() == []
        assert len(await ring.signs("other.example")) == 1
        folder.with_name(".aside").rename(folder)
        assert await ring.look() == []
        assert len(await ring.signs("other.example")) == 1

    async def test_one_of_two(self, put_key: PutKey, ring: Ring) -> None:
        """The other goes on."""
        put_key("example.com/s1.pem", age_seconds=86400)
        path = put_key("example.com/s2.pem")
        await ring.look()
        path.unlink()
        await ring.look()
        assert await ring.look() == [(Became.REMOVED, "s2")]
        assert ring.changes[0].detail == "its file is gone, so it signs no more"
        assert [name.partition(":")[0] for name in await ring.signs()] == ["s1"]


@pytest.fixture
def mounted(keys_dir: Path, rsa_pem: bytes, other_pem: bytes) -> Path:
    """A folder as Kubernetes mounts a Secret: two versions, and `..data` leads to the first."""
    folder = keys_dir / "example.com"
    for version, octets in (("..2026_11_20", rsa_pem), ("..2026_11_21", other_pem)):
        (folder / version).mkdir(parents=True)
        (folder / version / "s1.pem").write_bytes(octets)
        (folder / version / "s1.pem").chmod(0o440)
        os.utime(folder / version / "s1.pem", (1e9, 1e9))
    (folder / "..data").symlink_to("..2026_11_20")
    (folder / "s1.pem").symlink_to("..data/s1.pem")
    return folder


def swap(folder: Path, version: str) -> None:
    """Let `..data` lead to another version, in one step."""
    (folder / "..data_tmp").symlink_to(version)
    (folder / "..data_tmp").replace(folder / "..data")


async def test_a_mounted_secret_is_swapped(mounted: Path, ring: Ring) -> None:
    """The link is another although size and times of the files are the same."""
    await ring.look()
    before = await ring.signs()
    swap(mounted, "..2026_11_21")
    assert (Became.REPLACED, "s1") in await ring.look()
    assert await ring.signs() != before


async def test_a_swap_under_traffic(mounted: Path, ring: Ring) -> None:
    """Whoever asks while keys are exchanged gets one whole key, old or new, every time."""
    await ring.look()
    known = set(await ring.signs())
    asked: list[list[str]] = []
    is_over = False

    async def traffic() -> None:
        while not is_over:
            asked.append(await ring.signs())
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        group.create_task(traffic())
        for version in ["..2026_11_21", "..2026_11_20"] * 5:
            swap(mounted, version)
            await ring.look()
            known |= set(await ring.signs())
        is_over = True
    assert len(known) == 2
    assert len(asked) > 10
    assert all(len(names) == 1 and names[0] in known for names in asked)


class TestRun:
    """The loop of the service, with time that the test gives."""

    async def test_reads_then_looks(self, put_key: PutKey, keys_dir: Path) -> None:
        """Keys that no mail asked for are read in the background, and changes are taken up."""
        put_key("a.example/s1.pem")
        put_key("b.example/s1.pem", b"nonsense")
        changes: list[KeyChange] = []
        keyring = Keyring(KeySource(keys_dir, {}), gate=OpenGate(), report=changes.append)
        keyring.list_anew(difference({}, keyring.look()))
        seconds = 0.0
        done = asyncio.Event()

        async def sleep(wanted: float) -> None:
            nonlocal seconds
            seconds += wanted
            await asyncio.sleep(0)
            if not keyring.pending:
                put_key("c.example/s1.pem")
            if "c.example" in keyring.domains and not keyring.pending:
                done.set()

        watch = KeyWatch(keyring, every_seconds=7, monotonic=lambda: seconds, sleep=sleep)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(watch.run())
            await done.wait()
            task.cancel()
        said = [(change.became, change.domain or change.where) for change in changes]
        assert (Became.LOADED, "a.example") in said
        assert (Became.FAILED, "b.example") in said
        assert (Became.LOADED, "c.example") in said
        assert seconds >= 7

    async def test_never_looking(self, put_key: PutKey, keys_dir: Path) -> None:
        """With keys_reload_seconds = 0 all keys are read, and changes wait for a restart."""
        put_key("a.example/s1.pem")
        keyring = Keyring(KeySource(keys_dir, {}), gate=OpenGate())
        keyring.list_anew(difference({}, keyring.look()))
        rounds = 0
        done = asyncio.Event()

        async def sleep(wanted: float) -> None:
            nonlocal rounds
            rounds += 1
            put_key("c.example/s1.pem")
            if rounds > 5:
                done.set()
            await asyncio.sleep(0)

        watch = KeyWatch(keyring, every_seconds=0, monotonic=lambda: 0.0, sleep=sleep)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(watch.run())
            await done.wait()
            task.cancel()
        assert keyring.pending == ()
        assert keyring.domains == {"a.example"}
