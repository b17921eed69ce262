"""relay.core.dkim.signature: the DKIM-Signature field, as others write it and as we fold it."""

from __future__ import annotations

import base64

import pytest

from relay.core.dkim.canonical import Canonicalization
from relay.core.dkim.signature import Signature, fold, fold_base64, parse_signature
from relay.core.dkim.tags import TagFault
from relay.core.message import Field

RELAXED, SIMPLE = Canonicalization.RELAXED, Canonicalization.SIMPLE
NEEDED = {
    "v": "1",
    "a": "rsa-sha256",
    "d": "example.com",
    "s": "s1",
    "h": "from",
    "bh": "AAAA",
    "b": "AQID",
}


def field(value: str | bytes, name: bytes = b"DKIM-Signature") -> Field:
    """A DKIM-Signature field with this value."""
    octets = value.encode() if isinstance(value, str) else value
    return Field(b"dkim-signature", name + b":" + octets + b"\r\n")


def written(**tags: str | None) -> Field:
    """The needed tags, some of them changed, left out (None) or added."""
    joined = {**NEEDED, **tags}
    return field(" " + "; ".join(f"{k}={v}" for k, v in joined.items() if v is not None))


def test_signature_with_the_needed_tags() -> None:
    """What is absent has the default of RFC 6376 §3.5."""
    one = written()
    assert parse_signature(one) == Signature(
        field=one,
        algorithm="rsa-sha256",
        header_method=SIMPLE,
        body_method=SIMPLE,
        domain="example.com",
        selector="s1",
        auid=None,
        names=(b"from",),
        body_hash=b"\0\0\0",
        value=b"\1\2\3",
        length=None,
        signed_at=None,
        expires_at=None,
        value_span=(1 + len(one.value.split(b"b=AQ")[0]) + 1, len(one.value) - 2),
    )


def test_signature_with_every_tag() -> None:
    """As widely folded as the grammar permits."""
    found = parse_signature(
        field(
            b"\r\n\tv = 1 ;\r\n\ta = rsa-sha256;c=relaxed/simple; d=\r\n Mail.EXAMPLE.com;"
            b's=S1.sub ; i= "jane"@a.mail.example.com ; q=dns/txt:other; l=12; t=1;x=2;'
            b"h=From :\r\n\tTo:\tSubject : x-1 ; z=From:jane|To:x ; y=unknown;"
            b"bh= AA\r\n\tAA ; b = AQ\r\n\t ID \t;"
        )
    )
    assert (found.header_method, found.body_method) == (RELAXED, SIMPLE)
    assert (found.domain, found.selector) == ("mail.example.com", "s1.sub")
    assert found.auid == '"jane"@a.mail.example.com'
    assert found.names == (b"from", b"to", b"subject", b"x-1")
    assert (found.length, found.signed_at, found.expires_at) == (12, 1, 2)
    assert (found.body_hash, found.value) == (b"\0\0\0", b"\1\2\3")


@pytest.mark.parametrize(
    ("c", "methods"),
    [
        (None, (SIMPLE, SIMPLE)),
        ("simple", (SIMPLE, SIMPLE)),
        ("relaxed", (RELAXED, SIMPLE)),
        ("simple/simple", (SIMPLE, SIMPLE)),
        ("relaxed/relaxed", (RELAXED, RELAXED)),
        ("simple/relaxed", (SIMPLE, RELAXED)),
    ],
)
def test_canonicalizations(
    c: str | None, methods: tuple[Canonicalization, Canonicalization]
) -> None:
    """The body is simple when only the header is named (§3.5)."""
    found = parse_signature(written(c=c))
    assert (found.header_method, found.body_method) == methods


@pytest.mark.parametrize(
    ("d", "domain"),
    [
        ("example.com", "example.com"),
        ("EXAMPLE.com", "example.com"),
        ("xn--mnchen-3ya.example", "xn--mnchen-3ya.example"),
        ("münchen.example", "xn--mnchen-3ya.example"),  # RFC 8616 §4
    ],
)
def test_domain_in_a_labels(d: str, domain: str) -> None:
    """d= is compared and looked up in one form."""
    assert parse_signature(written(d=d)).domain == domain


@pytest.mark.parametrize(
    ("i", "d"),
    [
        ("@example.com", "example.com"),
        ("jane@example.com", "example.com"),
        ("jane@mail.example.com", "example.com"),
        ("jane@EXAMPLE.com", "example.com"),
        ("=6Aane@a.b.example.com", "example.com"),
        ('"x@evil.example"@example.com', "example.com"),
        ("@münchen.example", "xn--mnchen-3ya.example"),
    ],
)
def test_agent_within_the_domain(i: str, d: str) -> None:
    """i= is d= or below it (§3.5)."""
    assert parse_signature(written(i=i, d=d)).auid == i


@pytest.mark.parametrize(
    ("tags", "tag"),
    [
        *[({name: None}, name) for name in NEEDED],
        ({"v": "2"}, "v"),
        ({"v": ""}, "v"),
        ({"v": "1.0"}, "v"),
        ({"c": "relaxed/other"}, "c"),
        ({"c": "nofws"}, "c"),
        ({"c": ""}, "c"),
        ({"c": "relaxed/simple/simple"}, "c"),
        ({"d": ""}, "d"),
        ({"d": "example..com"}, "d"),
        ({"d": "xn--a.example"}, "d"),
        ({"d": "x" * 64}, "d"),
        ({"s": ""}, "s"),
        ({"s": "."}, "s"),
        ({"h": ""}, "h"),
        ({"h": "to:subject"}, "h"),
        ({"h": "from::to"}, "h"),
        ({"h": "from:"}, "h"),
        ({"h": "from:a b"}, "h"),
        ({"h": "fro\r\n m"}, "h"),  # a folded name is no name
        ({"bh": ""}, "bh"),
        ({"bh": "A"}, "bh"),
        ({"bh": "AAA"}, "bh"),
        ({"bh": "A=AA"}, "bh"),
        ({"bh": "AA-_"}, "bh"),
        ({"b": ""}, "b"),
        ({"b": "!"}, "b"),
        ({"b": "AAAAA"}, "b"),
        ({"l": ""}, "l"),
        ({"l": "-1"}, "l"),
        ({"l": "1 2"}, "l"),
        ({"l": "9" * 77}, "l"),
        ({"t": "x"}, "t"),
        ({"t": "1.5"}, "t"),
        ({"t": "9" * 13}, "t"),
        ({"x": "+1"}, "x"),
        ({"t": "10", "x": "10"}, "x"),
        ({"t": "10", "x": "9"}, "x"),
        ({"q": ""}, "q"),
        ({"q": "dns"}, "q"),
        ({"q": "http/get"}, "q"),
        ({"i": "jane@evil.example"}, "i"),
        ({"i": "jane@evilexample.com"}, "i"),
        ({"i": "jane@com"}, "i"),
        ({"i": "jane@"}, "i"),
        ({"i": ""}, "i"),
        ({"i": "jane@example.com.evil.example"}, "i"),
        ({"i": "jane@mail..example.com"}, "i"),
    ],
)
def test_malformed_signature_names_its_tag(tags: dict[str, str | None], tag: str) -> None:
    """Each fault is at its own tag, and nothing else is raised."""
    with pytest.raises(TagFault) as caught:
        parse_signature(written(**tags))
    assert caught.value.tag == tag


def test_fault_is_placed_in_the_value() -> None:
    """Offsets count from behind the colon of the field."""
    one = field(b" v=1; a=rsa-sha256;\r\n\tx=oops")
    with pytest.raises(TagFault) as caught:
        parse_signature(field(one.value[:-2] + b"; s=s; h=from; b=AAAA; bh=AAAA; d=a"))
    assert caught.value.tag == "x"
    assert one.value[caught.value.offset :].startswith(b"x=oops")


@pytest.mark.parametrize(
    ("octets", "unsigned"),
    [
        (b"b=AQID", b"b="),
        (b"b=AQID;", b"b=;"),
        (b"b= AQ\r\n ID ; y=1", b"b=; y=1"),
        (b"b \r\n = AQID\t; y=1", b"b \r\n =; y=1"),
        (b"b=AQID;\r\n\tx=9;", b"b=;\r\n\tx=9;"),
        (b"b=AQID\r\n ", b"b="),
        (b"b=AQ==", b"b="),
        (b"b=AQ==; y=b=AQ==", b"b=; y=b=AQ=="),
        (b"bb=AQID; b=AQID", b"bb=AQID; b="),
        (b"y=b=AQID; b=AQID ;", b"y=b=AQID; b=;"),
    ],
)
@pytest.mark.parametrize("name", [b"DKIM-Signature", b"dkim-SIGNATURE"])
def test_value_is_taken_out_of_the_signature(octets: bytes, unsigned: bytes, name: bytes) -> None:
    """§3.7: b= without its value and the white space around it; every other octet stays."""
    before = b" v=1; a=rsa-sha256; d=a; s=s; h=from;\r\n\tbh=AAAA; "
    one = field(before + octets, name)
    taken = parse_signature(one).unsigned_field
    assert taken.octets == name + b":" + before + unsigned + b"\r\n"
    assert taken.key == b"dkim-signature"


def test_many_names_are_read() -> None:
    """2,000 names, each once or often."""
    names = ":".join(f"x-{n % 700}" for n in range(2000))
    assert len(parse_signature(written(h="from:" + names)).names) == 2001


# Folding ------------------------------------------------------------------------------------------


def test_fold_breaks_before_pieces_only() -> None:
    """A line is filled as far as it goes, and the joint falls away at a break."""
    pieces = [(b" ", b"a" * 30 + b";"), (b" ", b"b" * 30 + b";"), (b" ", b"c" * 30 + b";")]
    folded = fold(pieces, column=10)
    assert folded == b" " + b"a" * 30 + b"; " + b"b" * 30 + b";\r\n\t" + b"c" * 30 + b";"


@pytest.mark.parametrize("column", [0, 15, 76])
@pytest.mark.parametrize("length", [1, 60, 75, 76, 77, 300])
def test_fold_leaves_long_pieces_whole(column: int, length: int) -> None:
    """A piece that fits on no line has one to itself; it is never broken."""
    folded = fold([(b" ", b"x" * length), (b"", b"y")], column=column)
    assert folded.replace(b"\r\n\t", b"").strip() == b"x" * length + b"y"
    assert b"x" * length in folded
    assert b"\r\n\t\r\n" not in folded


@pytest.mark.parametrize("column", [1, 2, 40, 74, 75, 76, 77, 200])
@pytest.mark.parametrize("octets", [0, 1, 64, 128, 256, 512])
def test_fold_base64_at_any_column(column: int, octets: int) -> None:
    """All of it, in lines of at most 78 octets, none of which is empty (RFC 5322 §2.1.1)."""
    text = base64.b64encode(b"\xa5" * octets)
    lines = fold_base64(text, column=column).split(b"\r\n\t")
    assert b"".join(lines) == text
    assert all(lines[1:])
    assert len(lines[0]) + column <= max(77, column)
    assert all(len(line) + 1 <= 78 for line in lines[1:])
