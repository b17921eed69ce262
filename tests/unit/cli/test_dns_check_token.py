"""`dkim-relay dns check` with a key in a PKCS#11 token (SoftHSM2)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from relay.cli import main
from relay.core.dkim.record import record_text
from relay.keyring.tokens import Tokens, read_token_file
from tests.fakes.dns_server import LoopbackDNS
from tests.fakes.processes import LOOPBACK
from tests.fakes.softhsm import Token, make_token

NAME = "s1._domainkey.example.com"


@pytest.fixture
def token(tmp_path: Path) -> Token:
    """A token with one RSA key."""
    token = make_token(tmp_path)
    token.make_rsa("mail")
    return token


@pytest.fixture
def file(token: Token, tmp_path: Path) -> Path:
    """What leads to that key."""
    path = tmp_path / "keys" / "example.com" / "s1.pkcs11"
    path.parent.mkdir(parents=True)
    path.write_text(token.uri("mail"))
    return path


@pytest.fixture
def dns() -> Iterator[LoopbackDNS]:
    """A name server without records."""
    with LoopbackDNS() as server:
        yield server


def record_of(file: Path) -> str:
    """The record that belongs to the key, read apart from the command."""
    tokens = Tokens()
    try:
        key = read_token_file(file, domain="example.com", selector="s1", tokens=tokens)
        return record_text(key.public)
    finally:
        tokens.close()


def check(dns: LoopbackDNS, file: Path, *arguments: str) -> Result:
    """Run the command on the folder of this file."""
    given = ["--keys-dir", str(file.parents[1]), "--nameserver", f"{LOOPBACK}:{dns.port}"]
    return CliRunner().invoke(main, ["dns", "check", "example.com", *given, *arguments])


def test_published(dns: LoopbackDNS, file: Path) -> None:
    """The public half comes from the token, and is what DNS has."""
    dns.records = {NAME: record_of(file)}
    done = check(dns, file)
    assert done.exit_code == 0, done.output
    assert "example.com  s1        rsa 2048  matches" in done.stdout


def test_another_key_in_dns(dns: LoopbackDNS, file: Path, token: Token) -> None:
    """Both fingerprints are told."""
    dns.records = {NAME: record_of(file)}
    token.make_rsa("other")
    file.write_text(token.uri("other"))
    done = check(dns, file, "--json")
    (record,) = json.loads(done.stdout)["domains"][0]["records"]
    assert (done.exit_code, record["state"]) == (1, "different")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"object": "absent"}, "no such private key"),
        ({"token": "nowhere"}, "check token="),
        ({"module_path": "/nonexistent.so"}, "/nonexistent.so"),
    ],
)
def test_a_token_that_cannot_be_read(
    dns: LoopbackDNS, file: Path, token: Token, change: dict[str, str], said: str
) -> None:
    """A finding of that key, with its file and what to do; the PIN is nowhere."""
    dns.records = {NAME: record_of(file)}
    file.write_text(token.uri("mail", **change))
    done = check(dns, file, "--json")
    (record,) = json.loads(done.stdout)["domains"][0]["records"]
    (finding,) = [f for f in record["findings"] if f["code"] == "key_unreadable"]
    assert done.exit_code == 1
    assert str(file) in str(finding)
    assert said in str(finding)
    assert token.pin not in done.output
