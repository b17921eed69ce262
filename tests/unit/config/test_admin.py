"""Settings of the admin port: where it may listen, and under which conditions."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay.config import Config, load
from relay.core.errors import ConfigError

UPSTREAM = {"DKIM_RELAY_UPSTREAM__URL": "smtp://127.0.0.1"}


def loaded(path: Path, **admin: str) -> Config:
    """The settings with these of [admin], by the environment; no file."""
    variables = {f"DKIM_RELAY_ADMIN__{name.upper()}": value for name, value in admin.items()}
    empty = path / "relay.toml"
    empty.write_text("")
    return load(empty, {**UPSTREAM, **variables})


def test_defaults(tmp_path: Path) -> None:
    """On loopback, without a token."""
    admin = loaded(tmp_path).admin
    assert (admin.address, admin.token_file, admin.is_local) == ("127.0.0.1:9525", "", True)


@pytest.mark.parametrize(
    "address", ["", "127.8.8.8:1", "[::1]:9525", "unix:/run/dkim-relay/admin.sock"]
)
def test_addresses_that_need_no_token(tmp_path: Path, address: str) -> None:
    """Only this machine can reach them."""
    assert loaded(tmp_path, address=address).admin.is_local


@pytest.mark.parametrize("address", ["0.0.0.0:9525", "[::]:9525", "192.0.2.1:9525"])
def test_addresses_that_need_one(tmp_path: Path, address: str) -> None:
    """Without it the relay does not start; the fault names the variable and the fix."""
    with pytest.raises(ConfigError) as raised:
        loaded(tmp_path, address=address)
    [fault] = raised.value.faults
    assert fault.where == "DKIM_RELAY_ADMIN__ADDRESS"
    assert "can be reached from elsewhere" in fault.what
    assert "admin.token_file" in fault.fix
    assert loaded(tmp_path, address=address, token_file="/run/token").admin.address == address


@pytest.mark.parametrize("address", ["fd:3", "localhost:9525", "9525", "unix:admin.sock", ":9525"])
def test_addresses_that_are_none(tmp_path: Path, address: str) -> None:
    """Each with what is wrong with it."""
    with pytest.raises(ConfigError, match=r"admin\.address"):
        loaded(tmp_path, address=address)


def test_hosts(tmp_path: Path) -> None:
    """Names and addresses, with commas; compared in lower case."""
    admin = loaded(tmp_path, hosts="Relay.internal, 10.0.0.1,::1").admin
    assert admin.hosts == ("relay.internal", "10.0.0.1", "::1")
    with pytest.raises(ConfigError, match="is not a host name"):
        loaded(tmp_path, hosts="http://relay")


@pytest.mark.parametrize("name", ["recent_transactions", "max_domains", "max_domain_labels"])
@pytest.mark.parametrize("value", ["0", "-1", "1000000", "many"])
def test_limits(tmp_path: Path, name: str, value: str) -> None:
    """At least one, and not so many that an answer would take long."""
    with pytest.raises(ConfigError, match=rf"admin\.{name}"):
        loaded(tmp_path, **{name: value})
