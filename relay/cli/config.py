"""`dkim-relay config`: check, show and explain the settings. Arguments and output only."""

from __future__ import annotations

from pathlib import Path

import click
import orjson

from relay.cli.options import Unusable, config_option, load_or_exit
from relay.config.example import example as example_text
from relay.config.example import table as table_text
from relay.core.errors import ConfigError
from relay.service import load_profile


@click.group()
def config() -> None:
    """Check, show and explain the settings."""


@config.command()
@config_option
def check(config_file: Path | None) -> None:
    """Name every fault with its place and its fix; exit 2 if there is one."""
    settings = load_or_exit(config_file)
    try:
        for upstream in settings.upstreams:
            load_profile(upstream.profile)
    except ConfigError as exc:
        raise Unusable(str(exc)) from exc
    if not Path(settings.keys_dir).is_dir():
        what = f"keys_dir: {settings.keys_dir} is not a folder"
        raise Unusable(f"{what} (dkim-relay keys new DOMAIN --keys-dir {settings.keys_dir})")
    click.echo("The settings are good.", err=True)


@config.command()
@config_option
def show(config_file: Path | None) -> None:
    """Print the settings in effect as JSON; secrets are not shown."""
    settings = load_or_exit(config_file)
    shown = settings.model_dump(mode="json")
    click.echo(orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode())


@config.command()
@click.option("--table", is_flag=True, help="The settings as a Markdown table instead.")
def example(*, table: bool) -> None:
    """Print an annotated file with all settings and their defaults."""
    click.echo(table_text() if table else example_text(), nl=False)
