"""Settings of the admin port: health, metrics, status page. No IO."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated

from pydantic import AfterValidator, Field, PositiveInt, model_validator

from relay.config import values
from relay.config.section import Section


def _address(value: str) -> str:
    """An address and port, a UNIX socket, or nothing."""
    if value.startswith("fd:"):
        fix = '"127.0.0.1:9525", "unix:/run/dkim-relay/admin.sock", or "" for none'
        raise values.fault(f"{value!r} is not for the admin port", fix)
    return values.listen_address(value) if value else value


def _host(value: str) -> str:
    """A host name or IP address, without a port."""
    return value.lower() if values.is_ip(value) else values.host_name(value).lower()


class Admin(Section):
    """Health, metrics and the status page, by HTTP: /livez /readyz /metrics /status and /."""

    address: Annotated[str, AfterValidator(_address)] = Field(
        default="127.0.0.1:9525",
        description='IP address and port, or "unix:/run/dkim-relay/admin.sock"; empty: none.',
    )
    token_file: str = Field(
        default="",
        description="Has what clients must show, as Authorization: Bearer …; read anew when it "
        "changes. Needed on any address but a loopback one. /livez and /readyz ask for none.",
    )
    hosts: tuple[Annotated[str, AfterValidator(_host)], ...] = Field(
        default=(),
        description="Further names by which browsers may reach it without a token, beside "
        "localhost and the address.",
    )
    unix_mode: Annotated[str, AfterValidator(values.mode)] = Field(
        default="0660", description="Permissions of its UNIX socket."
    )
    recent_transactions: PositiveInt = Field(
        default=100, le=10_000, description="So many of the last transactions are shown."
    )
    max_domains: PositiveInt = Field(
        default=500,
        le=100_000,
        description="So many domains are listed, those with a fault first; all are counted.",
    )
    max_domain_labels: PositiveInt = Field(
        default=100,
        le=100_000,
        description='So many domains have metrics of their own; the others are "other".',
    )

    @model_validator(mode="after")
    def _check(self) -> Admin:
        if not (self.is_local or self.token_file):
            what = f"{self.address!r} can be reached from elsewhere"
            fix = "set admin.token_file, or listen on 127.0.0.1"
            raise values.fault(what, fix, at="address")
        return self

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it, or nobody."""
        if not self.address or self.address.startswith("unix:"):
            return True
        return ip_address(values.split_host_port(self.address)[0]).is_loopback
