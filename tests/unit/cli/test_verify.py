"""`dkim-relay verify`: cause and fix as people and scripts get them, and the second opinion."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from relay.cli import main
from relay.cli.second_opinion import Opinion, Outcome, SecondOpinion
from relay.core.dkim.record import record_text
from relay.core.message import Message, new_field
from relay.core.reader import read_message
from relay.keyring.files import read_key_file
from relay.keyring.writing import WrittenKey, write_key_pair
from tests.fakes.dns_server import LoopbackDNS
from tests.fakes.foreign import message_of, sign_as
from tests.fakes.keys import FakeKey, rsa_private
from tests.fakes.streams import Stdin

NAME = "s1._domainkey.example.com"
Run = Callable[..., Result]


@pytest.fixture
def written(tmp_path: Path) -> WrittenKey:
    """A key under keys/."""
    return write_key_pair(tmp_path / "keys", "example.com", "s1", bits=1024)


@pytest.fixture
def key(written: WrittenKey) -> FakeKey:
    """The same key, to sign with."""
    file = read_key_file(written.key_path, domain="example.com", selector="s1")
    return FakeKey(file.private, "example.com", "s1")


@pytest.fixture
def zone(tmp_path: Path, written: WrittenKey) -> Path:
    """Its record in a file for --dns-file."""
    path = tmp_path / "dns.json"
    path.write_text(json.dumps({NAME: [written.record.value]}))
    return path


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `verify` in the folder of the keys, with octets on standard input."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "88")

    def invoke(*arguments: str | Path, stdin: bytes | Message = b"") -> Result:
        octets = stdin if isinstance(stdin, bytes) else stdin.octets()
        given = ["verify", *map(str, arguments)]
        return CliRunner().invoke(main, given, input=Stdin(octets), catch_exceptions=False)

    return invoke


@pytest.fixture
def dns() -> Iterator[LoopbackDNS]:
    """A DNS server on loopback."""
    with LoopbackDNS() as server:
        yield server


def told(result: Result) -> dict[str, Any]:
    """The JSON on standard output."""
    found: dict[str, Any] = json.loads(result.stdout)
    assert (found["result"] == "pass") is (result.exit_code == 0)
    return found


def texts(result: Result) -> str:
    """What people read, without line breaks; only what has no blank may be wider than asked."""
    for line in result.stdout.splitlines():
        assert len(line) <= 88 or " " not in line.strip(), line
        assert line.isprintable()
    return " ".join(result.stdout.split())


def test_json_has_it_all(run: Run, zone: Path, key: FakeKey) -> None:
    """The shape that is documented, key by key."""
    message = sign_as(message_of(), key, t="1700000000", x="9000000000", l="5", i="@example.com")
    found = told(run("--dns-file", zone, "--json", stdin=message))
    (signature,) = found.pop("signatures")
    assert found == {
        "version": 1,
        "file": "<stdin>",
        "size_octets": message.size_octets,
        "reading": [],
        "from": {
            "address": "jane@example.com",
            "domain": "example.com",
            "organizational_domain": "example.com",
            "problem": "",
        },
        "result": "pass",
        "cause": "the signature verifies",
        "fix": "",
        "aligned": "strict",
    }
    notes = signature.pop("notes")
    assert any(note.startswith("l=5 signs only") for note in notes)
    assert signature == {
        "result": "pass",
        "cause": "the signature verifies",
        "fix": "",
        "domain": "example.com",
        "selector": "s1",
        "algorithm": "rsa-sha256",
        "auid": "@example.com",
        "canonicalization": "relaxed/relaxed",
        "length": 5,
        "signed_at": "2023-11-14T22:13:20Z",
        "expires_at": "2255-03-14T16:00:00Z",
        "signed": ["from", "to", "cc", "subject", "date", "message-id"],
        "body_matches": True,
        "header_matches": True,
        "published_key_signed": True,
        "changes": [],
        "record": {
            "name": NAME,
            "outcome": "found",
            "detail": str(zone),
            "count": 1,
            "key_type": "rsa",
            "bits": 1024,
            "fingerprint": key.public.fingerprint,
            "flags": [],
            "note": "",
        },
        "local_key": {
            "path": str(Path("keys/example.com/s1.pem")),
            "fingerprint": key.public.fingerprint,
            "signed": True,
            "record_state": "matches",
            "record_detail": f"published and matching [{zone}]",
        },
        "aligned": "strict",
        "would_align": "",
        "dkimpy": {"outcome": "pass", "reason": "", "agrees": True},
    }


def test_footer_is_told_to_people(run: Run, zone: Path, key: FakeKey) -> None:
    """Cause, what was found and what to do, within the width of the terminal."""
    octets = sign_as(message_of(), key).octets() + b"-- \r\nsent to my-list\r\n"
    result = run("--dns-file", zone, stdin=octets)
    assert (result.exit_code, result.stderr) == (1, "")
    text = texts(result)
    for words in (
        "dkim=fail d=example.com s=s1 a=rsa-sha256: the body hash did not verify",
        "found: a footer of 22 octets was appended after line 6",
        "to do:",
        f"record: {NAME}, rsa 1024 bits, fingerprint {key.public.fingerprint}",
        "local key: keys/example.com/s1.pem",
        "made this signature; its record: matches, published and matching",
        "aligned: strict",
        "dkimpy: says fail too: ValidationError: body hash mismatch",
    ):
        assert words in text, words


def test_original(run: Run, zone: Path, key: FakeKey, tmp_path: Path) -> None:
    """What differs from the message as it was sent; its line ends may be those of a file."""
    sent = sign_as(message_of(), key)
    original = tmp_path / "sent.eml"
    original.write_bytes(sent.octets().replace(b"\r\n", b"\n"))
    received = sent.octets().replace(b"fine", b"bad").replace(b"Numbers", b"Letters")
    found = told(run("--dns-file", zone, "--json", "--original", original, stdin=received))
    whats = "\n".join(change["what"] for change in found["signatures"][0]["changes"])
    assert "line 3" in whats
    assert "Subject was changed" in whats
    assert any(note.startswith("--original: line ends are LF") for note in found["reading"])


def test_wrong_key_is_published(run: Run, zone: Path, key: FakeKey) -> None:
    """The local key made the signature: which record to publish is said."""
    other = FakeKey(rsa_private(2048, 1))
    zone.write_text(json.dumps({NAME: [record_text(other.public)]}))
    text = texts(run("--dns-file", zone, stdin=sign_as(message_of(), key)))
    assert "keys/example.com/s1.pem" in text
    assert "made this signature; its record: different" in text
    assert "dkim-relay keys record example.com" in text
    assert other.public.fingerprint in text


def test_record_is_compared_with_the_local_key(run: Run, zone: Path, key: FakeKey) -> None:
    """What went wrong when it was entered is found by comparing: here it was cut off."""
    zone.write_text(json.dumps({NAME: [record_text(key.public)[:150]]}))
    found = told(run("--dns-file", zone, "--json", stdin=sign_as(message_of(), key)))
    (signature,) = found["signatures"]
    assert signature["result"] == "permerror"
    assert signature["local_key"]["record_state"] == "malformed"
    assert "cut off" in signature["local_key"]["record_detail"]


def test_local_key_that_cannot_be_read(
    run: Run, zone: Path, key: FakeKey, written: WrittenKey
) -> None:
    """The verdict stands; what is wrong with the key goes to standard error."""
    written.key_path.write_text("rubbish")
    result = run("--dns-file", zone, stdin=sign_as(message_of(), key))
    assert result.exit_code == 0
    assert "s1.pem" in result.stderr


def test_keys_elsewhere(run: Run, zone: Path, key: FakeKey, tmp_path: Path) -> None:
    """--keys-dir names the folder; one without keys is no fault."""
    found = told(
        run(
            *("--dns-file", zone, "--json", "--keys-dir", tmp_path / "none"),
            stdin=sign_as(message_of(), key),
        )
    )
    assert found["signatures"][0]["local_key"] is None


def test_no_signature(run: Run, zone: Path) -> None:
    """none: which domain, and that there are keys for it."""
    result = run("--dns-file", zone, stdin=message_of())
    assert result.exit_code == 1
    text = texts(result)
    assert "dkim=none: the message has no DKIM-Signature" in text
    assert "there are keys for example.com" in text
    found = told(run("--dns-file", zone, "--json", stdin=message_of()))
    assert (found["result"], found["signatures"], found["aligned"]) == ("none", [], None)
    assert "example.com" in found["cause"]


@pytest.mark.parametrize(
    ("address", "aligned", "words"),
    [
        ("jane@example.com", "strict", ()),
        ("jane@mail.example.com", "relaxed", ()),
        ("jane@example.net", "no", ("d=example.net would align",)),
        ("jane@mail.example.net", "no", ("also d=example.net",)),
    ],
)
def test_alignment(
    run: Run, zone: Path, key: FakeKey, address: str, aligned: str, words: tuple[str, ...]
) -> None:
    """Per signature, and which would align."""
    message = read_message(f"From: {address}\r\n\r\nx\r\n".encode())
    signed = sign_as(message, key, h="from")
    (signature,) = told(run("--dns-file", zone, "--json", stdin=signed))["signatures"]
    assert signature["aligned"] == aligned
    assert bool(signature["would_align"]) is (aligned == "no")
    text = texts(run("--dns-file", zone, stdin=signed))
    assert f"aligned: {aligned}, " in text
    for word in words:
        assert word in text


def test_key_that_would_align(run: Run, zone: Path, key: FakeKey, tmp_path: Path) -> None:
    """A key that lies here for the From domain is named."""
    write_key_pair(tmp_path / "keys", "example.net", "s1", bits=1024)
    message = read_message(b"From: jane@www.example.net\r\n\r\nx\r\n")
    text = texts(run("--dns-file", zone, stdin=sign_as(message, key, h="from")))
    assert "there are keys for example.net" in text


def test_alignment_without_an_author(run: Run, zone: Path, key: FakeKey) -> None:
    """Two From fields: nobody can say."""
    message = read_message(b"From: a@example.com\r\nFrom: b@example.net\r\n\r\nx\r\n")
    found = told(run("--dns-file", zone, "--json", stdin=sign_as(message, key, h="from:from")))
    assert found["aligned"] is None
    assert "2 From fields" in found["from"]["problem"]


# DNS --------------------------------------------------------------------------------------------


def test_a_name_server(run: Run, key: FakeKey, dns: LoopbackDNS) -> None:
    """Real questions; which server answered is told."""
    dns.records = {NAME: record_text(key.public)}
    server = f"127.0.0.1:{dns.port}"
    found = told(run("--nameserver", server, "--json", stdin=sign_as(message_of(), key)))
    assert found["result"] == "pass"
    assert f"asked {server}" in found["signatures"][0]["record"]["detail"]


def test_a_name_that_is_not_there(run: Run, key: FakeKey, dns: LoopbackDNS) -> None:
    """permerror, with name and server."""
    server = f"127.0.0.1:{dns.port}"
    text = texts(run("--nameserver", server, stdin=sign_as(message_of(), key)))
    assert "dkim=permerror" in text
    assert f"no record at {NAME}" in text
    assert f"asked {server}" in text


def test_strings_of_a_record(run: Run, zone: Path, key: FakeKey) -> None:
    """A record in a --dns-file may be the list of its strings."""
    value = record_text(key.public)
    zone.write_text(json.dumps({NAME: [[value[:100], value[100:]]]}))
    assert run("--dns-file", zone, stdin=sign_as(message_of(), key)).exit_code == 0


# Reading ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda octets: octets.replace(b"\r\n", b"\n"),
        lambda octets: b"From jane@example.com Fri Nov 20 10:00:00 2026\r\n" + octets,
        lambda octets: b"\xef\xbb\xbf" + octets,
        lambda octets: octets.replace(b"Subject:", b"Subject :"),
    ],
)
def test_files_are_read_leniently(
    run: Run, zone: Path, key: FakeKey, tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    """The signature passes, and what had to be supposed is said."""
    path = tmp_path / "message.eml"
    path.write_bytes(change(sign_as(message_of(), key).octets()))
    result = run(path, "--dns-file", zone)
    assert result.exit_code == 0
    assert "reading: " in result.stdout


@pytest.mark.parametrize("octets", [b"", b"\n\n"])
def test_nothing_to_read(run: Run, zone: Path, octets: bytes) -> None:
    """Exit 1, on standard error."""
    result = run("--dns-file", zone, stdin=octets)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "empty" in result.stderr


def test_hostile_message_reaches_no_terminal(run: Run, zone: Path, key: FakeKey) -> None:
    """Whatever stands in the message, the output is printable and short."""
    evil = b"\x1b]0;owned\x07\x9b31m" * 50
    message = read_message(
        b"From: " + evil + b"\r\nX-Evil: " + evil + b"\r\n\r\n" + evil + b"\r\n"
    ).prepend(new_field("DKIM-Signature", b"v=1; a=" + evil), new_field("Received", evil))
    result = run("--dns-file", zone, stdin=message)
    assert result.exit_code == 1
    assert texts(result).isprintable()
    assert len(result.stdout) < 4000
    assert key.digests == []


def test_many_signatures(run: Run, zone: Path, key: FakeKey) -> None:
    """A thousand copies and a thousand strangers cost ten, and their report is short."""
    signed = sign_as(message_of(), key)
    copies = [signed.fields[0]] * 1000
    strangers = [
        new_field(
            "DKIM-Signature",
            f"v=1; a=rsa-sha256; d=example.com; s=x{i}; h=from; bh=AAAA; b=AAAA",
        )
        for i in range(1000)
    ]
    message = message_of().prepend(*copies, *strangers)
    result = run("--dns-file", zone, stdin=message)
    assert result.exit_code == 0
    assert "not shown here" in result.stdout
    assert len(result.stdout.splitlines()) < 500
    found = told(run("--dns-file", zone, "--json", stdin=message))
    results = [s["result"] for s in found["signatures"]]
    assert results[:1000] == ["pass"] * 1000
    assert results.count("policy") == 1000 - 9


# The second opinion -----------------------------------------------------------------------------


def test_disagreement_is_loud(run: Run, zone: Path, key: FakeKey) -> None:
    """Dkimpy passes what lies beyond the end of the body; both reasons are shown."""
    signed = sign_as(message_of(), key, l="76")
    text = texts(run("--dns-file", zone, stdin=signed))
    assert "DISAGREEMENT: dkimpy says pass, we say fail (l=76 is larger" in text
    (signature,) = told(run("--dns-file", zone, "--json", stdin=signed))["signatures"]
    assert signature["dkimpy"] == {"outcome": "pass", "reason": "", "agrees": False}


def test_disagreement_the_other_way(run: Run, zone: Path, key: FakeKey) -> None:
    """We pass what dkimpy cannot read."""
    octets = sign_as(message_of(), key).octets().replace(b"Subject:", b"Subject :")
    text = texts(run("--dns-file", zone, stdin=octets))
    assert "DISAGREEMENT: dkimpy says fail (MessageFormatError" in text
    assert "we say pass" in text


def opinion(message: Message, *records: bytes) -> Opinion:
    """On the topmost signature."""
    return SecondOpinion(message).on(0, records)


def test_opinion_tries_each_record() -> None:
    """Dkimpy looks at one record only, so it is asked once for each."""
    key, other = FakeKey(rsa_private(), selector="s1"), FakeKey(rsa_private(2048, 1))
    message = sign_as(message_of(), key)
    good, bad = (record_text(k.public).encode() for k in (key, other))
    assert opinion(message, bad, good).outcome is Outcome.PASS
    assert opinion(message, bad).outcome is Outcome.FAIL
    assert opinion(message) == Opinion(Outcome.FAIL, "no record")


@pytest.mark.parametrize(
    "message",
    [
        message_of(b" " * 100_000 + b"x\r\n"),
        message_of((b" " * 990 + b"x\r\n") * 3000),
        message_of(extra=b"X: " + b"\t" * 99_000 + b"x\r\n"),
        Message(tuple(new_field(f"X-{i}", "y" * 1000) for i in range(1100))),
    ],
    ids=["blanks", "legal-lines", "header", "size"],
)
def test_message_that_would_stop_dkimpy(message: Message) -> None:
    """It is not asked, and why is said; the bound is on work, not on time."""
    found = opinion(message.prepend(new_field("DKIM-Signature", "v=1")), b"v=DKIM1; p=")
    assert found.outcome is Outcome.NOT_ASKED
    assert "quadratic" in found.reason
    assert found.agrees(passed=True) is None


def test_message_that_is_too_large_for_dkimpy() -> None:
    """Memory is bounded too; the blocks are one and the same here."""
    block = b"x" * 62 + b"\r\n"
    message = Message((new_field("DKIM-Signature", "v=1"),), (block * 1024,) * 1025)
    assert opinion(message, b"v=DKIM1; p=").reason.startswith("it takes too much memory")


def test_names_that_would_stop_dkimpy() -> None:
    """h= with as many names as there are fields, thousands of each."""
    names = ":".join(["from", *(f"x-{i}" for i in range(3000))])
    fields = tuple(new_field(f"Y-{i}", "z") for i in range(3000))
    message = Message(fields).prepend(new_field("DKIM-Signature", f"v=1; h={names}"))
    assert opinion(message, b"v=DKIM1; p=").outcome is Outcome.NOT_ASKED


def test_record_that_would_stop_dkimpy() -> None:
    """A modulus of a hundred thousand bits is kept from it."""
    message = sign_as(message_of(), FakeKey(rsa_private(), selector="s1"))
    found = opinion(message, b"v=DKIM1; p=" + b"A" * 20_000)
    assert found == Opinion(Outcome.FAIL, "so large a record is kept from it")
