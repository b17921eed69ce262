"""The image: what is in it, and that a container of it runs anywhere and loses nothing."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from relay import __version__
from relay.keyring.writing import WrittenKey
from tests.fakes.processes import free_port, port_accepts, wait_until
from tests.fakes.smarthost import Smarthost
from tests.fakes.verifiers import Result, verify_with_dkimpy
from tests.image.building import Image
from tests.image.conftest import TOKEN, StartRelay
from tests.image.container import ANY_USER, Container, MountedSecret
from tests.interop.clients_run import Finished

pytestmark = pytest.mark.timeout(900)  # the first test waits for the base and the image

ADDED_MEGABYTES = 150
IDLE_MEGABYTES = 60
MEGABYTE = 1_000_000
COMPILERS = ("cc", "gcc", "g++", "c++", "clang", "ld", "as", "make", "cargo", "rustc")
BUILD_TOOLS = ("pip", "setuptools", "wheel", "hatchling", "pathspec", "pluggy")
IN_FLIGHT = 8

MakeKey = Callable[[str], WrittenKey]


def test_it_is_described(image: Image) -> None:
    """What a registry, a scheduler and `docker stop` read; the command is no shell's."""
    config = image.config
    user, _, group = config["User"].partition(":")
    assert (int(user) > 0, group) == (True, "0")
    assert (config["Entrypoint"], config["Cmd"]) == (["dkim-relay"], ["serve"])
    assert config["StopSignal"] == "SIGTERM"
    assert config["Healthcheck"]["Test"] == ["CMD", "dkim-relay", "healthcheck"]
    labels = {name.rpartition(".")[2]: text for name, text in config["Labels"].items()}
    assert (labels["title"], labels["version"]) == ("dkim-relay", __version__)
    assert labels["licenses"] == "Apache-2.0"


def test_nothing_of_the_build_is_left(image: Image) -> None:
    """No compiler, no installer and no build tool of ours, no cache, no source of the project."""
    folders = [image.root / name for name in ("usr/bin", "usr/local/bin", "opt/dkim-relay/bin")]
    assert [name for name in COMPILERS for folder in folders if (folder / name).exists()] == []
    [packages] = image.root.glob("opt/dkim-relay/lib/python3*/site-packages")
    assert (packages / "relay" / "profiles" / "ses.toml").is_file()
    installed = {path.name.partition("-")[0] for path in packages.iterdir()}
    assert installed.isdisjoint(BUILD_TOOLS)
    assert not (image.root / "build").exists()
    assert list(image.root.glob("root/.cache/*")) == []


def test_it_adds_little_to_its_base(image: Image) -> None:
    """With all dependencies and their compiled modules."""
    assert 0 < image.added_megabytes < ADDED_MEGABYTES


def test_its_packages_fit_each_other(image: Image, tmp_path: Path) -> None:
    """`pip check`, with the pip of the base."""
    pip = ("/usr/bin/python3", "-m", "pip", "--python", "/opt/dkim-relay/bin/python")
    done = _run_once(image, tmp_path, *pip, "check")
    assert (done.status, done.output) == (0, "No broken requirements found.\n"), done


def test_a_fault_in_the_settings_is_told(image: Image, tmp_path: Path) -> None:
    """Without any setting: exit 2, and what to set."""
    done = _run_once(image, tmp_path)
    assert done.status == 2
    assert "DKIM_RELAY_UPSTREAM__URL" in done.errors


@pytest.mark.parametrize("user", [ANY_USER, (1000810000, 0)])
def test_any_user_without_rights_may_run_it(
    start: StartRelay,
    smarthost: Smarthost,
    secret: MountedSecret,
    make_key: MakeKey,
    user: tuple[int, int],
) -> None:
    """Set up by its environment, password in a file, nothing writable: mail arrives signed."""
    key = make_key("s1")
    secret.put({"s1.pem": key.key_path.read_bytes()})
    relay = start(user=user)
    marker = uuid.uuid4().hex
    relay.send(marker)
    assert _selectors(smarthost, marker, key) == ["s1"]
    told = Path(f"/proc/{relay.container.process_id}/status").read_text()
    status = dict(line.split(":\t", 1) for line in told.splitlines())
    assert status["Uid"].split() == [str(user[0])] * 4
    assert {int(text, 16) for name, text in status.items() if name.startswith("Cap")} == {0}
    assert [line for line in relay.container.log() if line["level"] != "info"] == []


def test_a_swapped_secret_is_seen(
    start: StartRelay, smarthost: Smarthost, secret: MountedSecret, make_key: MakeKey
) -> None:
    """The old key signs until `..data` leads to another version, then the new one does."""
    old, new = make_key("s1"), make_key("s2")
    secret.put({"s1.pem": old.key_path.read_bytes()})
    relay = start()
    marker = uuid.uuid4().hex
    relay.send(marker)
    assert _selectors(smarthost, marker, old) == ["s1"]
    secret.put({"s2.pem": new.key_path.read_bytes()})

    def is_signed_by_the_new() -> bool:
        marker = uuid.uuid4().hex
        relay.send(marker)
        return _selectors(smarthost, marker, old, new) == ["s2"]

    wait_until(is_signed_by_the_new, what="s2 signs", describe=relay.container.program.tail)


def test_it_tells_whether_it_is_ready(
    start: StartRelay, secret: MountedSecret, make_key: MakeKey
) -> None:
    """The image's health check, run in the container: not without a key, and with one."""
    secret.put({"nothing.txt": b"no key yet"})
    relay = start()
    refused = relay.container.exec("dkim-relay", "healthcheck")
    assert refused.status == 1, refused
    assert "example.com" in refused.output + refused.errors
    secret.put({"s1.pem": make_key("s1").key_path.read_bytes()})

    def is_ready() -> bool:
        return relay.container.exec("dkim-relay", "healthcheck").status == 0

    wait_until(is_ready, what="the health check passes", describe=relay.container.program.tail)


def test_the_kubelet_and_prometheus_come_by_the_address_of_the_pod(
    start: StartRelay, secret: MountedSecret, make_key: MakeKey
) -> None:
    """Probes need no token, everything else does; set as in the manifests."""
    secret.put({"s1.pem": make_key("s1").key_path.read_bytes()})
    port = free_port()
    relay = start(
        DKIM_RELAY_ADMIN__ADDRESS=f"0.0.0.0:{port}",
        DKIM_RELAY_ADMIN__TOKEN_FILE="/run/secrets/dkim-relay/admin-token",
    )
    relay.admin_port = port
    pod = {"Host": f"10.1.2.3:{port}"}
    assert [relay.ask(path, **pod) for path in ("/livez", "/readyz")] == [200, 200]
    assert relay.ask("/metrics", **pod) == 401
    assert relay.ask("/metrics", **pod, Authorization=f"Bearer {TOKEN}") == 200
    assert relay.container.exec("dkim-relay", "healthcheck").status == 0


def test_several_processes_need_a_tmp(
    start: StartRelay, smarthost: Smarthost, secret: MountedSecret, make_key: MakeKey
) -> None:
    """One that is in memory will do; SIGTERM ends them all."""
    key = make_key("s1")
    secret.put({"s1.pem": key.key_path.read_bytes()})
    relay = start(has_tmp=True, DKIM_RELAY_SERVICE__WORKERS="2")
    marker = uuid.uuid4().hex
    relay.send(marker)
    assert _selectors(smarthost, marker, key) == ["s1"]
    assert relay.ask("/metrics") == 200
    assert [line for line in relay.container.log() if line["level"] != "info"] == []
    assert relay.container.program.stop() == 0


def test_sigterm_lets_mail_in_flight_finish(
    start: StartRelay, smarthost: Smarthost, secret: MountedSecret, make_key: MakeKey
) -> None:
    """Nobody new comes in; who is in the middle of a message ends it; each 250 is a message."""
    key = make_key("s1")
    secret.put({"s1.pem": key.key_path.read_bytes()})
    relay = start()
    markers = [uuid.uuid4().hex for _ in range(IN_FLIGHT)]
    clients = [relay.begin(marker) for marker in markers]
    os.kill(relay.container.program.pid, signal.SIGTERM)
    wait_until(lambda: not port_accepts(relay.port), what="it takes no more connections")
    for client in clients:
        client.send(b"The other half.\r\n.\r\n")
        assert client.getreply()[0] == 250
        assert client.getreply()[0] == 421
        client.close()
    stopped = relay.wait_for("service.stopped")
    assert stopped["sessions_cut_off"] == 0
    assert relay.container.program.stop() == 0
    for marker in markers:
        assert _selectors(smarthost, marker, key) == ["s1"]


def test_it_is_small_at_rest(start: StartRelay, secret: MountedSecret, make_key: MakeKey) -> None:
    """One process with one key, after its first message."""
    secret.put({"s1.pem": make_key("s1").key_path.read_bytes()})
    relay = start()
    relay.send(uuid.uuid4().hex)
    assert relay.memory_bytes < IDLE_MEGABYTES * MEGABYTE


def _selectors(smarthost: Smarthost, marker: str, *keys: WrittenKey) -> list[str]:
    """Who signed the one message with a marker; each signature must be valid."""
    [received] = [one for one in smarthost.accepted if marker.encode() in one.octets]
    records = {key.record.name: key.record.value for key in keys}
    verdicts = verify_with_dkimpy(received.octets, records)
    assert {verdict.result for verdict in verdicts} == {Result.PASS}, verdicts
    return [verdict.selector for verdict in verdicts]


def _run_once(image: Image, folder: Path, *command: str) -> Finished:
    """Run a container without settings to its end."""
    with Container(image, folder, settings={}, command=command) as container:
        program = container.program
        wait_until(lambda: not program.is_running, what="it ends", describe=program.tail)
        output, errors = (path.read_text() for path in (program.stdout_path, program.stderr_path))
        return Finished(program.stop() or 0, output, errors)
