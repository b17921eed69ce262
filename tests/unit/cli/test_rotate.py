"""`dkim-relay keys rotate|retire|status` and `dns publish`: what is said, printed and returned."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from relay.cli.dns import dns
from relay.cli.keys import keys
from relay.core.dkim.algorithm import Algorithm
from relay.keyring.writing import WrittenKey, write_key_pair
from tests.fakes.dns_server import LoopbackDNS

DOMAIN = "example.com"
Run = Callable[..., Result]


@pytest.fixture
def server() -> Iterator[LoopbackDNS]:
    """DNS, in which the test publishes by hand."""
    with LoopbackDNS() as running:
        running.records = {}
        yield running


@pytest.fixture
def first(tmp_path: Path, server: LoopbackDNS) -> WrittenKey:
    """A key in use."""
    written = write_key_pair(tmp_path / "keys", DOMAIN, "s1", Algorithm.ED25519_SHA256)
    server.records = {written.record.name: written.record.value}
    return written


@pytest.fixture
def config(tmp_path: Path, server: LoopbackDNS) -> Path:
    """Settings without an upstream: it is not needed here."""
    path = tmp_path / "relay.toml"
    path.write_text(
        f'keys_dir = "{tmp_path}/keys"\n[dns]\nnameservers = ["127.0.0.1:{server.port}"]\n'
        '[rotation]\nretire_after = "7d"\n'
    )
    return path


@pytest.fixture
def run(config: Path) -> Run:
    """Run a command: `run(keys, "rotate", "example.com")`."""

    def invoke(group: object, *arguments: str) -> Result:
        env = {"DKIM_RELAY_CONFIG": str(config)}
        # What a command finds wrong is caught by it: an exception would fail the test.
        return CliRunner().invoke(group, arguments, env=env, catch_exceptions=False)  # type: ignore[arg-type]

    return invoke


def printed(result: Result) -> dict[str, str]:
    """Name and value of the record on standard output."""
    lines = dict(line.split(":", 1) for line in result.stdout.splitlines() if ":" in line)
    return {lines["name"].strip(): lines["value"].strip()}


def test_by_hand(run: Run, first: WrittenKey, server: LoopbackDNS, tmp_path: Path) -> None:
    """The record to publish on standard output; again the same; then it signs; then retire."""
    result = run(keys, "rotate", DOMAIN)
    assert result.exit_code == 0
    assert "Publish what follows" in result.stderr
    record = printed(result)
    again = run(keys, "rotate", DOMAIN)
    assert (again.exit_code, printed(again)) == (0, record)
    assert len(list((tmp_path / "keys" / DOMAIN).glob("*.pem"))) == 2
    server.records = {**server.records, **record}
    status = json.loads(run(keys, "status", "--json").stdout)
    assert [key["role"] for key in status[0]["keys"]] == ["signs", "ready"]
    assert [key["signs"] for key in status[0]["keys"]] == [True, False]
    early = run(keys, "retire", DOMAIN)
    assert early.exit_code == 0
    assert "Nothing to end yet: s1" in early.stderr
    ended = run(keys, "retire", DOMAIN, "--selector", "s1")
    assert ended.exit_code == 0
    assert "Destroyed key s1" in ended.stderr
    assert "backups, snapshots" in ended.stderr
    assert "Remove the TXT record at s1._domainkey.example.com" in ended.stderr
    assert not first.key_path.exists()


def test_status_for_people(run: Run, first: WrittenKey) -> None:
    """The key with its times; nothing is due."""
    result = run(keys, "status", DOMAIN)
    assert result.exit_code == 0
    assert result.stdout.startswith("example.com\n  s1  ed25519 256  signs\n")


def test_status_when_something_is_due(run: Run, first: WrittenKey) -> None:
    """Exit 1, and what it is."""
    run(keys, "rotate", DOMAIN)
    result = run(keys, "status")
    assert result.exit_code == 1
    assert "publish s20" in result.stdout
    assert "due since" in result.stdout


def test_retire_the_only_key(run: Run, first: WrittenKey) -> None:
    """Exit 1; there would be nothing to sign with."""
    result = run(keys, "retire", DOMAIN, "--selector", "s1")
    assert result.exit_code == 1
    assert "s1 stays, because no other key may sign" in result.stderr
    assert "dkim-relay keys rotate example.com" in result.stderr
    assert first.key_path.exists()
    absent = run(keys, "retire", DOMAIN, "--selector", "s9")
    assert absent.exit_code == 1
    assert "example.com: no key s9 (see dkim-relay keys status example.com)" in absent.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("rotate",), 2, "Missing argument"),
        (("rotate", "../x"), 2, "not a domain name"),
        (("rotate", "other.example"), 2, "dkim-relay keys new other.example"),
        (("rotate", DOMAIN, "--selector", "{week}"), 2, "placeholder"),
        (("rotate", DOMAIN, "--nameserver", "nowhere"), 2, "not an address and port"),
        (("retire", "other.example"), 2, "dkim-relay keys new other.example"),
        (("status", "other.example"), 2, "dkim-relay keys new other.example"),
    ],
)
def test_what_cannot_be_done(
    run: Run, first: WrittenKey, arguments: tuple[str, ...], code: int, says: str
) -> None:
    """The reason on standard error, nothing on standard output, nothing changed."""
    result = run(keys, *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert says in result.stderr
    assert len(list(first.key_path.parent.glob("*.pem"))) == 1


def test_a_read_only_folder(run: Run, first: WrittenKey) -> None:
    """What to do instead; a lock file that is a folder stands for it, as root may write all."""
    (first.key_path.parent / ".rotation.lock").mkdir()
    result = run(keys, "rotate", DOMAIN)
    assert result.exit_code == 1
    assert "must be able to write" in result.stderr


def test_gate_off(run: Run, first: WrittenKey, config: Path) -> None:
    """A new key would sign unseen: nothing is made."""
    config.write_text(config.read_text().replace("[dns]\n", '[dns]\ngate = "off"\n'))
    result = run(keys, "rotate", DOMAIN)
    assert result.exit_code == 2
    assert 'set dns.gate = "published"' in result.stderr


def test_selectors_in_the_settings(run: Run, first: WrittenKey, config: Path) -> None:
    """A new key would lie there unused."""
    config.write_text(config.read_text() + '[domains."example.com"]\nselectors = ["s1"]\n')
    result = run(keys, "rotate", DOMAIN)
    assert result.exit_code == 2
    assert "domains.example.com.selectors" in result.stderr
    assert len(list(first.key_path.parent.glob("*.pem"))) == 1


def test_encrypted_keys(run: Run, first: WrittenKey, config: Path, tmp_path: Path) -> None:
    """A new one would lie there in the clear: the operator makes it."""
    (tmp_path / "passphrase").write_text("secret\n")
    (tmp_path / "passphrase").chmod(0o600)
    config.write_text(f'keys_passphrase_file = "{tmp_path}/passphrase"\n' + config.read_text())
    result = run(keys, "rotate", DOMAIN)
    assert result.exit_code == 1
    assert "in the clear" in result.stderr
    assert len(list(first.key_path.parent.glob("*.pem"))) == 1


class TestPublish:
    """`dns publish|unpublish` without a server; with one, see tests/interop."""

    @pytest.mark.parametrize("command", [("publish",), ("unpublish", "--selector", "s1")])
    def test_no_provider(self, run: Run, first: WrittenKey, command: tuple[str, ...]) -> None:
        """Exit 2, and what to set."""
        result = run(dns, *command, DOMAIN)
        assert result.exit_code == 2
        assert "[[publishing]]" in result.stderr

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ('name = "x"', "rfc2136 needs a server"),
            ('name = "x"\nserver = "host"', "is not HOST:PORT"),
            ('name = "x"\nprovider = "gandi"\nserver = "192.0.2.1"', "not for provider"),
            ('name = "x"\nserver = "192.0.2.1"\nkey_file = "/nowhere"', "/nowhere"),
            ('name = "x"\nserver = "192.0.2.1"\nkey_name = "k"', "not base64"),
            ('name = "x"\nserver = "192.0.2.1"\ndomains = ["a b"]', "not a domain name"),
            ('name = "x"\nserver = "192.0.2.1"\nkey_algorithm = "md5"', "key_algorithm"),
        ],
    )
    def test_bad_settings(
        self, run: Run, first: WrittenKey, config: Path, settings: str, says: str
    ) -> None:
        """Exit 2, with the setting."""
        config.write_text(f"{config.read_text()}\n[[publishing]]\n{settings}\n")
        result = run(dns, "publish", DOMAIN)
        assert result.exit_code == 2
        assert says in result.stderr

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [((DOMAIN, "--selector", "s9"), "no key s9"), (("other.example",), "keys new")],
    )
    def test_no_such_key(
        self, run: Run, first: WrittenKey, config: Path, arguments: tuple[str, ...], says: str
    ) -> None:
        """Exit 2, before anything is asked."""
        text = '\n[[publishing]]\nname = "x"\nserver = "192.0.2.1"\n'
        config.write_text(config.read_text() + text)
        result = run(dns, "publish", *arguments)
        assert result.exit_code == 2
        assert says in result.stderr
