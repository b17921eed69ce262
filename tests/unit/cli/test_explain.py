"""`dkim-relay explain`: what the relay would do, and the exit code of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from relay.cli import main
from relay.core.dkim.algorithm import Algorithm
from relay.keyring.writing import write_key_pair
from tests.fakes.streams import Stdin

MESSAGE = b"From: Jane <jane@example.com>\r\nSubject: x\r\nBcc: b@example.net\r\n\r\nHello.\r\n"
EIGHT_BIT = (
    b"From: jane@example.com\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: 8bit\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n"
)
SETTINGS = """
[[upstreams]]
url = "smtp://smtp.example.net:587"
profile = "ses"
[domains."example.com"]
subdomains = true
[[clients]]
name = "apps"
networks = ["192.0.2.0/24"]
from_addresses = ["example.com"]
[signing]
expire_seconds = 3600
"""
Run = Callable[..., Result]


@pytest.fixture
def zone(tmp_path: Path) -> Path:
    """Keys of both kinds under keys/ and their records in a file for --dns-file."""
    records: dict[str, list[str]] = {}
    for selector, algorithm in (("r1", Algorithm.RSA_SHA256), ("e1", Algorithm.ED25519_SHA256)):
        written = write_key_pair(tmp_path / "keys", "example.com", selector, algorithm, 1024)
        records[written.record.name] = [written.record.value]
    path = tmp_path / "dns.json"
    path.write_text(json.dumps(records))
    return path


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `explain` in the folder of the keys, with octets on standard input."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "90")

    def invoke(*arguments: str | Path, stdin: bytes = MESSAGE) -> Result:
        given = ["explain", *map(str, arguments)]
        return CliRunner().invoke(main, given, input=Stdin(stdin), catch_exceptions=False)

    return invoke


def told(result: Result) -> dict[str, Any]:
    """The JSON on standard output."""
    found: dict[str, Any] = json.loads(result.stdout)
    assert (found["outcome"] == "signed") is (result.exit_code == 0)
    assert (found["refusal"] is None) is (result.exit_code == 0)
    return found


def texts(result: Result) -> str:
    """What people read, without line breaks; no line is wider than the terminal."""
    assert all(len(line) <= 90 for line in result.stdout.splitlines())
    return " ".join(result.stdout.split())


def test_signed(run: Run, zone: Path) -> None:
    """Which client, domain and keys; what is added and taken out; the draft; the outcome."""
    result = run("--dns-file", zone)
    assert (result.exit_code, result.stderr) == (0, "")
    text = texts(result)
    for words in (
        "127.0.0.1 is 'loopback'",
        "example.com is configured itself",
        "r1.pem (rsa 1024",
        "e1.pem (ed25519 256",
        "published and matching",
        "adds 'Message-ID: <",
        "adds 'Date: ",
        "adds 'Received: ",
        "takes out 'Bcc: b@example.net'",
        "Subject oversigned so that none can be added",
        "to oversigned absent",
        "Received left out each hop adds one",
        "DKIM-Signature: v=1; a=rsa-sha256;",
        "dkimpy says pass",
        "dkim-relay says pass",
        "outcome: signed, with 2 signatures",
    ):
        assert words in text, words
    assert "b=;" not in text


def test_json_has_it_all(run: Run, zone: Path) -> None:
    """The shape that is documented, key by key."""
    found = told(run("--json", "--dns-file", zone))
    assert list(found) == [
        *("version", "file", "outcome", "refusal", "reading", "notes", "client", "from"),
        *("profile", "keys", "complete", "adapt", "fields", "signatures", "proof"),
    ]
    assert found["version"] == 1
    assert found["file"] == "<stdin>"
    assert found["client"] == {
        "address": "127.0.0.1",
        "rule": "loopback",
        "from_addresses": ["*"],
    }
    assert found["from"]["how"] == "exact"
    assert found["from"]["signing_domain"] == "example.com"
    assert {k["selector"]: (k["signs"], k["state"]) for k in found["keys"]} == {
        "r1": (True, "usable"),
        "e1": (True, "usable"),
    }
    assert found["complete"]["removed"] == ["Bcc: b@example.net"]
    assert found["adapt"] == {"added": [], "removed": [], "body": []}
    assert {f["name"]: f["treatment"] for f in found["fields"]}["Subject"] == "oversigned"
    assert [s.count("d=example.com") for s in found["signatures"]] == [1, 1]
    assert all(s.endswith("b=") for s in found["signatures"])
    assert {(p["verifier"], p["outcome"]) for p in found["proof"]} == {
        ("dkim-relay", "pass"),
        ("dkimpy", "pass"),
    }


@pytest.mark.usefixtures("zone")
def test_without_dns(run: Run) -> None:
    """Nobody is asked, and that a key waits for its record is said."""
    found = told(run("--json"))
    assert "DNS was not asked" in found["notes"][0]


def test_record_that_is_missing(run: Run, zone: Path) -> None:
    """451 for the application, and what was found at which name."""
    zone.write_text("{}")
    result = run("--json", "--dns-file", zone)
    found = told(result)
    assert result.exit_code == 1
    assert found["refusal"]["stage"] == "sign"
    assert found["refusal"]["reason"] == "key_unavailable"
    assert found["refusal"]["reply"].startswith("451 4.7.5 ")
    assert "r1._domainkey.example.com" in found["refusal"]["detail"]
    assert [k["state"] for k in found["keys"]] == ["waiting", "waiting"]


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize(
    ("message", "stage", "reply", "words"),
    [
        (b"From: a@other.example\r\n\r\n", "admit", "550 5.7.1", ("keys new other.example",)),
        (
            b"From: a@www.example.com\r\n\r\n",
            "admit",
            "550 5.7.1",
            ("subdomains = true", "example.com is, but without"),
        ),
        (b"Subject: x\r\n\r\n", "admit", "550 5.6.0", ("From",)),
        (MESSAGE.replace(b"Subject", b"From: x@y\r\nSubject"), "admit", "550 5.6.0", ("From",)),
        (b"no colon\r\n\r\n", "read", "554 5.6.0", ("colon",)),
        (MESSAGE + b"a\nb\r\n", "read", "554 5.6.0", ("LF",)),
        (MESSAGE + b"\0\r\n", "read", "554 5.6.0", ("NUL",)),
    ],
)
def test_refused(run: Run, message: bytes, stage: str, reply: str, words: tuple[str, ...]) -> None:
    """The reply that the application would get, at which stage, and what the log would say."""
    result = run("--json", stdin=message)
    refusal = told(result)["refusal"]
    assert result.exit_code == 1
    assert refusal["stage"] == stage
    assert refusal["reply"].startswith(reply)
    text = texts(run(stdin=message))
    assert f"outcome: refused, with {reply}" in text
    for word in words:
        assert word in text


@pytest.mark.usefixtures("zone")
def test_eight_bit_body(run: Run) -> None:
    """What adapt changes for a hop without 8BITMIME; nothing for one with it."""
    assert told(run("--json", stdin=EIGHT_BIT))["adapt"]["body"] == []
    found = told(run("--json", "--hop-lacks", "8bitmime", stdin=EIGHT_BIT))
    assert found["adapt"]["body"][0] == "the body: 8bit to quoted-printable"
    assert found["adapt"]["removed"] == ["Content-Transfer-Encoding: 8bit"]
    assert found["proof"][0]["outcome"] == "pass"


@pytest.mark.usefixtures("zone")
def test_header_that_needs_smtputf8(run: Run) -> None:
    """A hop that takes no 8-bit octets at all cannot carry it."""
    message = "From: jane@example.com\r\nSubject: \u00fc\r\n\r\nx\r\n".encode()
    assert any("SMTPUTF8" in note for note in told(run("--json", stdin=message))["notes"])
    lacks = ("--hop-lacks", "SMTPUTF8", "--hop-lacks", "8BITMIME")
    refused = told(run("--json", *lacks, stdin=message))["refusal"]
    assert refused["reply"].startswith("550 5.6.7")
    assert refused["stage"] == "adapt"


@pytest.mark.usefixtures("zone")
def test_profile(run: Run) -> None:
    """What the upstream rewrites is left out, with how that is known; one signature, by RSA."""
    found = told(run("--json", "--profile", "ses"))
    fields = {f["name"]: f for f in found["fields"]}
    assert fields["Date"]["treatment"] == fields["Message-ID"]["treatment"] == "left out"
    assert "profile ses" in fields["Date"]["reason"]
    assert {k["selector"]: k["signs"] for k in found["keys"]} == {"r1": True, "e1": False}
    assert len(found["signatures"]) == 1


@pytest.mark.usefixtures("zone")
def test_settings_file(run: Run, tmp_path: Path) -> None:
    """Rules, profile, subdomains and expiry are the file's."""
    path = tmp_path / "relay.toml"
    path.write_text(SETTINGS)
    message = MESSAGE.replace(b"example.com", b"www.example.com")
    found = told(run("--json", "-c", path, "--client", "192.0.2.9"))
    assert found["client"]["rule"] == "apps"
    assert found["profile"] == "ses"
    assert " x=" in found["signatures"][0]
    refused = told(run("--json", "-c", path, "--client", "192.0.2.9", stdin=message))
    assert refused["refusal"]["stage"] == "admit"
    assert "may not use" in refused["refusal"]["detail"]
    stranger = told(run("--json", "-c", path))
    assert stranger["refusal"]["stage"] == "client"
    assert stranger["refusal"]["reply"].startswith("550 5.7.1")
    assert stranger["client"]["rule"] is None


@pytest.mark.usefixtures("zone")
def test_parent_signs(run: Run, tmp_path: Path) -> None:
    """With subdomains = true the nearest parent does, and why is said."""
    path = tmp_path / "relay.toml"
    path.write_text(SETTINGS.replace('"example.com"]\n[signing', '"*"]\n[signing'))
    message = MESSAGE.replace(b"@example.com", b"@www.example.com")
    found = told(run("--json", "-c", path, "--client", "192.0.2.9", stdin=message))
    assert found["from"]["how"] == "parent"
    assert found["from"]["signing_domain"] == "example.com"
    assert found["from"]["organizational_domain"] == "example.com"
    assert "subdomains = true" in found["from"]["why"]


def test_client_that_is_nobody(run: Run, zone: Path) -> None:
    """Without [[clients]] only this machine may send."""
    found = told(run("--json", "--client", "192.0.2.9", "--dns-file", zone))
    assert found["refusal"]["reason"] == "client_not_permitted"
    assert "only this machine" in found["refusal"]["detail"]


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize(
    ("criterion", "arguments", "refused"),
    [
        ("uids = [1000]", ("--uid", "1000"), ("--uid", "1001")),
        ('certificates = ["app.example"]', ("--certificate", "app.example"), ()),
        (
            'listeners = ["127.0.0.1:2600"]',
            ("--listener", "127.0.0.1:2600"),
            ("--listener", "127.0.0.1:2525"),
        ),
    ],
)
def test_who_the_client_is(
    run: Run,
    tmp_path: Path,
    criterion: str,
    arguments: tuple[str, ...],
    refused: tuple[str, ...],
) -> None:
    """Each criterion of a rule can be tried."""
    path = tmp_path / "relay.toml"
    path.write_text(SETTINGS.replace('networks = ["192.0.2.0/24"]', criterion))
    assert told(run("--json", "-c", path, *arguments))["client"]["rule"] == "apps"
    assert told(run("--json", "-c", path, *refused))["refusal"]["stage"] == "client"


@pytest.mark.usefixtures("zone")
def test_client_that_must_log_in(run: Run, tmp_path: Path) -> None:
    """530 says so, and with the name it is let in; no password is needed to explain."""
    path = tmp_path / "relay.toml"
    network = 'networks = ["192.0.2.0/24"]'
    login = f'{network}\nlogin = "app"\npassword_hash = "x"'
    listener = '[[listeners]]\naddress = "127.0.0.1:2525"\ninsecure_auth = true\n'
    path.write_text(SETTINGS.replace(network, login) + listener)
    arguments = ("--json", "-c", path, "--client", "192.0.2.9")
    assert told(run(*arguments))["refusal"]["reply"].startswith("530 5.7.0")
    assert told(run(*arguments, "--login", "app"))["client"]["rule"] == "apps"


@pytest.mark.usefixtures("zone")
def test_body_that_may_not_be_re_encoded(run: Run, tmp_path: Path) -> None:
    """Adapt = "refuse" refuses what the hop cannot carry."""
    path = tmp_path / "relay.toml"
    path.write_text(SETTINGS + 'adapt = "refuse"\n')
    arguments = ("--json", "-c", path, "--client", "192.0.2.9", "--hop-lacks", "8BITMIME")
    refusal = told(run(*arguments, stdin=EIGHT_BIT))["refusal"]
    assert refusal["stage"] == "adapt"
    assert refusal["reply"].startswith("554 5.6.3")


@pytest.mark.usefixtures("zone")
def test_file_with_lf(run: Run, tmp_path: Path) -> None:
    """A file is read as a client would send it; that is said."""
    path = tmp_path / "message.eml"
    path.write_bytes(MESSAGE.replace(b"\r\n", b"\n"))
    found = told(run("--json", path, stdin=b""))
    assert found["file"] == str(path)
    assert "LF" in found["reading"][0]


def test_bad_key(run: Run, zone: Path, tmp_path: Path) -> None:
    """One faulty key is named and the other signs; with none left it is 451."""
    (tmp_path / "keys" / "example.com" / "r1.pem").write_text("rubbish")
    found = told(run("--json", "--dns-file", zone))
    states = {Path(k["path"].partition(" ")[0]).name: k["state"] for k in found["keys"]}
    assert states == {"r1.pem": "faulty", "e1.pem": "usable"}
    (tmp_path / "keys" / "example.com" / "e1.pem").unlink()
    refused = told(run("--json"))["refusal"]
    assert (refused["stage"], refused["reply"][:9]) == ("sign", "451 4.7.5")
    assert "r1.pem" in refused["detail"]


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize(
    "arguments",
    [
        ("none.eml",),
        ("-c", "none.toml"),
        ("--profile", "nope"),
        ("--client", "nobody"),
        ("--hop-lacks", "PIPELINING"),
        ("--dns-file", "none.json"),
        ("--nameserver", "dns.example"),
    ],
)
def test_what_cannot_be_used(run: Run, arguments: tuple[str, ...]) -> None:
    """Exit 2, and nothing on standard output."""
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert arguments[-1] in result.stderr


def test_keys_dir_without_keys(run: Run, tmp_path: Path) -> None:
    """A folder elsewhere; what is not there signs nothing."""
    (tmp_path / "elsewhere").mkdir()
    found = told(run("--json", "--keys-dir", tmp_path / "elsewhere"))
    assert found["refusal"]["reason"] == "domain_not_configured"


def test_existing_signature(run: Run, zone: Path) -> None:
    """A signature that is there already is left out of ours, and stays."""
    theirs = b"DKIM-Signature: v=1; a=rsa-sha256; d=x.example; s=x; h=from; bh=AAAA; b=AAAA\r\n"
    message = MESSAGE.replace(b"Subject: x", theirs + b"Subject: x")
    fields = {
        f["name"]: f for f in told(run("--json", "--dns-file", zone, stdin=message))["fields"]
    }
    assert fields["DKIM-Signature"]["treatment"] == "left out"
