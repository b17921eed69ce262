"""Moving here: setups made by the tools of OpenDKIM, rspamd and dkimpy are taken over.

The same message is signed by the other program with its own settings and by the relay after the
import; both signatures verify under the records that the other's tool wrote.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import dns.zonefile
import pytest
from click.testing import CliRunner

from relay.cli import main
from tests.fakes.programs import find_program, require_program
from tests.fakes.rspamd_signer import RspamdSigner
from tests.fakes.verifiers import Records, Result, Verifier, verify_with_dkimpy

RUN_SECONDS = 60
INSERTED = re.compile(rb"### INSHEADER: idx=\d+ hname='DKIM-Signature' hvalue='([^']*)'")
MESSAGE = (
    b"From: Jane <jane@%b>\r\n"
    b"To: Ann <ann@sink.test>\r\n"
    b"Subject: Numbers of the week\r\n"
    b"Date: Fri, 20 Nov 2026 10:00:00 +0000\r\n"
    b"Message-ID: <1@example.com>\r\n"
    b"MIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: 8bit\r\n"
    b"\r\n"
    b"Gr\xc3\xbc\xc3\x9fe,  two  blanks \r\n\r\n.one dot\r\n"
)


class Stdin(io.BytesIO):
    """Standard input has a name."""

    name = "<stdin>"


def run(*argv: str, folder: Path) -> str:
    """Run a tool to its end in a folder; its standard output."""
    done = subprocess.run(
        argv, cwd=folder, capture_output=True, text=True, timeout=RUN_SECONDS, check=False
    )
    assert done.returncode == 0, f"{argv} ended {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def import_keys(keys_dir: Path, *arguments: str) -> tuple[str, str]:
    """`keys import`, which has nothing to complain of; what it prints."""
    argv = ["keys", "import", *arguments, "--keys-dir", str(keys_dir)]
    done = CliRunner().invoke(main, argv, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout, done.stderr


def sign_here(keys_dir: Path, message: bytes) -> bytes:
    """The message signed by the relay."""
    argv = ["sign", "--keys-dir", str(keys_dir)]
    done = CliRunner().invoke(main, argv, input=Stdin(message), catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    return done.stdout_bytes


def records_in(zone_text: str, domain: str) -> dict[str, str]:
    """The records that a tool wrote, read as a name server of the domain reads them."""
    rrsets = dns.zonefile.read_rrsets(
        zone_text, default_ttl=60, rdclass=None, origin=f"{domain}.", relativize=False
    )
    return {
        rrset.name.to_text(omit_final_dot=True): b"".join(rrset[0].strings).decode()
        for rrset in rrsets
    }


def assert_passes(
    verifiers: Mapping[str, Verifier], message: bytes, records: Records, domain: str, selector: str
) -> None:
    """Every verifier finds exactly one signature, of that domain and selector, and passes it."""
    for verify in verifiers.values():
        (verdict,) = verify(message, records)
        assert (verdict.result, verdict.signing_domain, verdict.selector) == (
            Result.PASS,
            domain,
            selector,
        ), verdict


@pytest.fixture
def opendkim(tmp_path: Path) -> Path:
    """A setup as its documentation has it: keys by opendkim-genkey, both tables."""
    genkey = require_program("opendkim-genkey", "opendkim-tools")
    folder = tmp_path / "opendkim"
    for domain, selector in (("example.com", "mail"), ("example.net", "s2026")):
        keys = folder / "keys" / domain
        keys.mkdir(parents=True)
        run(genkey, "-b", "2048", "-h", "sha256", "-d", domain, "-s", selector, folder=keys)
    (folder / "KeyTable").write_text(
        "# one line for each key\n"
        f"mail._domainkey.example.com example.com:mail:{folder}/keys/example.com/mail.private\n"
        f"net\texample.net:s2026:{folder}/keys/example.net/s2026.private # the other\n"
    )
    (folder / "SigningTable").write_text(
        "*@example.com mail._domainkey.example.com\n"
        "*@*.example.com mail._domainkey.example.com\n"
        "*@example.net net\n"
    )
    (folder / "opendkim.conf").write_text(
        "Mode s\nSyslog no\nRequireSafeKeys no\nCanonicalization relaxed/relaxed\n"
        f"KeyTable file:{folder}/KeyTable\nSigningTable refile:{folder}/SigningTable\n"
    )
    return folder


def opendkim_signs(folder: Path, message: bytes) -> bytes:
    """The message with the signature of OpenDKIM, by its own configuration."""
    program = require_program("opendkim", "opendkim")
    (folder / "message.eml").write_bytes(message)
    conf, eml = f"{folder}/opendkim.conf", f"{folder}/message.eml"
    said = run(program, "-x", conf, "-t", eml, "-vvv", folder=folder).encode()
    found = INSERTED.search(said)
    assert found is not None, said
    value = found[1].replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return b"DKIM-Signature: " + value + b"\r\n" + message


@pytest.mark.parametrize("source", ["opendkim.conf", "KeyTable", "keys", "."])
@pytest.mark.parametrize(
    ("domain", "selector"), [("example.com", "mail"), ("example.net", "s2026")]
)
def test_opendkim(
    opendkim: Path,
    tmp_path: Path,
    verifiers: Mapping[str, Verifier],
    source: str,
    domain: str,
    selector: str,
) -> None:
    """From its configuration, a table, the folder of keys or all of it: both sides verify."""
    message = MESSAGE % domain.encode()
    records = records_in((opendkim / "keys" / domain / f"{selector}.txt").read_text(), domain)
    assert_passes(verifiers, opendkim_signs(opendkim, message), records, domain, selector)
    _, told = import_keys(tmp_path / "keys", str(opendkim / source))
    assert_passes(verifiers, sign_here(tmp_path / "keys", message), records, domain, selector)
    assert ('[domains."example.com"]\nsubdomains = true' in told) == (source != "keys")


@pytest.fixture
def rspamd_setup(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A setup by rspamadm dkim_keygen, RSA and Ed25519, and the records that it printed."""
    rspamadm = require_program("rspamadm", "rspamd")
    folder = tmp_path / "rspamd"
    (folder / "keys").mkdir(parents=True)
    records: dict[str, str] = {}
    for domain, kind in (("example.com", ("-b", "2048")), ("example.net", ("-t", "ed25519"))):
        path = f"{folder}/keys/{domain}.dkim.key"
        argv = (rspamadm, "dkim_keygen", "-d", domain, "-s", "dkim", "-k", path, *kind)
        records |= records_in(run(*argv, folder=folder), domain)
    (folder / "dkim_signing.conf").write_text(
        f'path = "{folder}/keys/$domain.$selector.key";\n'
        'selector = "dkim";\nallow_username_mismatch = true;\n'
    )
    return folder, records


@pytest.mark.parametrize("source", ["dkim_signing.conf", "keys"])
def test_rspamd(
    rspamd_setup: tuple[Path, dict[str, str]],
    tmp_path: Path,
    verifiers: Mapping[str, Verifier],
    source: str,
) -> None:
    """From its configuration or its key folder, RSA and Ed25519: both sides verify."""
    folder, records = rspamd_setup
    own = tmp_path / "own"
    own.mkdir()
    import_keys(tmp_path / "keys", str(folder / source))
    with RspamdSigner(own, folder / "dkim_signing.conf") as rspamd_signs:
        for domain in ("example.com", "example.net"):
            message = MESSAGE % domain.encode()
            # Those of Debian 12 but dkimpy do not know Ed25519.
            able = verifiers if domain == "example.com" else {"dkimpy": verify_with_dkimpy}
            for signed in (rspamd_signs(message), sign_here(tmp_path / "keys", message)):
                assert_passes(able, signed, records, domain, "dkim")


def test_output_of_rspamadm(tmp_path: Path) -> None:
    """Key and record as it prints them into one file: the record says the selector."""
    rspamadm = require_program("rspamadm", "rspamd")
    for kind in (("-b", "1024"), ("-t", "ed25519")):
        argv = (rspamadm, "dkim_keygen", "-d", "example.com", "-s", f"x{kind[1]}", *kind)
        path = tmp_path / f"printed{kind[1]}"
        path.write_text(run(*argv, folder=tmp_path))
        shown, _ = import_keys(tmp_path / "keys", str(path), "--domain", "example.com")
        assert f"imported: example.com x{kind[1]} (" in shown


def test_dkimpy_seed(tmp_path: Path) -> None:
    """`dknewkey --ktype ed25519`: the seed, with the names given; the record fits."""
    dknewkey = find_program("dknewkey") or str(Path(sys.executable).with_name("dknewkey"))
    run(dknewkey, "--ktype", "ed25519", "s1", folder=tmp_path)
    _, told = import_keys(tmp_path / "keys", f"{tmp_path}/s1.key", "--domain", "example.com")
    assert "that of another key" not in told
    record = (tmp_path / "s1.dns").read_text().strip()
    signed = sign_here(tmp_path / "keys", MESSAGE % b"example.com")
    records = {"s1._domainkey.example.com": record}
    assert_passes({"dkimpy": verify_with_dkimpy}, signed, records, "example.com", "s1")


def test_openssl(tmp_path: Path) -> None:
    """What guides for Exim and others tell people to make, PKCS#1 and encrypted too."""
    openssl = require_program("openssl", "openssl")
    (tmp_path / "secret").write_text("open sesame\n")
    run(openssl, "genrsa", "-traditional", "-out", "one.pem", "2048", folder=tmp_path)
    run(
        *(openssl, "genrsa", "-aes256", "-passout", "file:secret", "-out", "two.pem", "2048"),
        folder=tmp_path,
    )
    for name in ("one", "two"):
        shown, _ = import_keys(
            tmp_path / "keys",
            *(f"{tmp_path}/{name}.pem", "--domain", "example.com", "--selector", name),
            *("--passphrase-file", f"{tmp_path}/secret"),
        )
        assert f"imported: example.com {name} (rsa 2048)" in shown
