"""Commands for keys take the settings that `serve` takes: file, variables, then options."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from relay.cli import main
from relay.core.dkim.algorithm import Algorithm
from relay.core.dkim.signature import Signature
from relay.core.dkim.verify import find_signatures
from relay.core.reader import read_message
from relay.keyring.writing import write_key_pair
from tests.fakes.streams import Stdin

SETTINGS = """\
keys_dir = "{folder}/elsewhere"
keys_passphrase_file = "{folder}/first"
[domains."one.example"]
subdomains = true
[domains."two.example"]
passphrase_file = "{folder}/second"
[domains."three.example"]
selectors = ["s1"]
"""
Run = Callable[..., Result]


def write(folder: Path, domain: str, selector: str, passphrase: bytes = b"") -> None:
    """A key in a keys folder, encrypted when there is a passphrase."""
    path = write_key_pair(folder, domain, selector, Algorithm.RSA_SHA256, 1024).key_path
    if passphrase:
        private = load_pem_private_key(path.read_bytes(), None)
        lock = BestAvailableEncryption(passphrase)
        path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock))


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """Settings for a folder with three domains, the keys of two of them encrypted."""
    folder = tmp_path / "elsewhere"
    write(folder, "one.example", "s1", b"first")
    write(folder, "two.example", "s1", b"second")
    write(folder, "three.example", "s1")
    write(folder, "three.example", "s2")
    for name in ("first", "second"):
        (tmp_path / name).write_text(f"{name}\n")
        (tmp_path / name).chmod(0o600)
    path = tmp_path / "relay.toml"
    path.write_text(SETTINGS.format(folder=tmp_path))
    return path


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in an empty folder, with these variables and a message on standard input."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def invoke(*arguments: str | Path, stdin: bytes = b"", **variables: str | Path) -> Result:
        env = {f"DKIM_RELAY_{name}": str(text) for name, text in variables.items()}
        given = [str(argument) for argument in arguments]
        return CliRunner().invoke(main, given, input=Stdin(stdin), env=env)

    return invoke


def signers(result: Result) -> list[tuple[str, str]]:
    """Domain and selector of each signature of a signed message."""
    assert result.exit_code == 0, result.stderr
    found = find_signatures(read_message(result.stdout_bytes))
    return [(s.domain, s.selector) for s in found if isinstance(s, Signature)]


def message(domain: str) -> bytes:
    """One with such a From."""
    return f"From: a@{domain}\r\nSubject: x\r\n\r\nHello.\r\n".encode()


@pytest.mark.parametrize("by", ["option", "variable", "default"])
def test_list_reads_the_settings(run: Run, settings: Path, tmp_path: Path, by: str) -> None:
    """Wherever the file is named: passphrases open keys, and only the named selectors count."""
    if by == "option":
        result = run("keys", "list", "--json", "-c", settings)
    elif by == "variable":
        result = run("keys", "list", "--json", CONFIG=settings)
    else:
        (tmp_path / "here" / "config").mkdir()
        settings.rename(tmp_path / "here" / "config" / "relay.toml")
        result = run("keys", "list", "--json")
    assert result.exit_code == 0, result.stderr
    rows = [(row["domain"], row["selector"], row["state"]) for row in json.loads(result.stdout)]
    assert rows == [
        ("one.example", "s1", "usable"),
        ("three.example", "s1", "usable"),
        ("two.example", "s1", "usable"),
    ]


def test_list_without_the_passphrases(run: Run, settings: Path) -> None:
    """A folder alone is enough; what needs a setting says which."""
    result = run("keys", "list", "--keys-dir", settings.parent / "elsewhere")
    assert result.exit_code == 1
    assert result.stderr.count("no passphrase file is set (set keys_passphrase_file") == 2
    assert "three.example" in result.stdout


@pytest.mark.parametrize(
    ("author", "signer"),
    [
        ("one.example", ("one.example", "s1")),
        ("deep.below.one.example", ("one.example", "s1")),
        ("two.example", ("two.example", "s1")),
        ("three.example", ("three.example", "s1")),
    ],
)
def test_sign_reads_the_settings(
    run: Run, settings: Path, author: str, signer: tuple[str, str]
) -> None:
    """Passphrases, subdomains and selectors are those that `serve` would use."""
    assert signers(run("sign", "-c", settings, stdin=message(author))) == [signer]


def test_sign_takes_the_profile_and_the_limits_of_the_settings(run: Run, settings: Path) -> None:
    """What the upstream rewrites is not signed, and x= is there; --profile is stronger."""
    variables = {
        "CONFIG": settings,
        "UPSTREAM__URL": "smtp://localhost:25",
        "UPSTREAM__PROFILE": "ses",
        "SIGNING__EXPIRE_SECONDS": "3600",
    }
    octets = message("three.example")
    by_settings = run("sign", stdin=octets, **variables)
    assert signers(by_settings) == [("three.example", "s1")]
    assert b"x=" in by_settings.stdout_bytes
    assert b"date" not in field_names(by_settings)
    assert b"date" in field_names(run("sign", "--profile", "generic", stdin=octets, **variables))


def field_names(result: Result) -> tuple[bytes, ...]:
    """h= of the signature."""
    (found,) = find_signatures(read_message(result.stdout_bytes))
    assert isinstance(found, Signature)
    return found.names


def test_sign_reads_only_the_keys_that_it_needs(run: Run, settings: Path) -> None:
    """A broken key of another domain is not even looked at."""
    (settings.parent / "elsewhere" / "two.example" / "s1.pem").write_text("rubbish")
    assert signers(run("sign", "-c", settings, stdin=message("three.example")))


def test_new_and_record_and_import_use_the_folder_of_the_settings(
    run: Run, settings: Path, tmp_path: Path
) -> None:
    """A key is made where `serve` looks for it, and its record can be printed from there."""
    assert run("keys", "new", "four.example", "--selector", "s1", "-c", settings).exit_code == 0
    assert (tmp_path / "elsewhere" / "four.example" / "s1.pem").exists()
    for domain in ("one.example", "two.example"):
        printed = run("keys", "record", domain, "-c", settings)
        assert f"s1._domainkey.{domain}" in printed.stdout
    key = tmp_path / "elsewhere" / "four.example" / "s1.pem"
    given = ("--domain", "five.example", "--selector", "s1")
    assert run("keys", "import", key, *given, CONFIG=settings).exit_code == 0
    assert (tmp_path / "elsewhere" / "five.example" / "s1.pem").exists()
    assert list((tmp_path / "here").iterdir()) == []


def test_what_to_do_next_depends_on_the_settings(run: Run, tmp_path: Path) -> None:
    """By command where a provider is set up, by hand elsewhere; and how to wait for it."""
    path = tmp_path / "relay.toml"
    path.write_text(
        '[[publishing]]\nname = "p"\ndomains = ["a.example"]\nserver = "127.0.0.1:5353"\n'
    )
    new = ("keys", "new", "--algorithm", "ed25519", "-c", path)
    one = run(*new, "a.example").stderr
    assert "Publish it: dkim-relay dns publish a.example\n" in one
    assert "at the DNS provider" not in one
    assert "dkim-relay dns check a.example --wait" in one
    both = run(*new, "a.example", "b.example").stderr
    assert "dns publish a.example\nPublish the other record, as it stands, at the DNS" in both
    closed = run("keys", "new", "c.example", "--algorithm", "ed25519", DNS__GATE="off").stderr
    assert 'without waiting for that (dns.gate = "off")' in closed


def test_verify_knows_the_keys_of_the_settings(run: Run, settings: Path, tmp_path: Path) -> None:
    """That the published key is another than the one on this machine is said."""
    signed = run("sign", "-c", settings, stdin=message("two.example")).stdout_bytes
    other = run("keys", "record", "three.example", "--selector", "s1", "-c", settings).stdout
    value = next(line for line in other.splitlines() if line.startswith("value"))
    zone = {"s1._domainkey.two.example": [value.partition(":")[2].strip()]}
    (tmp_path / "dns.json").write_text(json.dumps(zone))
    said = run("verify", "--dns-file", tmp_path / "dns.json", "-c", settings, stdin=signed)
    assert said.exit_code == 1
    assert "elsewhere/two.example/s1.pem" in said.stdout


@pytest.mark.parametrize(
    "command",
    [
        ("keys", "list"),
        ("keys", "new", "x.example"),
        ("keys", "record", "x.example"),
        ("keys", "rotate", "x.example"),
        ("dns", "check"),
        ("sign",),
        ("verify",),
        ("explain",),
    ],
)
def test_settings_that_are_wrong(run: Run, tmp_path: Path, command: tuple[str, ...]) -> None:
    """Exit 2, every fault with its line or variable, and nothing else is done."""
    (tmp_path / "relay.toml").write_text('keys_dri = "keys"\n[dns]\ngate = "ajar"\n')
    result = run(*command, "-c", tmp_path / "relay.toml", KEYS_RELOAD_SECONDS="soon")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "relay.toml:1: keys_dri: is not a setting" in result.stderr
    assert "relay.toml:3: dns.gate:" in result.stderr
    assert "DKIM_RELAY_KEYS_RELOAD_SECONDS" in result.stderr
    assert list((tmp_path / "here").iterdir()) == []


@pytest.mark.parametrize("value", ["-1", "-0.1", "nan", "inf", "-inf", "soon", "10s", "", "1,5"])
def test_bad_times_between_looks_at_the_keys(run: Run, value: str) -> None:
    """Exit 2; the variable, the setting and the value are named."""
    done = run("config", "check", KEYS_RELOAD_SECONDS=value, UPSTREAM__URL="smtp://localhost:25")
    assert done.exit_code == 2
    assert done.stderr.startswith("DKIM_RELAY_KEYS_RELOAD_SECONDS: keys_reload_seconds: ")
    assert f"not {value!r}" in done.stderr


@pytest.mark.parametrize("value", ["-1", "nan", "inf", '"soon"', "true", "[10]", "{}"])
def test_the_same_in_the_file(run: Run, tmp_path: Path, value: str) -> None:
    """The line is named."""
    path = tmp_path / "relay.toml"
    path.write_text(f'state_dir = ""\nkeys_reload_seconds = {value}\n')
    done = run("keys", "list", "-c", path)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"{path}:2: keys_reload_seconds: ")


@pytest.mark.parametrize("value", ["0", "0.25", "3600", "1e3"])
def test_good_times_between_looks_at_the_keys(run: Run, tmp_path: Path, value: str) -> None:
    """None at all, fractions, hours."""
    (tmp_path / "here" / "keys").mkdir()
    given = {"KEYS_RELOAD_SECONDS": value, "UPSTREAM__URL": "smtp://localhost:25"}
    assert run("config", "check", **given).exit_code == 0
