"""What sessions of one listener have in common: where it is, its TLS, whom it believes. No IO."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from relay.listener.certificates import Certificates


class ListenerTls(StrEnum):
    """How clients secure their connection."""

    NONE = "none"
    STARTTLS = "starttls"  # RFC 3207
    IMPLICIT = "implicit"  # RFC 8314 §3.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One listener, as its sessions see it.

    Attributes:
        address: as in the settings; rules of clients name it.
        tls: how clients secure their connection.
        certificates: for TLS.
        requires_tls: nothing but STARTTLS is taken in clear.
        may_auth_in_clear: whether AUTH is offered without TLS.
        proxies: who must say in a PROXY header which client it speaks for.
    """

    address: str = ""
    tls: ListenerTls = ListenerTls.NONE
    certificates: Certificates | None = None
    requires_tls: bool = False
    may_auth_in_clear: bool = False
    proxies: tuple[IPv4Network | IPv6Network, ...] = ()

    def is_proxy(self, address: str) -> bool:
        """Whether a peer at this address is a listed proxy."""
        if not self.proxies or not address:
            return False
        peer = read_address(address)
        return any(peer in network for network in self.proxies)


@lru_cache(maxsize=1024)  # the same clients come again and again, and reading costs 4 us
def read_address(text: str) -> IPv4Address | IPv6Address:
    """An IP address.

    Raises:
        ValueError: it is none.
    """
    return ip_address(text)


@lru_cache(maxsize=1024)
def plain_address(text: str) -> str:
    """An address without its zone, and IPv4 as such: one name for rules, counters and logs.

    Raises:
        ValueError: it is none.
    """
    address = ip_address(text.partition("%")[0])
    return str(getattr(address, "ipv4_mapped", None) or address)


PLAIN = Endpoint()
