"""PKCS#11 URIs: what is read of them, and what is wrong with others."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay.keyring.token_uri import TokenUri, UriFault, parse_token_uri

GOOD = "pkcs11:token=relay;object=s1?module-path=/lib/m.so&pin-source=file:/run/pin"


def test_a_uri() -> None:
    """With blanks around it, as editors leave them."""
    expected = TokenUri(Path("/lib/m.so"), "relay", None, "s1", None, Path("/run/pin"))
    assert parse_token_uri(f" {GOOD}\r\n".encode()) == expected


def test_every_attribute() -> None:
    """Percent signs stand for octets (RFC 7512 §2.3), in text and in ids."""
    text = (
        "pkcs11:id=%01%ff;serial=00%20a;token=caf%c3%a9;object=a%3Bb;type=private"
        "?pin-source=file:///run/a%20pin&module-path=/lib/m.so"
    )
    assert parse_token_uri(text.encode()) == TokenUri(
        Path("/lib/m.so"), "café", "00 a", "a;b", b"\x01\xff", Path("/run/a pin")
    )


@pytest.mark.parametrize(
    "source", ["/run/pin", "file:/run/pin", "file:///run/pin", "file://localhost/run/pin"]
)
def test_pin_sources(source: str) -> None:
    """All spellings of a local file (RFC 8089 §2)."""
    text = GOOD.replace("file:/run/pin", source)
    assert parse_token_uri(text.encode()).pin_file == Path("/run/pin")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "begins with pkcs11:"),
        ("token=relay;object=s1", "begins with pkcs11:"),
        (f"{GOOD}\n{GOOD}", "not one URI"),
        (GOOD.replace("relay", "caf\u00e9"), "not ASCII"),
        (GOOD.replace("relay", "%ff"), "token is not UTF-8"),
        (GOOD.replace("token=relay;", ""), "does not say which token"),
        (GOOD.replace("object=s1", "type=private"), "does not say which key"),
        (GOOD.replace("object=s1", "object=s1;type=public"), "another object"),
        (GOOD.replace("object=s1", "object=s1;object=s2"), "has object twice"),
        (GOOD.replace("object=s1", "object=s1;slot-id=1"), "'slot-id'"),
        (GOOD.replace("object=s1", "object"), "'object'"),
        (GOOD.replace("module-path=/lib/m.so&", ""), "has no module-path"),
        (GOOD.replace("/lib/m.so", "m.so"), "module-path is not an absolute path"),
        (GOOD.replace("&pin-source=file:/run/pin", ""), "has no pin-source"),
        (GOOD.replace("file:/run/pin", "pin"), "pin-source is not an absolute path"),
        (GOOD.replace("file:/run/pin", "|/bin/pin"), "pin-source is not an absolute path"),
        (GOOD.replace("file:/run/pin", "/run/%00"), "pin-source is not an absolute path"),
        (GOOD.replace("file:/run/pin", "file://host/pin"), "pin-source is not an absolute path"),
    ],
)
def test_bad_uris(text: str, what: str) -> None:
    """Each names the attribute that is wrong, and what to write."""
    with pytest.raises(UriFault) as caught:
        parse_token_uri(text.encode())
    assert what in caught.value.what
    assert caught.value.fix


@pytest.mark.parametrize("place", ["?pin-value=1234&", ";pin-value=1234?"])
def test_a_pin_in_the_uri_is_not_shown(place: str) -> None:
    """It belongs into a file, and not into a log."""
    with pytest.raises(UriFault, match="has the PIN itself") as caught:
        parse_token_uri(GOOD.replace("?", place).encode())
    assert "1234" not in caught.value.what + caught.value.fix
