"""Which key signs for a domain now, and what is said when none does."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from relay.core.dkim.algorithm import Algorithm, SigningKey
from relay.core.errors import KeyFault, Reason, Rejection
from relay.keyring import loading
from relay.keyring.changes import Became, KeyChange
from relay.keyring.contents import difference
from relay.keyring.files import FileKey
from relay.keyring.keyring import Keyring, KeyState
from relay.keyring.loading import DomainSettings, KeySource, by_age
from relay.keyring.watch import KeyWatch
from relay.keyring.writing import write_key_pair

if TYPE_CHECKING:
    from tests.unit.keyring.conftest import PutKey


@dataclass(frozen=True)
class Settings:
    """The part of a domain's settings that the keyring reads."""

    selectors: tuple[str, ...] | None = None
    passphrase_file: str = ""


@dataclass
class FakeGate:
    """Open for every selector but those that are closed."""

    closed: set[str] = field(default_factory=set)

    def is_open(self, key: SigningKey) -> bool:
        """Whether the selector is not closed."""
        return key.selector not in self.closed

    def detail(self, key: SigningKey) -> str:
        """The name of the state."""
        return "not published" if key.selector in self.closed else "published"


@pytest.fixture
def gate() -> FakeGate:
    """A gate that tests close."""
    return FakeGate()


@dataclass
class Loading:
    """Loads the test's keys folder."""

    keys_dir: Path
    gate: FakeGate

    def __call__(self, domains: Mapping[str, DomainSettings] | None = None) -> Keyring:
        """A keyring with these settings."""
        return Keyring.of_folder(self.keys_dir, domains=domains or {}, gate=self.gate).load()


@pytest.fixture
def load(keys_dir: Path, gate: FakeGate) -> Loading:
    """Load the keys folder."""
    return Loading(keys_dir, gate)


def selectors(keyring: Keyring, domain: str = "example.com") -> list[str]:
    """The selectors that sign now."""
    return [key.selector for key in asyncio.run(keyring.signers(domain))]


def refusal(keyring: Keyring, domain: str = "example.com") -> Rejection:
    """What is said when no key can sign."""
    with pytest.raises(Rejection) as caught:
        asyncio.run(keyring.signers(domain))
    assert (caught.value.reply.code, caught.value.reply.enhanced) == (451, "4.7.5")
    assert caught.value.reason is Reason.KEY_UNAVAILABLE
    return caught.value


class TestDomains:
    """A folder is enough; so is an entry in the settings."""

    def test_configured_or_with_a_folder(
        self, put_key: PutKey, keys_dir: Path, load: Loading
    ) -> None:
        """The union, in A-labels, of folders in either spelling and settings in either."""
        put_key("example.com/s1.pem")
        (keys_dir / "bücher.example").mkdir()
        keyring = load({"straße.example": Settings(), "EXAMPLE.com": Settings()})
        assert keyring.domains == {
            "example.com",
            "xn--bcher-kva.example",
            "xn--strae-oqa.example",
        }
        assert selectors(keyring) == ["s1"]

    def test_a_domain_without_a_key_waits(self, load: Loading) -> None:
        """Ours to sign, so not unsigned: 451, and the log says which command to run."""
        keyring = load({"example.com": Settings()})
        detail = refusal(keyring).detail
        assert "there is no key (dkim-relay keys new example.com)" in detail
        (fault,) = keyring.faults
        assert fault.where.endswith("example.com")

    def test_an_unknown_domain_is_no_other_error(self, load: Loading) -> None:
        """Whoever asks for it gets the same answer, not a KeyError."""
        assert "no settings for this domain" in refusal(load(), "unknown.example").detail

    def test_a_bad_domain_in_the_settings_is_a_fault(self, load: Loading) -> None:
        """It costs nobody else."""
        keyring = load({"a..b": Settings(), "example.com": Settings()})
        assert keyring.domains == {"example.com"}
        assert any("a..b" in fault.where for fault in keyring.faults)

    def test_a_keys_folder_that_is_not_there(self, tmp_path: Path, gate: FakeGate) -> None:
        """A fault, and every configured domain waits."""
        domains = {"example.com": Settings()}
        keyring = Keyring.of_folder(tmp_path / "absent", domains=domains, gate=gate).load()
        assert "the folder does not exist" in str(keyring.faults[0])
        refusal(keyring)


class TestFaults:
    """One bad file costs only itself."""

    def test_each_bad_file_fails_alone(self, put_key: PutKey, load: Loading) -> None:
        """Other keys of the domain and other domains go on; each fault names path and fix."""
        put_key("example.com/s1.pem")
        bad = put_key("example.com/s2.pem", b"nonsense")
        open_to_all = put_key("other.example/s1.pem", mode=0o644)
        put_key("third.example/s1.pem")
        keyring = load()
        assert selectors(keyring) == ["s1"]
        assert selectors(keyring, "third.example") == ["s1"]
        detail = refusal(keyring, "other.example").detail
        assert f"{open_to_all} (mode 0644): everybody on this host" in detail
        assert f"chmod 0600 {open_to_all}" in detail
        assert [fault.where for fault in keyring.faults] == [
            f"{bad} (mode 0600)",
            f"{open_to_all} (mode 0644)",
        ]

    def test_warnings_do_not_stop_a_key(self, put_key: PutKey, load: Loading) -> None:
        """Group-readable signs; a key in the wrong place is named."""
        path = put_key("example.com/s1.pem", mode=0o640)
        put_key("s1.pem")
        keyring = load()
        assert selectors(keyring) == ["s1"]
        assert keyring.faults == ()
        assert [warning.fix for warning in keyring.warnings][1] == f"chmod 0600 {path}"

    def test_a_key_that_is_not_proven_is_not_used(
        self, put_key: PutKey, load: Loading, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The verifier said no to s1 only."""

        def prove(key: FileKey) -> None:
            if key.selector == "s1":
                raise KeyFault(str(key.path), "refused", "make a new one")

        monkeypatch.setattr(loading, "prove", prove)
        put_key("example.com/s1.pem")
        put_key("example.com/s2.pem")
        keyring = load()
        assert [key.selector for key in keyring.keys] == ["s2"]
        assert "refused" in str(keyring.faults)

    def test_statuses(self, put_key: PutKey, load: Loading, gate: FakeGate) -> None:
        """Every key and every file that is none, as it stands at this moment."""
        put_key("example.com/s1.pem", age_seconds=1000)
        put_key("example.com/s2.pem")
        put_key("example.com/s3.pem", b"")
        keyring = load()
        gate.closed = {"s2"}
        statuses = keyring.statuses()
        assert [(s.selector, s.state) for s in statuses] == [
            ("s2", KeyState.WAITING),
            ("s1", KeyState.USABLE),
            ("s3", KeyState.FAULTY),
        ]
        assert [s.detail for s in statuses[:2]] == ["not published", "published"]
        assert "the file is empty" in statuses[2].detail
        assert statuses[2].public is None


class TestWhichKey:
    """Per algorithm one: the newest whose gate is open."""

    def test_the_old_key_goes_on_until_the_new_one_is_published(
        self, put_key: PutKey, load: Loading, gate: FakeGate
    ) -> None:
        """Rotation without a gap: asked anew for every message."""
        put_key("example.com/old.pem", age_seconds=86400)
        put_key("example.com/new.pem")
        keyring = load()
        gate.closed = {"new"}
        assert selectors(keyring) == ["old"]
        gate.closed = set()
        assert selectors(keyring) == ["new"]
        gate.closed = {"old", "new"}
        detail = refusal(keyring).detail
        assert detail.count("not published") == 2

    def test_rsa_and_ed25519_sign_together(
        self, put_key: PutKey, ed25519_pem: bytes, load: Loading, gate: FakeGate
    ) -> None:
        """RSA first; each by itself when the other is not published."""
        put_key("example.com/e1.pem", ed25519_pem)
        put_key("example.com/r1.pem", age_seconds=3600)
        keyring = load()
        assert selectors(keyring) == ["r1", "e1"]
        assert [
            key.public.algorithm for key in asyncio.run(keyring.signers("example.com"))
        ] == list(Algorithm)
        assert keyring.warnings == ()
        gate.closed = {"e1"}
        assert selectors(keyring) == ["r1"]
        gate.closed = {"r1"}
        assert selectors(keyring) == ["e1"]

    def test_ed25519_alone_is_warned_about(
        self, put_key: PutKey, ed25519_pem: bytes, load: Loading
    ) -> None:
        """It signs, but not everybody can verify it."""
        put_key("example.com/e1.pem", ed25519_pem)
        keyring = load()
        assert selectors(keyring) == ["e1"]
        assert "many receivers cannot verify it" in str(keyring.warnings)

    def test_files_of_one_copy_are_ordered_by_name(self, put_key: PutKey, load: Loading) -> None:
        """A mounted volume writes them within moments, in any order: the names decide."""
        put_key("example.com/s202612.pem", age_seconds=2)
        put_key("example.com/s202611.pem", age_seconds=0)
        put_key("example.com/s202611a.pem", age_seconds=1)
        assert [key.selector for key in load().keys] == ["s202612", "s202611a", "s202611"]

    def test_settings_choose_selectors_and_their_order(
        self, put_key: PutKey, load: Loading, gate: FakeGate
    ) -> None:
        """Only the listed ones sign, the first usable one; one without a file is a fault."""
        put_key("example.com/s1.pem", age_seconds=1000)
        put_key("example.com/s2.pem", age_seconds=500)
        put_key("example.com/s3.pem")
        keyring = load({"example.com": Settings(("S1", "absent", "s2", "a..b"))})
        assert [key.selector for key in keyring.keys] == ["s1", "s2"]
        assert selectors(keyring) == ["s1"]
        gate.closed = {"s1"}
        assert selectors(keyring) == ["s2"]
        absent, bad = keyring.faults
        assert absent.where.endswith("example.com/absent.pem")
        assert absent.fix == "dkim-relay keys new example.com --selector absent"
        assert "a..b" in bad.where

    @pytest.mark.parametrize("given", [None, ()])
    def test_settings_without_selectors_take_all(
        self, put_key: PutKey, load: Loading, given: tuple[str, ...] | None
    ) -> None:
        """Nothing named is nothing excluded."""
        put_key("example.com/s1.pem")
        assert selectors(load({"example.com": Settings(given)})) == ["s1"]


def test_by_age(keys_dir: Path, load: Loading) -> None:
    """Newest first; within a minute, numbers in names compare as numbers."""
    write_key_pair(keys_dir, "example.com", "k", Algorithm.ED25519_SHA256)
    (key,) = load().keys
    assert isinstance(key, FileKey)

    def order(ages: dict[str, float]) -> list[str]:
        keys = [
            dataclasses.replace(key, selector=name, modified_seconds=1e9 - age)
            for name, age in ages.items()
        ]
        return [key.selector for key in by_age(keys)]

    assert order({"a": 120, "b": 0, "c": 7200}) == ["b", "a", "c"]
    assert order({"k2": 0, "k10": 30, "k9": 59}) == ["k10", "k9", "k2"]
    assert order({"s202611": 0, "s202701": 10, "mail": 5}) == ["s202701", "s202611", "mail"]
    assert order({}) == []


class TestFirstNeed:
    """Keys are read when mail first needs them, and held from then on."""

    async def test_only_what_is_needed_is_read(
        self, put_key: PutKey, keys_dir: Path, gate: FakeGate
    ) -> None:
        """Of many domains one is loaded; the others are known, and pending."""
        for name in ("a.example", "b.example", "c.example"):
            put_key(f"{name}/s1.pem")
        changes: list[KeyChange] = []
        keyring = Keyring(KeySource(keys_dir, {}), gate=gate, report=changes.append)
        keyring.list_anew(difference({}, keyring.look()))
        assert (keyring.keys, changes) == ((), [])
        assert keyring.domains == {"a.example", "b.example", "c.example"}
        (key,) = await keyring.signers("b.example")
        assert keyring.keys == (key,)
        assert keyring.pending == ("a.example", "c.example")
        assert [(c.became, c.domain) for c in changes] == [(Became.LOADED, "b.example")]

    async def test_in_memory_it_waits_for_nothing(
        self, put_key: PutKey, keys_dir: Path, gate: FakeGate
    ) -> None:
        """The second time the answer is there without a turn of the loop."""
        put_key("example.com/s1.pem")
        keyring = Keyring(KeySource(keys_dir, {}), gate=gate)
        keyring.list_anew(difference({}, keyring.look()))
        first = await keyring.signers("example.com")
        with pytest.raises(StopIteration) as caught:
            keyring.signers("example.com").send(None)
        assert caught.value.value == first

    async def test_everybody_gets_the_same_key(
        self, put_key: PutKey, keys_dir: Path, gate: FakeGate
    ) -> None:
        """Many messages for a domain that was not read yet: it is read once."""
        put_key("example.com/s1.pem")
        keyring = Keyring(KeySource(keys_dir, {}), gate=gate)
        keyring.list_anew(difference({}, keyring.look()))
        found = await asyncio.gather(*(keyring.signers("example.com") for _ in range(20)))
        assert len({id(key) for (key,) in found}) == 1

    async def test_the_gate_hears_of_it_first(
        self, put_key: PutKey, keys_dir: Path, gate: FakeGate
    ) -> None:
        """The record is asked for before the first message is answered, and only then."""
        put_key("example.com/s1.pem")
        gate.closed = {"s1"}
        told: list[str] = []

        async def introduce(keys: Sequence[SigningKey]) -> None:
            told.extend(key.selector for key in keys)
            await asyncio.sleep(0)
            gate.closed = set()

        keyring = Keyring(KeySource(keys_dir, {}), gate=gate, introduce=introduce)
        keyring.list_anew(difference({}, keyring.look()))
        found = await asyncio.gather(*(keyring.signers("example.com") for _ in range(3)))
        assert all(len(keys) == 1 for keys in found)
        told.clear()
        gate.closed = {"s1"}
        with pytest.raises(Rejection):
            await keyring.signers("example.com")
        assert told == []

    async def test_a_broken_key_is_told_at_first_need(
        self, put_key: PutKey, keys_dir: Path, gate: FakeGate
    ) -> None:
        """451 for this domain, with the fault in its detail."""
        put_key("example.com/s1.pem", b"nonsense")
        keyring = Keyring(KeySource(keys_dir, {}), gate=gate)
        keyring.list_anew(difference({}, keyring.look()))
        with pytest.raises(Rejection, match=r"s1\.pem .*not a key in PEM"):
            await keyring.signers("example.com")


def selectors_of(keyring: Keyring) -> list[str]:
    """The selectors of the keys that were loaded."""
    return [key.selector for key in keyring.keys]


def fill(path: Path, octets: bytes) -> None:
    """Write into a file."""
    path.write_bytes(octets)


def encrypted(key: rsa.RSAPrivateKey, passphrase: bytes) -> bytes:
    """A key that a passphrase opens."""
    lock = BestAvailableEncryption(passphrase)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock)


class TestPassphrases:
    """Encrypted keys, opened by a file; each fault costs its key alone."""

    @pytest.fixture
    def secret(self, tmp_path: Path) -> Path:
        """A passphrase file."""
        path = tmp_path / "passphrase"
        path.write_bytes(b"open sesame\r\n")
        path.chmod(0o600)
        return path

    def test_of_all_domains_and_of_one(
        self,
        put_key: PutKey,
        keys_dir: Path,
        gate: FakeGate,
        rsa_key: rsa.RSAPrivateKey,
        secret: Path,
        tmp_path: Path,
    ) -> None:
        """A domain may have its own; keys that are not encrypted need none."""
        own = tmp_path / "own"
        own.write_bytes(b"other")
        own.chmod(0o400)
        put_key("a.example/s1.pem", encrypted(rsa_key, b"open sesame"))
        put_key("b.example/s1.pem", encrypted(rsa_key, b"other"))
        put_key("c.example/s1.pem")
        domains = {"b.example": Settings(passphrase_file=str(own))}
        keyring = Keyring.of_folder(
            keys_dir, domains=domains, gate=gate, passphrase_file=secret
        ).load()
        assert keyring.faults == ()
        assert len(keyring.keys) == 3

    @pytest.mark.parametrize(
        ("content", "mode", "what"),
        [
            (b"wrong", 0o600, "the passphrase does not open the key"),
            (b"", 0o600, "has nothing in it"),
            (b"a\nb\n", 0o600, "has several lines in it"),
            (b"open sesame", 0o644, "everybody on this host can get at the passphrase"),
            (None, 0, "cannot be opened"),
        ],
    )
    def test_faults(
        self,
        content: bytes | None,
        mode: int,
        what: str,
        put_key: PutKey,
        keys_dir: Path,
        gate: FakeGate,
        rsa_key: rsa.RSAPrivateKey,
        secret: Path,
    ) -> None:
        """Said of the file that is wrong, without what is in it; the other key signs."""
        put_key("example.com/s1.pem", encrypted(rsa_key, b"open sesame"))
        put_key("example.com/s2.pem")
        if content is None:
            secret.unlink()
        else:
            secret.write_bytes(content)
            secret.chmod(mode)
        keyring = Keyring.of_folder(keys_dir, domains={}, gate=gate, passphrase_file=secret).load()
        assert selectors(keyring) == ["s2"]
        (fault,) = keyring.faults
        assert what in fault.what
        assert str(secret) in str(fault)
        assert "open sesame" not in str(fault)

    def test_none_is_set(
        self, put_key: PutKey, keys_dir: Path, gate: FakeGate, rsa_key: rsa.RSAPrivateKey
    ) -> None:
        """The fix names the setting."""
        put_key("example.com/s1.pem", encrypted(rsa_key, b"open sesame"))
        (fault,) = Keyring.of_folder(keys_dir, domains={}, gate=gate).load().faults
        assert fault.what == "the key has a passphrase, and no passphrase file is set"
        assert "keys_passphrase_file" in fault.fix

    async def test_a_passphrase_that_is_put_right(
        self,
        put_key: PutKey,
        keys_dir: Path,
        gate: FakeGate,
        rsa_key: rsa.RSAPrivateKey,
        secret: Path,
    ) -> None:
        """The next look tries the key again, although its own file is the same."""
        put_key("example.com/s1.pem", encrypted(rsa_key, b"open sesame"))
        fill(secret, b"wrong")
        keyring = Keyring(KeySource(keys_dir, {}, passphrase_file=secret), gate=gate)
        watch = KeyWatch(keyring, every_seconds=10)
        await watch.look()
        await watch.load(10)
        assert "does not open" in str(keyring.faults)
        fill(secret, b"open sesame")
        await watch.look()
        assert str(keyring.faults) == "()"
        assert selectors_of(keyring) == ["s1"]
