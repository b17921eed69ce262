"""`dkim-relay demo`: the proof, and what it says when it fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from relay.cli import main
from relay.core.reader import read_message
from relay.demo import run as steps


def demo(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Result:
    """Run it in an empty folder, with an environment that must not matter."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DKIM_RELAY_LISTEN", "0.0.0.0:25")
    monkeypatch.setenv("DKIM_RELAY_COLOUR", "red")
    return CliRunner().invoke(main, ["demo"])


def test_it_proves_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Exit 0; header section, verdict and log line on standard output, steps on standard error."""
    result = demo(monkeypatch, tmp_path)
    assert result.exit_code == 0
    told_line, *header, verdict = result.stdout.splitlines()
    message = read_message("\r\n".join(header).encode() + b"\r\n\r\n")
    assert message.has(b"dkim-signature")
    assert message.has(b"received")
    assert verdict.startswith("dkim=pass d=example.com s=demo")
    told = json.loads(told_line)
    assert told["event"] == "message.relayed"
    assert told["signing_domain"] == "example.com"
    assert "•" in result.stderr
    assert "✓" in result.stderr
    assert not list(tmp_path.iterdir())  # it leaves nothing behind


def _refuse(*_: object, **__: object) -> bool:
    return False


def _fail(*_: object, **__: object) -> bool:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("what", "instead", "step"),
    [
        ("write_key_pair", _fail, "make a 2048-bit key for example.com"),
        ("_submit", _fail, "an application submits a message"),
        ("_verify", _fail, "dkimpy verifies it"),
        ("dkim", type("Dkimpy", (), {"verify": _refuse}), "dkimpy verifies it"),
    ],
)
def test_a_step_that_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, what: str, instead: object, step: str
) -> None:
    """Exit 1, and the step is named on standard error."""
    monkeypatch.setattr(steps, what, instead)
    result = demo(monkeypatch, tmp_path)
    assert result.exit_code == 1
    assert f"failed at: {step}" in result.stderr
    assert "Traceback" not in result.output
    assert "✓" not in result.stderr
    assert not list(tmp_path.iterdir())
