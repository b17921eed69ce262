"""Tag lists, records and signature fields of strangers: read, or refused with their place."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from relay.core.dkim.record import parse_record
from relay.core.dkim.signature import parse_signature
from relay.core.dkim.tags import TagFault, parse_tags
from relay.core.errors import SyntaxFault
from relay.core.message import Field
from tests.property.strategies import read_or_fault

PIECES = (
    *("v=1", "v=DKIM1", ";", "; ", "=", " ", "\r\n\t", "a=rsa-sha256", "d=example.com", "s=s1"),
    *("h=from", ":to", "bh=AAAA", "b=AAAA", "b=", "c=relaxed", "/simple", "t=1", "x=2", "l=9"),
    *("i=@example.com", "q=dns/txt", "p=", "k=ed25519", "k=rsa", "n=x", "ü", "\0", "\x0b", "A"),
)
lists = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=14).map("".join),
    st.lists(st.sampled_from([p for p in PIECES if len(p) > 2]), max_size=14).map(";".join),
).map(str.encode)
octets = st.one_of(lists, st.binary(max_size=40))


@given(value=octets)
def test_any_octets_are_tags_or_have_a_place(value: bytes) -> None:
    """Values stand where they are said to stand; a fault lies within the list."""
    tags = read_or_fault(parse_tags, value)
    if isinstance(tags, SyntaxFault):
        assert isinstance(tags, TagFault)
        assert 0 <= tags.offset <= len(value)
        assert str(tags).isprintable()
        return
    for name, tag in tags.items():
        assert value[tag.value_start : tag.value_end] == tag.value
        assert re.match(re.escape(name.encode()) + rb"[ \t\r\n]*=", value[tag.offset :])


@given(value=octets)
def test_any_octets_are_a_record_or_a_fault(value: bytes) -> None:
    """Nothing else is raised, and what is said can be shown."""
    record = read_or_fault(parse_record, value)
    if isinstance(record, SyntaxFault):
        assert str(record).isprintable()
    else:
        assert record.key_type in ("rsa", "ed25519")


@given(value=octets)
def test_any_octets_are_a_signature_or_a_fault(value: bytes) -> None:
    """A signature that can be read has a From, a domain, and a value that can be taken out."""
    field = Field(b"dkim-signature", b"DKIM-Signature:" + value + b"\r\n")
    signature = read_or_fault(lambda _: parse_signature(field), value)
    if isinstance(signature, SyntaxFault):
        assert isinstance(signature, TagFault)
        assert str(signature).isprintable()
        return
    assert b"from" in signature.names
    assert signature.domain
    assert signature.value
    again = parse_tags(signature.unsigned_field.value, utf8=True)
    assert again["b"].value == b""
    before = parse_tags(field.value, utf8=True)
    assert {n: t.value for n, t in again.items() if n != "b"} == {
        n: t.value for n, t in before.items() if n != "b"
    }
