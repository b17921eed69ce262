"""Options and errors that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from relay.config import Config, load
from relay.core.errors import ConfigError

Command = TypeVar("Command", bound=Callable[..., Any])


class Unusable(click.ClickException):
    """What was given cannot be used: exit 2, every fault on a line of its own."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        """Print the faults as they are."""
        click.echo(self.message, file=file, err=True)


def config_option(command: Command) -> Command:
    """`-c FILE`."""
    return click.option(
        "-c",
        "--config",
        "config_file",
        type=click.Path(path_type=Path),
        help="The settings (TOML).  [default: DKIM_RELAY_CONFIG, or config/relay.toml]",
    )(command)


def load_or_exit(config_file: Path | None) -> Config:
    """The settings, or every fault on standard error and exit 2."""
    try:
        return load(config_file, os.environ)
    except ConfigError as exc:
        raise Unusable(str(exc)) from exc
