"""Postfix's load generator and its sink, smtp-source(1) and smtp-sink(1).

IO. smtp-source sends one file again and again; with `-d` a session keeps its connection, else
each message has one of its own. It stops at the first reply that is not positive, so that a run
which ends well had all its messages taken. smtp-sink counts what it has taken, or stores it.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.bench.workload import Workload, message
from tests.fakes.processes import LOOPBACK, Program, port_accepts, wait_until
from tests.fakes.programs import find_program

DOMAIN = "example.com"
FROM, TO = f"user@{DOMAIN}", "someone@sink.test"
RUN_SECONDS = 600.0
PROOF_SECONDS = 60.0
_COUNTED = re.compile(rb"mesg=(\d+)\s*\r")
_TAIL_OCTETS = 400


def postfix_program(name: str) -> str:
    """The path of one of Postfix's programs; the end of this one when there is none."""
    path = find_program(name)
    if path is None:
        sys.exit(f"{name} is not installed; on Debian: apt-get install postfix")
    return path


def counted(sink: Program) -> int:
    """How many messages a smtp-sink that was started with `-c` has taken."""
    with sink.stdout_path.open("rb") as output:
        output.seek(max(0, output.seek(0, os.SEEK_END) - _TAIL_OCTETS))
        found = _COUNTED.findall(output.read())
    return int(found[-1]) if found else 0


class Sink(Program):
    """A smarthost that counts messages and forgets them."""

    def __init__(self, folder: Path, port: int, *options: str, name: str = "sink") -> None:
        """Describe it.

        Args:
            folder: for its output.
            port: on loopback.
            options: further ones of smtp-sink.
            name: of its output files.
        """
        as_user = ["-u", "nobody"] if os.geteuid() == 0 else []
        fixed = [*as_user, "-c", "-m", "1000", *options, f"{LOOPBACK}:{port}", "1024"]
        super().__init__([postfix_program("smtp-sink"), *fixed], folder=folder, name=name)
        self.port = port

    def start(self) -> None:
        """Start it and wait until it listens; it counts from 0."""
        self.stdout_path.unlink(missing_ok=True)
        super().start()
        self.wait_ready(lambda: port_accepts(self.port))

    def count(self) -> int:
        """How many messages it has taken."""
        return counted(self)

    def wait_count(self, count: int, *, wait_seconds: float = RUN_SECONDS) -> None:
        """Wait until it has taken so many."""
        wait_until(
            lambda: self.count() >= count,
            what=f"the sink has {count} messages",
            wait_seconds=wait_seconds,
            describe=lambda: f"it has {self.count()}",
        )


class StoringSink(Sink):
    """A smarthost that stores each message in a file, with what it knows of it in front."""

    def __init__(self, folder: Path, port: int) -> None:
        """Describe it; messages go to a folder below, which is emptied at the start."""
        self.stored = folder / "stored"
        # Whoever it runs as has to reach and to fill the folder.
        folder.chmod(0o755)
        self.stored.mkdir(mode=0o777, exist_ok=True)
        self.stored.chmod(0o777)
        super().__init__(folder, port, "-d", f"{self.stored}/%M.", name="storing-sink")

    def start(self) -> None:
        """Start it with an empty folder."""
        for path in self.stored.iterdir():
            path.unlink()
        super().start()


class Source:
    """The load generator, with the messages it needs in a folder."""

    def __init__(self, folder: Path) -> None:
        """Describe it."""
        self._folder = folder
        self._program = postfix_program("smtp-source")

    def send(self, workload: Workload, port: int, *, sender: str = FROM) -> float:
        """Send all messages of a workload to a port on loopback.

        Args:
            workload: what to send.
            port: where to.
            sender: the reverse-path; the messages' own From is always the same.

        Returns:
            CPU seconds that it used itself.

        Raises:
            subprocess.CalledProcessError: a message was not taken.
        """
        path = self._folder / f"{workload.name}.eml"
        if not path.exists():
            text = message(workload, sender=FROM, recipient=TO)
            path.write_text(text, encoding="ascii")
        counts = ["-s", str(workload.sessions), "-m", str(workload.messages)]
        options = [*(["-d"] if workload.is_kept else []), *counts]
        return self.send_file(path, port, *options, sender=sender)

    def send_file(self, path: Path, port: int, *options: str, sender: str = FROM) -> float:
        """Send a file; the options are those of smtp-source.

        Returns:
            CPU seconds that it used itself.

        Raises:
            subprocess.CalledProcessError: a message was not taken.
        """
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        addresses = ["-f", sender, "-t", TO]
        self._run([*options, *addresses, "-F", str(path), f"{LOOPBACK}:{port}"])
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    def _run(self, options: Sequence[str]) -> None:
        subprocess.run([self._program, *options], check=True, timeout=RUN_SECONDS)
