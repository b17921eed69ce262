"""`dkim-relay serve` as a process: signals, streams, exit codes."""

from __future__ import annotations

import json
import os
import signal
import smtplib
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from relay.core.dkim.algorithm import Algorithm
from relay.keyring.writing import write_key_pair
from tests.fakes.processes import wait_until
from tests.fakes.smarthost import Fault, Smarthost, in_thread

ROOT = Path(__file__).parents[3]
MESSAGE = b"From: a@example.com\r\nTo: b@example.net\r\n\r\nHello.\r\n"
PATIENCE_SECONDS = 20

Serve = Callable[..., Any]


@pytest.fixture
def smarthost() -> Iterator[Smarthost]:
    """The next hop, in a thread."""
    with in_thread(Smarthost()) as host:
        yield host


@pytest.fixture
def serve(tmp_path: Path, smarthost: Smarthost) -> Serve:
    """Start the relay with further variables; it is ended with the block that holds it."""
    write_key_pair(tmp_path / "keys", "example.com", "s1", Algorithm.ED25519_SHA256, 256)
    environ = {k: v for k, v in os.environ.items() if not k.startswith("DKIM_RELAY_")} | {
        "PYTHONPATH": str(ROOT),
        "DKIM_RELAY_LISTEN": "127.0.0.1:0",
        "DKIM_RELAY_UPSTREAM__URL": f"smtp://127.0.0.1:{smarthost.port}",
        "DKIM_RELAY_UPSTREAM__TLS": "none",
        "DKIM_RELAY_DNS__GATE": "off",
        "DKIM_RELAY_ADMIN__ADDRESS": "",
        "DKIM_RELAY_SERVICE__HOSTNAME": "relay.example",
    }

    @contextmanager
    def start(
        stderr: int | BinaryIO = subprocess.PIPE, **variables: str
    ) -> Iterator[subprocess.Popen[bytes]]:
        with subprocess.Popen(
            [sys.executable, "-m", "relay", "serve"],
            cwd=tmp_path,
            env=environ | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
        ) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()

    return start


def until(process: subprocess.Popen[bytes], name: str) -> dict[str, Any]:
    """Read the log until an event; it fails when the process ends first."""
    assert process.stderr is not None
    for line in process.stderr:
        event: dict[str, Any] = json.loads(line)
        if event["event"] == name:
            return event
    raise AssertionError(f"no {name} until the end of the log")


def port_of(started: dict[str, Any]) -> int:
    """The port that service.started names."""
    return int(started["listening"][0].rpartition(":")[2])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_message_and_a_signal(serve: Serve, smarthost: Smarthost, number: signal.Signals) -> None:
    """It relays, and a signal ends it with exit 0; nothing is on standard output."""
    with serve() as process:
        port = port_of(until(process, "service.started"))
        with smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE_SECONDS) as client:
            client.sendmail("bounces@example.com", ["b@example.net"], MESSAGE)
            told = until(process, "message.relayed")
            process.send_signal(number)
            # The session is open and idle: it hears why it is closed.
            assert client.getreply() == (421, b"4.3.2 The service is shutting down")
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0
    assert out == b""
    assert json.loads(err.splitlines()[-1])["event"] == "service.stopped"
    assert told["signing_domain"] == "example.com"
    assert told["message_id"]
    assert b"Hello" not in err
    [received] = smarthost.accepted
    assert received.octets.startswith(b"DKIM-Signature: ")


def test_a_signal_at_once(serve: Serve) -> None:
    """A second signal while it stops changes nothing."""
    with serve() as process:
        until(process, "service.started")
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0


def test_a_signal_while_the_smarthost_is_silent(serve: Serve, smarthost: Smarthost) -> None:
    """Time is up: the session is cut, the log says how the message stood, and it is exit 0."""
    smarthost.on("dot", Fault.BLACK_HOLE)
    with serve(DKIM_RELAY_SERVICE__DRAIN_SECONDS="0.1") as process:
        port = port_of(until(process, "service.started"))
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS) as client:
            client.sendall(
                b"HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n"
                + MESSAGE
                + b".\r\n"
            )
            wait_until(lambda: bool(smarthost.received), what="the smarthost has the message")
            process.send_signal(signal.SIGTERM)
            assert until(process, "message.outcome_unknown")["rcpt_to"] == ["b@example.net"]
            assert until(process, "service.stopped")["sessions_cut_off"] == 1
            process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0


def test_a_port_in_use(serve: Serve) -> None:
    """Exit 2 with one line that names it, and no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with serve(DKIM_RELAY_LISTEN=address) as process:
            out, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, out) == (2, b"")
    last = err.decode().splitlines()[-1]
    assert last.startswith(f"listener {address}: cannot listen: Address already in use")
    assert b"Traceback" not in err


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"DKIM_RELAY_COLOUR": "red"}, "DKIM_RELAY_COLOUR"),
        ({"DKIM_RELAY_LISTEN": "0.0.0.0:2525"}, "[[clients]]"),
        ({"DKIM_RELAY_UPSTREAM__PROFILE": "nope"}, "nope"),
        ({"DKIM_RELAY_UPSTREAM__URL": "smtp://two words:25"}, "url"),
        ({"DKIM_RELAY_CONFIG": "/nonexistent.toml"}, "/nonexistent.toml"),
    ],
)
def test_bad_settings(serve: Serve, variables: dict[str, str], said: str) -> None:
    """Exit 2 before anything is opened."""
    with serve(**variables) as process:
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, out) == (2, b"")
    assert said in err.decode()
    assert b"Traceback" not in err
    assert b"service.started" not in err


def test_a_log_whose_disk_is_full(serve: Serve, smarthost: Smarthost) -> None:
    """Mail goes on: what was relayed is answered 250, or its client would send it again."""
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        port = chosen.getsockname()[1]
    with (
        Path("/dev/full").open("wb") as full,
        serve(stderr=full, DKIM_RELAY_LISTEN=f"127.0.0.1:{port}") as process,
    ):
        with _client(port, process) as client:
            assert client.sendmail("a@example.com", ["b@example.net"], MESSAGE) == {}
            assert client.sendmail("a@example.com", ["b@example.net"], MESSAGE) == {}
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_SECONDS)
    assert len(smarthost.accepted) == 2


def _client(port: int, process: subprocess.Popen[bytes]) -> smtplib.SMTP:
    """Connect once it listens; it has no log that would tell."""
    for _ in range(PATIENCE_SECONDS * 20):
        try:
            return smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE_SECONDS)
        except ConnectionRefusedError:
            with pytest.raises(subprocess.TimeoutExpired):  # it must not have ended
                process.wait(0.05)
    raise AssertionError("it does not listen")
