"""Each limit of the settings gets to what keeps it, and nothing else does."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from relay.assembly.inbound import (
    binding,
    make_login_limits,
    make_read_limits,
    make_session_limits,
)
from relay.config.inbound import Listener
from relay.config.limits import Limits
from relay.config.outbound import Upstream
from relay.config.settings import Config
from relay.listener.limits import SessionLimits
from relay.listener.logins import LoginLimits

UPSTREAM = Upstream(url="smtp://192.0.2.1", tls="none")
# Setting → what it is called where it is kept.
OF_A_SESSION = {
    "max_recipients": "max_recipients",
    "max_messages_per_session": "max_messages",
    "max_command_bytes": "max_command_octets",
    "max_bad_commands": "max_bad_commands",
    "idle_seconds": "idle_seconds",
    "command_seconds": "command_seconds",
    "memory_seconds": "memory_seconds",
    "min_data_bytes_per_second": "min_data_rate",
    "data_grace_seconds": "data_grace_seconds",
    "proxy_header_seconds": "proxy_seconds",
    "tls_handshake_seconds": "handshake_seconds",
    "tls_close_seconds": "goodbye_seconds",
    "max_failed_logins_per_session": "max_failed_logins",
    "ipv6_prefix": "ipv6_prefix",
}
OF_LOGINS = {
    "max_failed_logins": "max_failures",
    "failed_login_seconds": "window_seconds",
    "login_delay_seconds": "delay_seconds",
    "max_login_delay_seconds": "max_delay_seconds",
    "login_remember_seconds": "remember_seconds",
    "max_remembered_logins": "max_remembered",
    "max_login_addresses": "max_addresses",
    "max_login_checks": "max_checks",
}
OF_A_MESSAGE = {
    "max_message_bytes": "max_message_octets",
    "max_header_bytes": "max_header_octets",
    "max_header_fields": "max_header_fields",
    "max_header_field_bytes": "max_field_octets",
}
OF_ALL_SESSIONS = {
    "max_connections",
    "max_connections_per_address",
    "listen_backlog",
    "max_inflight_bytes",
}


def kept(limits: Limits) -> dict[str, dict[str, object]]:
    """The limits where they are kept."""
    return {
        "session": asdict(make_session_limits(limits)),
        "logins": asdict(make_login_limits(limits)),
        "message": asdict(make_read_limits(Config(limits=limits, upstreams=(UPSTREAM,)))),
    }


@pytest.mark.parametrize(
    ("place", "setting", "name"),
    [
        (place, setting, name)
        for place, names in (
            ("session", OF_A_SESSION),
            ("logins", OF_LOGINS),
            ("message", OF_A_MESSAGE),
        )
        for setting, name in names.items()
    ],
)
def test_each_limit_is_kept(place: str, setting: str, name: str) -> None:
    """One setting changes one limit."""
    default = Limits()
    changed = Limits.model_validate({setting: getattr(default, setting) + 1})
    expected = kept(default)
    expected[place][name] = getattr(changed, setting)
    assert kept(changed) == expected


def test_no_limit_is_left_out() -> None:
    """Every setting is one of these; the sockets' own are tested with sockets."""
    named = {*OF_A_SESSION, *OF_LOGINS, *OF_A_MESSAGE, *OF_ALL_SESSIONS}
    assert set(Limits.model_fields) == named


def test_defaults_are_the_same_everywhere() -> None:
    """What is built without settings behaves as it does with their defaults."""
    limits = make_session_limits(Limits())
    assert make_login_limits(Limits()) == LoginLimits()
    assert limits == SessionLimits(
        max_recipients=limits.max_recipients,
        max_command_octets=limits.max_command_octets,
        max_bad_commands=limits.max_bad_commands,
        idle_seconds=limits.idle_seconds,
        min_data_rate=limits.min_data_rate,
    )


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("ipv6_prefix", 0),
        ("ipv6_prefix", 129),
        ("listen_backlog", 0),
        ("data_grace_seconds", 0),
        ("proxy_header_seconds", -1),
        ("tls_handshake_seconds", "inf"),
        ("tls_close_seconds", 0),
        ("max_failed_logins_per_session", 0),
        ("failed_login_seconds", 0),
        ("login_delay_seconds", -1),
        ("max_login_delay_seconds", "nan"),
        ("login_remember_seconds", -1),
        ("max_remembered_logins", 0),
        ("max_login_addresses", 0),
        ("max_login_checks", 0),
    ],
)
def test_what_is_no_limit(setting: str, value: object) -> None:
    """A limit that nothing passes, or everything, is a fault."""
    with pytest.raises(ValueError, match=setting):
        Limits.model_validate({setting: value})


@pytest.mark.parametrize("setting", ["login_delay_seconds", "login_remember_seconds"])
def test_what_may_be_left_out(setting: str) -> None:
    """No delay, and no memory for what was right."""
    assert getattr(Limits.model_validate({setting: 0}), setting) == 0


def test_whose_a_unix_socket_is() -> None:
    """Its owner and its mode, which is octal, get to where it is bound."""
    listener = Listener(address="unix:/run/relay.sock", unix_mode="0620", unix_owner="app:mail")
    bound = binding(listener)
    assert (bound.address, bound.mode, bound.owner) == (listener.address, 0o620, "app:mail")
