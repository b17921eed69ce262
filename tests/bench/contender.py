"""Whoever stands between load generator and sink: started, asked for its processes, stopped.

IO. `Relay` is ours; the others are in `tests/bench/peers`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.bench.accounting import Account
from tests.bench.postfix_tools import DOMAIN
from tests.fakes.processes import LOOPBACK, Program, free_port, smtp_greets

SELECTOR = "bench"
ROOT = Path(__file__).parents[2]

# How Python is told to run the relay: on its own choice of event loop, or as if uvloop were not
# installed.
LOOPS: Mapping[str, Sequence[str]] = {
    "uvloop": ("-m", "relay"),
    "asyncio": (
        "-c",
        "import sys; sys.modules['uvloop'] = None; from relay.cli import main; main()",
    ),
}


@dataclass(frozen=True)
class Ground:
    """What all contenders have in common.

    Attributes:
        folder: for the files of all of them.
        sink_port: where they forward everything to, on loopback.
        keys_dir: the key that they sign with, in a folder as ours reads it.
    """

    folder: Path
    sink_port: int
    keys_dir: Path

    @property
    def key_path(self) -> Path:
        """The private key: RSA of 2048 bits, PEM."""
        return self.keys_dir / DOMAIN / f"{SELECTOR}.pem"


def make_ground(folder: Path) -> Ground:
    """Make the key and choose the port of the sink."""
    keys_dir = folder / "keys"
    # A process of its own makes it: what this one has in memory is not to be shared with the relay.
    argv = [sys.executable, "-m", "relay", "keys", "new", DOMAIN, "--selector", SELECTOR]
    subprocess.run(
        [*argv, "--keys-dir", str(keys_dir)],
        env=clean_environment(),
        capture_output=True,
        check=True,
    )
    return Ground(folder, free_port(), keys_dir)


def clean_environment() -> dict[str, str]:
    """Ours, without settings for the relay or for Python, and with this project to import."""
    kept = {
        name: text
        for name, text in os.environ.items()
        if not name.startswith(("DKIM_RELAY_", "PYTHON"))
    }
    return {**kept, "PYTHONPATH": str(ROOT)}


def first_line(*argv: str) -> str:
    """The first line that a command writes, wherever to; empty when there is none."""
    done = subprocess.run(
        argv,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout.strip().partition("\n")[0]


@dataclass(frozen=True)
class Part:
    """A program of a contender, which stays in the foreground.

    Attributes:
        program: not started.
        is_ready: whether the next one can be started.
    """

    program: Program
    is_ready: Callable[[], bool]


class Contender(ABC):
    """Takes mail on a port of loopback and forwards it to the sink; a context manager."""

    name: str
    signs = True

    def __init__(self, ground: Ground) -> None:
        """Choose folder and port; nothing is started yet."""
        self.ground = ground
        self.port = free_port()
        self.folder = ground.folder / re.sub(r"\W+", "-", self.name)
        self.folder.mkdir(mode=0o755, exist_ok=True)
        self._started: list[Program] = []
        self._last: Program | None = None

    @abstractmethod
    def parts(self) -> Sequence[Part]:
        """Write its files; its programs, in the order in which they are started."""

    @abstractmethod
    def version(self) -> str:
        """Of its programs, in words."""

    def __enter__(self) -> Self:
        """Start it, and wait until it greets."""
        try:
            for part in self.parts():
                part.program.start()
                self._started.append(part.program)
                self._last = part.program
                part.program.wait_ready(part.is_ready)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self._stop()

    @property
    def account(self) -> Account:
        """Its processes."""
        return Account([program.pid for program in self._started])

    def greets(self) -> bool:
        """Whether it is ready to take mail."""
        return smtp_greets(self.port)

    def tail(self) -> str:
        """The end of what the last of its programs wrote, to see why it failed."""
        return "" if self._last is None else self._last.tail()

    def _stop(self) -> None:
        while self._started:
            self._started.pop().stop()


class Nothing(Contender):
    """The load generator speaks to the sink: what these two can do by themselves."""

    name = "nothing between"
    signs = False

    def __init__(self, ground: Ground) -> None:
        """The port is that of the sink."""
        super().__init__(ground)
        self.port = ground.sink_port

    def parts(self) -> Sequence[Part]:
        """None."""
        return ()

    def version(self) -> str:
        """Nothing."""
        return ""


class Relay(Contender):
    """dkim-relay."""

    def __init__(
        self,
        ground: Ground,
        *,
        loop: str = "uvloop",
        workers: int = 1,
        settings: Mapping[str, str] | None = None,
        python_options: Sequence[str] = (),
    ) -> None:
        """Describe it.

        Args:
            ground: what all contenders have in common.
            loop: a key of `LOOPS`.
            workers: processes.
            settings: further ones, as the environment has them.
            python_options: what Python is told before it is told to run the relay.
        """
        of_loop = "" if loop == "uvloop" else f", {loop}"
        of_workers = "" if workers == 1 else f", {workers} workers"
        self.name = f"dkim-relay{of_workers}{of_loop}"
        super().__init__(ground)
        self.environment = {
            **clean_environment(),
            # Compiled modules are kept, as where it is installed, but not beside the source.
            "PYTHONPYCACHEPREFIX": str(ROOT / ".cache" / "bench-pycache"),
            "DKIM_RELAY_KEYS_DIR": str(ground.keys_dir),
            "DKIM_RELAY_LISTEN": f"{LOOPBACK}:{self.port}",
            "DKIM_RELAY_UPSTREAM__URL": f"smtp://{LOOPBACK}:{ground.sink_port}",
            "DKIM_RELAY_UPSTREAM__TLS": "none",
            "DKIM_RELAY_DNS__GATE": "off",
            "DKIM_RELAY_ADMIN__ADDRESS": "",
            **({} if workers == 1 else {"DKIM_RELAY_SERVICE__WORKERS": str(workers)}),
            **(settings or {}),
        }
        self._argv = [sys.executable, *python_options, *LOOPS[loop]]

    def version(self) -> str:
        """As the command has it."""
        return first_line(sys.executable, "-m", "relay", "--version")

    def unusable(self) -> str:
        """What `config check` has to say against these settings, or nothing."""
        argv = [sys.executable, "-m", "relay", "config", "check"]
        done = subprocess.run(
            argv,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return "" if done.returncode == 0 else done.stderr.strip() or done.stdout.strip()

    def parts(self) -> Sequence[Part]:
        """One program; what else runs are its own children."""
        argv = [*self._argv, "serve"]
        program = Program(argv, folder=self.folder, name="relay", environment=self.environment)
        return [Part(program, self.greets)]
