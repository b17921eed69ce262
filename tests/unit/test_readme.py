"""The README tells the truth about what is generated or can be asked for."""

from __future__ import annotations

import re
from pathlib import Path

from relay.cli import main
from relay.config.example import example, table
from relay.core.events import Outcome
from relay.keyring.changes import Became
from relay.observe.names import INTERNAL_FAILURES, OTHER_EVENTS, UPSTREAM_EVENTS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def test_the_settings_table_is_the_generated_one() -> None:
    """`dkim-relay config example --table` is what stands in the README."""
    assert table() in README


def test_the_annotated_file_is_the_generated_one() -> None:
    """`dkim-relay config example` is config/relay.toml."""
    assert (ROOT / "config/relay.toml").read_text("utf-8") == example()


def test_every_command_in_the_readme_exists() -> None:
    """A command that a reader may type is one that `dkim-relay --help` lists."""
    named = set(re.findall(r"dkim-relay ([a-z]+)", README))
    known = set(main.list_commands(main.make_context("dkim-relay", [], resilient_parsing=True)))
    assert named
    assert named <= known


def test_every_event_of_the_log_is_explained() -> None:
    """The table of events has all that code tells of, and nothing that it does not."""
    section = README.partition("### What the log says")[2].partition("\n## ")[0]
    names = "".join(re.findall(r"(?m)^\| (`[^|]*)\|", section))
    explained = set(re.findall(r"`([^`]+)`", names))
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "relay").rglob("*.py"))
    noted = set(re.findall(r"Noted\(\s*\"([a-z]+\.[a-z_]+)\"", sources))
    steps = set(re.findall(r"\"(key\.[a-z_]+)\"", sources))
    listed = {*Outcome, *Became, *UPSTREAM_EVENTS, *OTHER_EVENTS, *INTERNAL_FAILURES}
    assert explained == noted | steps | set(map(str, listed))
