"""`dkim-relay keys record`: every form, what may stand in a record, and what goes together."""

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
)

from relay.cli.keys import keys
from relay.core.dkim.record import parse_record
from relay.keyring.writing import write_key
from tests.fakes.keys import ed25519_private, rsa_private

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Print records of a keys folder with two keys of example.com, r1 and e1."""
    write_key(tmp_path, "example.com", "r1", rsa_private())
    write_key(tmp_path, "example.com", "e1", ed25519_private())

    def invoke(*arguments: str) -> Result:
        env = {"DKIM_RELAY_KEYS_DIR": str(tmp_path)}
        return CliRunner().invoke(keys, ["record", *arguments], env=env, catch_exceptions=False)

    return invoke


@pytest.mark.parametrize(
    ("form", "shows"),
    [
        ("text", "name:  r1._domainkey.example.com"),
        ("bind", "r1._domainkey.example.com. 3600 IN TXT ("),
        ("json", '"r1._domainkey.example.com"'),
        ("route53", '"Changes"'),
        ("cloudflare", '"posts"'),
        ("terraform", 'resource "aws_route53_record"'),
        ("terraform-cloudflare", 'resource "cloudflare_dns_record"'),
        ("nsupdate", "update add r1._domainkey.example.com. 3600 IN TXT"),
        ("instructions", "Please publish these 2 records"),
    ],
)
def test_every_form(run: Run, form: str, shows: str) -> None:
    """On standard output, and nothing else anywhere."""
    result = run("example.com", "--format", form)
    assert (result.exit_code, result.stderr) == (0, "")
    assert shows in result.stdout
    assert result.stdout.count("e1._domainkey.example.com") >= 1


def test_terms(run: Run) -> None:
    """Each option is a tag, and the key stays the key."""
    options = ("--testing", "--strict", "--hash", "sha256", "--service", "email", "--note", "a;b")
    result = run("example.com", "--selector", "r1", "--format", "json", *options)
    ((text,),) = json.loads(result.stdout).values()
    read = parse_record(text.encode())
    assert (sorted(read.flags), sorted(read.hashes), sorted(read.services), read.note) == (
        ["s", "y"],
        ["sha256"],
        ["email"],
        "a=3Bb",
    )
    assert read.public is not None
    assert read.public.key == rsa_private().public_key()


def test_revoked(run: Run) -> None:
    """p= empty for every key; for one named no key has to be there any more."""
    zone = json.loads(run("example.com", "--revoked", "--format", "json").stdout)
    assert set(zone) == {"r1._domainkey.example.com", "e1._domainkey.example.com"}
    assert all(parse_record(text.encode()).public is None for (text,) in zone.values())
    result = run("gone.example", "--selector", "old", "--revoked", "--format", "nsupdate")
    assert result.exit_code == 0
    assert "update delete old._domainkey.gone.example. TXT" in result.stdout
    assert "has to go" in run("example.com", "--revoked", "--format", "cloudflare").stderr


def test_delegation(run: Run) -> None:
    """A CNAME and the record it leads to, for each key; the name may hold the selector."""
    result = run("example.com", "--delegate-to", "{selector}.k.example", "--format", "bind")
    lines = [line.split(" ")[:4] for line in result.stdout.splitlines()]
    assert lines == [
        ["e1._domainkey.example.com.", "3600", "IN", "CNAME"],
        ["e1.k.example.", "3600", "IN", "TXT"],
        ["r1._domainkey.example.com.", "3600", "IN", "CNAME"],
        ["r1.k.example.", "3600", "IN", "TXT"],
    ]


def test_an_encrypted_key(run: Run, tmp_path: Path) -> None:
    """With its passphrase file, which is a secret too; without it the fault says so."""
    pem = ed25519_private(1).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"open sesame")
    )
    key, secret = tmp_path / "example.net" / "s1.pem", tmp_path / "secret"
    key.parent.mkdir()
    key.write_bytes(pem)
    secret.write_text("open sesame\n")
    key.chmod(0o600)
    secret.chmod(0o600)
    assert "passphrase" in run("example.net").stderr
    result = run("example.net", "--passphrase-file", str(secret))
    assert result.exit_code == 0
    assert "s1._domainkey.example.net" in result.stdout


def test_a_key_in_a_token(run: Run, tmp_path: Path) -> None:
    """Its file is read as the relay reads it: what is wrong with it is named."""
    path = tmp_path / "example.net" / "s1.pkcs11"
    path.parent.mkdir()
    path.write_text("not an address of a token")
    path.chmod(0o600)
    result = run("example.net")
    assert result.exit_code == 2
    assert str(path) in result.stderr


def test_advice(run: Run) -> None:
    """Behind the records, for people."""
    result = run("example.com", "--advice")
    assert result.exit_code == 0
    assert result.stdout.index("r1._domainkey") < result.stdout.index("_dmarc.example.com")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--advice", "--format", "bind"), "--advice goes with --format text or instructions"),
        (("--revoked", "--testing"), "says nothing else"),
        (("--delegate-to", "one.example"), "write {selector} into it"),
        (("--delegate-to", "a b", "--selector", "r1"), "not a host name"),
        (("--delegate-to", "r1._domainkey.example.com", "--selector", "r1"), "lead to itself"),
        (("--note", "x" * 300), "shorten it"),
        (("--hash", "sha1"), "--hash"),
        (("--service", "fax"), "--service"),
        (("--selector", "../r1", "--revoked"), "not a selector name"),
    ],
)
def test_bad_usage(run: Run, arguments: tuple[str, ...], says: str) -> None:
    """Exit 2, the reason on standard error, nothing on standard output."""
    result = run("example.com", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr
