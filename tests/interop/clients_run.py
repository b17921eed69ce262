"""Client programs: run to their end, with all they said."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

RUN_SECONDS = 60  # only a hang gets there


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended.

    Attributes:
        status: its exit status.
        output: standard output.
        errors: standard error.
    """

    status: int
    output: str
    errors: str

    def __str__(self) -> str:
        return f"exit status {self.status}\n{self.output}\n{self.errors}"


def run(
    argv: Sequence[str],
    *,
    given: bytes = b"",
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    wait_seconds: float = RUN_SECONDS,
) -> Finished:
    """Run a program.

    Args:
        argv: the command line, the path of the program first.
        given: to its standard input.
        folder: where it runs; the test's own without.
        environment: the whole environment; the test's own without.
        wait_seconds: then it is killed, and the test fails.
    """
    done = subprocess.run(
        argv,
        input=given,
        cwd=folder,
        env=environment,
        capture_output=True,
        timeout=wait_seconds,
        check=False,
    )
    output, errors = (stream.decode("utf-8", "replace") for stream in (done.stdout, done.stderr))
    return Finished(done.returncode, output, errors)
