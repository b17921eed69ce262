"""Messages that others signed, and one of ours, kept as files beside the DNS zone they need.

`<who>.<what>.eml` is verified with the records of `<who>.json` (owner name → TXT strings, as
`--dns-file` has it). rfc6376 and rfc8463 are the messages of the RFCs' appendices, with errata
3192 and 4926 of RFC 6376; dkimpy, opendkim and mail-dkim signed one awkward message in all four
canonicalizations; dkim-relay is what we wrote ourselves.
"""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from relay.core.dkim.algorithm import sign_digest
from relay.core.dkim.canonical import hash_body
from relay.core.dkim.query import TxtAnswer
from relay.core.dkim.sign import draft, fields_to_sign
from relay.core.dkim.signature import Signature
from relay.core.dkim.verify import Result, Verdict, find_signatures, header_digest, verify
from relay.core.errors import SyntaxFault
from relay.core.message import Message
from relay.core.reader import read_message
from tests.fakes.keys import (
    FakeKey,
    PrivateKey,
    answers,
    rfc6376_private,
    rfc8463_ed25519_private,
    rfc8463_rsa_private,
    rsa_key,
    zone,
)
from tests.fakes.verifiers import verify_with_dkimpy

HERE = Path(__file__).parent
NAMES = sorted(path.name.removesuffix(".eml") for path in HERE.glob("*.eml"))
NOW = 1_795_300_000.0  # when these messages are looked at; all were signed before
SIGNED_AT = 1_795_168_800
WEEK_SECONDS = 604_800


def octets_of(name: str) -> bytes:
    """The message as it is kept."""
    return (HERE / f"{name}.eml").read_bytes()


def records_of(name: str) -> dict[str, str]:
    """The records of its signer, strings joined."""
    path = HERE / f"{name.partition('.')[0]}.json"
    return {owner: "".join(texts) for owner, texts in json.loads(path.read_text()).items()}


def verdicts_of(octets: bytes, dns: dict[str, TxtAnswer]) -> tuple[Verdict, ...]:
    """What our verifier says of every signature."""
    message = read_message(octets)
    return verify(message, find_signatures(message), dns, NOW)


def signatures_of(message: Message) -> list[Signature]:
    """Its signatures, all of which can be read."""
    found = find_signatures(message)
    assert all(isinstance(s, Signature) for s in found)
    return [s for s in found if isinstance(s, Signature)]


def test_golden_messages_are_where_they_are_looked_for() -> None:
    """The tests below are about real files, of every signer."""
    signers = {name.partition(".")[0] for name in NAMES}
    assert signers == {"rfc6376", "rfc8463", "dkimpy", "opendkim", "mail-dkim", "dkim-relay"}
    assert len(NAMES) == 16


@pytest.mark.parametrize("name", NAMES)
def test_golden_message_is_kept_with_crlf(name: str) -> None:
    """No tool has changed the line ends on the way through version control."""
    octets = octets_of(name)
    assert octets.count(b"\r\n") == octets.count(b"\n") == octets.count(b"\r") > 10


@pytest.mark.parametrize("name", NAMES)
def test_golden_message_passes(name: str) -> None:
    """Every signature of a golden message passes, by our verifier."""
    verdicts = verdicts_of(octets_of(name), answers(records_of(name)))
    assert [v.result for v in verdicts] == [Result.PASS] * len(verdicts)
    assert len(verdicts) == (2 if name in ("rfc8463", "dkim-relay") else 1)


@pytest.mark.parametrize("name", NAMES)
def test_golden_message_passes_in_dkimpy(name: str) -> None:
    """The files themselves are right: dkimpy says the same."""
    verdicts = verify_with_dkimpy(octets_of(name), records_of(name))
    assert verdicts
    assert {v.result.value for v in verdicts} == {"pass"}


@pytest.mark.parametrize("name", NAMES)
def test_golden_message_with_another_key_fails(name: str) -> None:
    """A record with a key that did not sign does not make a signature pass."""
    octets = octets_of(name)
    signatures = signatures_of(read_message(octets))
    wrong = zone(*(FakeKey(rsa_key().private, s.domain, s.selector) for s in signatures))
    results = [v.result for v in verdicts_of(octets, answers(wrong))]
    expected = {"rsa-sha256": Result.FAIL, "ed25519-sha256": Result.PERMERROR}
    assert results == [expected[s.algorithm] for s in signatures]


@pytest.mark.parametrize("name", NAMES)
def test_golden_message_in_any_two_blocks_passes(name: str) -> None:
    """Where the octets were split while they arrived makes no difference to a verdict."""
    octets = octets_of(name)
    dns = answers(records_of(name))
    whole = read_message(octets)
    for position in range(0, len(octets), 7):
        split = read_message((octets[:position], octets[position:]))
        assert split.fields == whole.fields
        assert split.traits == whole.traits
        methods = {(s.body_method, s.length) for s in signatures_of(split)}
        for method, length in methods:
            assert hash_body(split.body, method, limit_octets=length) == hash_body(
                whole.body, method, limit_octets=length
            )
    middle = octets.index(b"\r\n\r\n") + 2  # between the two line ends of the blank line
    split = read_message((octets[:middle], octets[middle:]))
    verdicts = verify(split, find_signatures(split), dns, NOW)
    assert {v.result for v in verdicts} == {Result.PASS}


# Each octet XOR 1: a letter becomes another letter, a blank "!", CR and LF something bare.
@pytest.mark.parametrize("name", ["rfc6376", "rfc8463", "dkimpy.relaxed-simple"])
def test_every_signed_octet_is_covered(name: str) -> None:
    """A signature passes after a change of one octet only where it does not look.

    That is: header fields that h= does not name, other signatures, and the bits of a last
    base64 digit that are no part of the value.
    """
    octets = octets_of(name)
    dns = answers(records_of(name))
    message = read_message(octets)
    signatures = signatures_of(message)
    passed: list[set[int]] = [set() for _ in signatures]
    for position in range(len(octets)):
        changed = bytearray(octets)
        changed[position] ^= 1
        try:
            verdicts = verdicts_of(bytes(changed), dns)
        except SyntaxFault:
            continue
        if len(verdicts) != len(signatures):  # the name of a DKIM-Signature field was hit
            continue
        for found, verdict in zip(passed, verdicts, strict=True):
            if verdict.result is Result.PASS:
                found.add(position)
    for signature, found in zip(signatures, passed, strict=True):
        assert found <= _uncovered(message, signature)
        assert len(found) > 50 or name == "rfc6376"  # there is something that is not covered


def _uncovered(message: Message, signature: Signature) -> set[int]:
    """The positions in a message that a signature says nothing of."""
    octets = message.octets()
    found: set[int] = set()
    named = Counter(signature.names)
    for field in reversed(message.fields):  # §5.4.2: from the bottom
        start = octets.index(field.octets)
        if field is signature.field:
            found.update(_unused_base64_bits(field.octets, start))
        elif named[field.key] == 0:
            found.update(range(start, start + len(field.octets)))
        named[field.key] -= named[field.key] > 0
    return found


def _unused_base64_bits(field: bytes, start: int) -> set[int]:
    """Where the last digit before "=" of a base64 value stands, whose low bits say nothing."""
    return {start + i for i in range(len(field) - 1) if field[i + 1] == ord("=") != field[i]}


@pytest.mark.parametrize(
    ("name", "private"),
    [
        ("rfc6376", [rfc6376_private]),
        ("rfc8463", [rfc8463_ed25519_private, rfc8463_rsa_private]),
    ],
)
def test_rfc_signature_value_is_reproduced(name: str, private: list[object]) -> None:
    """Our data hash, signed with the RFC's own key, is the RFC's own b= to the last octet.

    Both algorithms are deterministic (RFC 8017 §8.2, RFC 8032 §5.1.6).
    """
    message = read_message(octets_of(name))
    signatures = signatures_of(message)
    keys: list[PrivateKey] = [make() for make in private if callable(make)]
    assert len(keys) == len(signatures)
    for signature, key in zip(signatures, keys, strict=True):
        assert sign_digest(key, header_digest(message, signature)) == signature.value
        assert hash_body(message.body, signature.body_method) == signature.body_hash


def test_rfc8463_body_hash_is_that_of_rfc6376() -> None:
    """The relaxed body of RFC 8463 and the simple one of RFC 6376 have one hash."""
    assert {
        base64.b64encode(s.body_hash)
        for name in ("rfc6376", "rfc8463")
        for s in signatures_of(read_message(octets_of(name)))
    } == {b"2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8="}


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("rfc6376", Result.PASS),
        ("opendkim.relaxed-relaxed", Result.PASS),
        ("rfc8463", Result.FAIL),
        ("dkim-relay", Result.FAIL),
    ],
)
def test_field_added_on_top_of_golden_message(name: str, result: Result) -> None:
    """What h= oversigns cannot be added; what it names once is taken from the bottom (§5.4.2)."""
    octets = octets_of(name)
    added, count = re.subn(rb"(?i)\r\n(?=Subject:)", b"\r\nSubject: spam\r\n", octets, count=1)
    assert count == 1
    assert {v.result for v in verdicts_of(added, answers(records_of(name)))} == {result}


def test_appended_octets_pass_only_under_l() -> None:
    """l= lets anyone append, and the verdict says so (§8.2)."""
    octets = octets_of("dkimpy.length") + b"and more\r\n"
    (verdict,) = verdicts_of(octets, answers(records_of("dkimpy")))
    assert verdict.result is Result.PASS
    assert any("l=" in note for note in verdict.notes)
    octets = octets_of("dkimpy.relaxed-simple") + b"and more\r\n"
    (verdict,) = verdicts_of(octets, answers(records_of("dkimpy")))
    assert verdict.result is Result.FAIL
    assert "body hash" in verdict.cause


def test_our_own_message_is_written_the_same_again() -> None:
    """Our signatures of this message are, octet for octet, what they were."""
    octets = octets_of("dkim-relay")
    signed = read_message(octets)
    unsigned = signed.without(frozenset({b"dkim-signature"}))
    fields = []
    for private, selector in ((rfc6376_private(), "rsa"), (rfc8463_ed25519_private(), "ed")):
        key = FakeKey(private, "example.com", selector)
        drafted = draft(
            unsigned.fields,
            fields_to_sign(unsigned.fields),
            hash_body(unsigned.body),
            domain=key.domain,
            selector=key.selector,
            algorithm=key.public.algorithm,
            now=SIGNED_AT,
            expire_seconds=WEEK_SECONDS,
        )
        fields.append(drafted.seal(key.sign_now(drafted.digest)))
    assert unsigned.prepend(*fields).octets() == octets
