"""Broken key files, tables, names, records and zones, as commands tell them.

Each time: which file or name, what is wrong with it, what to do; the exit code; and not one octet
of what is there is changed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from relay.cli import main
from relay.core.dkim.algorithm import Algorithm
from relay.keyring.writing import write_key_pair
from tests.fakes.streams import Stdin

SAID = re.compile(r"(?:fault: )?(?P<where>\S.*?): (?P<what>.+) \((?P<fix>.+)\)")
MESSAGE = b"From: a@example.com\r\nSubject: x\r\n\r\nHello.\r\n"
# Nobody listens there, so DNS fails at once.
NO_DNS = {
    "DKIM_RELAY_DNS__NAMESERVERS": "127.0.0.1:1",
    "DKIM_RELAY_DNS__TIMEOUT_SECONDS": "0.1",
}
Snapshot = dict[Path, tuple[bytes, int]]
Run = Callable[..., Result]

BROKEN_KEYS = {
    "empty": b"",
    "text": b"this is no key\n",
    "half": b"-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\n",
    "not base64": b"-----BEGIN PRIVATE KEY-----\n!!!!\n-----END PRIVATE KEY-----\n",
    "not DER": b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    "public": b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
    "certificate": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    "record": b"v=DKIM1; k=rsa; p=AAAA\n",
    "binary": bytes(range(256)),
    "too long": b"-----BEGIN PRIVATE KEY-----\n" + b"A" * 1_000_000,
}
BAD_DOMAINS = [
    *("", "localhost", "exa mple.com", "a..b", ".example.com", "-", "../etc", "a/b.example"),
    *("a" * 64 + ".example", "\u2603\ufe0f.example", "a\nb.example", "*.example.com"),
]


def snapshot(folder: Path) -> Snapshot:
    """Every file with its octets and its time."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in the folder of the test, with nothing set but where DNS is not."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DKIM_RELAY_CONFIG", raising=False)

    def invoke(*arguments: str | Path, stdin: bytes = b"") -> Result:
        given = [str(argument) for argument in arguments]
        done = CliRunner().invoke(main, given, input=Stdin(stdin), env=NO_DNS)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done

    return invoke


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """One good key of example.com, s1."""
    return write_key_pair(tmp_path / "keys", "example.com", "s1", Algorithm.ED25519_SHA256).key_path


def faults(result: Result) -> list[re.Match[str]]:
    """The lines that tell what is wrong: each has where, what and fix."""
    lines = [
        line for line in result.stderr.splitlines() if not line.startswith(("warning", "note"))
    ]
    found = [SAID.fullmatch(line) for line in lines]
    assert all(found), lines
    return [match for match in found if match]


@pytest.mark.parametrize("octets", BROKEN_KEYS.values(), ids=BROKEN_KEYS)
def test_key_files(run: Run, tmp_path: Path, octets: bytes) -> None:
    """`keys list`, `sign`, `keys record` and `dns check` name the file; nothing is touched."""
    path = tmp_path / "keys" / "example.com" / "s1.pem"
    path.parent.mkdir(parents=True)
    path.write_bytes(octets)
    path.chmod(0o600)
    before = snapshot(tmp_path)
    listed = run("keys", "list")
    (fault,) = faults(listed)
    assert (listed.exit_code, fault["where"].partition(" ")[0]) == (1, "keys/example.com/s1.pem")
    signed = run("sign", stdin=MESSAGE)
    assert (signed.exit_code, signed.stdout_bytes) == (1, b"")
    assert "keys/example.com/s1.pem" in signed.stderr
    printed = run("keys", "record", "example.com")
    assert (printed.exit_code, printed.stdout) == (2, "")
    assert faults(printed)[0]["where"].startswith("keys/example.com/s1.pem")
    checked = run("dns", "check", "example.com")
    assert checked.exit_code == 1
    assert "key_unreadable" in checked.stdout
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("name", BAD_DOMAINS)
@pytest.mark.parametrize(
    "command",
    [
        ("keys", "new"),
        ("keys", "record"),
        ("keys", "rotate"),
        ("keys", "retire"),
        ("keys", "status"),
        ("dns", "check"),
        ("dns", "publish"),
    ],
    ids=" ".join,
)
def test_names_of_domains(
    run: Run, key: Path, tmp_path: Path, command: tuple[str, ...], name: str
) -> None:
    """Exit 2, the name on one line of printable text and what to give instead."""
    before = snapshot(tmp_path)
    done = run(*command, "--", name)
    assert (done.exit_code, done.stdout) == (2, "")
    (fault,) = faults(done)
    assert fault["where"] == ascii(name) or len(name) > 60
    assert fault["fix"].startswith("give ")
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("selector", ["a b", "..", "-", "a/b", "a" * 64, "{decade}", "{", ""])
@pytest.mark.parametrize(
    "command",
    [
        ("keys", "new", "example.com"),
        ("keys", "record", "example.com"),
        ("keys", "rotate", "example.com"),
        ("dns", "check", "example.com"),
        ("dns", "unpublish", "example.com"),
    ],
    ids=" ".join,
)
def test_selectors(
    run: Run, key: Path, tmp_path: Path, command: tuple[str, ...], selector: str
) -> None:
    """The same of a selector, and of a template."""
    before = snapshot(tmp_path)
    done = run(*command, "--selector", selector)
    assert done.exit_code in (1, 2), done.output
    assert done.stdout == ""
    assert faults(done)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("KeyTable", "mail example.com:mail:/absent/k\n", 1),
        ("KeyTable", "# one\nmail example.com:mail\n", 2),
        ("KeyTable", "mail exam ple:mail:k.private\n", 1),
        ("KeyTable", "ok example.com:mail:k.private\nbad a..b:s:k.private\n", 2),
        ("SigningTable", "*@example.com\n", 1),
        ("SigningTable", "ok@example.com mail\n*@example.com nokey\n", 2),
    ],
)
def test_tables(run: Run, key: Path, tmp_path: Path, name: str, text: str, line: int) -> None:
    """Table and line are named."""
    folder = tmp_path / "opendkim"
    folder.mkdir()
    (folder / "k.private").write_bytes(key.read_bytes())
    (folder / "k.private").chmod(0o600)
    tables = {
        "KeyTable": "mail example.com:mail:k.private\n",
        "SigningTable": "*@example.com mail\n",
        name: text,
    }
    for table, content in tables.items():
        (folder / table).write_text(content.replace(":k.", f":{folder}/k."))
    (folder / "opendkim.conf").write_text(
        f"KeyTable file:{folder}/KeyTable\nSigningTable refile:{folder}/SigningTable\n"
    )
    done = run("keys", "import", folder / "opendkim.conf")
    assert done.exit_code == 1
    assert f"fault: {folder / name}:{line}: " in done.stderr


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"x": "v=DKIM1"}', '{"x": [1]}', '{"x": [["a", 2]]}', "\x00"]
)
def test_a_zone_in_a_file(run: Run, key: Path, tmp_path: Path, text: str) -> None:
    """`verify --dns-file` of something else: exit 2, the file, and the form that it should have."""
    signed = run("sign", stdin=MESSAGE).stdout_bytes
    (tmp_path / "zone.json").write_text(text)
    done = run("verify", "--dns-file", "zone.json", stdin=signed)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("zone.json: ")
    assert "owner name" in done.stderr


@pytest.mark.parametrize("text", ["", "rubbish", "{", "[]", '{"version": 99}', "\x00\x01"])
def test_a_journal(run: Run, key: Path, tmp_path: Path, text: str) -> None:
    """`keys status` goes on without it, and names the file."""
    path = key.parent / ".rotation.json"
    path.write_text(text)
    before = snapshot(tmp_path)
    done = run("keys", "status", "example.com")
    assert done.exit_code == 1
    assert "  s1  ed25519 256  " in done.stdout
    (fault,) = faults(done)
    assert fault["where"] == "keys/example.com/.rotation.json"
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    "text", ["", "rubbish!", 'key "k" {', 'key "k" { algorithm hmac-md5; secret "AAAA"; };']
)
def test_a_key_for_updates(run: Run, key: Path, tmp_path: Path, text: str) -> None:
    """`dns publish` with a TSIG key that is none: exit 2, the setting and the file."""
    (tmp_path / "update.key").write_text(text)
    (tmp_path / "relay.toml").write_text(
        '[[publishing]]\nname = "p"\nserver = "127.0.0.1:1"\nkey_file = "update.key"\n'
    )
    done = run("dns", "publish", "example.com", "-c", "relay.toml")
    assert (done.exit_code, done.stdout) == (2, "")
    (fault,) = faults(done)
    assert fault["where"] == "publishing[0].key_file"


@pytest.mark.parametrize(
    "command",
    [
        ("keys", "new", "example.com", "--selector", "s1"),
        ("keys", "new", "EXAMPLE.com", "--selector", "S1", "--algorithm", "ed25519"),
        ("keys", "new", "other.example", "example.com", "--selector", "s1"),
        ("keys", "import", "other.pem", "--domain", "example.com", "--selector", "s1"),
        ("keys", "rotate", "example.com", "--selector", "s1"),
        ("keys", "list"),
        ("keys", "record", "example.com", "--revoked"),
        ("keys", "status"),
        ("dns", "check"),
    ],
    ids=" ".join,
)
def test_nothing_is_overwritten(
    run: Run, key: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """Whatever is asked, key and record stay as they are while nobody says --force."""
    other = write_key_pair(tmp_path / "far", "far.example", "s9", Algorithm.ED25519_SHA256)
    other.key_path.rename(tmp_path / "other.pem")
    before = snapshot(tmp_path)
    run(*command)
    after = snapshot(tmp_path)
    assert {path: after.get(path) for path in before} == before
    assert not (tmp_path / "keys" / "other.example").exists()


def test_force_replaces(run: Run, key: Path, tmp_path: Path) -> None:
    """And with --force an import replaces both files."""
    other = write_key_pair(tmp_path / "far", "far.example", "s9", Algorithm.ED25519_SHA256)
    given = ("--domain", "example.com", "--selector", "s1", "--force", "--json")
    done = run("keys", "import", other.key_path, *given)
    assert done.exit_code == 0
    assert json.loads(done.stdout)["keys"][0]["outcome"] == "replaced"
    assert key.read_bytes() == other.key_path.read_bytes()
    assert other.record.value in key.with_suffix(".txt").read_text()
