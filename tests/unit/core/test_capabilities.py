"""relay.core.capabilities: what an EHLO reply offers, and what it does not."""

from __future__ import annotations

import pytest

from relay.core.capabilities import Capabilities, parse_capabilities


def test_offer_of_a_usual_server() -> None:
    """Keywords in any case, with their parameters."""
    found = parse_capabilities(
        [
            b"PIPELINING",
            b"size 10240000",
            b"8BITMIME",
            b"SMTPUTF8",
            b"Chunking",
            b"AUTH PLAIN LOGIN",
            b"ENHANCEDSTATUSCODES",
        ]
    )
    assert found.pipelining
    assert found.eight_bit_mime
    assert found.smtputf8
    assert found.chunking
    assert found.size_limit == 10_240_000
    assert found.keywords["AUTH"] == ("PLAIN", "LOGIN")
    assert "ENHANCEDSTATUSCODES" in found
    assert "STARTTLS" not in found


def test_helo_offers_nothing() -> None:
    """A server that knows no EHLO."""
    none = Capabilities()
    offers = (none.pipelining, none.chunking, none.eight_bit_mime, none.smtputf8, none.size_limit)
    assert offers == (False, False, False, False, None)
    assert parse_capabilities([]) == none


@pytest.mark.parametrize(
    ("lines", "limit"),
    [
        ([b"SIZE"], None),
        ([b"SIZE 0"], None),  # RFC 1870 §3: no fixed maximum
        ([b"SIZE 00"], None),
        ([b"SIZE 1"], 1),
        ([b"SIZE 1000 extra"], 1000),
        ([b"SIZE -1"], None),
        ([b"SIZE 1e6"], None),
        ([b"SIZE \xc2\xb2"], None),
        ([b"SIZE 10MB"], None),
        ([b"SIZED 5"], None),
        ([b"XSIZE 5"], None),
        ([b"SIZE " + b"9" * 30], 10**30 - 1),
    ],
)
def test_size_limit(lines: list[bytes], limit: int | None) -> None:
    """A number, or no limit that could be told."""
    assert parse_capabilities(lines).size_limit == limit


@pytest.mark.parametrize(
    "lines",
    [[b"AUTH PLAIN", b"AUTH=LOGIN"], [b"AUTH=PLAIN LOGIN"], [b"auth plain login"]],
)
def test_auth_of_old_servers(lines: list[bytes]) -> None:
    """The form with "=" is met in the wild, beside the right one or alone."""
    assert parse_capabilities(lines).keywords["AUTH"] == ("PLAIN", "LOGIN")


@pytest.mark.parametrize(
    "line",
    [b"", b" ", b"PIPELININGX", b"X-PIPELINING", b"PIPE LINING", b"P\xcdPELINING", b"8BITMIMES"],
)
def test_what_is_no_keyword_offers_nothing(line: bytes) -> None:
    """Only the whole keyword counts."""
    found = parse_capabilities([line])
    assert not found.pipelining
    assert not found.eight_bit_mime
