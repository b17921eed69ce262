"""config/deploy/compose, as docker-compose understands it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.settings_check import DEPLOY, check_settings
from tests.fakes.programs import require_program
from tests.fakes.python_peers import read_yaml
from tests.interop.clients_run import run

FILE = DEPLOY / "compose" / "compose.yaml"


@pytest.fixture(scope="module")
def composed() -> Mapping[str, Any]:
    """The file with its variables replaced, after docker-compose found it good."""
    argv = [require_program("docker-compose", "docker-compose"), "-f", str(FILE), "config"]
    environment = {name: text for name, text in os.environ.items() if name != "RELAY_USER"}
    done = run(argv, environment=environment)
    assert done.status == 0, done
    [document] = read_yaml(done.output)
    found: Mapping[str, Any] = document
    return found


def test_the_relay_finds_its_settings_good(composed: Mapping[str, Any], tmp_path: Path) -> None:
    """With its secret where it is mounted."""
    done = check_settings(tmp_path, composed["services"]["relay"]["environment"])
    assert (done.status, done.errors) == (0, "The settings are good.\n"), done


def test_only_the_application_may_send(composed: Mapping[str, Any]) -> None:
    """The client's network is the one that both are in, and it has no way out or in."""
    relay, app = (composed["services"][name] for name in ("relay", "app"))
    [shared] = relay["networks"].keys() & app["networks"].keys()
    network = composed["networks"][shared]
    [subnet] = [ip_network(one["subnet"]) for one in network["ipam"]["config"]]
    assert ip_network(relay["environment"]["DKIM_RELAY_CLIENT__NETWORKS"]) == subnet
    assert network["internal"] is True
    assert "ports" not in relay


def test_the_container_is_restricted(composed: Mapping[str, Any]) -> None:
    """As in Kubernetes; the image's own health check says when the application may start."""
    services = composed["services"]
    relay = services["relay"]
    assert relay["read_only"] is True
    assert relay["cap_drop"] == ["ALL"]
    assert relay["security_opt"] == ["no-new-privileges:true"]
    assert not relay["user"].startswith("0")
    assert services["app"]["depends_on"]["relay"]["condition"] == "service_healthy"
    assert (FILE.parent / "../../../Dockerfile").exists()
