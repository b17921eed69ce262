"""Processes that are killed, stopped, reloaded: no message that was answered 250 is missing."""

from __future__ import annotations

import os
import resource
import signal
import smtplib
import socket
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from relay.core.dkim.algorithm import Algorithm
from relay.keyring.writing import write_key_pair
from tests.fakes.certificates import Certificates
from tests.fakes.http_client import ask
from tests.fakes.processes import LOOPBACK, free_port, smtp_greets
from tests.fakes.service import ServiceProcess, is_alive
from tests.fakes.smarthost import Fault, Pause, Smarthost, in_thread, reply

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")
MESSAGE = b"From: a@example.com\r\nTo: b@example.net\r\nX-Number: %d\r\n\r\nHello.\r\n"


@pytest.fixture
def smarthost() -> Iterator[Smarthost]:
    """The next hop, in a thread."""
    with in_thread(Smarthost()) as host:
        yield host


@pytest.fixture
def keys_dir(tmp_path: Path) -> Path:
    """The key of example.com."""
    write_key_pair(tmp_path / "keys", "example.com", "s1", Algorithm.ED25519_SHA256)
    return tmp_path / "keys"


def service(tmp_path: Path, keys_dir: Path, host: Smarthost, **settings: object) -> ServiceProcess:
    """A relay in front of the smarthost."""
    return ServiceProcess(tmp_path, keys_dir=keys_dir, upstream_port=host.port, **settings)  # type: ignore[arg-type] # settings are anything


@contextmanager
def serving(relay: ServiceProcess, workers: int) -> Iterator[ServiceProcess]:
    """It runs, and so many workers serve."""
    with relay:
        relay.wait(lambda: len(relay.serving()) == workers, f"{workers} workers serve")
        yield relay


class Traffic:
    """Clients in threads, who send until they are told to end; each message once."""

    def __init__(self, port: int, clients: int) -> None:
        self._port = port
        self._is_over = threading.Event()
        self._lock = threading.Lock()
        self._next = 0
        self._threads = [threading.Thread(target=self._send) for _ in range(clients)]
        self.accepted: set[int] = set()
        self.refused: Counter[str] = Counter()
        self.unknown: set[int] = set()

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _send(self) -> None:
        while not self._is_over.is_set():
            with suppress(OSError, smtplib.SMTPException):
                self._session()

    def _session(self) -> None:
        with smtplib.SMTP(LOOPBACK, self._port, timeout=30) as client:
            while not self._is_over.is_set():
                with self._lock:
                    number = self._next = self._next + 1
                try:
                    client.sendmail("a@example.com", ["b@example.net"], MESSAGE % number)
                except smtplib.SMTPResponseException as exc:
                    self.refused[f"{exc.smtp_code} {exc.smtp_error!r}"] += 1
                    raise
                except (OSError, smtplib.SMTPException):
                    self.unknown.add(number)
                    raise
                else:
                    self.accepted.add(number)


def stored(host: Smarthost) -> Counter[int]:
    """The numbers of the messages that the smarthost has, each signed."""
    found: Counter[int] = Counter()
    for received in host.accepted:
        head, _, rest = received.octets.partition(b"X-Number: ")
        assert head.startswith(b"DKIM-Signature: v=1;")
        found[int(rest.partition(b"\r\n")[0])] += 1
    return found


def assert_nothing_is_missing(traffic: Traffic, host: Smarthost) -> None:
    """What was answered 250 is stored once; other copies are of messages with no answer."""
    copies = stored(host)
    assert traffic.accepted <= copies.keys()
    assert {n for n, count in copies.items() if count > 1} == set()
    assert copies.keys() - traffic.accepted <= traffic.unknown
    assert set(map(str, traffic.refused)) <= {"421 b'4.3.2 The service is shutting down'"}


# ---- one process -------------------------------------------------------------------------------


def test_stopped_with_mail_under_way(tmp_path: Path, keys_dir: Path, smarthost: Smarthost) -> None:
    """SIGTERM: what is behind its dot is answered, and the status is 0."""
    with service(tmp_path, keys_dir, smarthost) as relay, Traffic(relay.port, 4) as traffic:
        relay.wait(lambda: len(traffic.accepted) > 20, "mail flows")
        assert relay.program.stop(wait_seconds=30) == 0
    assert_nothing_is_missing(traffic, smarthost)
    assert stored(smarthost).keys() == traffic.accepted
    [stopped] = relay.events("service.stopped")
    assert stopped["sessions_cut_off"] == 0


def test_a_second_signal_ends_it_at_once(
    tmp_path: Path, keys_dir: Path, smarthost: Smarthost
) -> None:
    """Not after `drain_seconds`: the client's connection ends, its message has no answer."""
    smarthost.on("dot", Fault.BLACK_HOLE)
    relay = service(tmp_path, keys_dir, smarthost, service={"drain_seconds": 600})
    with relay, Traffic(relay.port, 1) as traffic:
        relay.wait(lambda: bool(smarthost.received), "a message is under way")
        relay.send(signal.SIGTERM)
        relay.wait(lambda: not smtp_greets(relay.port), "it drains")
        relay.send(signal.SIGINT)
        relay.wait(lambda: not relay.program.is_running, "it has ended")
    assert not traffic.accepted
    [stopped] = relay.events("service.stopped")
    assert stopped["sessions_cut_off"] == 1


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    "sections",
    [
        {"listeners": [{"address": "192.0.2.1:2525"}], "clients": [{"name": "c", "login": ""}]},
        {"upstreams": [{"url": "smtp://localhost", "profile": "nope"}]},
    ],
)
def test_settings_that_cannot_be_used(
    tmp_path: Path,
    keys_dir: Path,
    smarthost: Smarthost,
    workers: int,
    sections: dict[str, object],
) -> None:
    """Status 2, and the fault is told once, however many workers there would be."""
    if "clients" in sections:
        sections = {**sections, "clients": [{"name": "c", "networks": ["192.0.2.0/24"]}]}
    relay = service(tmp_path, keys_dir, smarthost, workers=workers, **sections)
    relay.start()
    process = relay.program._process
    assert process is not None
    assert process.wait(60) == 2
    text = relay.program.stderr_path.read_text("utf-8")
    fault = "nope" if "upstreams" in sections else "192.0.2.1:2525: cannot listen"
    assert text.count(fault) == 1
    assert "Traceback" not in text
    relay.program.stop()


@pytest.mark.parametrize("workers", [1, 2])
def test_reloaded_under_traffic(
    tmp_path: Path, keys_dir: Path, smarthost: Smarthost, workers: int
) -> None:
    """Good settings and bad ones in turn: mail flows on, and the log says what came of each."""
    relay = service(tmp_path, keys_dir, smarthost, workers=workers)
    with serving(relay, workers if workers > 1 else 0), Traffic(relay.port, 4) as traffic:
        for round_ in range(4):
            relay.settings["limits"] = {"max_recipients": 100 + round_}
            relay.write()
            assert relay.reload()["changed"] == ["limits.max_recipients"]
            relay.settings["limits"] = {"max_recipients": 0, "nonsense": 1}
            relay.write()
            faults = relay.reload()["faults"]
            assert len(faults) == 2
            assert any("limits.nonsense" in fault for fault in faults)
            count = len(traffic.accepted)
            relay.wait(lambda count=count: len(traffic.accepted) > count + 5, "mail flows")
        assert relay.program.stop(wait_seconds=30) == 0
    assert_nothing_is_missing(traffic, smarthost)
    assert stored(smarthost).keys() == traffic.accepted


@contextmanager
def reload_that_waits(relay: ServiceProcess, seconds: float) -> Iterator[None]:
    """Settings are being read anew, and wait so long for a name server that says nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((LOOPBACK, 0))
        silent.settimeout(30)
        server = f"{LOOPBACK}:{silent.getsockname()[1]}"
        relay.settings["dns"] = {
            "nameservers": [server],
            "start_seconds": seconds,
            "timeout_seconds": seconds,
        }
        relay.write()
        relay.send(signal.SIGHUP)
        silent.recv(1024)
        yield


@pytest.mark.parametrize("workers", [1, 2])
def test_stopped_while_settings_change(
    tmp_path: Path, keys_dir: Path, smarthost: Smarthost, workers: int
) -> None:
    """What is under way is finished, and the settings of before stay until the end."""
    smarthost.on("dot", Pause(4), reply("250 2.0.0 Ok at last"))
    relay = service(tmp_path, keys_dir, smarthost, workers=workers)
    with serving(relay, workers if workers > 1 else 0), Traffic(relay.port, 1) as traffic:
        relay.wait(lambda: bool(smarthost.received), "a message is under way")
        with reload_that_waits(relay, 1):
            assert relay.program.stop(wait_seconds=30) == 0
    assert traffic.accepted == stored(smarthost).keys() == {1}
    assert [e["sessions_cut_off"] for e in relay.events("service.stopped")] == [0] * workers
    [failed] = relay.events("service.reload_failed")
    assert "told to stop" in str(failed["faults"])


@pytest.mark.parametrize("workers", [1, 2])
async def test_asked_while_settings_change(
    tmp_path: Path, keys_dir: Path, smarthost: Smarthost, workers: int
) -> None:
    """Whoever looks after it hears that it is ready: mail passes all the time."""
    admin = f"{LOOPBACK}:{free_port()}"
    relay = service(tmp_path, keys_dir, smarthost, workers=workers, admin={"address": admin})
    with serving(relay, workers if workers > 1 else 0), reload_that_waits(relay, 60):
        answer = await ask(admin, "/readyz")
    assert (answer.status, answer.text) == (200, "ready\n")


@pytest.mark.parametrize("workers", [1, 2])
def test_keys_certificates_and_secrets(tmp_path: Path, keys_dir: Path, workers: int) -> None:
    """Each is another after SIGHUP: domain, certificate on the wire, password sent upstream."""
    certificates = Certificates(tmp_path)
    certificate, key = certificates.files()
    secret = tmp_path / "password"
    secret.write_text("old")
    with in_thread(Smarthost(users={"u": "new"})) as host:
        upstream = {"name": "esp", "url": f"smtp://{LOOPBACK}:{host.port}", "tls": "none"}
        login = {"username": "u", "password_file": str(secret), "insecure_auth": True}
        relay = service(
            tmp_path, keys_dir, host, workers=workers, upstreams=[{**upstream, **login}]
        )
        tls = {"tls": "implicit", "certificate_file": str(certificate), "key_file": str(key)}
        relay.settings["listeners"] = [{"address": f"{LOOPBACK}:{relay.port}", **tls}]
        with ExitStack() as stack:
            relay.start()
            stack.callback(relay.program.stop)
            relay.wait(lambda: bool(relay.events("service.started")), "it serves")
            relay.wait(lambda: len(relay.serving()) == (workers % 1024 > 1) * workers, "all serve")
            before = _shown(relay.port)
            certificates.files()
            secret.write_text("new")
            write_key_pair(keys_dir, "new.example", "s1", Algorithm.ED25519_SHA256)
            assert "changed" in relay.reload()
            assert _shown(relay.port) != before
            with smtplib.SMTP_SSL(LOOPBACK, relay.port, timeout=30) as client:
                client.sendmail("a@new.example", ["b@example.net"], b"From: a@new.example\r\n\r\nx")
            assert b"d=new.example" in host.accepted[0].octets


def _shown(port: int) -> bytes:
    """The certificate that a client sees."""
    import ssl

    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection((LOOPBACK, port), timeout=30) as plain,
        context.wrap_socket(plain) as secured,
    ):
        return secured.getpeercert(binary_form=True) or b""


# ---- several -----------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [20, 200])
def test_connections_are_spread(
    tmp_path: Path, keys_dir: Path, smarthost: Smarthost, count: int
) -> None:
    """Two workers have nearly the same number of clients that stay."""
    relay = service(tmp_path, keys_dir, smarthost, workers=2)
    with serving(relay, 2), ExitStack() as stack:
        before = {pid: _sockets(pid) for pid in relay.serving()}
        for _ in range(count):
            client = stack.enter_context(socket.create_connection((LOOPBACK, relay.port)))
            assert client.recv(3) == b"220"
        held = [_sockets(pid) - before[pid] for pid in relay.serving()]
        assert sum(held) == count
        assert max(held) - min(held) <= max(2, count // 10), held


def _sockets(pid: int) -> int:
    folder = Path(f"/proc/{pid}/fd")
    return sum(os.readlink(entry).startswith("socket:") for entry in folder.iterdir())


def test_a_worker_that_is_killed(tmp_path: Path, keys_dir: Path, smarthost: Smarthost) -> None:
    """The other one goes on, a new one takes its place, nothing answered is missing."""
    relay = service(tmp_path, keys_dir, smarthost, workers=2)
    with serving(relay, 2), Traffic(relay.port, 6) as traffic:
        for _ in range(3):
            count = len(traffic.accepted)
            relay.wait(lambda count=count: len(traffic.accepted) > count + 20, "mail flows")
            victim, other = relay.serving()
            os.kill(victim, signal.SIGKILL)
            relay.wait(lambda victim=victim: not is_alive(victim), "it is gone")
            count = len(traffic.accepted)
            relay.wait(lambda count=count: len(traffic.accepted) > count + 10, "the other serves")
            assert is_alive(other)
            relay.wait(lambda: len(relay.serving()) == 2, "there are two again")
        assert relay.program.stop(wait_seconds=30) == 0
    assert_nothing_is_missing(traffic, smarthost)
    assert [event["ended"] for event in relay.events("worker.ended")] == ["signal 9"] * 3


def test_several_are_stopped_with_mail_under_way(
    tmp_path: Path, keys_dir: Path, smarthost: Smarthost
) -> None:
    """SIGTERM to the first process, and to all of them as a service manager does it."""
    for sends_to_all in (False, True):
        folder = tmp_path / str(sends_to_all)
        folder.mkdir()
        relay = service(folder, keys_dir, smarthost, workers=2)
        with serving(relay, 2), Traffic(relay.port, 4) as traffic:
            relay.wait(lambda traffic=traffic: len(traffic.accepted) > 20, "mail flows")
            workers = relay.serving()
            if sends_to_all:
                os.killpg(relay.pid, signal.SIGTERM)
                # Once: told again, it would not wait for messages in flight.
                relay.wait(lambda relay=relay: not relay.program.is_running, "all have ended")
            assert relay.program.stop(wait_seconds=30) == 0
        assert not any(map(is_alive, workers))
        assert [e["sessions_cut_off"] for e in relay.events("service.stopped")] == [0, 0]
        assert traffic.accepted == stored(smarthost).keys()
        smarthost.received.clear()


def test_the_supervisor_is_killed(tmp_path: Path, keys_dir: Path, smarthost: Smarthost) -> None:
    """Nobody is left behind: workers finish what is behind its dot, and end."""
    smarthost.on("dot", Pause(0.3), reply("250 2.0.0 Ok at last"))
    relay = service(tmp_path, keys_dir, smarthost, workers=2)
    with serving(relay, 2), Traffic(relay.port, 1) as traffic:
        relay.wait(lambda: bool(smarthost.received), "a message is under way")
        workers = relay.serving()
        relay.send(signal.SIGKILL)
        relay.wait(lambda: not any(map(is_alive, workers)), "the workers have ended")
    assert_nothing_is_missing(traffic, smarthost)
    assert len(traffic.accepted) >= 1


def test_a_worker_that_stands_still(tmp_path: Path, keys_dir: Path, smarthost: Smarthost) -> None:
    """It is killed when it says nothing for so long, and another one serves."""
    relay = service(tmp_path, keys_dir, smarthost, workers=2, service={"stall_seconds": 2})
    with serving(relay, 2):
        victim, _ = relay.serving()
        os.kill(victim, signal.SIGSTOP)
        relay.wait(lambda: not is_alive(victim), "it is killed")
        relay.wait(lambda: len(relay.serving()) == 2, "there are two again")
    [stalled] = relay.events("worker.stalled")
    assert stalled["pid"] == victim


def test_a_worker_that_ends_again_and_again(
    tmp_path: Path, keys_dir: Path, smarthost: Smarthost
) -> None:
    """The pauses grow; settings that are put right end it."""
    certificates = Certificates(tmp_path)
    certificate, key = certificates.files()
    relay = service(tmp_path, keys_dir, smarthost, workers=2)
    tls = {"tls": "starttls", "certificate_file": str(certificate), "key_file": str(key)}
    relay.settings["listeners"][0] |= tls
    with serving(relay, 2):
        good = certificate.read_bytes()
        certificate.write_text("nothing")
        os.kill(relay.serving()[0], signal.SIGKILL)
        relay.wait(lambda: len(relay.events("worker.failed")) >= 3, "it cannot be started")
        assert smtp_greets(relay.port)
        certificate.write_bytes(good)
        relay.wait(lambda: len(relay.serving()) == 2, "there are two again", wait_seconds=60)
    pauses = [event["again_in_seconds"] for event in relay.events("worker.ended")]
    assert pauses == sorted(pauses)
    assert pauses[2] >= 2 * pauses[1] > 0
    assert str(certificate) in str(relay.events("worker.failed")[0]["faults"])


def test_a_worker_that_is_killed_while_settings_change(
    tmp_path: Path, keys_dir: Path, smarthost: Smarthost
) -> None:
    """All workers have the new settings in the end, the one in its place included."""
    relay = service(tmp_path, keys_dir, smarthost, workers=2)
    with serving(relay, 2):
        relay.settings["limits"] = {"max_message_bytes": 77777}
        relay.write()
        relay.send(signal.SIGHUP)
        os.kill(relay.serving()[1], signal.SIGKILL)
        relay.wait(lambda: bool(relay.events("service.reloaded")), "it has told of the reload")
        relay.wait(lambda: len(relay.serving()) == 2, "there are two again")
        with ExitStack() as stack:
            for _ in range(4):
                client = stack.enter_context(smtplib.SMTP(LOOPBACK, relay.port, timeout=30))
                assert b"SIZE 77777" in client.ehlo("c.example")[1].upper()


def test_stopped_after_a_worker_was_killed_while_settings_change(
    tmp_path: Path, keys_dir: Path, smarthost: Smarthost
) -> None:
    """Neither the one that is gone nor the one to come holds up the end; nothing is left over."""
    relay = service(tmp_path, keys_dir, smarthost, workers=2)
    with serving(relay, 2), Traffic(relay.port, 4) as traffic:
        relay.wait(lambda: len(traffic.accepted) > 20, "mail flows")
        workers = relay.serving()
        with reload_that_waits(relay, 1):
            os.kill(workers[0], signal.SIGKILL)
            assert relay.program.stop(wait_seconds=30) == 0
    assert_nothing_is_missing(traffic, smarthost)
    started = {int(event["pid"]) for event in relay.events("worker.started")}
    assert set(workers) <= started
    assert [process for process in started if is_alive(process)] == []


def test_a_worker_that_cannot_be_started(
    tmp_path: Path, keys_dir: Path, smarthost: Smarthost
) -> None:
    """No descriptors are left: the other one serves, and it is tried again."""
    relay = service(tmp_path, keys_dir, smarthost, workers=2)
    with serving(relay, 2):
        before = resource.prlimit(relay.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(relay.pid, resource.RLIMIT_NOFILE, (3, before[1]))
        os.kill(relay.serving()[0], signal.SIGKILL)
        relay.wait(lambda: len(relay.events("worker.ended")) >= 3, "it cannot be started")
        assert smtp_greets(relay.port)
        resource.prlimit(relay.pid, resource.RLIMIT_NOFILE, before)
        relay.wait(lambda: len(relay.serving()) == 2, "there are two again", wait_seconds=60)
    assert "not started: " in relay.events("worker.ended")[1]["ended"]


def test_the_last_words_of_what_fails(tmp_path: Path, keys_dir: Path, smarthost: Smarthost) -> None:
    """Workers that end as soon as they begin: status 1, and the text says how they did."""
    relay = service(tmp_path, keys_dir, smarthost, workers=2)
    relay.program.environment["PYTHONPATH"] += os.pathsep + str(tmp_path)
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nif '--worker' in sys.argv or '--worker' in sys.orig_argv: sys.exit('no')\n"
    )
    relay.start()
    process = relay.program._process
    assert process is not None
    assert process.wait(60) == 1
    assert "a worker could not be started" in relay.program.stderr_path.read_text("utf-8")
    relay.program.stop()
