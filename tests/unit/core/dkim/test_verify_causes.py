"""relay.core.dkim.verify: what is said beside the result. Every row of the table of causes.

Each test is named after what a receiver reports; the words that a person needs must be there.
"""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from relay.core.dkim.query import TxtAnswer, TxtOutcome
from relay.core.dkim.record import record_text
from relay.core.dkim.signature import parse_signature
from relay.core.dkim.verdict import Result, Verdict
from relay.core.dkim.verify import find_signatures, header_digest, verify
from relay.core.message import new_field
from relay.core.reader import read_message
from tests.fakes.foreign import (
    BODY,
    HEADER,
    NOW,
    message_of,
    only_verdict,
    sign_as,
    signature_of,
    zone_of,
)
from tests.fakes.keys import FakeKey, answers, ed25519_private, rsa_private

KEY = FakeKey(rsa_private(), "example.com", "s1")
OTHER = FakeKey(rsa_private(2048, 1), "example.com", "s1")
ED = FakeKey(ed25519_private(), "example.com", "s1")
OTHER_ED = FakeKey(ed25519_private(1), "example.com", "s1")
NAME = "s1._domainkey.example.com"
ZONE = zone_of(KEY)


def said(verdict: Verdict) -> str:
    """Everything that a person gets to read of a verdict."""
    return "\n".join((verdict.cause, verdict.fix, *verdict.notes))


def with_record(text: str) -> Verdict:
    """The verdict on a right signature with this record."""
    return only_verdict(sign_as(message_of(), KEY), answers({NAME: text}))


P = record_text(KEY.public).rpartition("p=")[2]


# fail (body hash did not verify) ----------------------------------------------------------------


def test_body_hash_mismatch_says_that_the_header_section_is_intact() -> None:
    """The body was changed, and nothing else: both are measured."""
    changed = read_message(sign_as(message_of(), KEY).octets().replace(b"fine", b"bad"))
    verdict = only_verdict(changed, ZONE)
    assert verdict.result is Result.FAIL
    assert "body hash did not verify" in verdict.cause
    assert (verdict.evidence.body_matches, verdict.evidence.header_matches) == (False, True)


def test_body_and_header_changed() -> None:
    """The first decides the result, the other is said too."""
    octets = sign_as(message_of(), KEY).octets()
    changed = read_message(octets.replace(b"fine", b"bad").replace(b"Numbers", b"Letters"))
    verdict = only_verdict(changed, ZONE)
    assert "body hash" in verdict.cause
    assert any(note.startswith("besides: the signature does not verify") for note in verdict.notes)
    assert verdict.evidence.header_matches is False


@pytest.mark.parametrize(("octets", "what"), [(20, "SHA-1"), (31, "cut"), (3, "cut")])
def test_body_hash_of_another_length(octets: int, what: str) -> None:
    """bh= that cannot be a SHA-256 hash is told by its length."""
    bh = base64.b64encode(bytes(octets)).decode()
    verdict = only_verdict(sign_as(message_of(), KEY, bh=bh), ZONE)
    assert verdict.result is Result.FAIL
    assert f"bh= has {octets} octets" in verdict.cause
    assert what in verdict.cause


# fail (bad signature) ---------------------------------------------------------------------------


def test_wrong_key_is_told_from_a_changed_header() -> None:
    """An RSA signature tells which key made it; the published one is shown by its fingerprint."""
    verdict = only_verdict(sign_as(message_of(), KEY), zone_of(OTHER))
    assert verdict.result is Result.FAIL
    assert "another key" in verdict.cause
    assert OTHER.public.fingerprint in verdict.cause
    assert "keys list" in verdict.fix
    assert verdict.evidence.published_key_signed is False
    assert verdict.evidence.header_matches is None


def test_changed_header_is_told_from_a_wrong_key() -> None:
    """The published key made the signature, over other fields."""
    changed = read_message(sign_as(message_of(), KEY).octets().replace(b"Numbers", b"Letters"))
    verdict = only_verdict(changed, ZONE)
    assert verdict.result is Result.FAIL
    assert "signed header field was changed" in verdict.cause
    assert "another key" not in said(verdict)
    assert verdict.evidence.published_key_signed is True
    assert verdict.evidence.header_matches is False


@pytest.mark.parametrize(("signer", "published"), [(KEY, OTHER), (ED, OTHER_ED)])
def test_local_key_signed_and_another_is_published(signer: FakeKey, published: FakeKey) -> None:
    """Our own key made it: which record to publish is named, with both fingerprints."""
    verdict = only_verdict(sign_as(message_of(), signer), zone_of(published), local=signer)
    assert verdict.result is Result.FAIL
    assert "keys/example.com/s1.pem" in verdict.cause
    assert signer.public.fingerprint in verdict.cause
    assert published.public.fingerprint in verdict.cause
    assert "keys record example.com" in verdict.fix
    assert verdict.evidence.local_key_signed is True
    assert verdict.evidence.header_matches is True


def test_local_key_did_not_sign() -> None:
    """The key that lies here is not the one that signed: the header section stays unknown."""
    verdict = only_verdict(sign_as(message_of(), KEY), zone_of(OTHER), local=OTHER)
    assert verdict.evidence.local_key_signed is False
    assert verdict.evidence.header_matches is None
    assert "keys/example.com" not in verdict.cause


def test_ed25519_does_not_tell_which_it_was() -> None:
    """Both causes are named where nobody can tell them apart."""
    verdict = only_verdict(sign_as(message_of(), ED), zone_of(OTHER_ED))
    assert verdict.result is Result.FAIL
    assert "header field was changed, or" in verdict.cause
    assert OTHER_ED.public.fingerprint in verdict.cause
    assert verdict.evidence.published_key_signed is None


def test_missing_record_and_local_key_that_signed() -> None:
    """The record is missing, and publishing it is all that is."""
    missing = {NAME: TxtAnswer(TxtOutcome.NXDOMAIN)}
    verdict = only_verdict(sign_as(message_of(), KEY), missing, local=KEY)
    assert verdict.result is Result.PERMERROR
    assert verdict.evidence.local_key_signed is True
    assert verdict.evidence.header_matches is True


def test_signature_over_sha1_that_calls_itself_sha256() -> None:
    """Told by what was signed."""
    message = message_of()
    draft = sign_as(message, KEY)
    digest = header_digest(draft, signature_of(draft))
    value = rsa_private().sign(digest, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303 - the fault
    before, _, _ = draft.fields[0].value.strip().rpartition(b"b=")
    field = new_field("DKIM-Signature", before + b"b=" + base64.b64encode(value))
    verdict = only_verdict(message.prepend(field), ZONE)
    assert verdict.result is Result.FAIL
    assert "SHA-1" in verdict.cause


# temperror --------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [TxtOutcome.TIMEOUT, TxtOutcome.SERVFAIL])
def test_temperror_says_which_server_and_how_long(outcome: TxtOutcome) -> None:
    """What the resolver knows of its failure is handed on."""
    detail = "asked 192.0.2.53:53, no answer within 5 s"
    verdict = only_verdict(sign_as(message_of(), KEY), {NAME: TxtAnswer(outcome, detail=detail)})
    assert verdict.result is Result.TEMPERROR
    assert NAME in verdict.cause
    assert detail in verdict.cause
    assert verdict.evidence.body_matches is True


# permerror --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ("v=DKIM1; k=rsa", ("'p'", "octet 14", "missing")),
        (f"v=DKIM1; k=rsa; p={P[:-3]}*", ("'p'", "octet 16", "base64")),
        (f"v=DKIM1; k=rsa; p={P[:200]}", ("'p'", "octet 16", "DER")),
        (f"k=rsa; v=DKIM1; p={P}", ("'v'", "octet 7", "first")),
        (f"v=DKIM1; k=dsa; p={P}", ("'k'", "octet 9", "dsa")),
        (f"v=DKIM1; p={P}; p={P}", ("'p'", "twice")),
        (f"v=DKIM1 k=rsa p={P}", ("'v'", "octet 0")),
        (f'"v=DKIM1; p={P}"', ("quotes",)),
        (f"v=DKIM1\\; p={P}", ("backslashes",)),
        (f"v=DKIM1; p={P}"[:255], ("the length of one string", "255")),
        ("v=spf1 -all", ("SPF",)),
        ("v=DMARC1; p=none", ("DMARC",)),
        ("o=~", ("DomainKeys", "nothing today")),
        ("o=-; n=x", ("DomainKeys",)),
    ],
)
def test_malformed_record_names_tag_and_offset(record: str, words: tuple[str, ...]) -> None:
    """The offending tag and its position, or what stands there instead; and what to publish."""
    verdict = with_record(record)
    assert verdict.result is Result.PERMERROR
    for word in words:
        assert word in said(verdict)
    assert NAME in verdict.cause
    assert "keys record" in verdict.fix or "enter it" in verdict.fix


@pytest.mark.parametrize(
    ("record", "word"),
    [
        ("v=DKIM1; p=", "revoked"),
        (f"v=DKIM1; h=sha1; p={P}", "excludes sha256"),
        (f"v=DKIM1; s=tlsrpt; p={P}", "excludes email"),
        (record_text(ED.public), "k=ed25519"),
    ],
)
def test_record_that_excludes_the_signature(record: str, word: str) -> None:
    """Which tag, and what to do with it."""
    verdict = with_record(record)
    assert verdict.result is Result.PERMERROR
    assert word in verdict.cause
    assert verdict.fix


def test_missing_record_says_where_it_was_looked_for() -> None:
    """The name, and the CNAME that led nowhere."""
    detail = "asked 192.0.2.53:53, 3 ms, CNAME to s1.esp.example"
    answer = TxtAnswer(TxtOutcome.NXDOMAIN, detail=detail)
    verdict = only_verdict(sign_as(message_of(), KEY), {NAME: answer})
    assert verdict.result is Result.PERMERROR
    assert NAME in verdict.cause
    assert "CNAME to s1.esp.example" in verdict.cause
    assert verdict.published is not None
    assert verdict.published.detail == detail


# policy -----------------------------------------------------------------------------------------


def test_sha1_is_refused_by_name() -> None:
    """RFC 8301 §3.1; that is all that is said of it."""
    verdict = only_verdict(sign_as(message_of(), KEY, a="rsa-sha1"), ZONE)
    assert verdict.result is Result.POLICY
    assert "rsa-sha1" in verdict.cause
    assert "rsa-sha256" in verdict.fix


def test_expired_signature_says_since_when_and_what_else() -> None:
    """And that it would verify otherwise is measured."""
    message = sign_as(message_of(), KEY, t="1799990000", x="1799999000")
    verdict = only_verdict(message, ZONE)
    assert verdict.result is Result.POLICY
    assert "1,000 seconds ago" in verdict.cause
    assert verdict.evidence.header_matches is True


def test_signature_from_the_future() -> None:
    """By how much, and whose clock."""
    verdict = only_verdict(sign_as(message_of(), KEY, t="1800001000"), ZONE)
    assert verdict.result is Result.POLICY
    assert "1,000 seconds in the future" in verdict.cause
    assert "clock" in verdict.fix


# notes of what passes ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("granularity", "auid", "is_flagged"),
    [
        ("*", None, False),
        ("jane", "jane@example.com", False),
        ("j*e", "jane@example.com", False),
        ("jane*", "jane@example.com", False),
        ("", "jane@example.com", True),
        ("jane", "ann@example.com", True),
        ("ja*ane", "jane@example.com", True),
        ("jane", None, True),
    ],
)
def test_historic_granularity(granularity: str, auid: str | None, is_flagged: bool) -> None:
    """g= decides nothing since RFC 6376; where old receivers would refuse, it is said."""
    message = sign_as(message_of(), KEY, i=auid)
    record = f"v=DKIM1; g={granularity}; p={P}"
    verdict = only_verdict(message, answers({NAME: record}))
    assert verdict.result is Result.PASS
    assert any(note.startswith("g=") for note in verdict.notes) is is_flagged


def test_testing_flag_is_said_of_what_fails_too() -> None:
    """t=y may be why a receiver does not care."""
    verdict = only_verdict(
        read_message(sign_as(message_of(), KEY).octets().replace(b"fine", b"bad")),
        answers({NAME: f"v=DKIM1; t=y; p={P}"}),
    )
    assert verdict.result is Result.FAIL
    assert any("t=y" in note for note in verdict.notes)


def test_weak_key_is_noted() -> None:
    """Between 1,024 and 2,048 bits a signature passes, and the size is said."""
    key = FakeKey(rsa_private(1024), "example.com", "s1")
    verdict = only_verdict(sign_as(message_of(), key), zone_of(key))
    assert verdict.result is Result.PASS
    assert any("1024 bits" in note for note in verdict.notes)


def test_several_records_are_listed() -> None:
    """How many, that each was tried, and how each begins."""
    dns = answers({NAME: [record_text(OTHER.public), record_text(KEY.public)]})
    verdict = only_verdict(sign_as(message_of(), KEY), dns)
    assert verdict.result is Result.PASS
    (note,) = [n for n in verdict.notes if "2 TXT records" in n]
    assert "each was tried" in note
    assert "delete all but one" in note
    assert verdict.published is not None
    assert verdict.published.public == KEY.public


@pytest.mark.parametrize(
    ("body", "length", "word"),
    [
        (BODY, 12, "unsigned"),
        (BODY, 52, "all of it"),
    ],
)
def test_length_says_what_is_signed(body: bytes, length: int, word: str) -> None:
    """Whether there is anything behind the signed octets now; that there may be, always."""
    message = sign_as(message_of(body), KEY, l=str(length))
    verdict = only_verdict(message, ZONE)
    assert verdict.result is Result.PASS
    (note,) = [n for n in verdict.notes if n.startswith(f"l={length}")]
    assert word in note
    assert "anybody may append" in note


@pytest.mark.parametrize("is_whole", [True, False])
def test_length_beyond_the_end(is_whole: bool) -> None:
    """More signed than there is: whether the body is damaged too is told."""
    message = sign_as(message_of(), KEY, l="76")
    if not is_whole:
        message = read_message(message.octets().replace(b"fine", b"bad"))
    verdict = only_verdict(message, ZONE)
    assert verdict.result is Result.FAIL
    assert "l=76 is larger than the canonical body" in verdict.cause
    assert ("counted wrongly" in verdict.cause) is is_whole


# hostile signatures -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tags", "result"),
    [
        ({"l": "9" * 76}, Result.FAIL),
        ({"t": "999999999999"}, Result.POLICY),
        ({"t": "1", "x": "999999999999"}, Result.PASS),
        ({"h": ":".join(["from", *(f"x-{i}" for i in range(100_000))])}, Result.PASS),
        ({"h": ":".join(["from"] * 100_000)}, Result.PASS),
        ({"i": "x" * 100_000 + "@example.com"}, Result.PASS),
        ({"z": "|".join(f"X-{i}:y" for i in range(50_000))}, Result.PASS),
        ({"q": "dns/txt:" + "x" * 100_000}, Result.PASS),
    ],
    ids=["l", "t", "x", "names", "same-names", "auid", "copies", "methods"],
)
def test_extreme_tags_are_verified(tags: dict[str, str], result: Result) -> None:
    """Numbers and lists as long as the grammar lets them be have an ordinary result."""
    message = sign_as(message_of(), KEY, hashed=None if "l" not in tags else b"x", **tags)
    verdict = only_verdict(message, ZONE)
    assert verdict.result is result
    assert len(said(verdict)) < 2000


@pytest.mark.parametrize(
    "value",
    [
        b"v=1; a=rsa-sha256; d=example.com; s=s1; h=from; bh=AAAA; b=" + b"A" * 1_000_000,
        b"v=1; a=rsa-sha256; d=example.com; s=s1; h=from; bh=" + b"A" * 1_000_000 + b"; b=AAAA",
        b"v=1; a=rsa-sha256; d=example.com; s=s1; h=from; bh=AAAA; b=AAAA; t=1" + b"0" * 1000,
        b"v=1; a=rsa-sha256; d=example.com; s=s1; h=from; bh=AAAA; b=AAAA; l=" + b"9" * 77,
        b"v=1;" + b";".join(b"x%d=y" % i for i in range(50_000)),
        b";" * 100_000,
        b"=" * 100_000,
        b" \r\n\t" * 50_000,
        b"v=1; a=\x1b[31mred; d=example.com; s=s1; h=from; bh=AAAA; b=AAAA",
        b"v=1; \x1b]0;x\x07=1",
        b"v=1; a=rsa-sha256; d=\xff\xfe; s=s1; h=from; bh=AAAA; b=AAAA",
        b"v=1; a=\xc3\xa9\xff; d=example.com; s=s1; h=from; bh=AAAA; b=AAAA",
    ],
)
def test_hostile_field_has_a_short_harmless_verdict(value: bytes) -> None:
    """Whatever it is, it costs one verdict whose words fit a terminal."""
    message = message_of().prepend(new_field("DKIM-Signature", value))
    found = verify(message, find_signatures(message), ZONE, NOW)
    assert [v.result for v in found] in ([Result.NEUTRAL], [Result.FAIL])
    assert said(found[0]).replace("\n", "").isprintable()
    assert len(said(found[0])) < 1500


def test_hostile_record_has_a_short_harmless_verdict() -> None:
    """The record is a stranger's too."""
    for record in ("\x1b[31m" * 1000, "v=DKIM1; p=" + "A" * 60_000, "v=DKIM1;" + "x" * 60_000):
        verdict = with_record(record)
        assert verdict.result is Result.PERMERROR
        assert said(verdict).replace("\n", "").isprintable()
        assert len(said(verdict)) < 1500


def test_many_records_are_tried_up_to_a_limit() -> None:
    """A hundred records cost ten key operations."""
    texts = [record_text(OTHER.public) + f"; n={i}" for i in range(100)]
    verdict = only_verdict(sign_as(message_of(), KEY), answers({NAME: texts}))
    assert verdict.result is Result.FAIL
    assert verdict.published is not None
    assert verdict.published.count == 100
    assert len(said(verdict)) < 2500


def test_huge_rsa_key_is_refused_before_it_is_used() -> None:
    """The work that a record can ask for is bounded (8,192 bits)."""
    public = rsa.RSAPublicNumbers(65537, (1 << 16_383) | 1).public_key()
    key = replace(KEY.public, key=public)
    verdict = with_record(record_text(key))
    assert verdict.result is Result.PERMERROR
    assert "16384 bits" in verdict.cause


# internationalised ------------------------------------------------------------------------------


def test_u_labels_and_utf8_in_the_signature() -> None:
    """RFC 8616 §4: d=, s= and i= may be in UTF-8; they are looked up in A-labels."""
    key = FakeKey(rsa_private(), "xn--mnchen-3ya.example", "s1")
    message = read_message(
        "From: J\u00f6rg <j\u00f6rg@m\u00fcnchen.example>\r\nSubject: \u00dc\r\n\r\nx\r\n".encode()
    )
    signed = sign_as(
        message, key, d="m\u00fcnchen.example", i="j\u00f6rg@m\u00fcnchen.example", h="from:subject"
    )
    verdict = only_verdict(signed, zone_of(key))
    assert verdict.result is Result.PASS
    assert verdict.domain == "xn--mnchen-3ya.example"
    assert verdict.signature is not None
    assert verdict.signature.auid == "j\u00f6rg@m\u00fcnchen.example"


def test_header_of_the_test_messages_is_whole() -> None:
    """What the tests above change is there once."""
    octets = HEADER + b"\r\n" + BODY
    assert octets.count(b"Numbers") == octets.count(b"fine") == 1
    assert parse_signature(sign_as(message_of(), KEY).fields[0]).domain == "example.com"
