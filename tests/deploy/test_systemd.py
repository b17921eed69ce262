"""config/deploy/systemd, as systemd understands it."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest

from relay.config.settings import Service
from tests.deploy.settings_check import DEPLOY, ROOT, check_settings
from tests.fakes.processes import LOOPBACK, Program, free_port, smtp_greets
from tests.fakes.programs import require_program
from tests.interop.clients_run import run

SOURCE = DEPLOY / "systemd"
MAX_EXPOSURE = 1.1  # of 10; what is left is the network, which a relay needs


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units and the drop-in where systemd would look; their program is one that is there."""
    folder = tmp_path / "units"
    (folder / "dkim-relay.service.d").mkdir(parents=True)
    for name in ("dkim-relay.service", "dkim-relay.socket"):
        text = (SOURCE / name).read_text()
        (folder / name).write_text(text.replace("/usr/local/bin/dkim-relay", sys.executable))
    shutil.copy(SOURCE / "socket.conf", folder / "dkim-relay.service.d")
    return folder


def test_systemd_understands_the_units(units: Path) -> None:
    """`systemd-analyze verify` has nothing to say."""
    files = [str(units / name) for name in ("dkim-relay.service", "dkim-relay.socket")]
    done = run([require_program("systemd-analyze", "systemd"), "verify", "--man=no", *files])
    assert (done.status, done.output, done.errors) == (0, "", ""), done


def test_the_service_is_exposed_little(units: Path) -> None:
    """`systemd-analyze security` counts what the service could do: 10 is everything."""
    argv = [require_program("systemd-analyze", "systemd"), "security", "--offline=true"]
    done = run([*argv, "--no-pager", str(units / "dkim-relay.service")])
    found = re.search(r"Overall exposure level for dkim-relay.service: ([\d.]+)", done.output)
    assert found, done
    assert float(found[1]) <= MAX_EXPOSURE, done


def test_the_relay_finds_its_settings_good(tmp_path: Path) -> None:
    """Its variables and its file; the credential stands where systemd puts it."""
    variables = dict(re.findall(r"(?m)^Environment=(\w+)=(.*)$", _service()))
    assert variables["DKIM_RELAY_UPSTREAM__PASSWORD_FILE"] == "%d/smtp"
    assert re.search(r"(?m)^LoadCredential=smtp:", _service())
    variables["DKIM_RELAY_UPSTREAM__PASSWORD_FILE"] = "/run/credentials/smtp"
    file = (SOURCE / "relay.toml").read_text()
    done = check_settings(tmp_path, variables, file=file, secrets="/run/credentials")
    assert (done.status, done.errors) == (0, "The settings are good.\n"), done


def test_passed_socket_is_the_listener(tmp_path: Path) -> None:
    """With the drop-in's variable, mail comes in where systemd listened and passed the socket."""
    drop_in = (SOURCE / "socket.conf").read_text()
    variables = [f"--setenv={one}" for one in re.findall(r"(?m)^Environment=(.*)$", drop_in)]
    variables += [f"--setenv=PYTHONPATH={ROOT}", "--setenv=DKIM_RELAY_ADMIN__ADDRESS="]
    variables += [f"--setenv=DKIM_RELAY_UPSTREAM__URL=smtp://{LOOPBACK}:25"]
    port = free_port()
    argv = [require_program("systemd-socket-activate", "systemd"), f"--listen={LOOPBACK}:{port}"]
    relay = [sys.executable, "-m", "relay", "serve"]
    with Program([*argv, *variables, *relay], folder=tmp_path, name="relay") as activated:
        activated.wait_ready(lambda: smtp_greets(port))
        assert activated.stop() == 0


def test_it_has_time_to_drain() -> None:
    """Or it is killed."""
    found = re.search(r"(?m)^TimeoutStopSec=(\d+)$", _service())
    assert found
    assert int(found[1]) > Service().drain_seconds


def test_its_user_is_made() -> None:
    """By the file for systemd-sysusers."""
    found = re.search(r"(?m)^User=(.+)$", _service())
    assert found
    assert f"u {found[1]} " in (SOURCE / "dkim-relay.sysusers").read_text()


def _service() -> str:
    return (SOURCE / "dkim-relay.service").read_text()
