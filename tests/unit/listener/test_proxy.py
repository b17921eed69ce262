"""PROXY headers, versions 1 and 2: read whole, in pieces, and refused by name."""

from __future__ import annotations

import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.errors import SyntaxFault
from relay.listener.proxy import SIGNATURE, read_proxy_header


def version_2(
    source: str = "192.0.2.1",
    *,
    command: int = 0x21,
    family: int | None = None,
    extensions: bytes = b"",
    length: int | None = None,
) -> bytes:
    """A header as HAProxy sends it; §2.2."""
    address = ip_address(source)
    addresses = address.packed * 2 + struct.pack("!HH", 40000, 25) + extensions
    kind = family if family is not None else (0x11 if address.version == 4 else 0x21)
    size = len(addresses) if length is None else length
    return SIGNATURE + struct.pack("!BBH", command, kind, size) + addresses


GOOD = {
    "TCP4": (b"PROXY TCP4 192.0.2.1 198.51.100.7 40000 25\r\n", "192.0.2.1"),
    "the longest TCP4": (
        b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
        "255.255.255.255",
    ),
    "TCP6": (b"PROXY TCP6 2001:db8::1 2001:db8::2 40000 25\r\n", "2001:db8::1"),
    "TCP6 in full": (
        b"PROXY TCP6 " + b" ".join([b"ffff:" * 7 + b"ffff"] * 2) + b" 65535 65535\r\n",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    ),
    "TCP6 with IPv4 in it": (b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", "192.0.2.1"),
    "UNKNOWN": (b"PROXY UNKNOWN\r\n", ""),
    "UNKNOWN with more": (b"PROXY UNKNOWN ffff:f...f:ffff x y z\r\n", ""),
    "the longest": (b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n", ""),
    "version 2, IPv4": (version_2(), "192.0.2.1"),
    "version 2, IPv6": (version_2("2001:db8::1"), "2001:db8::1"),
    "version 2, IPv4 within IPv6": (version_2("::ffff:192.0.2.1"), "192.0.2.1"),
    "version 2, datagrams": (version_2(family=0x12), "192.0.2.1"),
    "version 2, extensions": (version_2(extensions=b"\x04\x00\x03abc" * 200), "192.0.2.1"),
    "version 2, LOCAL": (version_2(command=0x20), ""),
    "version 2, LOCAL and nothing else": (SIGNATURE + b"\x20\x00\x00\x00", ""),
    "version 2, LOCAL with extensions": (SIGNATURE + b"\x20\x00\x00\x03\x04\x00\x00", ""),
    "version 2, no family": (SIGNATURE + b"\x21\x00\x00\x00", ""),
    "version 2, UNIX": (SIGNATURE + b"\x21\x31\x00\xd8" + b"/run/x".ljust(216, b"\0"), ""),
}
BAD = {
    "a command": b"EHLO client.example\r\n",
    "another word": b"PROXYTCP4 192.0.2.1 192.0.2.2 1 2\r\n",
    "small letters": b"proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
    "an unknown family": b"PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n",
    "UDP": b"PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
    "a bare LF": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
    "UNKNOWN and a bare LF": b"PROXY UNKNOWN\n",
    "no port": b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
    "a third port": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
    "two blanks": b"PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n",
    "a blank behind": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
    "an octet over 255": b"PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n",
    "three octets": b"PROXY TCP4 192.0.2 192.0.2.2 1 2\r\n",
    "leading zeros": b"PROXY TCP4 192.000.002.001 192.0.2.2 1 2\r\n",
    "IPv6 as TCP4": b"PROXY TCP4 ::1 ::1 1 2\r\n",
    "a name": b"PROXY TCP4 localhost localhost 1 2\r\n",
    "a zone": b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
    "a bad IPv6 address": b"PROXY TCP6 1::2::3 ::1 1 2\r\n",
    "a NUL": b"PROXY TCP4 192.0.2.1\0 192.0.2.2 1 2\r\n",
    "over 107 octets": b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n",
    "no end": b"PROXY TCP4 " + b"1" * 200,
    "an empty line": b"\r\nEHLO c",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "another signature": b"\r\n\r\n\x00\r\nQUIT\r\n" + b"\x21\x11\x00\x0c" + bytes(12),
    "version 1 in version 2": version_2(command=0x11),
    "version 3": version_2(command=0x31),
    "an unknown command": version_2(command=0x22),
    "far too long": version_2(length=4097),
    "the longest there is": version_2(length=0xFFFF),
    "no addresses": SIGNATURE + b"\x21\x11\x00\x00",
    "half an address": SIGNATURE + b"\x21\x11\x00\x0b" + bytes(11),
    "IPv4 addresses as IPv6": version_2(family=0x21),
}


@pytest.mark.parametrize("case", GOOD)
@pytest.mark.parametrize("behind", [b"", b"EHLO c\r\n", b"\x16\x03\x01", b"\r\n", b"PROXY "])
def test_a_header(case: str, behind: bytes) -> None:
    """It is read when it is whole and not before; what is behind it stays."""
    header, address = GOOD[case]
    for count in range(len(header)):
        assert read_proxy_header(header[:count]) is None
    found = read_proxy_header(header + behind)
    assert found is not None
    assert (found.address, found.length) == (address, len(header))


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_header(case: str) -> None:
    """It is refused, at the latest when it is whole, and more octets do not mend it."""
    octets = BAD[case]
    with pytest.raises(SyntaxFault):
        read_proxy_header(octets)
    with pytest.raises(SyntaxFault):
        read_proxy_header(octets + b"\r\nEHLO c\r\n" * 20)


@given(octets=st.binary(max_size=200), start=st.sampled_from([b"", b"PROXY ", SIGNATURE]))
def test_any_octets(octets: bytes, start: bytes) -> None:
    """A header, a named error or a wish for more, and the same in any pieces."""
    stream = start + octets
    try:
        found = read_proxy_header(stream)
    except SyntaxFault:
        return
    if found is None:
        assert len(stream) < 16 + 4096
        return
    assert 0 < found.length <= len(stream)
    assert read_proxy_header(stream[: found.length]) == found
    assert found.address == "" or str(ip_address(found.address)) == found.address


def test_what_is_waited_for_is_bounded() -> None:
    """However long a header says it is, at some length it is none."""
    for stream in (b"PROXY UNKNOWN " + b"x" * 5000, version_2() + b"x" * 5000, b"\r\n\r\n" * 2000):
        count = 0
        try:
            while read_proxy_header(stream[:count]) is None:
                count += 1
        except SyntaxFault:
            pass
        assert count <= 16 + 4096
