"""What one process keeps of what it is told, and counters of several processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from relay.config.settings import Config
from relay.core.errors import ConfigError
from relay.core.events import Event, Noted
from relay.observe.chronicle import Chronicle
from relay.observe.exposition import exposition
from relay.observe.sharing import VARIABLE, counters, shared_folder
from tests.fakes.relay_status import NOW, status
from tests.unit.observe.test_status import ENDED

ROOT = Path(__file__).parents[3]
CONFIG = Config.model_validate({"upstreams": [{"name": "esp", "url": "smtp://127.0.0.1"}]})
# A worker that relays some messages and dies, or ends.
WORKER = """
import os, signal, sys
from relay.observe.metrics import Metrics
from relay.observe.sharing import count_as
from tests.unit.observe.test_status import ENDED
if len(sys.argv) > 3:
    count_as(int(sys.argv[3]))
metrics = Metrics(upstreams=["esp"])
for _ in range(int(sys.argv[1])):
    metrics.emit(ENDED)
if sys.argv[2] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_everything_hears_of_an_event() -> None:
    """Counters, the last transactions and contacts."""
    chronicle = Chronicle(CONFIG, now=lambda: NOW, complain=_nobody)
    chronicle.emit(ENDED)
    chronicle.emit(
        Noted("upstream.opened", "", (("upstream", "esp"), ("detail", "x"), ("seconds", 1)))
    )
    assert chronicle.recent.transactions()[0].queue_id == "q"
    assert chronicle.contacts.of("esp").connected_at == NOW
    text = exposition(status(), chronicle.metrics.registry)
    assert b"dkim_relay_signed_total 1.0" in text


def test_a_fault_loses_no_mail() -> None:
    """It goes to the log, not to whoever told the event."""
    told: list[Event] = []
    chronicle = Chronicle(CONFIG, now=lambda: NOW, complain=told.append)
    chronicle.emit(Noted("upstream.opened"))  # without what belongs to it
    [event] = told
    assert isinstance(event, Noted)
    assert (event.name, event.level) == ("metrics.failed", "error")
    assert isinstance(dict(event.fields)["exception"], KeyError)


def _nobody(event: Event) -> None:
    raise AssertionError(event)


def test_counters_of_several_processes(tmp_path: Path) -> None:
    """They are added up, and those of a process that was killed stay."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    with shared_folder(environ) as folder:
        for count, end in (("3", "killed"), ("4", "ends"), ("0", "ends")):
            subprocess.run([sys.executable, "-c", WORKER, count, end], env=environ, check=False)
        text = exposition(status(), counters(folder)).decode()
        assert "dkim_relay_signed_total 7.0" in text
        assert 'dkim_relay_messages_total{outcome="relayed"} 7.0' in text
        assert 'dkim_relay_messages_total{outcome="rejected"} 0.0' in text
        assert "# HELP dkim_relay_signed_total Messages relayed with a signature of ours." in text
        assert "dkim_relay_ready 1.0" in text
        assert VARIABLE in environ
    assert not folder.exists()
    assert VARIABLE not in environ


def test_successors_count_on() -> None:
    """Workers that die over and over leave the files of one, and none of their counts is lost."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    with shared_folder(environ) as folder:
        names: list[set[str]] = []
        for count, number in (("3", "0"), ("2", "0"), ("4", "0"), ("1", "1")):
            argv = [sys.executable, "-c", WORKER, count, "killed", number]
            subprocess.run(argv, env=environ, check=False)
            names.append({path.name for path in folder.iterdir()})
        assert names[0] == names[1] == names[2]
        assert len(names[3]) == 2 * len(names[0])
        text = exposition(status(), counters(folder)).decode()
        assert "dkim_relay_signed_total 10.0" in text


def test_the_folder_is_private() -> None:
    """Nobody else reads or writes the counters; what the variable said before is said again."""
    environ = {VARIABLE: "/before"}
    with shared_folder(environ) as folder:
        assert folder.stat().st_mode & 0o077 == 0
        assert environ == {VARIABLE: str(folder)}
    assert environ == {VARIABLE: "/before"}


def test_no_place_for_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of the settings, with the fix."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with (
        pytest.raises(ConfigError, match=r"service.workers: .*TMPDIR"),
        shared_folder({}, memory=str(tmp_path / "none")),
    ):
        pass
