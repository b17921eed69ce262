"""What sessions of one listener have in common: where it is, its TLS, whom it believes. No IO."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_address

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
        peer = ip_address(address)
        peer = getattr(peer, "ipv4_mapped", None) or peer
        return any(peer in network for network in self.proxies)


PLAIN = Endpoint()
