"""Key files without a table, in every form that signers write; and into the keys folder."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from relay.core.errors import Fault
from relay.keyring.files import read_key_file
from relay.keyring.importing.carry import Outcome, carry_over
from relay.keyring.importing.findings import Findings, ForeignKey
from relay.keyring.importing.keyfile import foreign_key
from relay.keyring.importing.recognize import read_sources
from relay.keyring.importing.source import MAX_KEY_OCTETS, Origin
from relay.keyring.pem import PemFault
from relay.keyring.records import record_of
from tests.fakes.permissions import mode_of

Put = Callable[..., Path]
RECORD = (
    'mail._domainkey\tIN\tTXT\t( "v=DKIM1; k=rsa; "\n\t "p=%s" ) ; ----- DKIM key mail for %s\n'
)


@pytest.fixture
def put(tmp_path: Path, ed25519_pem: bytes) -> Put:
    """Write a file of the other host, by default a key."""

    def write(name: str, octets: bytes = ed25519_pem, mode: int = 0o600) -> Path:
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(octets)
        path.chmod(mode)
        return path

    return write


def read(
    *paths: Path,
    domain: str | None = None,
    selector: str | None = None,
    passphrase: bytes | None = None,
) -> Findings:
    """What an import finds in sources."""
    domains = () if domain is None else (domain,)
    return read_sources(paths, Origin(domains=domains, selector=selector, passphrase=passphrase))


def names(findings: Findings) -> list[tuple[str, str]]:
    """Domain and selector of every key."""
    return [(key.domain, key.selector) for key in findings.keys]


def only_fault(findings: Findings) -> Fault:
    """The only fault, of an import without a key."""
    assert findings.keys == []
    (fault,) = findings.faults
    assert fault.fix
    return fault


class TestForms:
    """What is in the file."""

    def test_every_form_of_an_rsa_key(self, rsa_key: rsa.RSAPrivateKey) -> None:
        """PKCS#1 and PKCS#8, in PEM and DER and base64 of DER, encrypted or not."""
        secret = BestAvailableEncryption(b"secret")
        forms = []
        for shape in (PrivateFormat.TraditionalOpenSSL, PrivateFormat.PKCS8):
            forms += [
                rsa_key.private_bytes(Encoding.PEM, shape, e) for e in (NoEncryption(), secret)
            ]
            der = rsa_key.private_bytes(Encoding.DER, shape, NoEncryption())
            forms += [der, base64.b64encode(der), base64.encodebytes(der)]
        for octets in forms:
            assert foreign_key(octets, b"secret").public_key() == rsa_key.public_key()

    def test_every_form_of_an_ed25519_key(
        self, ed25519_key: ed25519.Ed25519PrivateKey, ed25519_pem: bytes
    ) -> None:
        """PKCS#8, the seed of dkimpy, seed and public key of rspamd, a record behind it."""
        raw, public = (
            ed25519_key.private_bytes_raw(),
            ed25519_key.public_key().public_bytes_raw(),
        )
        record = b'\nr1._domainkey IN TXT ( "v=DKIM1; k=ed25519; "\n\t"p=AAAA" ) ;\n'
        for octets in (raw, raw + public):
            for form in (base64.b64encode(octets), base64.b64encode(octets) + record):
                assert foreign_key(form).public_key() == ed25519_key.public_key()
        assert foreign_key(ed25519_pem + record).public_key() == ed25519_key.public_key()

    @pytest.mark.parametrize(
        ("octets", "says"),
        [
            (b"", "the file is empty"),
            (b"hello", "not a key in PEM"),
            (b"\x30\x82\x00\x01x", "damaged"),
            (base64.b64encode(b"\x30" + bytes(100)), "damaged"),
            (base64.b64encode(bytes(64)), "not an Ed25519 seed and its public key"),
            (base64.b64encode(bytes(40)), "not a key in PEM"),
            (b"-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----\n", "a public key, not"),
            (b"-----BEGIN PRIVATE KEY-----\nMIIB\n", "half of a key"),
        ],
    )
    def test_what_is_no_key(self, put: Put, octets: bytes, says: str) -> None:
        """The fault names the file, what it is, and what to do."""
        path = put("example.com/s1.key", octets)
        fault = only_fault(read(path))
        assert fault.where == str(path)
        assert says in fault.what

    def test_passphrases(self, put: Put, rsa_key: rsa.RSAPrivateKey) -> None:
        """Right, wrong and missing; the passphrase itself is never shown."""
        secret = BestAvailableEncryption(b"right one")
        octets = rsa_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret)
        path = put("example.com/s1.pem", octets)
        assert names(read(path, passphrase=b"right one")) == [("example.com", "s1")]
        wrong = only_fault(read(path, passphrase=b"wrong one"))
        assert "the passphrase does not open the key" in wrong.what
        assert "wrong one" not in str(wrong)
        assert only_fault(read(path)).fix == "give --passphrase-file"

    @given(octets=st.binary(max_size=200))
    def test_any_octets_are_a_key_or_one_fault(self, octets: bytes) -> None:
        """Nothing else is raised, bare or in base64."""
        for text in (octets, b"\x30" + octets, base64.b64encode(octets)):
            with contextlib.suppress(PemFault):
                foreign_key(text)


class TestNames:
    """Whose key it is."""

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("example.com/default.private", ("example.com", "default")),
            ("example.com/2026.nov.pem", ("example.com", "2026.nov")),
            ("example.com/example.com.s1.key", ("example.com", "s1")),
            ("dkim/example.com.s1.key", ("example.com", "s1")),
            ("dkim/mail.example.co.uk.dkim.key", ("mail.example.co.uk", "dkim")),
            ("dkim/corp.local.s1.key", ("corp.local", "s1")),
            ("dkim/s1._domainkey.example.com.pem", ("example.com", "s1")),
            ("xn--bcher-kva.example/s1", ("xn--bcher-kva.example", "s1")),
            ("bücher.example/s1.key", ("xn--bcher-kva.example", "s1")),
        ],
    )
    def test_of_folder_and_file(self, put: Put, name: str, expected: tuple[str, str]) -> None:
        """As opendkim-genkey users, rspamd and we lay them out."""
        assert names(read(put(name))) == [expected]

    @pytest.mark.parametrize(
        "name", ["dkim/key.pem", "dkim/example.com.key", "dkim/example.com.google.key", "dkim.d/s1"]
    )
    def test_what_is_not_told_is_asked_for(self, put: Put, name: str) -> None:
        """Neither guessed nor dropped; what could be read in two ways is not told either."""
        path = put(name)
        fault = only_fault(read(path))
        assert fault.where == str(path)
        assert "--domain and --selector" in fault.fix
        assert names(read(path, domain="a.example", selector="x")) == [("a.example", "x")]

    def test_a_selector_given_tells_the_domain_too(self, put: Put) -> None:
        """`example.com.google.key` with --selector google, `example.com.key` with any."""
        assert names(read(put("dkim/example.com.google.key"), selector="google")) == [
            ("example.com", "google")
        ]
        assert names(read(put("dkim/example.com.key"), selector="s1")) == [("example.com", "s1")]

    @pytest.mark.parametrize("suffix", [".txt", ".dns"])
    def test_of_the_record_beside_it(self, put: Put, suffix: str) -> None:
        """opendkim-genkey says selector and domain there."""
        put(f"dkim/key{suffix}", (RECORD % ("AAAA", "example.com")).encode())
        findings = read(put("dkim/key.private"))
        assert names(findings) == [("example.com", "mail")]
        assert "that of another key" in findings.notes[0].what

    def test_a_record_of_localhost_says_nothing(self, put: Put) -> None:
        """opendkim-genkey without -d writes that."""
        put("dkim/mail.txt", (RECORD % ("AAAA", "localhost")).encode())
        path = put("dkim/mail.private")
        assert "which domain" in only_fault(read(path)).what
        assert names(read(path, domain="example.com")) == [("example.com", "mail")]

    def test_the_matching_record_is_no_news(
        self, put: Put, ed25519_pem: bytes, ed25519_key: ed25519.Ed25519PrivateKey
    ) -> None:
        """Only a record of another key is."""
        key = ForeignKey("example.com", "s1", ed25519_key, "", None)
        record = record_of(key.public, domain="example.com", selector="s1")
        put("example.com/s1.txt", f'{record.name}. IN TXT "{record.value}"\n'.encode())
        assert read(put("example.com/s1.pem")).notes == []

    @pytest.mark.parametrize(
        ("domain", "selector"), [("../x.example", "s1"), ("x.example", "../s1")]
    )
    def test_names_that_are_none(self, put: Put, domain: str, selector: str) -> None:
        """From wherever they come, they pass the one place that checks names."""
        findings = read(put("dkim/k.pem"), domain=domain, selector=selector)
        assert "not a" in only_fault(findings).what


class TestSources:
    """What is given to the import."""

    def test_a_folder_of_folders(self, put: Put, tmp_path: Path) -> None:
        """All keys below it; what is no key is passed over, hidden folders too."""
        put("example.com/s1.private")
        put("example.net/s2.private")
        put("example.net/s3")
        put("example.com/s1.txt", b"v=DKIM1; p=")
        put("example.com/README", b"hello")
        put("..data/example.com/s9.pem")
        assert names(read(tmp_path / "source")) == [
            ("example.com", "s1"),
            ("example.net", "s2"),
            ("example.net", "s3"),
        ]

    def test_all_files_of_a_folder(self, put: Put) -> None:
        """`keys import folder/*`: records among them are no news."""
        findings = read(put("example.com/s1.private"), put("example.com/s1.txt", b"v=DKIM1; p="))
        assert (names(findings), findings.faults) == ([("example.com", "s1")], [])

    def test_a_folder_without_keys(self, tmp_path: Path) -> None:
        """A fault, not nothing."""
        assert "no private key" in only_fault(read(tmp_path)).what

    @pytest.mark.parametrize("octets", [b"hello\n", b"\x00\x01\x02", b"", b"# only a comment\n"])
    def test_a_file_that_is_nothing_known(self, put: Put, octets: bytes) -> None:
        """The fault lists what is."""
        fault = only_fault(read(put("notes", octets)))
        assert "neither a key nor" in fault.what
        assert "KeyTable" in fault.fix

    def test_a_key_file_that_is_too_long(self, put: Put, ed25519_pem: bytes) -> None:
        """Not read to its end."""
        path = put("example.com/s1.pem", ed25519_pem + b"\n" * MAX_KEY_OCTETS)
        assert f"is over {MAX_KEY_OCTETS} octets" in only_fault(read(path)).what

    def test_a_key_that_everybody_could_read(self, put: Put) -> None:
        """It is taken over, and told."""
        findings = read(put("example.com/s1.pem", mode=0o644))
        assert names(findings) == [("example.com", "s1")]
        assert "everybody on its host" in findings.notes[0].what


class TestCarryOver:
    """Into the keys folder."""

    def carry(
        self, keys_dir: Path, *keys: ForeignKey, **how: bool
    ) -> tuple[list[Outcome], Findings]:
        """What became of these keys."""
        findings = Findings(keys=list(keys))
        options = {"replaces": False, "is_dry_run": False} | how
        carried = carry_over(findings, keys_dir, **options)
        return [each.outcome for each in carried], findings

    @pytest.fixture
    def key(self, ed25519_key: ed25519.Ed25519PrivateKey) -> ForeignKey:
        """A key found elsewhere."""
        return ForeignKey("example.com", "s1", ed25519_key, "there:1", 1_600_000_000)

    @pytest.fixture
    def other(self) -> ForeignKey:
        """Another key of the same name."""
        private = ed25519.Ed25519PrivateKey.generate()
        return ForeignKey("example.com", "s1", private, "there:2", None)

    def test_it_is_written_as_our_own(self, keys_dir: Path, key: ForeignKey) -> None:
        """0600, with its record, as old as it was."""
        assert self.carry(keys_dir, key)[0] == [Outcome.IMPORTED]
        path = keys_dir / "example.com" / "s1.pem"
        assert (mode_of(path), path.stat().st_mtime) == (0o600, 1_600_000_000)
        assert read_key_file(path, domain="example.com", selector="s1").public == key.public
        assert "s1._domainkey.example.com" in path.with_suffix(".txt").read_text()

    def test_twice_is_once(self, keys_dir: Path, key: ForeignKey) -> None:
        """The same key is there already: no fault, nothing written."""
        self.carry(keys_dir, key)
        assert self.carry(keys_dir, key, key)[0] == [Outcome.PRESENT]

    def test_another_key_stands(self, keys_dir: Path, key: ForeignKey, other: ForeignKey) -> None:
        """Unless it is to be replaced."""
        self.carry(keys_dir, key)
        outcomes, findings = self.carry(keys_dir, other)
        (fault,) = findings.faults
        assert (outcomes, fault.where) == ([], "there:2")
        assert "another key is in" in fault.what
        assert "--force" in fault.fix
        path = keys_dir / "example.com" / "s1.pem"
        assert read_key_file(path, domain="example.com", selector="s1").public == key.public
        assert self.carry(keys_dir, other, replaces=True)[0] == [Outcome.REPLACED]
        assert read_key_file(path, domain="example.com", selector="s1").public == other.public
        assert other.public.octets != key.public.octets

    def test_a_broken_file_stands_too(self, keys_dir: Path, key: ForeignKey) -> None:
        """It may be all that is left of something."""
        path = keys_dir / "example.com" / "s1.pem"
        path.parent.mkdir()
        path.write_bytes(b"precious")
        assert self.carry(keys_dir, key)[0] == []
        assert path.read_bytes() == b"precious"

    def test_a_key_in_a_token_stands(self, keys_dir: Path, key: ForeignKey) -> None:
        """Even when keys are to be replaced: two keys of one name would be no use."""
        path = keys_dir / "example.com" / "s1.pkcs11"
        path.parent.mkdir()
        path.write_text("pkcs11:token=t;object=o")
        outcomes, findings = self.carry(keys_dir, key, replaces=True)
        assert (outcomes, len(findings.faults)) == ([], 1)
        assert "is in a token" in findings.faults[0].what
        assert list(path.parent.iterdir()) == [path]

    def test_a_record_alone_stands(self, keys_dir: Path, key: ForeignKey) -> None:
        """The name is taken; no key is left beside it."""
        record = keys_dir / "example.com" / "s1.txt"
        record.parent.mkdir()
        record.write_bytes(b"precious")
        outcomes, findings = self.carry(keys_dir, key)
        assert (outcomes, len(findings.faults)) == ([], 1)
        assert list(record.parent.iterdir()) == [record]

    def test_two_keys_of_one_name(self, keys_dir: Path, key: ForeignKey, other: ForeignKey) -> None:
        """Which is published cannot be known: the first is taken, the other is a fault."""
        outcomes, findings = self.carry(keys_dir, key, other)
        assert outcomes == [Outcome.IMPORTED]
        assert findings.faults[0].where == "there:2"

    def test_a_dry_run_writes_nothing(
        self, tmp_path: Path, key: ForeignKey, other: ForeignKey
    ) -> None:
        """And says the same."""
        assert self.carry(tmp_path / "new", key, is_dry_run=True)[0] == [Outcome.IMPORTED]
        assert not (tmp_path / "new").exists()

    def test_a_folder_that_cannot_be_written(self, tmp_path: Path, key: ForeignKey) -> None:
        """A fault of each key."""
        (tmp_path / "keys").write_text("")
        outcomes, findings = self.carry(tmp_path / "keys", key)
        assert outcomes == []
        assert "cannot be written" in findings.faults[0].what
