"""Real programs in tests: started in a folder of their own, awaited, stopped by pid.

IO. A program's standard output and error go to files in its folder, so that a
test that fails can show how the program saw it. Waiting is always on a stated
condition with a stated bound: a free-running program on the other side of a
socket or a file offers nothing better than to be asked again.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

LOOPBACK = "127.0.0.1"
POLL_SECONDS = 0.01
TAIL_LINES = 40

# Below the range from which the kernel takes ports for outgoing connections, so
# that a port stays ours between the moment it is found free and the moment the
# program binds it, and again while the program is restarted.
FIRST_PORT, LAST_PORT = 10240, 32000
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_given: deque[int] = deque(maxlen=1000)


class ProgramFailedError(AssertionError):
    """A program did not start, ended too early, or did not do what was awaited."""


def free_port() -> int:
    """Find a TCP port on loopback that nothing listens on, and that nobody else here was given.

    The second counts: a port is free until its program has started, and two programs of one test
    with the same port would greet for each other. Test workers choose from ports of their own.

    Returns:
        A port number outside the kernel's range for outgoing connections.

    Raises:
        ProgramFailedError: no free port was found in a hundred attempts.
    """
    for _ in range(100):
        port = (
            FIRST_PORT
            + _WORKER
            + _WORKERS * secrets.randbelow((LAST_PORT - FIRST_PORT) // _WORKERS)
        )
        if port in _given:
            continue
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as candidate:
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                candidate.bind((LOOPBACK, port))
                _given.append(port)
                return port
    raise ProgramFailedError("no free loopback port in a hundred attempts")


def wait_until(
    condition: Callable[[], bool],
    *,
    what: str,
    wait_seconds: float = 15.0,
    describe: Callable[[], str] = str,
) -> None:
    """Ask again until a condition holds.

    Args:
        condition: asked repeatedly; may be cheap only.
        what: the condition in words, for the error.
        wait_seconds: the bound; generous, because it is only reached on failure.
        describe: further detail for the error, asked once, at the end.

    Raises:
        ProgramFailedError: the condition did not hold within the bound.
    """
    deadline = time.monotonic() + wait_seconds
    while not condition():
        if time.monotonic() > deadline:
            raise ProgramFailedError(f"waited {wait_seconds:g} s in vain: {what}\n{describe()}")
        time.sleep(POLL_SECONDS)


def smtp_greets(port: int) -> bool:
    """Whether an SMTP server on loopback answers a connection with 220 (RFC 5321 §4.2)."""
    try:
        with (
            socket.create_connection((LOOPBACK, port), timeout=5.0) as connection,
            connection.makefile("rb") as replies,
        ):
            greeting = replies.readline()
            connection.sendall(b"QUIT\r\n")
            replies.readline()
    except OSError:
        return False
    return greeting.startswith(b"220")


def port_accepts(port: int) -> bool:
    """Whether a TCP connection to the loopback port succeeds."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=5.0).close()
    except OSError:
        return False
    return True


class Program:
    """One started program, with its output in files; a context manager that stops it."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        folder: Path,
        name: str,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Describe the program; nothing is started yet.

        Args:
            argv: the command line, the path of the program first.
            folder: its working folder; output goes to `<name>.out` and `<name>.err` there.
            name: how it is called in errors and file names.
            environment: the whole environment; None inherits the test's.
        """
        self.argv = tuple(argv)
        self.folder = folder
        self.name = name
        self.environment = dict(os.environ if environment is None else environment)
        self.stdout_path = folder / f"{name}.out"
        self.stderr_path = folder / f"{name}.err"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start the program."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the program."""
        self.stop()

    @property
    def pid(self) -> int:
        """The process id while it runs."""
        if self._process is None:
            raise ProgramFailedError(f"{self.name} was not started")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process is there and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process in a session of its own, output appended to its files."""
        if self.is_running:
            raise ProgramFailedError(f"{self.name} runs already")
        with self.stdout_path.open("ab") as out, self.stderr_path.open("ab") as err:
            self._process = subprocess.Popen(
                self.argv,
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def wait_ready(self, is_ready: Callable[[], bool], *, wait_seconds: float = 20.0) -> None:
        """Wait until the program is ready for use.

        Args:
            is_ready: asked repeatedly.
            wait_seconds: the bound.

        Raises:
            ProgramFailedError: the program ended, or was not ready within the bound;
                the error shows the end of its output.
        """

        def ready_or_ended() -> bool:
            return not self.is_running or is_ready()

        wait_until(
            ready_or_ended,
            what=f"{self.name} is ready",
            wait_seconds=wait_seconds,
            describe=self.tail,
        )
        if not self.is_running:
            raise ProgramFailedError(f"{self.name} ended before it was ready\n{self.tail()}")

    def stop(self, *, wait_seconds: float = 10.0) -> int | None:
        """Ask the process to end (SIGTERM), and make it (SIGKILL) when it does not.

        Returns:
            The exit status as of `subprocess`: negative for a signal; None when the
            program was never started.
        """
        process = self._process
        if process is None:
            return None
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(wait_seconds)
            except subprocess.TimeoutExpired:
                process.kill()
        status = process.wait()
        self._process = None
        return status

    def tail(self) -> str:
        """The last lines of what the program wrote, for the message of a failed test."""
        parts = [f"command: {' '.join(self.argv)}"]
        for path in (self.stdout_path, self.stderr_path):
            text = path.read_text("utf-8", "replace") if path.exists() else ""
            if text:
                parts.append(f"--- end of {path.name}")
                parts.extend(text.splitlines()[-TAIL_LINES:])
        return "\n".join(parts)
