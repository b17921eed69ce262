"""Listener, client and upstream by environment alone: variables speak of the single one of each."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path

import pytest

from relay.config import load
from relay.core.errors import ConfigError

URL = {"DKIM_RELAY_UPSTREAM__URL": "smtp://smtp.example.net:587"}
HASH = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$c29tZWhhc2g"


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A file without any setting."""
    path = tmp_path / "relay.toml"
    path.write_text("")
    return path


def test_an_open_listener_with_its_client(empty: Path) -> None:
    """What a container that others reach needs; lists have commas."""
    config = load(
        empty,
        URL
        | {
            "DKIM_RELAY_LISTEN": "0.0.0.0:2525",
            "DKIM_RELAY_CLIENT__NETWORKS": "172.16.0.0/12, 10.0.0.0/8",
            "DKIM_RELAY_CLIENT__FROM_ADDRESSES": "example.com",
            "DKIM_RELAY_CLIENT__UIDS": "33, 1000",
        },
    )
    [client] = config.clients
    assert client.name == "client"
    assert client.ip_networks == (ip_network("172.16.0.0/12"), ip_network("10.0.0.0/8"))
    assert (client.from_addresses, client.uids) == (("example.com",), (33, 1000))


def test_a_login_with_its_listener(empty: Path, tmp_path: Path) -> None:
    """TLS of the listener and the hash of the client, each from a mounted file."""
    (tmp_path / "hash").write_text(HASH + "\n")
    config = load(
        empty,
        URL
        | {
            "DKIM_RELAY_LISTENER__TLS": "starttls",
            "DKIM_RELAY_LISTENER__CERTIFICATE_FILE": "/tls/tls.crt",
            "DKIM_RELAY_LISTENER__PROXY_FROM": "10.0.0.1/32",
            "DKIM_RELAY_CLIENT__NAME": "shop",
            "DKIM_RELAY_CLIENT__LOGIN": "shop",
            "DKIM_RELAY_CLIENT__PASSWORD_HASH_FILE": f"{tmp_path}/hash",
        },
    )
    [listener], [client] = config.listeners, config.clients
    assert (listener.address, listener.tls) == ("127.0.0.1:2525", "starttls")
    assert listener.certificate_file == "/tls/tls.crt"
    assert (client.name, client.password_hash.get_secret_value()) == ("shop", HASH)


@pytest.mark.parametrize("in_file", ["password_hash", "password_hash_file"])
def test_a_hash_of_the_environment_wins(empty: Path, tmp_path: Path, in_file: str) -> None:
    """In whichever form the file has its own."""
    (tmp_path / "hash").write_text(HASH)
    empty.write_text(
        f'[[clients]]\nlogin = "a"\n{in_file} = "{tmp_path}/hash"\n'
        "[[listeners]]\ninsecure_auth = true\n"
    )
    other = "PASSWORD_HASH" if in_file == "password_hash_file" else "PASSWORD_HASH_FILE"
    given = "from the variable" if other == "PASSWORD_HASH" else f"{tmp_path}/hash"
    [client] = load(empty, URL | {f"DKIM_RELAY_CLIENT__{other}": given}).clients
    expected = "from the variable" if other == "PASSWORD_HASH" else HASH
    assert client.password_hash.get_secret_value() == expected


@pytest.mark.parametrize(
    ("variables", "where", "said"),
    [
        ({"DKIM_RELAY_CLIENT__COLOUR": "x"}, "DKIM_RELAY_CLIENT__COLOUR", "is not a setting"),
        ({"DKIM_RELAY_CLIENT": "x"}, "DKIM_RELAY_CLIENT", "is not a setting"),
        # One variable for one thing: it is DKIM_RELAY_LISTEN.
        (
            {"DKIM_RELAY_LISTENER__ADDRESS": "127.0.0.1:25"},
            "DKIM_RELAY_LISTENER__ADDRESS",
            "is not a setting",
        ),
        (
            {"DKIM_RELAY_CLIENT__NETWORKS": "10.0.0.0/8, 0.0.0.0/0"},
            "DKIM_RELAY_CLIENT__NETWORKS",
            "would let everyone send",
        ),
        (
            {"DKIM_RELAY_CLIENT__NETWORKS": "ten"},
            "DKIM_RELAY_CLIENT__NETWORKS",
            "ten",
        ),
        (
            {"DKIM_RELAY_LISTEN": "0.0.0.0:25"},
            "DKIM_RELAY_LISTEN",
            "DKIM_RELAY_CLIENT__NETWORKS",
        ),
    ],
)
def test_a_fault_names_its_variable(
    empty: Path, variables: Mapping[str, str], where: str, said: str
) -> None:
    """With what is wrong and the fix."""
    with pytest.raises(ConfigError) as caught:
        load(empty, URL | dict(variables))
    [fault] = caught.value.faults
    assert fault.where == where
    assert said in str(fault)
    assert fault.fix


def test_a_client_of_the_environment_and_several_of_the_file(empty: Path) -> None:
    """Which one is meant nobody can know."""
    client = '[[clients]]\nname = "{}"\nnetworks = ["10.0.0.0/8"]\n'
    empty.write_text(client.format("a") + client.format("b"))
    with pytest.raises(ConfigError, match=r"the file has several \[\[clients\]\]"):
        load(empty, URL | {"DKIM_RELAY_CLIENT__NETWORKS": "10.0.0.0/8"})


def test_a_path_that_cannot_be(empty: Path) -> None:
    """TOML can say NUL, which no path has: a fault like any other."""
    empty.write_text('[[upstreams]]\nurl = "smtp://h"\npassword_file = "a\\u0000b"\n')
    with pytest.raises(ConfigError, match="password_file: a\0b: embedded null byte"):
        load(empty, {})
