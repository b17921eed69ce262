"""The README tells the truth about what is generated or can be asked for."""

from __future__ import annotations

import re
from pathlib import Path

from relay.cli import main
from relay.config.example import example, table

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
