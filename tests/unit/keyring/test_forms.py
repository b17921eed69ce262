"""Records in the forms that people paste, read back by what will read them."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.zone
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from dns.rdtypes.ANY.TXT import TXT
from hypothesis import given
from hypothesis import strategies as st

from relay.keyring import forms
from relay.keyring.pem import public_half
from relay.keyring.records import Record, RecordTerms, delegated, record_of, revoked_record

NAME = "s1._domainkey.example.com"
# Any text that a TXT record can carry and people can see; the worst of it in all orders.
WORST = st.text(st.sampled_from('"\\${}%;()#@a ='), max_size=40)
VALUES = st.one_of(st.text(st.characters(min_codepoint=32, max_codepoint=126)), WORST).filter(len)
LONG = Record(NAME, "v=DKIM1; n=" + '\\"${x}%{y}; ' * 60)
HCL_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')


@pytest.fixture(params=["rsa", "ed25519"])
def record(
    request: pytest.FixtureRequest,
    rsa_key: rsa.RSAPrivateKey,
    ed25519_key: ed25519.Ed25519PrivateKey,
) -> Record:
    """The record of one key of each kind."""
    public = public_half(rsa_key if request.param == "rsa" else ed25519_key)
    terms = RecordTerms(is_testing=True, note='say "hi"; $5')
    return record_of(public, domain="example.com", selector="s1", terms=terms)


def txt(text: str) -> str:
    """A TXT value as DNS carries it, from its text form; no string is over 255 octets."""
    rdata = dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.TXT, text)
    assert isinstance(rdata, TXT)
    assert all(len(string) <= 255 for string in rdata.strings)
    return b"".join(rdata.strings).decode()


def in_zone(text: str) -> Iterator[tuple[str, str]]:
    """The records of a zone file: TXT values joined, and targets of CNAME records."""
    zone = dns.zone.from_text(text, origin="example.com.", check_origin=False, relativize=False)
    for name, _, rdata in zone.iterate_rdatas():
        owner = name.to_text(omit_final_dot=True)
        yield owner, txt(rdata.to_text()) if isinstance(rdata, TXT) else rdata.to_text()


def hcl_strings(text: str, attribute: str) -> list[str]:
    """The strings of an attribute in HCL, unescaped; no part of them may be a template."""
    found = []
    for line in re.findall(rf"(?m)^  {attribute} += (.*)$", text):
        for raw in HCL_STRING.findall(line):
            assert not re.search(r"(?<![$])[$]\{|(?<!%)%\{", raw)
            plain = raw.replace("$${", "${").replace("%%{", "%{")
            found.append(re.sub(r"\\(.)", r"\1", plain))
    return found


def test_text(record: Record) -> None:
    """Name, type and value on a line each; the value is the whole record."""
    name, kind, value = forms.as_text([record]).splitlines()
    assert (name, kind) == (f"name:  {NAME}", "type:  TXT")
    assert value == f"value: {record.value}"


def test_a_zone_file(record: Record) -> None:
    """A name server reads the same text out of it; a CNAME is absolute."""
    leads, there = delegated(record, "s1.keys.example.com")
    zone = dict(in_zone(forms.as_bind([leads, there])))
    assert zone == {NAME: "s1.keys.example.com.", "s1.keys.example.com": record.value}


@given(value=VALUES)
def test_every_value_comes_out_of_every_form_as_it_went_in(value: str) -> None:
    """Quotation marks, backslashes, semicolons, templates, blanks: none ends its string."""
    record = Record(NAME, value)
    assert list(in_zone(forms.as_bind([record]))) == [(NAME, value)]
    assert list(in_zone(forms.record_file(record))) == [(NAME, value)]
    assert json.loads(forms.as_json([record])) == {NAME: [value]}
    (change,) = json.loads(forms.as_route53([record]))["Changes"]
    assert txt(change["ResourceRecordSet"]["ResourceRecords"][0]["Value"]) == value
    (post,) = json.loads(forms.as_cloudflare([record]))["posts"]
    assert txt(post["content"]) == value
    (content,) = hcl_strings(forms.as_terraform_cloudflare([record]), "content")
    assert txt(content) == value
    (inner,) = hcl_strings(forms.as_terraform([record]), "records")
    assert txt(f'"{inner}"'.replace('""', '" "') if len(value) > 255 else f'"{inner}"') == value


def test_a_value_of_many_strings() -> None:
    """The same for one that has to be split, with what needs escaping around every split."""
    (change,) = json.loads(forms.as_route53([LONG]))["Changes"]
    assert txt(change["ResourceRecordSet"]["ResourceRecords"][0]["Value"]) == LONG.value
    assert list(in_zone(forms.as_bind([LONG]))) == [(NAME, LONG.value)]
    (content,) = hcl_strings(forms.as_terraform_cloudflare([LONG]), "content")
    assert txt(content) == LONG.value


def test_terraform_splits_as_its_aws_provider_wants(record: Record) -> None:
    """That puts quotation marks around the whole: `""` between the strings, none outside."""
    (inner,) = hcl_strings(forms.as_terraform([record]), "records")
    assert txt(f'"{inner}"'.replace('""', '" "')) == record.value
    assert inner.startswith("v=DKIM1")


def test_the_file_beside_a_key_is_a_zone_file(record: Record) -> None:
    """Comments for people, and a line that can be included as it stands."""
    text = forms.record_file(record)
    assert list(in_zone(text)) == [(NAME, record.value)]
    assert f"; value: {record.value}\n" in text


def test_json(record: Record) -> None:
    """Owner name to a list of texts; keys of one name stand together."""
    other = Record("s2._domainkey.example.com", "v=DKIM1; p=")
    assert json.loads(forms.as_json([record, other, other])) == {
        record.name: [record.value],
        other.name: [other.value, other.value],
    }


def test_json_follows_a_delegation(record: Record) -> None:
    """As a resolver does: `verify --dns-file` finds the text at the name that it asks for."""
    assert json.loads(forms.as_json(delegated(record, "k.example.net"))) == {
        NAME: [record.value],
        "k.example.net": [record.value],
    }


def test_route_53(record: Record) -> None:
    """A change batch with absolute names that fails rather than replaces, unless it is meant to."""
    leads, there = delegated(record, "s1.keys.example")
    revoked = revoked_record(domain="example.com", selector="s0")
    changes = json.loads(forms.as_route53([leads, there, revoked]))["Changes"]
    assert [change["Action"] for change in changes] == ["CREATE", "CREATE", "UPSERT"]
    sets = [change["ResourceRecordSet"] for change in changes]
    assert [(s["Name"], s["Type"]) for s in sets] == [
        (f"{NAME}.", "CNAME"),
        ("s1.keys.example.", "TXT"),
        ("s0._domainkey.example.com.", "TXT"),
    ]
    assert sets[0]["ResourceRecords"] == [{"Value": "s1.keys.example"}]
    assert all(isinstance(s["TTL"], int) for s in sets)


def test_cloudflare(record: Record) -> None:
    """A batch; a CNAME is not proxied, or nobody finds the text behind it."""
    leads, there = json.loads(forms.as_cloudflare(delegated(record, "s1.keys.example")))["posts"]
    assert (leads["type"], leads["content"], leads["proxied"]) == (
        "CNAME",
        "s1.keys.example",
        False,
    )
    assert (there["type"], txt(there["content"])) == ("TXT", record.value)
    assert "proxied" not in there


def test_instructions(record: Record) -> None:
    """All that somebody else needs: names, values, strings, what not to do, how to see it."""
    text = forms.as_instructions([record])
    assert f"Name:  {NAME} (s1._domainkey in the zone example.com)" in text
    assert f"Value: {record.value}\n" in text
    strings = re.findall(r"String \d+: (.*)", text)
    assert not strings or txt(" ".join(strings)) == record.value
    assert bool(strings) == (len(record.value) > 255)
    (command,) = re.findall(r"dig .*", text)
    assert shlex.split(command) == ["dig", "+short", "TXT", NAME]


def test_advice_has_records_that_parse() -> None:
    """DMARC and SPF of the domain itself, and how to delegate."""
    text = forms.advice("example.com")
    names = re.findall(r"name: +(.*)", text)
    assert names == ["_dmarc.example.com", "example.com"]
    dmarc, spf = re.findall(r"value: (.*)", text)
    assert dmarc.startswith("v=DMARC1; p=none; ")
    assert spf.startswith("v=spf1 ")
    assert "--delegate-to '{selector}.example.com.keys.example'" in text


@pytest.mark.parametrize(
    "form", [forms.as_terraform, forms.as_terraform_cloudflare], ids=["aws", "cloudflare"]
)
def test_terraform_reads_it(form: Callable[[list[Record]], str], tmp_path: Path) -> None:
    """Terraform itself, where it is installed (it is in no distribution), and finds it in style."""
    terraform = shutil.which("terraform")
    if terraform is None:
        pytest.skip("terraform is not installed")
    other = Record("s2._domainkey.example.com", "v=DKIM1; p=")
    (tmp_path / "dkim.tf").write_text(form([LONG, other]))
    done = subprocess.run(
        [terraform, "fmt", "-check", "-diff", "-no-color"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
