"""The relay as users run it: its own process, set up by its environment.

IO. Started by `python -m relay serve` with nothing but environment variables, in
an empty folder, so that neither the checkout's settings nor its keys have a part
in a test.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import dns.zonefile

from tests.fakes.processes import LOOPBACK, Program, free_port, smtp_greets, wait_until
from tests.fakes.verifiers import Records

ROOT = Path(__file__).parents[2]
KEY_SECONDS = 60  # finding primes has no upper bound, but this is far beyond it
OUTCOME_EVENTS = frozenset({"message.relayed", "message.rejected", "message.deferred"})

Event = Mapping[str, Any]


class RelayProcess:
    """A running relay; a context manager."""

    def __init__(
        self,
        folder: Path,
        *,
        keys_dir: Path,
        upstream_port: int,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Describe the process; nothing is started yet.

        Args:
            folder: an empty folder, its working folder.
            keys_dir: holds `<domain>/<selector>.pem`.
            upstream_port: the smarthost's port on loopback.
            settings: further or other environment variables.
        """
        self.port = free_port()
        environment = _clean_environment() | {
            "DKIM_RELAY_KEYS_DIR": str(keys_dir),
            "DKIM_RELAY_LISTEN": f"{LOOPBACK}:{self.port}",
            "DKIM_RELAY_UPSTREAM__URL": f"smtp://{LOOPBACK}:{upstream_port}",
            "DKIM_RELAY_UPSTREAM__TLS": "none",
            "DKIM_RELAY_DNS__GATE": "off",
            "DKIM_RELAY_ADMIN__ADDRESS": "",
            **(settings or {}),
        }
        self._program = Program(
            [sys.executable, "-m", "relay", "serve"],
            folder=folder,
            name="relay",
            environment=environment,
        )

    def __enter__(self) -> Self:
        """Start, and wait until it greets."""
        self._program.start()
        try:
            self._program.wait_ready(lambda: smtp_greets(self.port))
        except BaseException:
            self._program.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Ask it to end, and make sure it does."""
        self._program.stop()

    def stop(self) -> int | None:
        """Send SIGTERM; its exit status."""
        return self._program.stop()

    def events(self) -> list[Event]:
        """Every complete line of its log.

        Raises:
            ValueError: a line is not JSON.
        """
        text = self._program.stderr_path.read_text("utf-8")
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def outcomes_with(self, text: str) -> list[Event]:
        """The canonical lines in which a text occurs, as soon as there is one.

        The line is written after the client has its answer, hence the wait.
        """

        def found() -> list[Event]:
            return [
                event
                for event in self.events()
                if event.get("event") in OUTCOME_EVENTS and text in json.dumps(event)
            ]

        wait_until(lambda: bool(found()), what=f"{text} is in the log", describe=self.tail)
        return found()

    def tail(self) -> str:
        """The end of its log, for the message of a failed test."""
        return self._program.tail()


def make_key(keys_dir: Path, domain: str, selector: str, *, algorithm: str = "rsa") -> Records:
    """Make a key by `keys new`, as an operator would.

    Args:
        keys_dir: gets `<domain>/<selector>.pem` and `.txt`.
        domain: in A-labels.
        selector: of the key.
        algorithm: `rsa` or `ed25519`.

    Returns:
        The record to publish, read from the file beside the key as a name server would
        read it (RFC 1035 §5.1).
    """
    argv = [sys.executable, "-m", "relay", "keys", "new", domain]
    argv += ["--selector", selector, "--keys-dir", str(keys_dir), "--algorithm", algorithm]
    done = subprocess.run(
        argv,
        cwd=keys_dir,
        env=_clean_environment(),
        capture_output=True,
        text=True,
        timeout=KEY_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{argv} ended {done.returncode}:\n{done.stdout}\n{done.stderr}"
    zone_file = (keys_dir / domain / f"{selector}.txt").read_text("ascii")
    return {
        rrset.name.to_text(omit_final_dot=True): b"".join(rrset[0].strings).decode("ascii")
        for rrset in dns.zonefile.read_rrsets(zone_file, rdclass=None)
    }


def _clean_environment() -> dict[str, str]:
    """The test's environment without settings of a relay, and with the checkout importable."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("DKIM_RELAY")}
    path = [str(ROOT), *filter(None, [kept.get("PYTHONPATH")])]
    return kept | {"PYTHONPATH": os.pathsep.join(path)}
