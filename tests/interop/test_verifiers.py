"""The verifiers themselves: each says pass, and each is able to say fail.

What they are given is signed by dkimpy, so that nothing of the relay is involved.
"""

from __future__ import annotations

import base64
from pathlib import Path

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.fakes.rspamd import Rspamd
from tests.fakes.verifiers import (
    Records,
    Result,
    Verifier,
    verify_with_dkimpy,
    verify_with_mail_dkim,
    verify_with_opendkim,
)

DOMAIN, SELECTOR = "example.com", "sel"
OWNER = f"{SELECTOR}._domainkey.{DOMAIN}"
MESSAGE = (
    b"From: Jane <jane@example.com>\r\n"
    b"To: ann@sink.test\r\n"
    b"Subject: numbers\r\n"
    b"Date: Fri, 20 Nov 2026 10:00:00 +0000\r\n"
    b"Message-ID: <1@example.com>\r\n"
    b"\r\n"
    b"one  two \r\n"
    b".three\r\n"
)


@pytest.fixture(scope="module", params=["opendkim", "mail-dkim", "dkimpy", "rspamd"])
def verify(request: pytest.FixtureRequest) -> Verifier:
    """Each verifier in turn; rspamd is started for its first test."""
    if request.param == "rspamd":
        rspamd: Rspamd = request.getfixturevalue("rspamd")
        return rspamd
    return {
        "opendkim": verify_with_opendkim,
        "mail-dkim": verify_with_mail_dkim,
        "dkimpy": verify_with_dkimpy,
    }[request.param]


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    """The key that signs."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="module")
def records(key: rsa.RSAPrivateKey) -> Records:
    """The zone with the key's record."""
    return {OWNER: _record_of(key)}


@pytest.fixture(scope="module")
def signed(key: rsa.RSAPrivateKey) -> bytes:
    """The message with one signature."""
    return _signed_by(key, SELECTOR, MESSAGE)


def test_intact_message_passes(verify: Verifier, signed: bytes, records: Records) -> None:
    """One verdict, pass, with the domain and selector of the signature."""
    (verdict,) = verify(signed, records)
    assert (verdict.result, verdict.signing_domain, verdict.selector) == (
        Result.PASS,
        DOMAIN,
        SELECTOR,
    )


def test_unsigned_message_has_no_verdict(verify: Verifier, records: Records) -> None:
    """No DKIM-Signature field: nothing to say, and not a pass."""
    assert verify(MESSAGE, records) == []


@pytest.mark.parametrize(
    ("octets", "replacement"),
    [
        pytest.param(b"one  two", b"one  tvo", id="body"),
        pytest.param(b"Subject: numbers", b"Subject: Numbers", id="subject"),
        pytest.param(b"jane@example.com", b"june@example.com", id="from"),
        pytest.param(b".three\r\n", b"..three\r\n", id="dot-stuffing-left-in"),
        pytest.param(b".three\r\n", b".three\r\nfooter\r\n", id="footer-appended"),
    ],
)
def test_tampered_message_fails(
    verify: Verifier, signed: bytes, records: Records, octets: bytes, replacement: bytes
) -> None:
    """A change to the body or to a signed field is told."""
    tampered = signed.replace(octets, replacement)
    assert tampered != signed
    assert [verdict.result for verdict in verify(tampered, records)] == [Result.FAIL]


def test_record_of_another_key_fails(verify: Verifier, signed: bytes) -> None:
    """The right name with the wrong public key is told."""
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    zone = {OWNER: _record_of(other)}
    assert [verdict.result for verdict in verify(signed, zone)] == [Result.FAIL]


def test_missing_record_is_no_pass(verify: Verifier, signed: bytes) -> None:
    """Without the record no verifier says pass."""
    (verdict,) = verify(signed, {"other._domainkey.example.com": "v=DKIM1; p="})
    assert verdict.result in {Result.FAIL, Result.PERMERROR}


def test_every_signature_has_its_own_verdict(
    verify: Verifier, key: rsa.RSAPrivateKey, signed: bytes, records: Records
) -> None:
    """Of two signatures the one with a record passes and the other does not."""
    verdicts = verify(_signed_by(key, "unpublished", signed), records)
    passed = {verdict.selector: verdict.result is Result.PASS for verdict in verdicts}
    assert passed == {"unpublished": False, SELECTOR: True}


def test_rspamd_forgets_a_replaced_record(tmp_path: Path, signed: bytes, records: Records) -> None:
    """The same name with another record, and back: no verdict comes from rspamd's memory."""
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    with Rspamd(tmp_path) as verify:
        results = [
            verify(signed, zone)[0].result
            for zone in (records, {OWNER: _record_of(other)}, records)
        ]
    assert results == [Result.PASS, Result.FAIL, Result.PASS]


def _record_of(key: rsa.RSAPrivateKey) -> str:
    spki = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return f"v=DKIM1; k=rsa; p={base64.b64encode(spki).decode()}"


def _signed_by(key: rsa.RSAPrivateKey, selector: str, message: bytes) -> bytes:
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    field: bytes = dkim.sign(
        message,
        selector.encode(),
        DOMAIN.encode(),
        pem,
        canonicalize=(b"relaxed", b"relaxed"),
        include_headers=[b"from", b"to", b"subject", b"date", b"message-id"],
    )
    return field + message
