"""Options, settings and errors that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from relay.config import Config, load
from relay.core.errors import ConfigError

_PLACEHOLDER = {"DKIM_RELAY_UPSTREAM__URL": "smtp://localhost:25"}
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


def keys_options(command: Command) -> Command:
    """`-c FILE` and `--keys-dir D`."""
    keys_dir = click.option(
        "--keys-dir",
        type=click.Path(path_type=Path),
        help="The folder with DOMAIN/SELECTOR.pem.  [default: as the settings say]",
    )
    return config_option(keys_dir(command))


def nameserver_option(command: Command) -> Command:
    """`--nameserver H[:P]`."""
    return click.option(
        "--nameserver",
        multiple=True,
        help="HOST[:PORT] of a resolver.  [default: as the settings say]",
    )(command)


def load_or_exit(config_file: Path | None) -> Config:
    """The settings as `serve` needs them, or every fault on standard error and exit 2."""
    try:
        return load(config_file, os.environ)
    except ConfigError as exc:
        raise Unusable(str(exc)) from exc


def settings(
    config_file: Path | None, keys_dir: Path | None, nameservers: tuple[str, ...] = ()
) -> Config:
    """The settings with what the options say instead; an upstream is not needed.

    Raises:
        Unusable: they are not usable; every fault at once, exit 2.
    """
    try:
        config = _without_upstream(config_file)
    except ConfigError as exc:
        raise Unusable(str(exc)) from exc
    changes: dict[str, Any] = {}
    if keys_dir is not None:
        changes["keys_dir"] = str(keys_dir)
    if nameservers:
        changes["dns"] = config.dns.model_copy(update={"nameservers": nameservers})
    return config.model_copy(update=changes)


def _without_upstream(config_file: Path | None) -> Config:
    try:
        return load(config_file, os.environ)
    except ConfigError as exc:
        if any("no upstream" not in fault.what for fault in exc.faults):
            raise
    return load(config_file, {**os.environ, **_PLACEHOLDER})
