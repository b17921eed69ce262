"""`dkim-relay keys import`: what is said of what was found, settings, exit codes."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from relay.cli.keys import keys
from relay.config import load
from relay.keyring.files import read_key_file
from tests.fakes.keys import ed25519_private

Run = Callable[..., Result]


@pytest.fixture
def keys_dir(tmp_path: Path) -> Path:
    """A keys folder that is not there yet."""
    return tmp_path / "keys"


@pytest.fixture
def run(keys_dir: Path) -> Run:
    """Import into the keys folder."""

    def invoke(*arguments: str | Path) -> Result:
        env = {"DKIM_RELAY_KEYS_DIR": str(keys_dir)}
        argv = ["import", *map(str, arguments)]
        return CliRunner().invoke(keys, argv, env=env, catch_exceptions=False)

    return invoke


@pytest.fixture
def opendkim(tmp_path: Path) -> Path:
    """A setup of OpenDKIM: one key for a domain and all below, one not in use."""
    folder = tmp_path / "opendkim"
    folder.mkdir()
    for number, name in enumerate(("new", "old")):
        pem = ed25519_private(number).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
        (folder / f"{name}.private").write_bytes(pem)
        (folder / f"{name}.private").chmod(0o600)
    (folder / "KeyTable").write_text(
        "new example.com:new:./new.private\nold example.com:old:./old.private\n"
    )
    (folder / "SigningTable").write_text("*@example.com new\n*@*.example.com new\n")
    return folder


def test_an_import(run: Run, keys_dir: Path, opendkim: Path) -> None:
    """Keys are in the folder; what to set and what to check is said."""
    result = run(opendkim)
    assert result.exit_code == 0
    assert [line.split(" (")[0] for line in result.stdout.splitlines()] == [
        "imported: example.com new",
        "imported: example.com old",
    ]
    assert "dkim-relay dns check example.com" in result.stderr
    assert f"note: {opendkim}/KeyTable:2: no line of the SigningTable uses" in result.stderr
    for name in ("new", "old"):
        read_key_file(keys_dir / f"example.com/{name}.pem", domain="example.com", selector=name)


def test_the_settings_are_settings(run: Run, opendkim: Path, tmp_path: Path) -> None:
    """What is printed can be put into the file as it stands."""
    settings = json.loads(run(opendkim, "--json").stdout)["settings"]
    assert tomllib.loads(settings)["domains"] == {
        "example.com": {"subdomains": True, "selectors": ["new"]}
    }
    path = tmp_path / "relay.toml"
    path.write_text('[[upstreams]]\nurl = "smtp://smtp.example.net"\n' + settings)
    assert load(path, {}).domains["example.com"].subdomains


def test_a_dry_run(run: Run, keys_dir: Path, opendkim: Path) -> None:
    """Shows all of it and writes nothing."""
    result = run(opendkim, "--dry-run")
    assert result.exit_code == 0
    assert result.stdout.count("would be imported: ") == 2
    assert "Nothing was written" in result.stderr
    assert not keys_dir.exists()


def test_again(run: Run, opendkim: Path) -> None:
    """The second time nothing is to be done, and that is no fault."""
    run(opendkim)
    result = run(opendkim)
    assert result.exit_code == 0
    assert result.stdout.count("present: ") == 2


def test_another_key_of_that_name_needs_force(run: Run, keys_dir: Path, opendkim: Path) -> None:
    """Exit 1, the key there stands and the others are imported; --force replaces it."""
    run(opendkim)
    path = keys_dir / "example.com" / "new.pem"
    before = path.read_bytes()
    (opendkim / "new.private").write_bytes((opendkim / "old.private").read_bytes())
    result = run(opendkim)
    assert result.exit_code == 1
    assert f"{opendkim}/KeyTable:1: another key is in {path} already" in result.stderr
    assert path.read_bytes() == before
    assert run(opendkim, "--force").exit_code == 0
    assert path.read_bytes() != before


def test_faults_are_exit_1_and_the_rest_is_imported(run: Run, opendkim: Path) -> None:
    """Each with its place and its fix."""
    with (opendkim / "KeyTable").open("a") as table:
        table.write("bad\n")
    result = run(opendkim, "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert [key["outcome"] for key in found["keys"]] == ["imported", "imported"]
    (fault,) = found["faults"]
    assert fault["where"] == f"{opendkim}/KeyTable:3"
    assert fault["fix"]
    assert f"fault: {opendkim}/KeyTable:3: " in result.stderr


def test_nothing_found(run: Run, keys_dir: Path, tmp_path: Path) -> None:
    """Exit 1, no folder made."""
    result = run(tmp_path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "Nothing was imported" in result.stderr
    assert not keys_dir.exists()


def test_an_encrypted_key(run: Run, keys_dir: Path, tmp_path: Path) -> None:
    """With its passphrase file; without it the fault asks for that."""
    pem = ed25519_private().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"open sesame")
    )
    key, secret = tmp_path / "k.pem", tmp_path / "secret"
    key.write_bytes(pem)
    secret.write_bytes(b"open sesame\n")
    named = (key, "--domain", "example.com", "--selector", "s1")
    assert "give --passphrase-file" in run(*named).stderr
    result = run(*named, "--passphrase-file", secret)
    assert result.exit_code == 0
    assert "open sesame" not in result.output
    path = keys_dir / "example.com" / "s1.pem"
    assert read_key_file(path, domain="example.com", selector="s1")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "Missing argument"),
        (("/absent",), "does not exist"),
        ((".", "--domain", "../x"), "not a domain name"),
        ((".", "--selector", "../x"), "not a selector name"),
        ((".", "--passphrase-file", "/absent"), "does not exist"),
        ((".", "--passphrase-file", "/dev/null"), "is not a file"),
        ((".", "--root", "/absent"), "does not exist"),
    ],
)
def test_bad_usage(run: Run, keys_dir: Path, arguments: tuple[str, ...], says: str) -> None:
    """Exit 2, nothing on standard output or disk."""
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr
    assert not keys_dir.exists()


def test_an_empty_passphrase_file(run: Run, tmp_path: Path) -> None:
    """Exit 2: it would mean no passphrase."""
    path = tmp_path / "secret"
    path.write_text("\n")
    result = run(tmp_path, "--passphrase-file", path)
    assert result.exit_code == 2
    assert f"{path}: the file is empty" in result.stderr
