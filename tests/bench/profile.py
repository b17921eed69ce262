"""`make bench ARGS=--profile`: where the relay's time goes while it is measured.

IO. With py-spy a flame graph of each workload, all workers in it; where that cannot be had, what
cProfile wrote of the first process. Either costs time itself: such figures are not to be quoted.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.bench.contender import Contender, Relay
from tests.bench.tools import py_spy
from tests.bench.workload import Workload

SAMPLES_PER_SECOND = "500"


class Profile:
    """Profiles of ours, in a folder."""

    def __init__(self, folder: Path) -> None:
        """Look for py-spy."""
        self._folder = folder
        self._spy = py_spy()
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def python_options(self) -> Sequence[str]:
        """What Python is told at its start: nothing, when py-spy is there to look at it later."""
        return () if self._spy else ("-m", "cProfile", "-o", str(self._folder / "profile.pstats"))

    @contextmanager
    def of(self, contender: Contender, workload: Workload) -> Iterator[None]:
        """Look at ours as long as this is entered."""
        if self._spy is None or not isinstance(contender, Relay):
            yield
            return
        (pid,) = contender.account.roots
        path = self._folder / f"profile-{workload.name}.svg"
        argv = [self._spy, "record", "--pid", str(pid), "--subprocesses", "--output", str(path)]
        options = ["--rate", SAMPLES_PER_SECOND, "--duration", "unlimited"]
        spy = subprocess.Popen([*argv, *options], stdout=subprocess.DEVNULL)
        try:
            yield
        finally:
            spy.send_signal(signal.SIGINT)  # it writes, and ends
            spy.wait()
