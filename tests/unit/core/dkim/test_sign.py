"""relay.core.dkim.sign: which fields are signed, and the field that says so.

The rules are those of DESIGN, "What is signed".
"""

from __future__ import annotations

import gc
import re
import tracemalloc
from collections import Counter

import pytest

from relay.core.dkim.algorithm import Algorithm
from relay.core.dkim.canonical import hash_body
from relay.core.dkim.sign import draft, fields_to_sign
from relay.core.dkim.signature import Signature, parse_signature
from relay.core.dkim.tags import parse_tags
from relay.core.dkim.verify import find_signatures, header_digest
from relay.core.message import Field, Message, new_field, parse_header
from relay.core.reader import read_message
from tests.fakes.keys import FakeKey, ed25519_key, rsa_key, zone
from tests.fakes.verifiers import verify_with_dkimpy

ALWAYS = ["from", "to", "cc", "subject", "reply-to"]
ALWAYS += ["mime-version", "content-type", "content-transfer-encoding"]
WHEN_PRESENT = ["date", "message-id", "in-reply-to", "references"]
WHEN_PRESENT += ["list-unsubscribe", "list-unsubscribe-post"]
ONCE = ["sender", "content-id", "content-description", "list-id", "list-help", "list-post"]
ONCE += ["list-archive", "list-owner", "list-subscribe", "list-anything", "resent-from"]
ONCE += ["resent-to", "resent-cc", "resent-date", "resent-sender", "resent-message-id"]
NEVER = ["received", "return-path", "bcc", "resent-bcc", "dkim-signature", "comments", "keywords"]
OTHER = ["x-mailer", "organization", "autosubmitted", "content-language", "authentication-results"]
OTHER += ["arc-seal", "list", "resent", "user-agent", "delivered-to", "content-disposition"]
SES = frozenset({b"message-id", b"date", b"return-path", b"bounces-to"})
NOW = 1_795_168_800


def fields(*names: str) -> tuple[Field, ...]:
    """A field of each name, in order."""
    return tuple(new_field(name.title(), f"value {n}") for n, name in enumerate(names))


def counted(*names: str, never: frozenset[bytes] = frozenset()) -> Counter[str]:
    """How often each name stands in h= for a section of these fields."""
    return Counter(n.decode() for n in fields_to_sign(fields(*names), never=never))


# Which fields -------------------------------------------------------------------------------------


def test_empty_section() -> None:
    """What is oversigned always is named even when absent, in this order."""
    assert [n.decode() for n in fields_to_sign(())] == ALWAYS


@pytest.mark.parametrize("times", [0, 1, 2, 3])
@pytest.mark.parametrize("name", ALWAYS)
def test_oversigned_always(name: str, times: int) -> None:
    """Named once more than present, so that none can be added."""
    assert counted(*[name] * times) == Counter({n: 1 for n in ALWAYS}) + Counter({name: times})


@pytest.mark.parametrize("times", [0, 1, 2, 3])
@pytest.mark.parametrize("name", WHEN_PRESENT)
def test_oversigned_when_present(name: str, times: int) -> None:
    """Named once more than present, and not at all when absent."""
    assert counted(*[name] * times)[name] == (times + 1 if times else 0)


@pytest.mark.parametrize("times", [0, 1, 2, 3])
@pytest.mark.parametrize("name", ONCE)
def test_signed_when_present(name: str, times: int) -> None:
    """Named as often as present: a list or a resender may add its own."""
    assert counted(*[name] * times)[name] == times


@pytest.mark.parametrize("name", NEVER + OTHER)
def test_not_signed(name: str) -> None:
    """Neither when present nor when absent."""
    assert counted(name, name) == Counter(ALWAYS)


@pytest.mark.parametrize("name", ALWAYS[1:] + WHEN_PRESENT + ONCE)
def test_what_the_upstream_rewrites_is_not_signed(name: str) -> None:
    """Neither signed nor oversigned, present or absent; everything else as before."""
    never = frozenset({name.encode()})
    everything = ALWAYS + WHEN_PRESENT + ONCE
    expected = counted(*everything)
    del expected[name]
    assert counted(*everything, never=never) == expected
    assert name not in counted(never=never)


def test_ses_profile() -> None:
    """Message-ID, Date, Return-Path and Bounces-To are the upstream's (DESIGN)."""
    found = counted(*ALWAYS, *WHEN_PRESENT, "return-path", "bounces-to", never=SES)
    expected = {n: 2 for n in ALWAYS + WHEN_PRESENT if n.encode() not in SES}
    assert found == Counter(expected)


def test_spelling_of_names_does_not_matter() -> None:
    """Names count in any case, and stand in h= in lower case."""
    section = parse_header(b"FROM: a\r\nfrom: b\r\nsEnDeR: c\r\n", max_fields=9)
    names = fields_to_sign(section)
    assert Counter(names)[b"from"] == 3
    assert Counter(names)[b"sender"] == 1


def test_number_of_names_is_bounded_by_the_section() -> None:
    """2,000 fields of one kind, or of 2,000 kinds."""
    assert len(fields_to_sign(fields(*["to"] * 2000))) == 2000 + len(ALWAYS)
    many = fields(*[f"list-{n}" for n in range(2000)])
    assert len(fields_to_sign(many)) == 2000 + len(ALWAYS)


# The field ----------------------------------------------------------------------------------------


def signed(
    message: Message,
    key: FakeKey,
    *,
    names: tuple[bytes, ...] | None = None,
    now: int = NOW,
    expire_seconds: int = 0,
    auid: str = "",
) -> tuple[Field, Signature]:
    """The DKIM-Signature of a key for a message, and what it reads as."""
    drafted = draft(
        message.fields,
        fields_to_sign(message.fields) if names is None else names,
        hash_body(message.body),
        domain=key.domain,
        selector=key.selector,
        algorithm=key.public.algorithm,
        now=now,
        expire_seconds=expire_seconds,
        auid=auid,
    )
    field = drafted.seal(key.sign_now(drafted.digest))
    (found,) = find_signatures(message.prepend(field))
    assert isinstance(found, Signature)
    assert header_digest(message.prepend(field), found) == drafted.digest
    return field, found


MESSAGE = read_message(
    b"From: Jane <jane@example.com>\r\nTo: ann@example.net\r\nSubject: x\r\n\r\nbody\r\n"
)


@pytest.mark.parametrize("key", [rsa_key(), ed25519_key()], ids=["rsa", "ed25519"])
def test_tags_of_a_signature(key: FakeKey) -> None:
    """The nine tags that are needed, and no other: l= and z= never, i= not unasked."""
    field, found = signed(MESSAGE, key)
    tags = parse_tags(field.value)
    assert list(tags) == ["v", "a", "c", "d", "s", "t", "h", "bh", "b"]
    assert field.octets.startswith(b"DKIM-Signature: v=1; a=")
    assert tags["c"].value == b"relaxed/relaxed"
    assert found.algorithm == key.public.algorithm.value
    assert (found.domain, found.selector) == (key.domain, key.selector)
    assert (found.signed_at, found.expires_at) == (NOW, None)
    assert found.names == fields_to_sign(MESSAGE.fields)
    assert found.body_hash == hash_body(MESSAGE.body)
    assert key.public.verifies(found.value, key.digests[-1])


def test_optional_tags_of_a_signature() -> None:
    """x= is counted from t=; i= stands as it is given."""
    field, found = signed(MESSAGE, rsa_key(), expire_seconds=3600, auid="=6A@mail.example.com")
    assert list(parse_tags(field.value)) == ["v", "a", "c", "d", "s", "t", "x", "i", "h", "bh", "b"]
    assert (found.signed_at, found.expires_at) == (NOW, NOW + 3600)
    assert found.auid == "=6A@mail.example.com"


@pytest.mark.parametrize("now", [0, 1, 999_999_999, 1_000_000_000, 9_999_999_999, 10_000_000_000])
def test_time_of_any_width(now: int) -> None:
    """Ten digits is what it is today, not what it must be."""
    _, found = signed(MESSAGE, ed25519_key(), now=now, expire_seconds=1)
    assert (found.signed_at, found.expires_at) == (now, now + 1)


def test_signatures_of_different_messages_do_not_mix() -> None:
    """Whatever is kept from one signature to the next, each has its own values."""
    other = read_message(b"From: a@example.com\r\nTo: x\r\nSubject: y\r\n\r\nother body\r\n")
    results = [
        signed(message, key, now=now, expire_seconds=expire)[1]
        for message in (MESSAGE, other)
        for key in (ed25519_key(), ed25519_key("example.net"), ed25519_key(selector="s2"))
        for now in (NOW, NOW + 1)
        for expire in (0, 10)
    ]
    shown = [(s.body_hash, s.domain, s.selector, s.signed_at, s.expires_at) for s in results]
    assert len(set(shown)) == len(results) == 24


@pytest.mark.parametrize(
    "name", ["List-%s", "List-%d%b", "Resent-%%", "List-{0}", "List-\\1", "List-a;z=x", 'List-"(']
)
def test_names_with_meaning_elsewhere(name: str) -> None:
    """RFC 5322 permits them in names; h= has none, for a semicolon or quote there breaks it."""
    message = MESSAGE.prepend(new_field(name, "x"))
    _, found = signed(message, ed25519_key())
    assert name.lower().encode() not in found.names


def test_nothing_of_strange_messages_is_kept() -> None:
    """What is remembered to sign quickly is bounded in octets, not only in entries.

    Every message here has 2,000 fields that no message before it had.
    """
    key = ed25519_key()
    signed(MESSAGE, key)
    tracemalloc.start()
    try:
        for number in range(12):
            fields_ = tuple(
                Field(b"list-%d-%d-%s" % (number, n, b"x" * 60), b"L: x\r\n") for n in range(2000)
            )
            signed(MESSAGE.prepend(*fields_), key)
        del fields_
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1_000_000


WIDE = [
    pytest.param("example.com", "s1", 1, id="ordinary"),
    pytest.param("example.com", "x" * 60, 1, id="selector of 60"),
    pytest.param(".".join(["x" * 49] * 5), "s1", 1, id="domain of 249"),
    pytest.param(".".join(["x" * 49] * 5), ".".join(["y" * 60] * 3), 1, id="both long"),
    pytest.param("example.com", "s1", 2000, id="2,000 fields"),
    *[pytest.param("x" * n + ".com", "s1", n, id=f"domain of {n + 4}") for n in range(1, 60, 3)],
]


@pytest.mark.parametrize("kind", [Algorithm.RSA_SHA256, Algorithm.ED25519_SHA256])
@pytest.mark.parametrize(("domain", "selector", "number"), WIDE)
def test_folding(domain: str, selector: str, number: int, kind: Algorithm) -> None:
    """Lines of at most 78 octets where tokens permit, folded only where every verifier unfolds."""
    key = (rsa_key if kind is Algorithm.RSA_SHA256 else ed25519_key)(domain, selector)
    message = MESSAGE.prepend(*(new_field(f"List-{n % 50 * 'x'}", "v") for n in range(number)))
    field, found = signed(message, key, expire_seconds=9, auid=f"@{domain}")
    assert field.octets.endswith(b"\r\n")
    lines = field.octets[:-2].split(b"\r\n")
    for line in lines:
        assert line == line.rstrip()
        assert len(line) <= 78 or len(re.findall(rb"[^ :;]+", line)) == 1
    assert all(line[:1] == b"\t" and line[1:2] not in b"\t " for line in lines[1:])
    unsigned, value = field.octets[:-2].rsplit(b"b=", 1)
    for before in unsigned.split(b"\r\n")[:-1]:
        assert before.endswith((b";", b":"))  # Mail::DKIM and others break on any other fold
    assert re.fullmatch(rb"[A-Za-z0-9+/=]*(\r\n\t[A-Za-z0-9+/=]+)*", value)
    assert b"d=%b;" % domain.encode() in field.octets
    assert b"s=%b;" % selector.encode() in field.octets
    assert found.names == fields_to_sign(message.fields)


@pytest.mark.parametrize("key", [rsa_key(), ed25519_key()], ids=["rsa", "ed25519"])
@pytest.mark.parametrize("number", [0, 1, 7, 100])
def test_signature_passes_in_dkimpy(key: FakeKey, number: int) -> None:
    """However many fields it names."""
    message = MESSAGE.prepend(*(new_field(f"List-{n}", f"  v\t{n} ") for n in range(number)))
    field, _ = signed(message, key)
    (verdict,) = verify_with_dkimpy(message.prepend(field).octets(), zone(key))
    assert verdict.result.value == "pass"


def test_repeated_fields_are_signed_from_the_bottom() -> None:
    """§5.4.2: with one name for two fields, the lower one is signed and the upper one free."""
    key = ed25519_key()
    section = b"Sender: upper\r\nFrom: a@example.com\r\nSender: lower\r\n\r\n"
    message = read_message(section)
    field, found = signed(message, key, names=(b"from", b"sender"))
    digest = key.digests[-1]
    for changed, same in ((b"upper", True), (b"lower", False)):
        other = read_message(section.replace(changed, b"other")).prepend(field)
        (reread,) = find_signatures(other)
        assert isinstance(reread, Signature)
        assert (header_digest(other, reread) == digest) is same
    assert found.names == (b"from", b"sender")


def test_parse_of_a_written_field_needs_no_message() -> None:
    """The field alone carries all its tags."""
    field, found = signed(MESSAGE, rsa_key())
    assert parse_signature(field).names == found.names
