"""relay.core.dkim.verify: the result, in RFC 8601's words, for each way a signature can be.

What is said beside the result, and what is found out about a change, is tested where it is made.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from relay.core.dkim.canonical import Canonicalization, hash_body
from relay.core.dkim.query import TxtAnswer, TxtOutcome
from relay.core.dkim.record import record_text
from relay.core.dkim.signature import Signature
from relay.core.dkim.tags import TagFault
from relay.core.dkim.verify import (
    MAX_SIGNATURES,
    Verdict,
    find_signatures,
    header_digest,
    record_names,
    verify,
)
from relay.core.message import Message, new_field
from relay.core.reader import read_message
from tests.fakes.keys import FakeKey, answers, ed25519_key, rsa_key, rsa_private

NOW = 1_800_000_000.0
KEY = rsa_key("example.com", "s1")
NAME = "s1._domainkey.example.com"
GOOD = record_text(KEY.public)
OTHER = record_text(FakeKey(rsa_private(2048, 1)).public)
P = GOOD.rpartition("p=")[2]
MESSAGE = read_message(
    b"From: Jane <jane@example.com>\r\nTo: ann@example.net\r\nSubject: x\r\n\r\n"
    b"one \r\ntwo  words\r\n\r\n"
)


def signed(message: Message = MESSAGE, key: FakeKey = KEY, **tags: str | None) -> Message:
    """A message signed with any tags at all, right or wrong; b= is over what they say."""
    method = Canonicalization((tags.get("c") or "relaxed/relaxed").rpartition("/")[2])
    length = tags.get("l")
    limit = int(length) if length and length.isdigit() else None
    digest = hash_body(message.body, method, limit_octets=limit)
    all_tags: dict[str, str | None] = {
        "v": "1",
        "a": key.public.algorithm.value,
        "c": "relaxed/relaxed",
        "d": key.domain,
        "s": key.selector,
        "h": "from:to:subject",
        "bh": base64.b64encode(digest).decode(),
        **tags,
    }
    value = "; ".join(f"{k}={v}" for k, v in all_tags.items() if v is not None) + "; b="
    unsigned = message.prepend(new_field("DKIM-Signature", value + "AAAA"))
    found = find_signatures(unsigned)[0]
    if isinstance(found, TagFault):
        return unsigned
    b = base64.b64encode(key.sign_now(header_digest(unsigned, found))).decode()
    return message.prepend(new_field("DKIM-Signature", value + b))


def verdicts(
    message: Message, dns: Mapping[str, TxtAnswer] | None = None, now: float = NOW
) -> tuple[Verdict, ...]:
    """What is said of every signature; by default its record is as it should be."""
    known = answers({NAME: GOOD}) if dns is None else dns
    return verify(message, find_signatures(message), known, now)


def verdict(message: Message, dns: Mapping[str, TxtAnswer] | None = None, now: float = NOW) -> str:
    """The result of the only signature; what does not pass has a cause and a fix."""
    (found,) = verdicts(message, dns, now)
    assert found.cause
    assert found.cause.isprintable()
    assert bool(found.fix) is (found.result.value != "pass")
    return found.result.value


def test_message_without_signature() -> None:
    """Nothing to say, and nothing to ask for."""
    assert verdicts(MESSAGE) == ()
    assert record_names(find_signatures(MESSAGE)) == ()


@pytest.mark.parametrize(
    "c", ["relaxed/relaxed", "relaxed/simple", "simple/relaxed", "simple/simple"]
)
@pytest.mark.parametrize("key", [KEY, ed25519_key("example.com", "s1")], ids=["rsa", "ed25519"])
def test_right_signature_passes(c: str, key: FakeKey) -> None:
    """In all four canonicalizations, with both algorithms."""
    message = signed(key=key, c=c)
    assert verdict(message, answers({NAME: record_text(key.public)})) == "pass"
    assert record_names(find_signatures(message)) == (NAME,)


# The record -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "result"),
    [
        (f"p={P}", "pass"),
        (f"v=DKIM1; h=sha256; s=email; t=y:s; n=x; p={P}", "pass"),
        (f"v=DKIM1; h=sha1:sha256; s=*; p={P}", "pass"),
        (f"v=DKIM1; s=tlsrpt:email; p={P}", "pass"),
        (OTHER, "fail"),
        ("v=DKIM1; p=", "permerror"),
        ("v=DKIM1", "permerror"),
        ("", "permerror"),
        ("v=spf1 -all", "permerror"),
        (f"v=DKIM2; p={P}", "permerror"),
        (f"p={P}; v=DKIM1", "permerror"),
        (f"v=DKIM1; k=dsa; p={P}", "permerror"),
        (f"v=DKIM1; k=ed25519; p={P}", "permerror"),
        (record_text(ed25519_key().public), "permerror"),
        (f"v=DKIM1; h=sha1; p={P}", "permerror"),
        (f"v=DKIM1; s=tlsrpt; p={P}", "permerror"),
        (f"v=DKIM1; p={P[:-5]}", "permerror"),
        (f"v=DKIM1; p={P[:100]}", "permerror"),
        (f"v=DKIM1;; p={P}", "permerror"),
        (f'"v=DKIM1; p={P}"', "permerror"),
    ],
)
def test_record_decides(record: str, result: str) -> None:
    """RFC 6376 §3.6.1 and §6.1.2; a record that cannot be used is a permanent error."""
    assert verdict(signed(), answers({NAME: record})) == result


@pytest.mark.parametrize(
    ("outcome", "result"),
    [
        (TxtOutcome.NXDOMAIN, "permerror"),
        (TxtOutcome.NO_DATA, "permerror"),
        (TxtOutcome.SERVFAIL, "temperror"),
        (TxtOutcome.TIMEOUT, "temperror"),
        (TxtOutcome.FOUND, "permerror"),  # and yet without a record
    ],
)
def test_absence_is_no_silence(outcome: TxtOutcome, result: str) -> None:
    """RFC 6376 §6.1.2: no record is permanent, no answer is not."""
    assert verdict(signed(), {NAME: TxtAnswer(outcome)}) == result


def test_no_answer_at_all() -> None:
    """A name that nobody looked up counts as a timeout, never as a pass."""
    assert verdict(signed(), {}) == "temperror"
    assert verdict(signed(), answers({"s2._domainkey.example.com": GOOD})) == "temperror"


@pytest.mark.parametrize(
    ("records", "result"),
    [
        ([GOOD, GOOD], "pass"),
        (["v=spf1 -all", GOOD], "pass"),
        ([GOOD, "v=DKIM1; p="], "pass"),
        (["v=DKIM1; p=", GOOD], "pass"),
        ([OTHER, GOOD], "pass"),
        ([GOOD, OTHER], "pass"),
        ([OTHER, "v=DKIM1; p="], "fail"),
        (["v=spf1 -all", "v=DKIM1; p="], "permerror"),
    ],
)
def test_several_records_at_one_name(records: list[str], result: str) -> None:
    """§3.6.2.2 leaves it open; the one that helps counts, and that they are several is said."""
    found = verdicts(signed(), answers({NAME: records}))
    assert [v.result.value for v in found] == [result]
    if result == "pass" and len(set(records)) > 1:
        assert any("2 TXT records" in note for note in found[0].notes)


def test_short_key_is_refused_by_its_size() -> None:
    """RFC 8301 §3.2: under 1024 bits nothing passes, whatever the mathematics says."""
    public = rsa.RSAPublicNumbers(65537, (1 << 1022) | 1).public_key()
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    record = f"v=DKIM1; p={base64.b64encode(der).decode()}"
    assert verdict(signed(), answers({NAME: record})) == "policy"


@pytest.mark.parametrize(
    ("auid", "flags", "result"),
    [
        (None, "s", "pass"),
        ("@example.com", "s", "pass"),
        ("jane@EXAMPLE.com", "s", "pass"),
        ("jane@mail.example.com", "s", "permerror"),
        ("jane@mail.example.com", "y", "pass"),
        ("jane@mail.example.com", "", "pass"),
    ],
)
def test_agent_and_strict_record(auid: str | None, flags: str, result: str) -> None:
    """t=s: i= must have exactly the domain of d= (§3.6.1)."""
    assert verdict(signed(i=auid), answers({NAME: f"v=DKIM1; t={flags}; p={P}"})) == result


def test_testing_record_is_noted() -> None:
    """t=y changes no result (§3.6.1), and is said."""
    (found,) = verdicts(signed(), answers({NAME: f"v=DKIM1; t=y; p={P}"}))
    assert found.result.value == "pass"
    assert any("t=y" in note for note in found.notes)


# The signature ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tags", "result"),
    [
        ({"t": "1799999999"}, "pass"),
        ({"t": "1800000300"}, "pass"),  # clocks differ
        ({"t": "1800000400"}, "policy"),
        ({"t": "999999999999"}, "policy"),
        ({"x": "1800000001"}, "pass"),
        ({"x": "1800000000"}, "pass"),
        ({"x": "1799999999"}, "policy"),
        ({"t": "1700000000", "x": "1700000001"}, "policy"),
        ({"a": "rsa-sha1"}, "policy"),
        ({"a": "rsa-sha512"}, "neutral"),
        ({"a": "ed25519-sha256"}, "permerror"),  # the record is of an RSA key
        ({"a": "RSA-SHA256"}, "pass"),
        ({"v": "2"}, "neutral"),
        ({"d": None}, "neutral"),
        ({"d": "com"}, "temperror"),  # nobody looked there
        ({"h": "to:subject"}, "neutral"),
        ({"h": "from"}, "pass"),
        ({"h": "from:from:to:x-none:x-none"}, "pass"),
        ({"h": "FROM : To :\r\n\tSubject"}, "pass"),
        ({"h": "from:dkim-signature"}, "pass"),  # its own field is never among them (§5.4)
        ({"bh": "AAAA"}, "fail"),
        ({"i": "jane@evil.example"}, "neutral"),
        ({"q": "dns/txt"}, "pass"),
        ({"q": "x/y"}, "neutral"),
        ({"z": "From:jane|To:x"}, "pass"),
        ({"unknown": "1"}, "pass"),
        ({"c": None}, "fail"),  # simple/simple is what that means
    ],
)
def test_tags_decide(tags: dict[str, str | None], result: str) -> None:
    """RFC 6376 §6.1.1; what cannot be read is neutral, what is not accepted is policy."""
    assert verdict(signed(MESSAGE, KEY, **tags)) == result


@pytest.mark.parametrize(
    ("length", "result"), [("0", "pass"), ("5", "pass"), ("16", "pass"), ("17", "fail")]
)
def test_length_is_noted(length: str, result: str) -> None:
    """l= passes with a warning; more than there is never does (§3.5)."""
    (found,) = verdicts(signed(l=length))
    assert found.result.value == result
    assert any("l=" in note for note in found.notes)


@pytest.mark.parametrize(
    ("old", "new", "relaxed", "simple"),
    [
        (b"two  words", b"two words", "pass", "fail"),
        (b"one \r\n", b"one\r\n", "pass", "fail"),
        (b"words\r\n\r\n", b"words\r\n\r\n\r\n", "pass", "pass"),
        (b"words", b"Words", "fail", "fail"),
        (b"one", b" one", "fail", "fail"),
        (b"Subject: x", b"SUBJECT:  x", "pass", "fail"),
        (b"Subject: x", b"Subject:\r\n\tx ", "pass", "fail"),
        (b"Subject: x", b"Subject: X", "fail", "fail"),
        (b"Subject: x", b"X-More: y\r\nSubject: x", "pass", "pass"),
        (b"Subject: x\r\n", b"", "fail", "fail"),
        (
            b"To: ann@example.net\r\nSubject: x",
            b"Subject: x\r\nTo: ann@example.net",
            "pass",
            "pass",
        ),
        (b"d=example.com", b"d=example.com ", "fail", "fail"),
        (b"v=1; ", b"v=1;\r\n\t", "pass", "fail"),
        (b"v=1; ", b"v=1; y=2; ", "fail", "fail"),
        (b"; b=", b"; b=\r\n\t ", "pass", "pass"),  # white space of b= is its own
    ],
)
def test_change_after_signing(old: bytes, new: bytes, relaxed: str, simple: str) -> None:
    """What each canonicalization forgives, and what neither does (§3.4)."""
    for c, result in (("relaxed/relaxed", relaxed), ("simple/simple", simple)):
        octets = signed(c=c).octets()
        assert octets.count(old) == 1
        changed = read_message(octets.replace(old, new))
        assert changed.octets() != octets
        assert verdict(changed) == result, c


def test_field_added_below_is_taken_instead() -> None:
    """§5.4.2 from the bottom: a second Subject under the signed one breaks the signature."""
    message = signed()
    below = replace(message, fields=(*message.fields, new_field("Subject", "spam")))
    above = replace(message, fields=(new_field("Subject", "spam"), *message.fields))
    assert verdict(below) == "fail"
    assert verdict(above) == "pass"  # h= names Subject once


# Several signatures -----------------------------------------------------------------------------


def test_each_signature_has_its_own_result() -> None:
    """In the order of the fields, whatever becomes of the others."""
    first = signed()
    second = signed(first, replace(KEY, selector="s2"))
    broken = second.prepend(new_field("DKIM-Signature", "nonsense"))
    dns = answers({NAME: GOOD, "s2._domainkey.example.com": OTHER})
    assert [v.result.value for v in verdicts(broken, dns)] == ["neutral", "fail", "pass"]
    assert record_names(find_signatures(broken)) == ("s2._domainkey.example.com", NAME)


def test_signature_may_sign_another() -> None:
    """h=dkim-signature names the others, from the bottom, and never itself."""
    inner = signed()
    outer = signed(inner, replace(KEY, selector="s2"), h="from:dkim-signature")
    dns = answers({NAME: GOOD, "s2._domainkey.example.com": GOOD})
    assert [v.result.value for v in verdicts(outer, dns)] == ["pass", "pass"]
    without = replace(outer, fields=(outer.fields[0], *outer.fields[2:]))
    assert verdict(without, dns) == "fail"


def test_work_is_bounded() -> None:
    """A message with a thousand signatures costs ten; the rest is said not to be verified."""
    message = MESSAGE
    for number in range(MAX_SIGNATURES + 5):
        message = message.prepend(*signed(key=replace(KEY, selector=f"s{number}")).fields[:1])
    names = record_names(find_signatures(message))
    assert len(names) == MAX_SIGNATURES
    found = verdicts(message, answers(dict.fromkeys(names, GOOD)))
    values = [v.result.value for v in found]
    assert values == ["pass"] * MAX_SIGNATURES + ["policy"] * 5


def test_copies_of_a_signature_are_verified_once() -> None:
    """The same field twice has one result, and takes no other's place."""
    message = signed()
    copies = replace(message, fields=message.fields[:1] * 50 + message.fields)
    found = verdicts(copies)
    assert {v.result.value for v in found} == {"pass"}
    assert len(found) == 51


def test_signatures_are_read_or_have_their_fault() -> None:
    """Nothing is passed over: what cannot be read stands in its place."""
    message = signed().prepend(new_field("DKIM-Signature", ""), new_field("dkim-signature", "v=1"))
    kinds = [type(s) for s in find_signatures(message)]
    assert kinds == [TagFault, TagFault, Signature]
