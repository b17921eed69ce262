"""DKIM signers that others wrote, each as a function from a message to a signed message.

IO: OpenDKIM and Perl's Mail::DKIM are started for each message; dkimpy is a library. Messages
have CRLF line ends; the signature is put in front of them.
"""

from __future__ import annotations

import base64
import re
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import dkim
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.fakes.keys import FakeKey
from tests.fakes.programs import require_perl_module, require_program

RUN_SECONDS = 60  # only a hang gets there
_INSERTED = re.compile(rb"### INSHEADER: idx=\d+ hname='DKIM-Signature' hvalue='([^']*)'")


@dataclass(frozen=True, slots=True)
class Signer:
    """One program that signs.

    Attributes:
        name: of the program.
        sign: takes message, key and c= ("relaxed/simple"), and gives the signed message.
    """

    name: str
    sign: Callable[[bytes, FakeKey, str], bytes]


def sign_with_dkimpy(message: bytes, key: FakeKey, method: str) -> bytes:
    """Sign with dkimpy, RSA or Ed25519."""
    header, _, body = method.partition("/")
    if isinstance(key.private, ed25519.Ed25519PrivateKey):
        algorithm, private = b"ed25519-sha256", base64.b64encode(key.private.private_bytes_raw())
    else:
        algorithm, private = b"rsa-sha256", _pkcs1(key.private)
    signature: bytes = dkim.DKIM(message).sign(
        key.selector.encode(),
        key.domain.encode(),
        private,
        signature_algorithm=algorithm,
        canonicalize=(header.encode(), body.encode()),
    )
    return signature + message


def sign_with_opendkim(message: bytes, key: FakeKey, method: str) -> bytes:
    """Sign with OpenDKIM's filter in test mode, RSA only.

    Raises:
        AssertionError: it did not sign.
    """
    program = require_program("opendkim", "opendkim")
    with tempfile.TemporaryDirectory(prefix="relay-opendkim-") as name:
        folder = Path(name)
        (folder / "key.pem").write_bytes(_pkcs1(key.private))
        (folder / "message.eml").write_bytes(message)
        (folder / "opendkim.conf").write_text(
            f"Mode s\nSyslog no\nRequireSafeKeys no\nDomain {key.domain}\n"
            f"Selector {key.selector}\nKeyFile {folder}/key.pem\nCanonicalization {method}\n"
            "OversignHeaders From,Subject\n"
        )
        done = _run(
            [program, "-x", f"{folder}/opendkim.conf", "-t", f"{folder}/message.eml", "-vvv"], b""
        )
    found = _INSERTED.search(done)
    assert found is not None, f"opendkim did not sign:\n{done.decode(errors='replace')}"
    value = found[1].replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return b"DKIM-Signature: " + value + b"\r\n" + message


def sign_with_mail_dkim(message: bytes, key: FakeKey, method: str) -> bytes:
    """Sign with Perl's Mail::DKIM, RSA only, through the script beside this module."""
    perl = require_perl_module("Mail::DKIM", "libmail-dkim-perl")
    script = Path(__file__).with_name("mail_dkim_sign.pl")
    with tempfile.TemporaryDirectory(prefix="relay-mail-dkim-") as name:
        path = Path(name) / "key.pem"
        path.write_bytes(_pkcs1(key.private))
        arguments = [perl, str(script), str(path), key.domain, key.selector, method]
        return _run(arguments, message) + message


SIGNERS = (
    Signer("dkimpy", sign_with_dkimpy),
    Signer("opendkim", sign_with_opendkim),
    Signer("mail-dkim", sign_with_mail_dkim),
)


def _pkcs1(private: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    assert isinstance(private, rsa.RSAPrivateKey), "this signer is asked for RSA only"
    return private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def _run(argv: list[str], octets: bytes) -> bytes:
    """Run a signer to its end; its standard output."""
    done = subprocess.run(argv, input=octets, capture_output=True, timeout=RUN_SECONDS, check=False)
    assert done.returncode == 0, f"{argv} ended {done.returncode}:\n{done.stderr[-4000:]!r}"
    return done.stdout
