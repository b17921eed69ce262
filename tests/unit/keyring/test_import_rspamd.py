"""rspamd's dkim_signing.conf, its maps and key folder; and the language it is written in."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given
from hypothesis import strategies as st

from relay.core.errors import Fault
from relay.keyring.importing.findings import Findings
from relay.keyring.importing.recognize import read_sources
from relay.keyring.importing.source import Origin
from relay.keyring.importing.ucl import Section, UclFault, read_ucl

Put = Callable[[str, str | bytes], Path]
PATTERN = 'path = "/var/lib/rspamd/dkim/$domain.$selector.key";\n'


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Write a file of the other host, below its root."""

    def write(name: str, text: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        path.chmod(0o600)
        return path

    return write


@pytest.fixture
def seed(ed25519_key: ed25519.Ed25519PrivateKey) -> bytes:
    """A key as rspamd writes it: seed and public key."""
    raw = ed25519_key.private_bytes_raw() + ed25519_key.public_key().public_bytes_raw()
    return base64.b64encode(raw)


@pytest.fixture
def read(put: Put, tmp_path: Path) -> Callable[..., Findings]:
    """What an import of this configuration finds."""

    def reading(text: str, *domains: str) -> Findings:
        conf = put("etc/rspamd/local.d/dkim_signing.conf", text)
        return read_sources([conf], Origin(root=tmp_path, domains=domains))

    return reading


Read = Callable[..., Findings]


def names(findings: Findings) -> list[tuple[str, str, bool]]:
    """Domain and selector of every key, and whether it was in use."""
    return [(key.domain, key.selector, key.is_in_use) for key in findings.keys]


def lines(findings: list[Fault]) -> str:
    """Faults or notes as one text."""
    return "\n".join(map(str, findings))


def test_a_key_folder(put: Put, read: Read, ed25519_pem: bytes, seed: bytes) -> None:
    """Files after the pattern are in use, others there are not; subdomains are signed for."""
    put("var/lib/rspamd/dkim/example.com.dkim.key", ed25519_pem)
    put("var/lib/rspamd/dkim/example.net.dkim.key", seed)
    put("var/lib/rspamd/dkim/example.com.old.key", ed25519_pem)
    findings = read(PATTERN)
    assert names(findings) == [
        ("example.com", "dkim", True),
        ("example.net", "dkim", True),
        ("example.com", "old", False),
    ]
    assert set(findings.subdomains) == {"example.com", "example.net"}
    assert "example.com.old.key: no setting leads to this key" in lines(findings.notes)
    assert findings.faults == []


def test_without_esld_subdomains_stay_alone(put: Put, read: Read, ed25519_pem: bytes) -> None:
    """use_esld = false: a key signs for its own domain."""
    put("var/lib/rspamd/dkim/mail.example.com.s1.key", ed25519_pem)
    findings = read(PATTERN + "selector = s1;\nuse_esld = false;\n")
    assert names(findings) == [("mail.example.com", "s1", True)]
    assert findings.subdomains == {}


def test_maps(put: Put, read: Read, ed25519_pem: bytes) -> None:
    """selector_map and path_map, with the pattern and the selector where they say nothing."""
    put("etc/rspamd/selectors.map", "example.com m1\n# no\nexample.net m2\n")
    put(
        "etc/rspamd/paths.map", "example.net /keys/$domain-$selector.pem\nexample.org /keys/o.pem\n"
    )
    put("var/lib/rspamd/dkim/example.com.m1.key", ed25519_pem)
    put("keys/example.net-m2.pem", ed25519_pem)
    put("keys/o.pem", ed25519_pem)
    findings = read(
        PATTERN + 'selector_map = "/etc/rspamd/selectors.map";\n'
        'path_map = "file:///etc/rspamd/paths.map";\n'
    )
    assert names(findings) == [
        ("example.com", "m1", True),
        ("example.net", "m2", True),
        ("example.org", "dkim", True),
    ]
    assert findings.faults == []


def test_domain_sections(put: Put, read: Read, ed25519_pem: bytes, seed: bytes) -> None:
    """One signature, several, and what a section leaves to the general settings."""
    for name in ("one.key", "two-r.key", "three.com.general.key"):
        put(f"var/lib/rspamd/dkim/{name}", ed25519_pem)
    put("var/lib/rspamd/dkim/two-e.key", seed)
    findings = read(
        """
        dkim_signing {
          selector = "general"; # for all
          domain {
            one.example { path = "/var/lib/rspamd/dkim/one.key"; selector = "s1"; }
            two.example {
              selectors [
                { path: "/var/lib/rspamd/dkim/two-r.key"; selector: "r" },
                { path: "/var/lib/rspamd/dkim/two-e.key"; selector: "e" },
              ]
            }
            three.com { }
          }
        }
        """
    )
    assert names(findings) == [
        ("one.example", "s1", True),
        ("two.example", "r", True),
        ("two.example", "e", True),
        ("three.com", "general", True),
    ]
    assert findings.faults == []


def test_tables_as_opendkim_has_them(put: Put, read: Read, ed25519_pem: bytes) -> None:
    """signing_table and key_table; a line may leave the selector to the general setting."""
    put("k.key", ed25519_pem)
    put("etc/keys.map", "a example.com:/k.key\nb example.net:s2:/k.key\n")
    put("etc/signing.map", "*@example.com a\n*@example.net b\n")
    findings = read(
        'selector = "gen";\nkey_table = "file:///etc/keys.map";\n'
        'signing_table = "refile:/etc/signing.map";\n'
    )
    assert names(findings)[:2] == [("example.com", "gen", True), ("example.net", "s2", True)]


def test_one_key_for_all_domains(put: Put, read: Read, ed25519_pem: bytes) -> None:
    """A path without $domain: --domain says which, else the fault asks."""
    put("k.key", ed25519_pem)
    assert "give --domain" in lines(read('path = "/k.key";\n').faults)
    findings = read('path = "/k.key"; selector = "x";\n', "example.com", "example.net")
    assert names(findings) == [("example.com", "x", True), ("example.net", "x", True)]


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("use_redis = true;\n", 1, "not in files"),
        ("\nuse_vault = true;\n", 2, "not in files"),
        ('selector_map = "https://example.com/map";\n', 1, "is not a file"),
        ('selector_map = "/absent.map";\n', 1, "absent.map: does not exist"),
        ("domain { example.com = 1; }\n", 1, "is no section"),
        ('domain { example.com { path = "/absent"; } }\n', 1, "absent: does not exist"),
        ('domain { "a b" { path = "/k.key"; } }\n', 1, "not a domain name"),
        ('domain { example.com { path = "/k.key"; selector = "../x"; } }\n', 1, "not a selector"),
        ("path = ;\n", 1, "where a value should be"),
        ("selector = x;\npath = {\n", 3, "where a name should be"),
        ('selector = "open;\n', 1, "not to be read from here"),
        ('path = "/nowhere/$domain.key";\n', 1, "does not exist"),
    ],
)
def test_what_cannot_be_taken_over(
    put: Put, read: Read, ed25519_pem: bytes, text: str, line: int, says: str
) -> None:
    """The fault names file and line and the fix."""
    put("k.key", ed25519_pem)
    put("var/lib/rspamd/dkim/example.org.dkim.key", ed25519_pem)
    fault = read(text).faults[0]
    assert fault.where.endswith(f"dkim_signing.conf:{line}")
    assert says in fault.what
    assert fault.fix


def test_settings_that_are_not_carried_over_are_told(
    put: Put, read: Read, ed25519_pem: bytes
) -> None:
    """Who may send, another domain than that of From, includes: each with its line."""
    put("var/lib/rspamd/dkim/example.com.dkim.key", ed25519_pem)
    findings = read(
        "sign_networks = [ 10.0.0.0/8, 192.0.2.1 ];\nuse_domain = envelope;\n"
        '.include(try=true) "x.conf"\nsymbol = "X";\n'
    )
    assert names(findings) == [("example.com", "dkim", True)]
    told = lines(findings.notes)
    assert "dkim_signing.conf:1: sign_networks" in told
    assert "dkim_signing.conf:2: use_domain = envelope" in told
    assert "symbol" not in told


def test_a_folder_with_the_configuration(put: Put, ed25519_pem: bytes, tmp_path: Path) -> None:
    """`keys import /etc/rspamd`: local.d counts, and of override.d one is told."""
    put("var/lib/rspamd/dkim/example.com.dkim.key", ed25519_pem)
    put("etc/rspamd/local.d/dkim_signing.conf", PATTERN)
    put("etc/rspamd/override.d/dkim_signing.conf", "use_esld = false;\n")
    findings = read_sources([tmp_path / "etc/rspamd"], Origin(root=tmp_path))
    assert names(findings) == [("example.com", "dkim", True)]
    assert "override.d" in lines(findings.notes)


class TestUcl:
    """As much of the language as is needed."""

    def test_all_forms(self) -> None:
        """Strings, sections named and nested, lists, comments, both separators."""
        section = read_ucl(
            """
            # comment
            a = "x \\"y\\" ; z"; b: 'single'; c bare/$path-1; /* more
            lines */ d = [ 1, two, { e = f } ]
            g { h = i; }
            k "l m" { n = o }
            """
        )
        assert section.text("a") == 'x "y" ; z'
        assert (section.text("b"), section.text("c")) == ("single", "bare/$path-1")
        found = section.last("d")
        assert found is not None
        assert isinstance(found.value, list)
        assert found.value[:2] == ["1", "two"]
        k = section.last("k")
        assert k is not None
        assert k.line == 6
        assert isinstance(k.value, Section)
        assert k.value.entries[0].name == "l m"

    @pytest.mark.parametrize(
        "text",
        ["a = ", "{", "}", "a = }", "a [ [ x ] ]", 'a = "', "= b", "a {", "a [ x", "a = /* x"],
    )
    def test_what_is_none(self, text: str) -> None:
        """One fault with a line, nothing else."""
        with pytest.raises(UclFault) as caught:
            read_ucl(text)
        assert caught.value.line >= 1

    def test_depth_is_limited(self) -> None:
        """Hostile nesting ends in the same fault, however it is nested."""
        for text in ("a {" * 5000, "a [{" * 5000, "a b {" * 5000):
            with pytest.raises(UclFault, match="deep"):
                read_ucl(text)

    @given(text=st.text(st.sampled_from("ab={}[];,:\"'#\\ \n/*$."), max_size=60))
    def test_any_text_is_read_or_is_one_fault(self, text: str) -> None:
        """Nothing else is raised, and it ends."""
        with contextlib.suppress(UclFault):
            assert read_ucl(text) is not None
