"""relay.core.dkim.tags: tag=value lists by RFC 6376 §3.2, and the place of a fault in them."""

from __future__ import annotations

import binascii

import pytest

from relay.core.dkim.tags import TagFault, decode_base64, parse_tags


@pytest.mark.parametrize(
    ("octets", "tags"),
    [
        (b"", {}),
        (b" \r\n ", {}),
        (b"a=1", {"a": b"1"}),
        (b"a=1;", {"a": b"1"}),
        (b"a=1; ", {"a": b"1"}),
        (b"a=1;\r\n", {"a": b"1"}),
        (b" a = 1 ; b = 2 ", {"a": b"1", "b": b"2"}),
        (b"a=1;b=2;\r\n\tc=3", {"a": b"1", "b": b"2", "c": b"3"}),
        (b"a\r\n =\r\n 1\r\n ;b=2", {"a": b"1", "b": b"2"}),
        (b"a=", {"a": b""}),
        (b"a= ;b=", {"a": b"", "b": b""}),
        (b"a==", {"a": b"="}),
        (b"a=b=c", {"a": b"b=c"}),
        (b"a=x y\r\n z", {"a": b"x y\r\n z"}),
        (b"a=!\"#$%&'()*+,-./:<=>?@[\\]^_`{|}~", {"a": b"!\"#$%&'()*+,-./:<=>?@[\\]^_`{|}~"}),
        (b"A=1;a=2", {"A": b"1", "a": b"2"}),  # names are case-sensitive
        (b"x_1=y", {"x_1": b"y"}),
        (b"z9_Z=y", {"z9_Z": b"y"}),
    ],
)
def test_list_is_read(octets: bytes, tags: dict[str, bytes]) -> None:
    """Names and values without the white space around them, in their order."""
    found = parse_tags(octets)
    assert {name: tag.value for name, tag in found.items()} == tags
    assert list(found) == list(tags)
    for tag in found.values():
        assert octets[tag.value_start : tag.value_end] == tag.value
        assert octets[tag.offset :].startswith(tag.name.encode())


@pytest.mark.parametrize(
    ("octets", "tag", "offset", "what"),
    [
        (b";", "", 0, "an empty tag"),
        (b";a=1", "", 0, "an empty tag"),
        (b"a=1;;b=2", "", 4, "an empty tag"),
        (b"a=1; ;", "", 4, "an empty tag"),
        (b"a", "a", 0, 'has no "="'),
        (b" a ;b=1", "a", 1, 'has no "="'),
        (b"a=1; b", "b", 5, 'has no "="'),
        (b"=1", "", 0, "is not a tag name"),
        (b"a=1;\r\n\t=2", "", 7, "is not a tag name"),
        (b"1a=1", "1a", 0, "is not a tag name"),
        (b"_a=1", "_a", 0, "is not a tag name"),
        (b"a b=1", "a b", 0, "is not a tag name"),
        (b"a-b=1", "a-b", 0, "is not a tag name"),
        (b"\xc3\xa4=1", "\\xc3\\xa4", 0, "is not a tag name"),
        (b"a=1;b=2; a=1", "a", 9, "stands twice"),
        (b"a=1;a=1", "a", 4, "stands twice"),
        (b"a=1;\r\n\tb=\0", "b", 7, "has the octet 0x00 in its value"),
        (b"a=x\x7f", "a", 0, "has the octet 0x7f in its value"),
        (b"a=x\x0by", "a", 0, "has the octet 0x0b in its value"),
        (b"a=\xc3\xa4", "a", 0, "has the octet 0xc3 in its value"),
    ],
)
def test_fault_has_its_place(octets: bytes, tag: str, offset: int, what: str) -> None:
    """Which tag, where, and what is wrong with it: enough to mend a record."""
    with pytest.raises(TagFault) as caught:
        parse_tags(octets)
    assert (caught.value.tag, caught.value.offset, caught.value.what) == (tag, offset, what)
    assert str(offset) in str(caught.value)
    assert str(caught.value).isprintable()


def test_utf8_values_are_read_when_asked() -> None:
    """RFC 8616 §4: an internationalised header field has them, a record has not."""
    octets = "d=münchen.example; i=jäne@münchen.example".encode()
    assert parse_tags(octets, utf8=True)["d"].value == "münchen.example".encode()
    with pytest.raises(TagFault):
        parse_tags(octets)
    with pytest.raises(TagFault, match="is not a tag name"):
        parse_tags("ä=1".encode(), utf8=True)


def test_white_space_within_a_value() -> None:
    """Base64 and lists are read without it, everything else with it."""
    tag = parse_tags(b"b= ab\r\n\tcd ef \r\n")["b"]
    assert tag.value == b"ab\r\n\tcd ef"
    assert tag.unfolded == b"abcdef"


def test_long_names_are_told_apart() -> None:
    """Unknown tags are passed over (§3.2), however long their names and however alike."""
    name = "x" * 40
    assert list(parse_tags(f"{name}a=1; {name}b=2".encode())) == [f"{name}a", f"{name}b"]


def test_long_list_is_read() -> None:
    """Ten thousand tags, each once."""
    octets = b";".join(b"t%d=%d" % (n, n) for n in range(10_000))
    assert len(parse_tags(octets)) == 10_000


def test_fault_in_something_huge_is_short() -> None:
    """What a stranger put in place of a name is shown in part."""
    with pytest.raises(TagFault) as caught:
        parse_tags(b"x" * 100_000)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        (b"", b""),
        (b"AAAA", b"\0\0\0"),
        (b"AAA=", b"\0\0"),
        (b"AA==", b"\0"),
        (b"AAAA=", b"\0\0\0"),
        (b"AAAA==", b"\0\0\0"),
        (b"AAA==", b"\0\0"),
    ],
)
def test_base64(text: bytes, octets: bytes) -> None:
    """RFC 6376 §3.5 has up to two "=", needed or not; the same on every Python."""
    assert decode_base64(text) == octets


@pytest.mark.parametrize(
    "text", [b"A", b"AA", b"AAA", b"AA=", b"A===", b"AAAA===", b"=AAA", b"AA=A", b"A-_A", b"AA A"]
)
def test_what_is_not_base64(text: bytes) -> None:
    """Cut short, or octets that stand for nothing."""
    with pytest.raises(binascii.Error):
        decode_base64(text)
