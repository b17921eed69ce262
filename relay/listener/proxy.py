"""The PROXY protocol, versions 1 and 2: who the client behind a load balancer is. No IO.

HAProxy's "The PROXY protocol", sections 2.1 and 2.2. A header is believed only from peers that
the listener lists, and is then required; `Connection` sees to that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from relay.core.errors import SyntaxFault
from relay.listener.endpoint import plain_address

SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_V1_MAX_OCTETS: Final = 107  # §2.1
_V2_HEAD_OCTETS: Final = 16
_V2_MAX_OCTETS: Final = 4096  # addresses and extensions; more than anyone sends
_V1: Final = re.compile(
    rb"PROXY (?:TCP4 ([0-9.]{7,15}) ([0-9.]{7,15})"
    rb"|TCP6 ([0-9A-Fa-f:.]{2,39}) ([0-9A-Fa-f:.]{2,39}))"
    rb" ([0-9]{1,5}) ([0-9]{1,5})\r\n"
)
_V1_UNKNOWN: Final = re.compile(rb"PROXY UNKNOWN[^\r\n]*\r\n")


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """A header that was read.

    Attributes:
        address: of the client; empty when the proxy speaks for itself (LOCAL, UNKNOWN).
        length: octets to take off the front.
    """

    address: str
    length: int


def read_proxy_header(octets: bytes) -> ProxyHeader | None:
    """Read the header at the front of a connection.

    Returns:
        The header, or None when more octets are needed.

    Raises:
        SyntaxFault: this is no PROXY header.
    """
    if octets[: len(SIGNATURE)] == SIGNATURE[: len(octets)] and octets[:1] == b"\r":
        return _version_2(octets)
    end = octets.find(b"\n", 0, _V1_MAX_OCTETS)
    if end < 0:
        if len(octets) >= _V1_MAX_OCTETS or not b"PROXY "[: len(octets)] == octets[:6]:
            raise SyntaxFault("no PROXY header")
        return None
    return _version_1(octets[: end + 1])


def _version_1(line: bytes) -> ProxyHeader:
    if _V1_UNKNOWN.fullmatch(line):
        return ProxyHeader("", len(line))
    found = _V1.fullmatch(line)
    if found is None:
        raise SyntaxFault("not a PROXY header of version 1")
    source = found[1] or found[3]
    return ProxyHeader(_address(source.decode("ascii")), len(line))


def _version_2(octets: bytes) -> ProxyHeader | None:
    if len(octets) < _V2_HEAD_OCTETS:
        return None
    version, command = octets[12] >> 4, octets[12] & 0xF
    family, size = octets[13] >> 4, int.from_bytes(octets[14:16], "big")
    if version != 2 or command > 1 or size > _V2_MAX_OCTETS:
        raise SyntaxFault("not a PROXY header of version 2")
    length = _V2_HEAD_OCTETS + size
    if len(octets) < length:
        return None
    addresses = octets[_V2_HEAD_OCTETS:length]
    width = {1: 4, 2: 16}.get(family, 0)  # AF_INET, AF_INET6
    if command == 0 or width == 0:
        return ProxyHeader("", length)
    if len(addresses) < 2 * width + 4:
        raise SyntaxFault("a PROXY header without its addresses")
    return ProxyHeader(_address(str(ip_address(addresses[:width]))), length)


def _address(text: str) -> str:
    try:
        return plain_address(text)
    except ValueError as exc:
        raise SyntaxFault("a PROXY header with a bad address") from exc
