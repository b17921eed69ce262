"""OpenDKIM's files: every form of its tables, and every line that cannot be taken over."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from relay.core.errors import Fault
from relay.keyring.importing.findings import Findings
from relay.keyring.importing.recognize import read_sources
from relay.keyring.importing.signing_table import Pattern, read_pattern
from relay.keyring.importing.source import Origin

Put = Callable[[str, str | bytes], Path]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Write a file of the other host."""

    def write(name: str, text: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        path.chmod(0o600)
        return path

    return write


@pytest.fixture
def key(put: Put, ed25519_pem: bytes) -> Path:
    """A key that the tables name as ./k.private."""
    return put("k.private", ed25519_pem)


def read(*paths: Path, **said: object) -> Findings:
    """What an import finds in sources."""
    return read_sources(paths, Origin(**said))  # type: ignore[arg-type]  # shorter tests


def names(findings: Findings) -> list[tuple[str, str, bool]]:
    """Domain and selector of every key, and whether it was in use."""
    return [(key.domain, key.selector, key.is_in_use) for key in findings.keys]


def lines(findings: list[Fault]) -> str:
    """Faults or notes as one text."""
    return "\n".join(map(str, findings))


@pytest.mark.parametrize("kind", ["file:", "refile:", "", "file: "])
def test_tables_in_files(put: Put, key: Path, tmp_path: Path, kind: str) -> None:
    """Comments, blank lines, tabs; paths absolute and relative to the configuration."""
    put(
        "etc/KeyTable",
        f"# keys\n\nfirst\texample.com:s1:{key} # one\nsecond  example.net:s2:../k.private\n",
    )
    put("etc/SigningTable", "*@example.com first\n*@example.net\t\tsecond\n")
    conf = put(
        "etc/opendkim.conf",
        f"Mode sv\nkeytable {kind}{tmp_path}/etc/KeyTable\n"
        f"SigningTable {kind}{tmp_path}/etc/SigningTable\n",
    )
    findings = read(conf)
    assert names(findings) == [("example.com", "s1", True), ("example.net", "s2", True)]
    assert (findings.faults, findings.notes, findings.subdomains) == ([], [], {})
    assert findings.keys[0].where == f"{tmp_path}/etc/KeyTable:3"


@pytest.mark.parametrize("mark", ["csl:", ""])
def test_tables_in_the_configuration(put: Put, key: Path, mark: str) -> None:
    """A list behind csl: or bare, with = between name and value."""
    conf = put(
        "opendkim.conf",
        f"KeyTable {mark}a=example.com:s1:{key}, b=example.net:s2:{key}\n"
        f"SigningTable {mark}*@example.com=a,*@example.net=b\n",
    )
    assert names(read(conf)) == [("example.com", "s1", True), ("example.net", "s2", True)]


def test_the_base_directory_and_a_copy_of_the_host(
    put: Put, ed25519_pem: bytes, tmp_path: Path
) -> None:
    """Relative paths begin in BaseDirectory; --root is where absolute ones do."""
    put("host/etc/dkim/keys/k.private", ed25519_pem)
    put("host/etc/dkim/KeyTable", "a example.com:s1:./keys/k.private\n")
    conf = put("opendkim.conf", "BaseDirectory /etc/dkim\nKeyTable file:KeyTable\n")
    assert names(read(conf, root=tmp_path / "host")) == [("example.com", "s1", True)]
    assert "does not exist (correct the path, or give --root" in lines(read(conf).faults)


def test_keys_that_stand_in_the_table(put: Put, rsa_key: rsa.RSAPrivateKey, rsa_pem: bytes) -> None:
    """Base64 of DER, or PEM on one line."""
    der = base64.b64encode(
        rsa_key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    ).decode()
    pem = rsa_pem.decode().replace("\n", "")
    table = put(
        "KeyTable", f"a example.com:s1:{der}\nb example.net:s2:{pem}\nc example.org:s3:short\n"
    )
    findings = read(table)
    assert names(findings) == [("example.com", "s1", True), ("example.net", "s2", True)]
    assert all(key.public.key == rsa_key.public_key() for key in findings.keys)
    (fault,) = findings.faults
    assert (fault.where, fault.what) == (f"{table}:3", "neither a path nor a key")


class TestPercent:
    """`%` is the domain of From."""

    def test_domains_of_the_signing_table(
        self, put: Put, ed25519_pem: bytes, tmp_path: Path
    ) -> None:
        """Each domain that uses the line has a key of its own."""
        for domain in ("example.com", "example.net"):
            put(f"keys/{domain}/s1", ed25519_pem)
        put("SigningTable", "*@example.com all\n*@example.net all\n")
        table = put("KeyTable", f"all %:s1:{tmp_path}/keys/%/s1\n")
        findings = read(table)
        assert names(findings) == [("example.com", "s1", True), ("example.net", "s1", True)]
        assert findings.faults == []

    @pytest.mark.parametrize("form", ["%/s1", "%.private", "dkim-%-s1.key"])
    def test_domains_that_have_a_file(
        self, put: Put, ed25519_pem: bytes, tmp_path: Path, form: str
    ) -> None:
        """A line for every domain: those whose key lies where the path says."""
        for domain in ("example.com", "example.net"):
            put("keys/" + form.replace("%", domain), ed25519_pem)
        put("SigningTable", "* all\n")
        table = put("KeyTable", f"all %:s1:{tmp_path}/keys/{form}\n")
        assert names(read(table)) == [("example.com", "s1", True), ("example.net", "s1", True)]

    def test_domains_given(self, put: Put, key: Path) -> None:
        """One key for whatever domain: those that --domain names, else a fault that asks."""
        put("SigningTable", "* all\n")
        table = put("KeyTable", f"all %:s1:{key}\n")
        assert "give --domain, once for each" in lines(read(table).faults)
        findings = read(table, domains=("example.com", "example.org"))
        assert [n[0] for n in names(findings)] == ["example.com", "example.org"]

    def test_a_key_called_like_the_domain(self, put: Put, key: Path) -> None:
        """`*@x %`, and `* %`: the name of the key is the domain of From."""
        put("SigningTable", "*@example.com %\n* %\n")
        table = put("KeyTable", f"example.com example.com:s1:{key}\nexample.net %:s2:{key}\n")
        findings = read(table)
        assert names(findings) == [("example.com", "s1", True), ("example.net", "s2", True)]


class TestSigningTable:
    """What its lines mean here."""

    @pytest.mark.parametrize(
        ("text", "pattern"),
        [
            ("*", Pattern("*", "", is_below=False)),
            ("*@*", Pattern("*", "", is_below=False)),
            ("joe@*", Pattern("joe", "", is_below=False)),
            ("*@Example.com", Pattern("*", "example.com", is_below=False)),
            ("example.com", Pattern("*", "example.com", is_below=False)),
            ("joe@example.com", Pattern("joe", "example.com", is_below=False)),
            ("*@*.example.com", Pattern("*", "example.com", is_below=True)),
            ("*@.example.com", Pattern("*", "example.com", is_below=True)),
            (".example.com", Pattern("*", "example.com", is_below=True)),
            ("*.example.com", Pattern("*", "example.com", is_below=True)),
            ("*example.com", None),
            ("*@*example.com", None),
            ("*@example.*", None),
            ("a*@example.com", None),
            ("*@", None),
            ("@example.com", None),
            ("*@*.", None),
        ],
    )
    def test_patterns(self, text: str, pattern: Pattern | None) -> None:
        """Every form of opendkim.conf(5); what is more than a domain is not guessed at."""
        assert read_pattern(text) == pattern

    @pytest.mark.parametrize(
        ("line", "subdomains", "told"),
        [
            ("*@example.com k", False, ""),
            ("*@*.example.com k", True, ""),
            (".example.com k", True, ""),
            ("*@news.example.com k", True, ""),
            ("joe@example.com k", False, "joe@example.com: the key is for all of the domain here"),
            ("*@example.com k:%", False, "i=% is not carried over"),
            ("*@example.com k joe@example.com", False, "i=joe@example.com is not carried over"),
            ("*@other.example k", False, "mail of other.example was signed as example.com"),
            ("*@notexample.com k", False, "mail of notexample.com was signed as example.com"),
            ("* k", False, "every domain was signed as example.com"),
        ],
    )
    def test_what_a_line_asks_for(
        self, put: Put, key: Path, line: str, subdomains: bool, told: str
    ) -> None:
        """The key is in use; settings and what differs here are told with the line."""
        signing = put("SigningTable", f"# first\n{line}\n")
        findings = read(put("KeyTable", f"k example.com:s1:{key}\n"))
        assert names(findings) == [("example.com", "s1", True)]
        assert ("example.com" in findings.subdomains) == subdomains
        assert told in lines(findings.notes)
        assert all(note.where == f"{signing}:2" for note in findings.notes)
        assert len(findings.notes) == bool(told)
        assert findings.faults == []

    def test_a_key_that_no_line_uses(self, put: Put, key: Path) -> None:
        """It is taken over as one that was not in use, and told."""
        put("signing.table", "*@example.com b\n")
        table = put("key.table", f"a example.com:s1:{key}\nb example.com:s2:{key}\n")
        findings = read(table)
        assert names(findings) == [("example.com", "s1", False), ("example.com", "s2", True)]
        assert lines(findings.notes).startswith(f"{table}:1: no line of the SigningTable uses")

    def test_faults_name_their_lines_and_the_rest_is_read(self, put: Put, key: Path) -> None:
        """An unknown key, a pattern that is none: both tables go on."""
        signing = put("SigningTable", "*@a.example nokey\n*@exa* k\n*@c.example\n*@example.com k\n")
        findings = read(put("KeyTable", f"k example.com:s1:{key}\n"), signing)
        assert names(findings) == [("example.com", "s1", True)]
        assert [fault.where for fault in findings.faults] == [f"{signing}:{n}" for n in (1, 2, 3)]
        assert all(fault.fix for fault in findings.faults)

    def test_alone(self, put: Put, tmp_path: Path) -> None:
        """It has no keys: the fault asks for the KeyTable."""
        signing = put("alone/SigningTable", "*@example.com k\n")
        assert "name the KeyTable too" in lines(read(signing).faults)


class TestKeyTable:
    """Its faults."""

    @pytest.mark.parametrize(
        ("line", "says"),
        [
            ("bad", "'bad' is none of a KeyTable"),
            ("bad example.com", "'bad' is none of a KeyTable"),
            ("bad example.com:s9", "'bad' is none of a KeyTable"),
            ("bad example.com::/x", "'bad' is none of a KeyTable"),
            ("k example.net:s2:./k.private", "the name k is there already, at "),
            ("bad exa_mple..com:s1:./k.private", "not a domain name"),
            ("bad localhost:s1:./k.private", "at least two labels"),
            ("bad example.com:../s1:./k.private", "not a selector name"),
            ("bad example.com:s9:./absent", "absent: does not exist"),
            ("bad example.com:s9:./", "is not a file"),
            ("bad example.com:s9:./KeyTable", "not a key in PEM"),
        ],
    )
    def test_a_bad_line(self, put: Put, key: Path, line: str, says: str) -> None:
        """One fault with file and line; the good line is taken over."""
        table = put("KeyTable", f"k example.com:s1:./k.private\n{line}\n")
        findings = read(table)
        assert names(findings) == [("example.com", "s1", True)]
        (fault,) = findings.faults
        assert fault.where == f"{table}:2"
        assert says in fault.what
        assert fault.fix

    def test_a_secret_in_a_bad_line_is_not_shown(
        self, put: Put, ed25519_key: ed25519.Ed25519PrivateKey
    ) -> None:
        """Faults go to logs and screens."""
        seed = base64.b64encode(ed25519_key.private_bytes_raw()).decode()
        table = put("KeyTable", f"a example.com:s1:/x\nb example.com:{seed}\nc {seed} x:y\n")
        findings = read(table)
        assert len(findings.faults) == 3
        assert seed[:8] not in lines(findings.faults + findings.notes)


class TestConfiguration:
    """opendkim.conf itself."""

    def test_one_domain(self, put: Put, key: Path) -> None:
        """Domain, Selector, KeyFile; several domains share the key; SubDomains."""
        conf = put(
            "opendkim.conf",
            f"Domain example.com, example.net # ours\nSelector mail\nKeyFile {key}\n"
            "SubDomains yes\n",
        )
        findings = read(conf)
        assert names(findings) == [("example.com", "mail", True), ("example.net", "mail", True)]
        assert set(findings.subdomains) == {"example.com", "example.net"}

    def test_domains_in_a_file(self, put: Put, key: Path, tmp_path: Path) -> None:
        """Domain may be a data set as well."""
        put("domains", "example.com\n# no\nexample.net\n")
        conf = put("opendkim.conf", f"Domain file:{tmp_path}/domains\nSelector m\nKeyFile {key}\n")
        assert [n[0] for n in names(read(conf))] == ["example.com", "example.net"]

    def test_dkimpy_milter(
        self, put: Put, rsa_pem: bytes, ed25519_key: ed25519.Ed25519PrivateKey
    ) -> None:
        """The same words, and a second key for Ed25519, as a seed."""
        key = put("rsa.key", rsa_pem)
        seed = put("ed.key", base64.b64encode(ed25519_key.private_bytes_raw()))
        conf = put(
            "dkimpy-milter.conf",
            f"Domain example.com\nSelector r\nKeyFile {key}\n"
            f"SelectorEd25519 e\nKeyFileEd25519 {seed}\n",
        )
        findings = read(conf)
        assert names(findings) == [("example.com", "r", True), ("example.com", "e", True)]
        assert [key.public.algorithm.key_type for key in findings.keys] == ["rsa", "ed25519"]

    def test_includes(self, put: Put, key: Path, tmp_path: Path) -> None:
        """Settings of an included file count; a loop ends; one that is absent is a fault."""
        put("more.conf", f"KeyFile {key}\nInclude opendkim.conf\n")
        conf = put(
            "opendkim.conf",
            "Domain example.com\nSelector s1\nInclude more.conf\nInclude absent.conf\n",
        )
        findings = read(conf, domains=())
        assert names(findings) == [("example.com", "s1", True)]
        (fault,) = findings.faults
        assert fault.where == f"{conf}:4"
        assert "absent.conf: does not exist" in fault.what

    def test_who_may_send_is_told(self, put: Put, key: Path) -> None:
        """InternalHosts and the like are not keys: a note says where that is set here."""
        conf = put(
            "opendkim.conf",
            f"Domain example.com\nSelector s1\nKeyFile {key}\nInternalHosts refile:/etc/hosts.x\n",
        )
        (note,) = read(conf).notes
        assert note.where == f"{conf}:4"
        assert "InternalHosts" in note.what
        assert "[[clients]]" in note.fix

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("KeyTable lua:/x\n", "'lua' cannot be read"),
            ("KeyTable dsn:mysql://u:p@h/d\n", "'dsn' cannot be read"),
            ("KeyTable file:/absent/KeyTable\n", "/absent/KeyTable: does not exist"),
            ("KeyFile /x\n", "KeyFile without Domain and Selector"),
            ("KeyFile /absent/k\nDomain example.com\nSelector s1\n", "/absent/k: does not exist"),
            ("SigningTable file:/x\n", "neither KeyTable nor KeyFile is set"),
        ],
    )
    def test_what_cannot_be_taken_over(self, put: Put, text: str, says: str) -> None:
        """The fault names the file, the line where there is one, and the fix."""
        conf = put("opendkim.conf", text)
        findings = read(conf)
        assert findings.keys == []
        (fault,) = findings.faults
        assert fault.where.startswith(str(conf))
        assert says in fault.what
        assert fault.fix

    def test_a_folder_with_a_configuration(self, put: Put, key: Path, tmp_path: Path) -> None:
        """`keys import /etc/opendkim`: the configuration counts, or the tables beside the keys."""
        put("KeyTable", f"a example.com:s1:{key}\n")
        put("SigningTable", "*@example.com a\n")
        assert names(read(tmp_path)) == [("example.com", "s1", True)]
        put("opendkim.conf", f"Domain example.net\nSelector s2\nKeyFile {key}\n")
        assert names(read(tmp_path)) == [("example.net", "s2", True)]
