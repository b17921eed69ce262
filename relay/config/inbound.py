"""Settings of where clients come in, and of what they may do. No IO."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_address, ip_network
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, model_validator

from relay.config import values
from relay.config.section import Section


class Listener(Section):
    """Where clients connect."""

    address: Annotated[str, AfterValidator(values.listen_address)] = Field(
        default="127.0.0.1:2525",
        description='IP address and port, as "127.0.0.1:2525" or "[::1]:2525"; '
        '"unix:/run/dkim-relay.sock"; or "fd:3" for a socket passed in (systemd).',
    )
    tls: Literal["none", "starttls", "implicit"] = Field(
        default="none", description="none, starttls, or implicit: TLS from the first octet."
    )
    certificate_file: str = Field(
        default="", description="Certificate with its chain (PEM); taken up anew when it changes."
    )
    key_file: str = Field(default="", description="Its key (PEM); empty when in the same file.")
    client_ca_file: str = Field(
        default="", description="CAs (PEM) of client certificates; empty asks for none."
    )
    require_tls: bool = Field(
        default=False, description="With starttls: nothing else is taken in clear."
    )
    insecure_auth: bool = Field(default=False, description="Offer AUTH without TLS.")
    proxy_from: tuple[Annotated[str, AfterValidator(values.bounded_network)], ...] = Field(
        default=(),
        description="Networks of proxies that must send a PROXY header (version 1 or 2).",
    )
    unix_mode: Annotated[str, AfterValidator(values.mode)] = Field(
        default="0660", description="Permissions of a UNIX socket."
    )
    unix_owner: str = Field(
        default="", description='"user", "user:group" or ":group" of a UNIX socket.'
    )

    @model_validator(mode="after")
    def _check(self) -> Listener:
        if self.tls != "none" and not self.certificate_file:
            raise values.fault(
                f"tls = {self.tls!r} needs a certificate", "set certificate_file", at="tls"
            )
        if self.tls == "none" and (self.certificate_file or self.require_tls):
            raise values.fault(
                "TLS files without tls", 'set tls = "starttls" or "implicit"', at="tls"
            )
        return self

    @property
    def is_local(self) -> bool:
        """Whether only this machine, or who is handed the socket, can reach it."""
        kind, _, _ = self.address.partition(":")
        return (
            kind in ("unix", "fd")
            or ip_address(values.split_host_port(self.address)[0]).is_loopback
        )

    @property
    def may_authenticate(self) -> bool:
        """Whether AUTH is offered there."""
        return self.tls != "none" or self.insecure_auth


class Client(Section):
    """Who may submit, and as whom. Without any, this machine may use every configured domain.

    Every criterion that is given must hold.
    """

    name: str = Field(default="client", min_length=1, description="For logs.")
    networks: tuple[Annotated[str, AfterValidator(values.network)], ...] = Field(
        default=(), description="Networks they connect from."
    )
    listeners: tuple[str, ...] = Field(
        default=(), description="Addresses of the listeners they come to."
    )
    login: str = Field(default="", description="The name they log in with.")
    password_hash: SecretStr = Field(
        default=SecretStr(""), description="From dkim-relay config hash-password."
    )
    password_hash_file: str = Field(default="", description="Or a file with it.")
    certificates: tuple[str, ...] = Field(
        default=(),
        description='Names in their certificate, or "sha256:" and its fingerprint.',
    )
    uids: tuple[int, ...] = Field(default=(), description="Users, on a UNIX socket.")
    from_addresses: tuple[Annotated[str, AfterValidator(values.from_address)], ...] = Field(
        default=("*",),
        description='What may stand in From: "example.com", "*.example.com", '
        '"user@example.com", or "*" for every configured domain.',
    )
    mail_from: tuple[Annotated[str, AfterValidator(values.from_address)], ...] = Field(
        default=("*",), description="What may be the reverse-path, in the same forms."
    )

    @model_validator(mode="after")
    def _check(self) -> Client:
        is_known = bool(self.login or self.certificates or self.uids)
        if not (self.networks or self.listeners or is_known):
            what = "matches everybody"
            raise values.fault(
                what, "name networks, a login, certificates, uids or listeners", at="name"
            )
        if not (self.login or self.certificates) and _hold_everybody(self.ip_networks):
            what = f"{', '.join(self.networks)} would let everyone send as your domains"
            fix = "name the networks of your own clients, or add a login or certificates"
            raise values.fault(what, fix, at="networks")
        has_hash = bool(self.password_hash.get_secret_value() or self.password_hash_file)
        if bool(self.login) != has_hash:
            what = "login and password_hash belong together"
            raise values.fault(what, "dkim-relay config hash-password makes the hash", at="login")
        return self

    @property
    def ip_networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """The networks, read."""
        return tuple(map(ip_network, self.networks))


def _hold_everybody(networks: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    """Whether they are a whole address space, in halves too: 0.0.0.0/1 and 128.0.0.0/1."""
    v4 = collapse_addresses(n for n in networks if isinstance(n, IPv4Network))
    v6 = collapse_addresses(n for n in networks if isinstance(n, IPv6Network))
    return any(n.prefixlen == 0 for n in v4) or any(n.prefixlen == 0 for n in v6)
