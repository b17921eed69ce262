"""Settings of how much of anything is taken. No IO."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from relay.config import values
from relay.config.section import Section

MIB = 1024 * 1024


class Limits(Section):
    """How much of anything is taken."""

    max_message_bytes: PositiveInt = Field(
        default=50 * MIB,
        description="A message (SIZE); 552 beyond, and who sends twice as much is closed.",
    )
    max_header_bytes: PositiveInt = Field(
        default=256 * 1024, description="A header section; 552 beyond."
    )
    max_header_fields: PositiveInt = Field(default=2000, description="Fields in it; 552 beyond.")
    max_header_field_bytes: PositiveInt = Field(
        default=100_000, description="One field; 552 beyond."
    )
    max_recipients: PositiveInt = Field(
        default=1000, description="Recipients of one message; 452 beyond."
    )
    max_connections: PositiveInt = Field(
        default=2000, description="Connections of clients; 421 beyond."
    )
    max_connections_per_address: PositiveInt = Field(
        default=1000, description="The same for one address; 421 beyond."
    )
    ipv6_prefix: int = Field(
        default=64,
        ge=1,
        le=128,
        description="Addresses of IPv6 that have so many bits in common count as one.",
    )
    listen_backlog: PositiveInt = Field(
        default=1024, description="Connections that the system holds until they are taken up."
    )
    max_messages_per_session: PositiveInt = Field(
        default=10_000, description="Messages on one connection; 421 beyond."
    )
    max_inflight_bytes: PositiveInt = Field(
        default=256 * MIB,
        description="All messages in memory together; reading is held back, then 452.",
    )
    max_command_bytes: PositiveInt = Field(default=2048, ge=512, description="A command line.")
    max_bad_commands: PositiveInt = Field(
        default=20, description="Commands that make no sense; then 421."
    )
    idle_seconds: values.Seconds = Field(
        default=300.0,
        description="A client silent for so long, or between two chunks of a message (BDAT), is "
        "sent 421 and closed.",
    )
    command_seconds: values.Seconds = Field(
        default=60.0, description="For a whole command line, from its first octet; then 421."
    )
    memory_seconds: values.Seconds = Field(
        default=10.0, description="A message held back for so long for want of memory gets 452."
    )
    min_data_bytes_per_second: int = Field(
        default=100, ge=0, description="A message that comes more slowly gets 421; 0: never."
    )
    data_grace_seconds: values.Seconds = Field(
        default=30.0, description="It has so long before that is looked at."
    )
    proxy_header_seconds: values.Seconds = Field(
        default=10.0, description="For a whole PROXY header; then the connection is closed."
    )
    tls_handshake_seconds: values.Seconds = Field(
        default=60.0, description="For the TLS handshake of a client; then it is closed."
    )
    tls_close_seconds: values.Seconds = Field(
        default=3.0, description="For a client's half of the end of TLS; many never send it."
    )
    max_failed_logins: PositiveInt = Field(
        default=10, description="Of one address; then it is refused unheard."
    )
    max_failed_logins_per_session: PositiveInt = Field(
        default=3, description="On one connection; then 421."
    )
    failed_login_seconds: values.Seconds = Field(
        default=600.0, description="A failed login counts for so long."
    )
    login_delay_seconds: values.Pause = Field(
        default=1.0,
        description="The first failed login of an address is answered so late; "
        "twice as late each further one.",
    )
    max_login_delay_seconds: values.Pause = Field(
        default=16.0, description="The longest of these delays."
    )
    login_remember_seconds: values.Pause = Field(
        default=300.0, description="A password that was right is not computed again for so long."
    )
    max_remembered_logins: PositiveInt = Field(
        default=1000, description="Passwords of which that is known; the oldest are forgotten."
    )
    max_login_addresses: PositiveInt = Field(
        default=10_000, description="Addresses whose failures are counted; likewise."
    )
    max_login_checks: PositiveInt = Field(
        default=2, description="Passwords computed at a time; each takes 64 MiB."
    )
