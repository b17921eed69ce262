"""`dkim-relay keys`: data on standard output, words on standard error, exit codes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from relay import clock
from relay.cli.keys import keys
from relay.core.dkim.record import parse_record
from relay.keyring.files import read_key_file

Run = Callable[..., Result]


@pytest.fixture
def keys_dir(tmp_path: Path) -> Path:
    """A keys folder that is not there yet."""
    return tmp_path / "keys"


@pytest.fixture
def run(keys_dir: Path) -> Run:
    """Run a command on the keys folder: `run("new", "example.com")`."""

    def invoke(*arguments: str) -> Result:
        # What a command finds wrong is caught by it: an exception would fail the test.
        env = {"DKIM_RELAY_KEYS_DIR": str(keys_dir)}
        return CliRunner().invoke(keys, arguments, env=env, catch_exceptions=False)

    return invoke


def fields(text: str) -> dict[str, str]:
    """Name, type and value of a record as it is printed for a console."""
    return dict(re.findall(r"^(name|type|value): +(.*)$", text, re.MULTILINE))


class TestNew:
    """`keys new`."""

    def test_a_key_and_its_record(self, run: Run, keys_dir: Path) -> None:
        """The record on standard output is that of the key; what to do next is not on it."""
        result = run("new", "Example.com")
        assert result.exit_code == 0
        printed = fields(result.stdout)
        (path,) = keys_dir.rglob("*.pem")
        selector = path.stem
        assert re.fullmatch(r"s20[0-9]{4}", selector)
        assert printed["name"] == f"{selector}._domainkey.example.com"
        assert printed["type"] == "TXT"
        key = read_key_file(path, domain="example.com", selector=selector)
        assert parse_record(printed["value"].encode()).public == key.public
        assert len(result.stdout.splitlines()) == 3
        assert str(path) in result.stderr
        assert "Publish this record" in result.stderr

    def test_a_second_key_in_the_same_month(
        self, run: Run, keys_dir: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Gets a letter; the first one stays as it is."""
        monkeypatch.setattr(clock, "now", lambda: 1_763_000_000.0)
        run("new", "example.com", "--algorithm", "ed25519")
        (first,) = keys_dir.rglob("*.pem")
        before = first.read_bytes()
        assert run("new", "example.com", "--algorithm", "ed25519").exit_code == 0
        assert first.read_bytes() == before
        names = sorted(path.name for path in keys_dir.rglob("*.pem"))
        assert names == ["s202511.pem", "s202511a.pem"]

    def test_selector_algorithm_and_folder(self, run: Run, tmp_path: Path) -> None:
        """Each as asked for; the option is stronger than the environment."""
        folder = tmp_path / "elsewhere"
        arguments = ("--selector", "2026.nov", "--algorithm", "ed25519", "--keys-dir", str(folder))
        result = run("new", "bücher.example", *arguments)
        assert fields(result.stdout)["name"] == "2026.nov._domainkey.xn--bcher-kva.example"
        assert "k=ed25519" in fields(result.stdout)["value"]
        assert (folder / "xn--bcher-kva.example" / "2026.nov.pem").is_file()

    def test_a_size_with_a_warning(self, run: Run) -> None:
        """1024 bits are made, and standard error says what speaks against them."""
        result = run("new", "example.com", "--bits", "1024")
        assert result.exit_code == 0
        assert "Warning: 1024 bits can be factored" in result.stderr

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            ((), "Missing argument"),
            (("../evil.example",), "not a domain name"),
            (("localhost",), "at least two labels"),
            (("a..b",), "not a domain name"),
            (("example.com", "--selector", "../s1"), "not a selector name"),
            (("example.com", "--selector", ""), "not a selector name"),
            (("example.com", "--selector", "s" * 64), "not a selector name"),
            (("example.com", "--bits", "512"), "1024 to 4096"),
            (("example.com", "--bits", "many"), "not a valid integer"),
            (("example.com", "--algorithm", "dsa"), "--algorithm"),
            (("example.com", "--algorithm", "ed25519", "--bits", "2048"), "--bits is for RSA"),
        ],
    )
    def test_bad_usage_makes_nothing(
        self, run: Run, tmp_path: Path, arguments: tuple[str, ...], says: str
    ) -> None:
        """Exit 2, the reason on standard error, nothing on standard output or on disk."""
        result = run("new", *arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        assert says in result.stderr
        assert list(tmp_path.iterdir()) == []

    def test_a_selector_that_exists(self, run: Run, keys_dir: Path) -> None:
        """Exit 2; nothing is overwritten."""
        arguments = ("new", "example.com", "--selector", "s1", "--algorithm", "ed25519")
        run(*arguments)
        before = (keys_dir / "example.com" / "s1.pem").read_bytes()
        result = run(*arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        assert "never overwritten" in result.stderr
        assert (keys_dir / "example.com" / "s1.pem").read_bytes() == before

    def test_a_keys_folder_that_is_a_file(self, run: Run, keys_dir: Path) -> None:
        """Exit 2, with the path, whether or not a selector has to be found first."""
        keys_dir.write_text("")
        for more in ((), ("--selector", "s1")):
            result = run("new", "example.com", *more)
            assert result.exit_code == 2
            assert str(keys_dir) in result.stderr


class TestNewTogether:
    """`keys new` with several domains, both kinds, templates."""

    def test_several_domains(self, run: Run, keys_dir: Path) -> None:
        """A key each, whatever the spelling only one; every record on standard output."""
        arguments = ("new", "example.com", "Example.COM", "example.net", "--algorithm", "ed25519")
        result = run(*arguments, "--selector", "s1")
        assert result.exit_code == 0
        assert [fields(part)["name"] for part in result.stdout.split("\n\n")] == [
            "s1._domainkey.example.com",
            "s1._domainkey.example.net",
        ]
        assert len(list(keys_dir.rglob("*.pem"))) == 2
        assert result.stderr.count("Wrote ") == 2
        assert "Publish these 2 records" in result.stderr

    def test_all_or_nothing(self, run: Run, keys_dir: Path) -> None:
        """Every fault of every domain at once, before anything is made."""
        run("new", "taken.example", "--selector", "s1", "--algorithm", "ed25519")
        before = sorted(keys_dir.rglob("*"))
        domains = ("fine.example", "taken.example", "localhost", "../evil.example")
        result = run("new", *domains, "--selector", "s1", "--bits", "512")
        assert (result.exit_code, result.stdout) == (2, "")
        faults = result.stderr.splitlines()
        assert len(faults) == 4
        for says in ("1024 to 4096", "taken.example/s1.pem", "'localhost'", "evil.example"):
            assert sum(says in fault for fault in faults) == 1
        assert sorted(keys_dir.rglob("*")) == before

    def test_a_folder_that_fails_midway_is_told(self, run: Run, keys_dir: Path) -> None:
        """What was made before is reported, with its record."""
        keys_dir.mkdir()
        (keys_dir / "b.example").write_text("a file where a folder should be")
        names = ("a.example", "b.example", "c.example", "--algorithm", "ed25519")
        result = run("new", *names, "--selector", "s1")
        assert result.exit_code == 2
        assert fields(result.stdout)["name"] == "s1._domainkey.a.example"
        assert "stopped after 1 of 3: " in result.stderr
        assert "b.example" in result.stderr

    def test_both_kinds(self, run: Run, keys_dir: Path) -> None:
        """SELECTOR with RSA, SELECTOR-ed25519 beside it; again, and both get the same letter."""
        for letter in ("", "a"):
            result = run("new", "example.com", "--dual", "--selector", "k{year}", "--json")
            rows = json.loads(result.stdout)
            year = rows[0]["selector"][1:5]
            assert [(row["selector"], row["algorithm"]) for row in rows] == [
                (f"k{year}{letter}", "rsa-sha256"),
                (f"k{year}{letter}-ed25519", "ed25519-sha256"),
            ]
        assert len(list(keys_dir.rglob("*.pem"))) == 4

    def test_json(self, run: Run) -> None:
        """One array, one object for each key: names, paths, the record."""
        result = run("new", "example.com", "--selector", "s1", "--bits", "1024", "--json")
        (row,) = json.loads(result.stdout)
        assert Path(row["key_path"]).is_file()
        assert Path(row["record_path"]).is_file()
        assert (row["domain"], row["selector"], row["bits"]) == ("example.com", "s1", 1024)
        assert (row["name"], row["type"]) == ("s1._domainkey.example.com", "TXT")
        assert parse_record(row["value"].encode()).public is not None
        assert "RFC 8301" in row["warning"]

    def test_a_size_over_2048_has_its_reason(self, run: Run) -> None:
        """What happens to long records at consoles and receivers."""
        result = run("new", "example.com", "--bits", "3072")
        assert result.exit_code == 0
        assert "3072 bits: the DNS answer is over 512 octets" in result.stderr

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (("--dual", "--algorithm", "rsa"), "leave --algorithm out"),
            (("--selector", "{domain}"), "{year}, {month} and {day}"),
            (("--selector", "s{year"), "{year}, {month} and {day}"),
            (("--dual", "--selector", "s" * 60), "not a selector name"),
        ],
    )
    def test_bad_usage(
        self, run: Run, tmp_path: Path, arguments: tuple[str, ...], says: str
    ) -> None:
        """Exit 2, nothing made."""
        result = run("new", "example.com", *arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        assert says in result.stderr
        assert list(tmp_path.iterdir()) == []

    def test_a_literal_selector_gets_no_letter(self, run: Run) -> None:
        """Who says a name means it: the second of --dual may be the one that is taken."""
        run("new", "example.com", "--selector", "s1-ed25519", "--algorithm", "ed25519")
        result = run("new", "example.com", "--selector", "s1", "--dual")
        assert result.exit_code == 2
        assert "s1-ed25519.pem: the selector is taken" in result.stderr


class TestList:
    """`keys list`."""

    def test_a_table(self, run: Run) -> None:
        """One line per key."""
        run("new", "example.com", "--selector", "r1")
        run("new", "example.com", "--selector", "e1", "--algorithm", "ed25519")
        result = run("list")
        assert result.exit_code == 0
        assert [line.split() for line in result.stdout.splitlines()] == [
            ["DOMAIN", "SELECTOR", "KEY", "STATE"],
            ["example.com", "r1", "rsa", "2048", "fine"],
            ["example.com", "e1", "ed25519", "256", "fine"],
        ]

    def test_json(self, run: Run, keys_dir: Path) -> None:
        """Every field of every key, and of what is none."""
        run("new", "example.com", "--selector", "r1")
        bad = keys_dir / "example.com" / "bad.pem"
        bad.touch(mode=0o600)
        result = run("list", "--json")
        good, faulty = json.loads(result.stdout)
        assert (good["algorithm"], good["bits"], good["state"]) == ("rsa-sha256", 2048, "usable")
        assert re.fullmatch(r"[0-9a-f]{16}", good["fingerprint"])
        assert (faulty["selector"], faulty["algorithm"]) == ("bad", None)
        assert (faulty["state"], faulty["path"]) == ("faulty", f"{bad} (mode 0600)")
        assert "the file is empty" in faulty["detail"]

    def test_a_fault_is_exit_1(self, run: Run, keys_dir: Path) -> None:
        """The answer is no; the reason and the fix are on standard error."""
        run("new", "example.com", "--selector", "s1", "--algorithm", "ed25519")
        path = keys_dir / "example.com" / "s1.pem"
        path.chmod(0o644)
        result = run("list")
        assert result.exit_code == 1
        assert "faulty" in result.stdout
        assert f"chmod 0600 {path}" in result.stderr

    def test_a_warning_is_not(self, run: Run, keys_dir: Path) -> None:
        """The key signs."""
        run("new", "example.com", "--selector", "s1")
        (keys_dir / "example.com" / "s1.pem").chmod(0o640)
        result = run("list")
        assert result.exit_code == 0
        assert "warning: " in result.stderr

    def test_no_keys_folder(self, run: Run, keys_dir: Path) -> None:
        """Exit 1, and the fault says which folder was looked for."""
        result = run("list", "--json")
        assert (result.exit_code, json.loads(result.stdout)) == (1, [])
        assert str(keys_dir) in result.stderr


class TestRecord:
    """`keys record`."""

    @pytest.fixture(autouse=True)
    def _two_keys(self, run: Run) -> None:
        run("new", "example.com", "--selector", "r1")
        run("new", "example.com", "--selector", "e1", "--algorithm", "ed25519")

    def test_text(self, run: Run) -> None:
        """Every key of the domain, apart by a blank line."""
        result = run("record", "EXAMPLE.com")
        assert result.exit_code == 0
        names = [fields(part)["name"] for part in result.stdout.split("\n\n")]
        assert names == ["e1._domainkey.example.com", "r1._domainkey.example.com"]

    def test_one_selector(self, run: Run) -> None:
        """Only that one."""
        result = run("record", "example.com", "--selector", "R1")
        assert fields(result.stdout)["name"] == "r1._domainkey.example.com"
        assert result.stdout.count("name:") == 1

    def test_bind(self, run: Run, keys_dir: Path) -> None:
        """A line of a zone file each, the same as in the file beside the key."""
        lines = run("record", "example.com", "--format", "bind").stdout.splitlines()
        assert [line.split(" ")[0] for line in lines] == [
            "e1._domainkey.example.com.",
            "r1._domainkey.example.com.",
        ]
        assert lines[1] in (keys_dir / "example.com" / "r1.txt").read_text().splitlines()

    def test_json(self, run: Run) -> None:
        """The form of verify --dns-file: owner name to texts."""
        zone = json.loads(run("record", "example.com", "--format", "json").stdout)
        assert sorted(zone) == ["e1._domainkey.example.com", "r1._domainkey.example.com"]
        assert all(parse_record(text.encode()).public for (text,) in zone.values())

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (("other.example",), "no key"),
            (("example.com", "--selector", "s9"), "no key with the selector s9"),
            (("../example.com",), "not a domain name"),
            (("example.com", "--selector", "../r1"), "not a selector name"),
            (("example.com", "--format", "yaml"), "--format"),
        ],
    )
    def test_what_cannot_be_printed(self, run: Run, arguments: tuple[str, ...], says: str) -> None:
        """Exit 2, the reason on standard error, nothing on standard output."""
        result = run("record", *arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        assert says in result.stderr

    def test_a_key_file_that_is_broken(self, run: Run, keys_dir: Path) -> None:
        """The fault names it."""
        path = keys_dir / "example.com" / "r1.pem"
        path.write_bytes(b"")
        result = run("record", "example.com")
        assert result.exit_code == 2
        assert str(path) in result.stderr
