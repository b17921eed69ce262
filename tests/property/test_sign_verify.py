"""The laws of signing: what is signed passes, and only what relaxed canonicalization forgives does.

The reference is written out here as RFC 6376 §3.4 and §5.4.2 have it, without our code; dkimpy
is asked beside it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core.dkim.canonical import BodyHash, hash_body
from relay.core.dkim.sign import OVERSIGNED_ALWAYS, draft, fields_to_sign
from relay.core.dkim.verify import find_signatures, verify
from relay.core.message import Field, Message
from relay.core.reader import MessageFault, MessageReader, ReadLimits, read_message
from tests.fakes.keys import FakeKey, answers, ed25519_key, rsa_key, zone
from tests.fakes.verifiers import verify_with_dkimpy
from tests.property.strategies import messages, splits

NOW = 1_795_168_800
KEY = ed25519_key()
ZONE = zone(KEY, rsa_key())
DNS = answers(ZONE)


def signature_of(message: Message, key: FakeKey = KEY, body_hash: bytes | None = None) -> Field:
    """The DKIM-Signature that flow would write."""
    drafted = draft(
        message.fields,
        fields_to_sign(message.fields),
        body_hash or hash_body(message.body),
        domain=key.domain,
        selector=key.selector,
        algorithm=key.public.algorithm,
        now=NOW,
    )
    return drafted.seal(key.sign_now(drafted.digest))


def signed(octets: bytes, key: FakeKey = KEY) -> bytes:
    """A message with its signature on top."""
    return signature_of(read_message(octets), key).octets + octets


def passes(octets: bytes) -> bool:
    """Whether the first signature passes; a message that is refused does not."""
    try:
        message = read_message(octets)
    except MessageFault:
        return False
    return verify(message, find_signatures(message), DNS, NOW)[0].passed


def passes_in_dkimpy(octets: bytes) -> bool:
    """What dkimpy says of the first signature."""
    return verify_with_dkimpy(octets, ZONE)[0].result.value == "pass"


def reference(octets: bytes, names: list[bytes]) -> tuple[list[bytes], bytes] | None:
    """What these names and the body are in relaxed form, or None for what is no message."""
    if re.search(rb"\r(?!\n)|(?<!\r)\n|\0", octets):
        return None
    header, _, body = octets.partition(b"\r\n\r\n")
    section: list[tuple[bytes, bytes]] = []
    for unfolded in re.sub(rb"\r\n(?=[ \t])", b"", header).split(b"\r\n"):
        name, colon, value = unfolded.partition(b":")
        if not colon or re.search(rb"[^!-~]", name) or not name:
            return None
        value = re.sub(rb"[ \t]+", b" ", value).strip(b" ")
        section.append((name.lower(), value))
    selected = []
    for name in names:
        found = next((i for i in reversed(range(len(section))) if section[i][0] == name), None)
        if found is not None:
            selected.append(b":".join(section.pop(found)))
    lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in body.split(b"\r\n")]
    while lines and not lines[-1]:
        lines.pop()
    return selected, b"".join(line + b"\r\n" for line in lines)


@settings(max_examples=40)
@pytest.mark.parametrize("key", [rsa_key(), KEY], ids=["rsa", "ed25519"])
@given(octets=messages())
def test_signed_message_passes(key: FakeKey, octets: bytes) -> None:
    """In ours and in dkimpy's."""
    message = signed(octets, key)
    assert passes(message)
    assert passes_in_dkimpy(message)


@given(drawn=splits(messages()))
def test_signature_does_not_depend_on_the_blocks(drawn: tuple[bytes, list[bytes]]) -> None:
    """Octet for octet the same field, fed while the message arrives or at once."""
    octets, blocks = drawn
    hasher = BodyHash()
    reader = MessageReader(ReadLimits(), body_sink=hasher.feed)
    for block in blocks:
        reader.feed(block)
    message = reader.finish()
    assert signature_of(message, body_hash=hasher.digest()).octets + octets == signed(octets)


OCTETS = st.sampled_from([bytes([b]) for b in b'xX \t\r\n:;=<>@."\xc3\xff\x01']) | st.just(b"\r\n")


@st.composite
def changes(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A message, and the same with some octets replaced, put in or left out."""
    octets = changed = draw(messages())
    for _ in range(draw(st.integers(1, 2))):
        position = draw(st.integers(0, len(changed)))
        removed = draw(st.integers(0, 2))
        put_in = draw(OCTETS | st.just(b""))
        changed = changed[:position] + put_in + changed[position + removed :]
    return octets, changed


@settings(max_examples=250)
@given(drawn=changes())
def test_change_passes_only_when_it_is_forgiven(drawn: tuple[bytes, bytes]) -> None:
    """A changed message passes exactly when what is signed of it has the same relaxed form."""
    octets, changed = drawn
    names = list(fields_to_sign(read_message(octets).fields))
    signature = signature_of(read_message(octets)).octets
    original = reference(signature + octets, names)
    assert original is not None
    if not changed.startswith((b" ", b"\t", b"\r\n")):  # else it is the signature that changes
        expected = reference(signature + changed, names) == original
        assert passes(signature + changed) is expected


FORGIVEN = [
    pytest.param(lambda o: o.replace(b"Subject:", b"sUBJECT:"), id="case of a name"),
    pytest.param(lambda o: o.replace(b"Subject:", b"Subject: \t "), id="blanks after the colon"),
    pytest.param(lambda o: o.replace(b"Subject:", b"Subject:\r\n "), id="folded after the colon"),
    pytest.param(lambda o: o.replace(b" b", b"  \t b"), id="a wider blank"),
    pytest.param(lambda o: o.replace(b"To: a b", b"To: a\r\n\tb"), id="folded at a blank"),
    pytest.param(lambda o: o.replace(b"e\r\n", b"e \t\r\n"), id="blanks at the end of a field"),
    pytest.param(lambda o: o.replace(b"y\r\n", b"y \t\r\n"), id="blanks at the end of a line"),
    pytest.param(lambda o: o + b"\r\n\r\n", id="empty lines at the end"),
    pytest.param(lambda o: o + b" \r\n\t\r\n", id="white lines at the end"),
    pytest.param(lambda o: o.replace(b"Date", b"X-New: 1\r\nDate"), id="another field"),
    pytest.param(lambda o: b"Received: x\r\n" + o, id="a trace field"),
    pytest.param(lambda o: b"List-Id: x\r\n" + o, id="a field that is signed when present"),
    pytest.param(lambda o: o.replace(b"X-Mailer: x\r\n", b""), id="an unsigned field less"),
    pytest.param(lambda o: o.replace(b"; c=", b";\r\n\tc="), id="the signature folded anew"),
]
TEXT = (
    b"From: Jane <jane@example.com>\r\nTo: a b c\r\nSubject: nice\r\nX-Mailer: x\r\n"
    b"Date: Fri, 20 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.com>\r\n\r\n"
    b"a b c\r\nonly\r\n"
)


@pytest.mark.parametrize("change", FORGIVEN)
def test_forgiven_change_passes(change: Callable[[bytes], bytes]) -> None:
    """What hops do to messages on their way, and relaxed/relaxed is chosen for."""
    changed = change(signed(TEXT))
    assert changed != signed(TEXT)
    assert passes(changed)
    assert passes_in_dkimpy(changed)


@pytest.mark.parametrize("value", [b"", b"x", b"Jane <jane@example.com>"])
@pytest.mark.parametrize("name", [*OVERSIGNED_ALWAYS, b"Date", b"MESSAGE-ID"])
@pytest.mark.parametrize("where", ["on top", "under the signature", "at the bottom"])
def test_added_field_fails(name: bytes, value: bytes, where: str) -> None:
    """One more of what is oversigned, present or absent, empty or not, wherever it is put."""
    field = name + b": " + value + b"\r\n"
    signature, text = signature_of(read_message(TEXT)).octets, TEXT
    changed = {
        "on top": field + signature + text,
        "under the signature": signature + field + text,
        "at the bottom": signature + text.replace(b"\r\n\r\n", b"\r\n" + field + b"\r\n", 1),
    }[where]
    assert passes(signature + text)
    assert not passes(changed)
    assert not passes_in_dkimpy(changed)


@given(octets=messages())
def test_field_added_to_any_message_fails(octets: bytes) -> None:
    """The same for messages that have none, one, or several of them."""
    signature = signature_of(read_message(octets)).octets
    for name in OVERSIGNED_ALWAYS:
        assert not passes(name + b": x\r\n" + signature + octets)
        assert not passes(
            signature + octets.replace(b"\r\n\r\n", b"\r\n" + name + b": x\r\n\r\n", 1)
        )


@given(octets=messages(), data=st.data())
def test_field_left_out_fails(octets: bytes, data: st.DataObject) -> None:
    """Any signed field less is a change, be it the last of its name or one of several."""
    message = read_message(octets)
    names = fields_to_sign(message.fields)
    present = [i for i, f in enumerate(message.fields) if f.key in names]
    left_out = data.draw(st.sampled_from(present))
    fields = message.fields[:left_out] + message.fields[left_out + 1 :]
    assert not passes(Message((signature_of(message), *fields), message.body).octets())


@given(octets=messages())
def test_wrong_key_fails(octets: bytes) -> None:
    """A signature is of one key."""
    message = read_message(signed(octets))
    other = FakeKey(ed25519_key().private, KEY.domain, "other")
    signature = signature_of(read_message(octets), other)
    assert (
        verify(message, find_signatures(message), answers(zone(rsa_key())), NOW)[0].passed is False
    )
    again = read_message(signature.octets + octets)
    records = {
        **ZONE,
        "other._domainkey.example.com": zone(rsa_key())["rsa1._domainkey.example.com"],
    }
    assert not verify(again, find_signatures(again), answers(records), NOW)[0].passed
