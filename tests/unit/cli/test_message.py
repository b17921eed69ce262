"""`dkim-relay sign` and `verify`: files and pipes, exit codes, streams."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import dkim
import pytest
from click.testing import CliRunner, Result

from relay.cli import main
from relay.core.dkim.algorithm import Algorithm
from relay.keyring.writing import write_key_pair
from tests.fakes.streams import Stdin

ROOT = Path(__file__).parents[3]
MESSAGE = b"From: a@example.com\r\nTo: b@example.net\r\nSubject: x\r\n\r\nHello.\r\n"
NAME = "s1._domainkey.example.com"
Run = Callable[..., Result]


@pytest.fixture
def zone(tmp_path: Path) -> Path:
    """An RSA key under keys/ and its record in a file for --dns-file."""
    written = write_key_pair(tmp_path / "keys", "example.com", "s1", Algorithm.RSA_SHA256, 1024)
    path = tmp_path / "dns.json"
    path.write_text(json.dumps({NAME: [written.record.value]}))
    return path


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in the folder of the keys, with octets on standard input."""
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: str | Path, stdin: bytes = b"") -> Result:
        return CliRunner().invoke(main, [str(a) for a in arguments], input=Stdin(stdin))

    return invoke


def test_a_pipe(run: Run, zone: Path) -> None:
    """Signed octets on standard output, nothing else there; verify says pass."""
    signed = run("sign", stdin=MESSAGE)
    assert (signed.exit_code, signed.stderr) == (0, "")
    assert signed.stdout_bytes.startswith(b"DKIM-Signature: ")
    assert signed.stdout_bytes.endswith(MESSAGE)
    record = json.loads(zone.read_text())[NAME][0].encode()
    assert dkim.verify(signed.stdout_bytes, dnsfunc=lambda *_, **__: record)
    for stdin, arguments in ((signed.stdout_bytes, ()), (signed.stdout_bytes, ("-",))):
        verified = run("verify", *arguments, "--dns-file", zone, stdin=stdin)
        assert (verified.exit_code, verified.stderr) == (0, "")
        assert "dkim=pass d=example.com s=s1 a=rsa-sha256" in verified.stdout


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize(
    "octets",
    [
        MESSAGE.replace(b"\r\n", b"\n"),
        MESSAGE.replace(b"\r\n", b"\r"),
        MESSAGE.removesuffix(b"\r\n"),
        MESSAGE.replace(b"\r\n\r\n", b"\r\n\n"),
    ],
)
def test_line_ends_are_made_crlf(run: Run, octets: bytes) -> None:
    """Files have the line ends of their system; what is signed has CRLF."""
    signed = run("sign", stdin=octets)
    assert signed.exit_code == 0
    assert signed.stdout_bytes.endswith(MESSAGE)


def test_a_file(run: Run, zone: Path, tmp_path: Path) -> None:
    """By name, with --keys-dir; --dry-run prints only what would stand in front."""
    path = tmp_path / "message.eml"
    path.write_bytes(MESSAGE)
    whole = run("sign", path, "--keys-dir", tmp_path / "keys")
    front = run("sign", path, "--keys-dir", tmp_path / "keys", "--dry-run")
    assert whole.exit_code == front.exit_code == 0
    assert MESSAGE not in front.stdout_bytes
    assert front.stdout_bytes.startswith(b"DKIM-Signature: ")
    assert b"\r\nMessage-ID: " in front.stdout_bytes
    path.write_bytes(front.stdout_bytes + MESSAGE)
    assert run("verify", path, "--dns-file", zone).exit_code == 0


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize(
    ("octets", "said"),
    [
        (b"", "From"),
        (b"From: a@other.example\r\n\r\n", "other.example"),
        (b"From: a@example.com\r\nFrom: a@example.com\r\n\r\n", "From"),
        (b"no header\r\n\r\n", "colon"),
        (b"From: a@example.com\r\n\r\n\0\r\n", "NUL"),
        (b"From: a\r\n\r\n", "From"),
    ],
)
def test_a_message_that_cannot_be_signed(run: Run, octets: bytes, said: str) -> None:
    """Exit 1, the reason on standard error, and not one octet on standard output."""
    result = run("sign", stdin=octets)
    assert (result.exit_code, result.stdout_bytes) == (1, b"")
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_a_bad_key(run: Run, zone: Path, tmp_path: Path) -> None:
    """The path of the key and what is wrong with it are said."""
    (tmp_path / "keys" / "example.com" / "s1.pem").write_text("rubbish")
    result = run("sign", stdin=MESSAGE)
    assert (result.exit_code, result.stdout_bytes) == (1, b"")
    assert "s1.pem" in result.stderr
    assert zone.exists()


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize(
    "arguments",
    [
        ("sign", "none.eml"),
        ("sign", "--profile", "nope"),
        ("verify", "--dns-file", "none.json"),
        ("verify", "none.eml"),
    ],
)
def test_what_cannot_be_used(run: Run, arguments: tuple[str, ...]) -> None:
    """Exit 2 for files and names that are not there."""
    result = run(*arguments, stdin=MESSAGE)
    assert (result.exit_code, result.stdout_bytes) == (2, b"")
    assert arguments[-1] in result.stderr


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[]",
        "5",
        "null",
        '{"s1._domainkey.example.com": 5}',
        '{"s1._domainkey.example.com": [5]}',
        '{"s1._domainkey.example.com": "v=DKIM1; p="}',
        '{"s1._domainkey.example.com": {"a": 1}}',
    ],
)
def test_a_dns_file_of_another_form(run: Run, tmp_path: Path, text: str) -> None:
    """Exit 2 and the expected form; a bare string is not taken for a list of letters."""
    bad = tmp_path / "bad.json"
    bad.write_text(text)
    signed = run("sign", stdin=MESSAGE).stdout_bytes
    result = run("verify", "--dns-file", bad, stdin=signed)
    assert (result.exit_code, result.stdout_bytes) == (2, b"")
    assert f"{bad}" in result.stderr
    assert "owner name" in result.stderr


@pytest.mark.parametrize("name", [NAME, NAME.upper(), NAME + "."])
def test_names_in_a_dns_file(run: Run, zone: Path, name: str) -> None:
    """In any case, with or without the last dot."""
    value = json.loads(zone.read_text())[NAME]
    zone.write_text(json.dumps({name: value}))
    assert (
        run("verify", "--dns-file", zone, stdin=run("sign", stdin=MESSAGE).stdout_bytes).exit_code
        == 0
    )


@pytest.mark.parametrize(
    ("change", "result", "said"),
    [
        (lambda m: m.replace(b"Hello", b"Hullo"), "fail", "body"),
        (lambda m: m.replace(b"Subject: x", b"Subject: y"), "fail", "header"),
        (lambda m: m.replace(b"s=s1", b"s=s2"), "permerror", "no record"),
        (lambda m: m[m.index(b"Message-ID") :], "none", "no DKIM-Signature"),
    ],
)
def test_what_does_not_pass(
    run: Run, zone: Path, change: Callable[[bytes], bytes], result: str, said: str
) -> None:
    """Exit 1; the verdict is data, so it is on standard output."""
    signed = run("sign", stdin=MESSAGE).stdout_bytes
    verified = run("verify", "--dns-file", zone, stdin=change(signed))
    assert verified.exit_code == 1
    assert f"dkim={result}" in verified.stdout
    assert said in verified.stdout


def test_json(run: Run, zone: Path) -> None:
    """One object, with an entry for each signature."""
    signed = run("sign", stdin=MESSAGE).stdout_bytes
    report = json.loads(run("verify", "--dns-file", zone, "--json", stdin=signed).stdout)
    assert report["result"] == "pass"
    assert [v["result"] for v in report["signatures"]] == ["pass"]
    none = run("verify", "--dns-file", zone, "--json", stdin=MESSAGE)
    assert none.exit_code == 1
    assert json.loads(none.stdout)["signatures"] == []


def test_five_megabytes_through_real_pipes(zone: Path, tmp_path: Path) -> None:
    """From sign to verify, as a shell has them."""
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    line = b"0123456789" * 7 + b"\r\n"
    message = MESSAGE + line * (5_000_000 // len(line))
    command = [sys.executable, "-m", "relay"]
    signed = subprocess.run(
        [*command, "sign"],
        input=message,
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        check=True,
    )
    assert signed.stdout.endswith(message)
    verified = subprocess.run(
        [*command, "verify", "--dns-file", zone],
        input=signed.stdout,
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        check=True,
    )
    assert b"dkim=pass d=example.com" in verified.stdout
    assert signed.stderr == verified.stderr == b""
