"""Records in the forms that BIND takes: zone files and update scripts, as `keys record` prints."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import dns.rdatatype
import pytest
from dns.rdtypes.ANY.TXT import TXT

from relay.keyring import forms
from relay.keyring.records import Record, RecordTerms, delegated, record_of, revoked_record
from tests.fakes.bind import Bind
from tests.fakes.keys import ed25519_key, rsa_key
from tests.fakes.programs import require_program

RUN_SECONDS = 60
# A value that a key record never has, with all that means something in a zone file.
WORST = Record("worst.example.com", "v=DKIM1; n=" + '"; \\ ( ) @ $ ${x} %{y} \\" ' * 20)


@pytest.fixture(scope="module")
def records() -> list[Record]:
    """RSA and Ed25519, a delegation, and the worst of values."""
    terms = RecordTerms(is_testing=True, note='say "hi"; (now)')
    rsa, ed = (
        record_of(key.public, domain="example.com", selector=key.selector, terms=terms)
        for key in (rsa_key(), ed25519_key())
    )
    leads, there = delegated(ed, "ed1.keys.example.com")
    return [rsa, leads, there, WORST]


def run(argv: Sequence[str], text: str = "") -> subprocess.CompletedProcess[str]:
    """Run a tool to its end."""
    return subprocess.run(
        argv, input=text, capture_output=True, text=True, timeout=RUN_SECONDS, check=False
    )


def texts_at(bind: Bind, name: str) -> list[str]:
    """The TXT records at a name, each joined, as the server answers."""
    answer = bind.ask(name)
    assert answer is not None
    return [
        b"".join(rdata.strings).decode()
        for rrset in answer.answer
        if rrset.rdtype == dns.rdatatype.TXT
        for rdata in rrset
        if isinstance(rdata, TXT)
    ]


def test_named_checkzone(tmp_path: Path, records: list[Record]) -> None:
    """BIND's own check of a zone with these lines in it finds nothing."""
    program = require_program("named-checkzone", "bind9-utils")
    zone = tmp_path / "zone"
    zone.write_text(
        "$TTL 60\n@ IN SOA ns1 hostmaster 1 3600 600 86400 60\n@ IN NS ns1\nns1 IN A 127.0.0.1\n"
        + forms.as_bind(records)
        + forms.record_file(record_of(rsa_key().public, domain="example.com", selector="x"))
    )
    done = run([program, "-i", "full", "example.com", str(zone)])
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "OK"


def test_a_zone_file_is_served(tmp_path: Path, records: list[Record]) -> None:
    """What BIND answers is what was meant, octet for octet; the CNAME is followed."""
    with Bind(tmp_path, zones={"example.com": forms.as_bind(records)}) as bind:
        assert texts_at(bind, records[0].name) == [records[0].value]
        assert texts_at(bind, records[1].name) == [records[2].value]
        assert texts_at(bind, WORST.name) == [WORST.value]


def test_nsupdate(tmp_path: Path, records: list[Record]) -> None:
    """The script adds what is absent, replaces nothing, and revokes what it is meant to."""
    nsupdate = require_program("nsupdate", "bind9-dnsutils")
    old = 'taken._domainkey TXT "v=DKIM1; p=theirs"'
    with Bind(tmp_path, zones={"example.com": old}, updaters=["key.test"]) as bind:
        argv = [nsupdate, "-y", f"hmac-sha256:key.test:{bind.secrets['key.test']}"]
        server = f"server {bind.host} {bind.port}\n"
        done = run(argv, server + forms.as_nsupdate(records))
        assert done.returncode == 0, done.stdout + done.stderr
        assert texts_at(bind, records[0].name) == [records[0].value]
        assert texts_at(bind, records[1].name) == [records[2].value]
        assert texts_at(bind, WORST.name) == [WORST.value]

        ours = Record("taken._domainkey.example.com", "v=DKIM1; p=ours")
        done = run(argv, server + forms.as_nsupdate([ours]))
        assert done.returncode != 0
        assert "YXRRSET" in done.stdout + done.stderr
        assert texts_at(bind, ours.name) == ["v=DKIM1; p=theirs"]

        revoked = revoked_record(domain="example.com", selector=rsa_key().selector)
        done = run(argv, server + forms.as_nsupdate([revoked]))
        assert done.returncode == 0, done.stdout + done.stderr
        assert texts_at(bind, revoked.name) == ["v=DKIM1; p="]
