"""What others signed is verified by us, and what was done to it since is found out.

dkimpy, OpenDKIM and Mail::DKIM sign the same awkward message in all four canonicalizations, each
with its own idea of which fields, which tags and which folding.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from relay.core.dkim.diagnose.changes import find_changes
from relay.core.dkim.reading import LooseReader
from relay.core.dkim.verdict import Result, Verdict
from relay.core.message import Message
from tests.fakes.foreign import only_verdict, zone_of
from tests.fakes.keys import FakeKey, ed25519_private, rsa_private
from tests.fakes.signers import SIGNERS, Signer, sign_with_dkimpy

KEY = FakeKey(rsa_private(), "example.com", "s1")
OTHER = FakeKey(rsa_private(2048, 1), "example.com", "s1")
ED = FakeKey(ed25519_private(), "example.com", "s1")
NOW = 4_000_000_000.0  # long after any of these signatures was made
# One blank behind each colon: in its test mode OpenDKIM gets to see no more of them.
METHODS = ("relaxed/relaxed", "relaxed/simple", "simple/relaxed", "simple/simple")
MESSAGE = (
    "From: \u00dcbermut via =?utf-8?q?Caf=C3=A9?= <jane@example.com>\r\n"
    "To: Ann <ann@example.net>,\r\n\tBob\t  <bob@example.net>\r\n"
    "Subject: Numbers   of \r\n\tthe week \r\n"
    "Date: Fri, 20 Nov 2026 10:00:00 +0000\r\n"
    "Message-ID: <1@example.com>\r\n"
    "Comments:\r\n"
    "X-Twice: 1\r\n"
    "X-Twice: 2\r\n"
    "MIME-Version: 1.0\r\n"
    "Content-Type: text/plain; charset=utf-8\r\n"
    "Content-Transfer-Encoding: 8bit\r\n"
    "\r\n"
    "Gr\u00fc\u00dfe,\t two  blanks \r\n"
    "\r\n"
    ".one dot\r\n"
    "  indented \t \r\n"
    "From here on\r\n"
    "\r\n\r\n\r\n"
).encode()
BODIES = {
    "awkward": MESSAGE,
    "empty": MESSAGE.partition(b"\r\n\r\n")[0] + b"\r\n\r\n",
    "blank lines": MESSAGE.partition(b"\r\n\r\n")[0] + b"\r\n\r\n\r\n\r\n",
    "one line": MESSAGE.partition(b"\r\n\r\n")[0] + b"\r\n\r\nx\r\n",
}

Sign = Callable[[bytes, str], bytes]


@pytest.fixture(params=SIGNERS, ids=lambda signer: signer.name)
def sign(request: pytest.FixtureRequest) -> Sign:
    """Each signer in turn, with the same key."""
    signer: Signer = request.param
    return lambda message, method: signer.sign(message, KEY, method)


def read(octets: bytes) -> Message:
    """As `verify` reads it; nothing had to be supposed."""
    reader = LooseReader()
    reader.feed(octets)
    reading = reader.finish()
    assert reading.notes == ()
    return reading.message


def judged(octets: bytes, key: FakeKey = KEY) -> Verdict:
    """What we say of the only signature, with the record of this key."""
    return only_verdict(read(octets), zone_of(key), now=NOW)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("body", BODIES)
def test_intact_message_passes(sign: Sign, method: str, body: str) -> None:
    """In all four canonicalizations, whatever the body; nothing was changed."""
    signed = sign(BODIES[body], method)
    verdict = judged(signed)
    assert verdict.result is Result.PASS, verdict.cause
    assert verdict.signature is not None
    signature = verdict.signature
    assert f"{signature.header_method}/{signature.body_method}" == method
    assert find_changes(read(signed), verdict) == ()


@pytest.mark.parametrize("method", METHODS)
def test_ed25519_passes(method: str) -> None:
    """Dkimpy is the only one of them that signs with Ed25519."""
    assert judged(sign_with_dkimpy(MESSAGE, ED, method), ED).result is Result.PASS


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("old", "new", "cause", "found"),
    [
        pytest.param(b".one dot", b".two dot", "body hash", "cannot be told", id="body"),
        pytest.param(
            b".one dot", b"..one dot", "body hash", "one too many", id="dot-stuffing-left-in"
        ),
        pytest.param(b"\r\nFrom here", b"\r\n>From here", "body hash", "mbox", id="mbox"),
        pytest.param(
            b"here on\r\n", b"here on\r\nthe footer\r\n", "body hash", "a footer", id="footer"
        ),
        pytest.param(
            b"\r\n\r\nGr", b"\r\n\r\nNOTE\r\nGr", "body hash", "a warning or banner", id="banner"
        ),
        pytest.param(b"Numbers", b"Letters", "header field", "Subject", id="subject"),
        pytest.param(b"Subject: ", b"Subject: [list] ", "header field", "tag", id="subject-tag"),
        pytest.param(b"jane@example.com", b"june@example.com", "header field", "From", id="from"),
    ],
)
def test_tampered_message_fails_with_its_cause(
    sign: Sign, method: str, old: bytes, new: bytes, cause: str, found: str
) -> None:
    """Body or header section, and what was done to it."""
    signed = sign(MESSAGE, method)
    assert signed.count(old) == 1
    tampered = signed.replace(old, new)
    verdict = judged(tampered)
    assert verdict.result is Result.FAIL
    assert cause in verdict.cause
    whats = "\n".join(change.what for change in find_changes(read(tampered), verdict))
    assert found in whats
    compared = find_changes(read(tampered), verdict, read(signed))
    assert compared


def test_another_key_is_published(sign: Sign) -> None:
    """Told from a changed message by the signature itself."""
    verdict = judged(sign(MESSAGE, "relaxed/relaxed"), OTHER)
    assert verdict.result is Result.FAIL
    assert "another key" in verdict.cause
    assert OTHER.public.fingerprint in verdict.cause


@pytest.mark.parametrize(
    ("change", "forgiven_by"),
    [
        (lambda m: m.replace(b"two  blanks \r\n", b"two blanks\r\n"), ("relaxed", "body")),
        (lambda m: m.replace(b"Numbers   of \r\n\tthe", b"Numbers of the"), ("relaxed", "header")),
        (lambda m: m.replace(b"\nSubject:", b"\nSUBJECT:"), ("relaxed", "header")),
        (lambda m: m + b"\r\n\r\n", ("simple", "body")),
        (lambda m: b"Received: from x by y; z\r\n" + m, ("simple", "header")),
    ],
)
@pytest.mark.parametrize("method", METHODS)
def test_what_canonicalization_forgives(
    sign: Sign, method: str, change: Callable[[bytes], bytes], forgiven_by: tuple[str, str]
) -> None:
    """Relaxed forgives what simple does not, and what simple forgives relaxed does too."""
    changed = change(sign(MESSAGE, method))
    weakest, part = forgiven_by
    header, _, body = method.partition("/")
    used = header if part == "header" else body
    is_forgiven = weakest == "simple" or used == "relaxed"
    assert judged(changed).result is (Result.PASS if is_forgiven else Result.FAIL)


def test_message_of_these_tests_is_awkward() -> None:
    """It has folding, blanks, 8-bit octets, repeated and empty fields, dots and blank lines."""
    for pattern in (rb"\r\n\t", rb"\S {3}", rb"[\x80-\xff]", rb"X-Twice.*\s+X-Twice", rb"\r\n\."):
        assert re.search(pattern, MESSAGE), pattern
