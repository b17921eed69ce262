"""The relay as a service: its own process, or several, with a settings file and signals.

IO. For tests of what happens to processes: reloads, workers that end, a supervisor that is killed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tests.fakes.processes import LOOPBACK, Program, free_port, smtp_greets, wait_until

ROOT = Path(__file__).parents[2]
Event = Mapping[str, Any]


class ServiceProcess:
    """A relay that was started with `serve -c`; a context manager.

    Attributes:
        settings: written to the file at the start, and by `write`.
        path: of that file.
        port: where the first listener listens.
    """

    def __init__(
        self,
        folder: Path,
        *,
        keys_dir: Path,
        upstream_port: int,
        workers: int | str = 1,
        environment: Mapping[str, str] | None = None,
        **sections: Any,
    ) -> None:
        """Describe it; nothing is started yet.

        Args:
            folder: its working folder.
            keys_dir: holds `<domain>/<selector>.pem`.
            upstream_port: the smarthost's port on loopback.
            workers: as in the settings.
            environment: further variables.
            sections: further settings, by section; they win.
        """
        self._events: list[Event] = []
        self._log_position = 0
        self.port = free_port()
        self.path = folder / "relay.toml"
        self.settings: dict[str, Any] = {
            "keys_dir": str(keys_dir),
            "listeners": [{"address": f"{LOOPBACK}:{self.port}"}],
            "upstreams": [
                {"name": "esp", "url": f"smtp://{LOOPBACK}:{upstream_port}", "tls": "none"}
            ],
            "dns": {"gate": "off"},
            "admin": {"address": ""},
            **sections,
            "service": {
                "hostname": "relay.example",
                "workers": workers,
                **sections.get("service", {}),
            },
        }
        kept = {name: text for name, text in os.environ.items() if not name.startswith("DKIM_")}
        path = os.pathsep.join([str(ROOT), *filter(None, [kept.get("PYTHONPATH")])])
        self.program = Program(
            [sys.executable, "-m", "relay", "serve", "-c", str(self.path)],
            folder=folder,
            name="relay",
            environment={**kept, "PYTHONPATH": path, **(environment or {})},
        )

    def __enter__(self) -> Self:
        """Start, and wait until it greets."""
        self.start()
        try:
            self.program.wait_ready(lambda: smtp_greets(self.port), wait_seconds=60.0)
        except BaseException:
            self.program.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Ask it to end, and make sure it does."""
        self.program.stop()

    @property
    def pid(self) -> int:
        """Of the process that was started."""
        return self.program.pid

    def start(self) -> None:
        """Write the settings and start, without waiting."""
        self.write()
        self.program.start()

    def write(self) -> None:
        """Write the settings to the file."""
        self.path.write_text(toml(self.settings), "utf-8")

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process that was started."""
        os.kill(self.pid, number)

    def reload(self) -> Event:
        """Have it read its settings anew; what it told of that."""
        names = ("service.reloaded", "service.reload_failed")
        before = len(self.events(*names))
        self.send(signal.SIGHUP)
        self.wait(lambda: len(self.events(*names)) > before, "it has told of the reload")
        return self.events(*names)[before]

    def workers(self) -> list[int]:
        """The ids of the processes that it has started and that have not ended."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text("ascii")
        return [int(pid) for pid in children.split() if is_alive(int(pid))]

    def serving(self) -> list[int]:
        """The ids of the workers that serve."""
        started = {event["pid"] for event in self.events("worker.started")}
        return [pid for pid in self.workers() if pid in started]

    def events(self, *names: str) -> list[Event]:
        """The lines of its log, or those of these events only; none of single messages."""
        with self.program.stderr_path.open("rb") as log:
            log.seek(self._log_position)
            for line in log:
                if not line.endswith(b"\n"):
                    break
                self._log_position += len(line)
                if line.startswith(b"{") and b'"event":"message.' not in line:
                    self._events.append(json.loads(line))
        return [event for event in self._events if not names or event["event"] in names]

    def wait(self, condition: Any, what: str, *, wait_seconds: float = 30.0) -> None:
        """Wait for a condition; the end of the log is shown when it does not come."""
        wait_until(condition, what=what, wait_seconds=wait_seconds, describe=self.program.tail)


def is_alive(pid: int) -> bool:
    """Whether there is such a process, and it has not ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def toml(settings: Mapping[str, Any]) -> str:
    """Settings as a file: values, sections, and arrays of sections, one level deep."""
    lines = [f"{name} = {_value(v)}" for name, v in settings.items() if not _is_section(v)]
    for name, value in settings.items():
        if isinstance(value, Mapping):
            lines += _section(f"[{name}]", value)
        elif _is_section(value):
            for entry in value:
                lines += _section(f"[[{name}]]", entry)
    return "\n".join(lines) + "\n"


def _is_section(value: object) -> bool:
    if isinstance(value, Mapping):
        return True
    return isinstance(value, list) and bool(value) and isinstance(value[0], Mapping)


def _section(title: str, entries: Mapping[str, Any]) -> Sequence[str]:
    return [title, *(f"{name} = {_value(value)}" for name, value in entries.items())]


def _value(value: Any) -> str:
    """Strings, numbers, booleans and lists of these look in TOML as they do in JSON."""
    return json.dumps(value)
