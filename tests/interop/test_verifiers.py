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

from tests.fakes.mailauth import has_misread_octet, verify_many_with_mailauth
from tests.fakes.rspamd import Rspamd
from tests.fakes.verifiers import (
    BatchVerifier,
    Records,
    Result,
    Verifier,
    one_by_one,
    verify_many_with_opendkim,
)
from tests.interop.conftest import VERIFIERS, VerifierCalled

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


# Where RFC 8601 §2.7.1 would have fail, mailauth says neutral of all but the signature itself.
NO_PASS = {Result.FAIL, Result.NEUTRAL, Result.PERMERROR}


@pytest.fixture(scope="module", params=VERIFIERS)
def verify_many(request: pytest.FixtureRequest, verifier_called: VerifierCalled) -> BatchVerifier:
    """Each verifier in turn."""
    return verifier_called(request.param)


@pytest.fixture(scope="module")
def verify(verify_many: BatchVerifier) -> Verifier:
    """The same for a single message."""
    return one_by_one(verify_many)


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
    (verdict,) = verify(tampered, records)
    is_neutral = verdict.verifier == "mailauth" and verdict.reason == "body hash did not verify"
    assert verdict.result is (Result.NEUTRAL if is_neutral else Result.FAIL)


def test_record_of_another_key_fails(verify: Verifier, signed: bytes) -> None:
    """The right name with the wrong public key is told."""
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    zone = {OWNER: _record_of(other)}
    assert [verdict.result for verdict in verify(signed, zone)] == [Result.FAIL]


def test_missing_record_is_no_pass(verify: Verifier, signed: bytes) -> None:
    """Without the record no verifier says pass."""
    (verdict,) = verify(signed, {"other._domainkey.example.com": "v=DKIM1; p="})
    assert verdict.result in NO_PASS


def test_every_signature_has_its_own_verdict(
    verify: Verifier, key: rsa.RSAPrivateKey, signed: bytes, records: Records
) -> None:
    """Of two signatures the one with a record passes and the other does not."""
    verdicts = verify(_signed_by(key, "unpublished", signed), records)
    passed = {verdict.selector: verdict.result is Result.PASS for verdict in verdicts}
    assert passed == {"unpublished": False, SELECTOR: True}


def test_each_message_has_its_own_verdicts(
    verify_many: BatchVerifier, signed: bytes, records: Records
) -> None:
    """Many at once, in any order: the verdicts come in the order of the messages."""
    tampered = signed.replace(b"one  two", b"one  tvo")
    messages = [tampered, signed, MESSAGE, signed, tampered]
    passes = [
        [one.result is Result.PASS for one in found] for found in verify_many(messages, records)
    ]
    assert passes == [[False], [True], [], [True], [False]]


def test_mailauth_takes_the_octet_a0_for_a_blank(key: rsa.RSAPrivateKey, records: Records) -> None:
    """Its own fault, and only in header fields; asserted, so that its mending is noticed."""
    a_grave = "à".encode()  # 0xC3 0xA0
    in_body = _signed_by(key, SELECTOR, MESSAGE.replace(b"one", a_grave))
    in_header = _signed_by(key, SELECTOR, MESSAGE.replace(b"numbers", a_grave + b" la carte"))
    assert [has_misread_octet(in_body), has_misread_octet(in_header)] == [False, True]
    for verify_all in (verify_many_with_opendkim, verify_many_with_mailauth):
        first, second = verify_all([in_body, in_header], records)
        assert [one.result for one in first] == [Result.PASS]
        is_mailauth = verify_all is verify_many_with_mailauth
        assert [one.result for one in second] == [Result.FAIL if is_mailauth else Result.PASS]


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
