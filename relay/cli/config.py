"""`dkim-relay config`: check, show and explain the settings. Arguments and output only."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import orjson
from argon2 import PasswordHasher

from relay.admin.server import check_token
from relay.assembly import binding, profile_hints
from relay.cli.options import Unusable, config_option, load_or_exit
from relay.config.example import example as example_text
from relay.config.example import table as table_text
from relay.core.errors import ConfigError

_UPSTREAM_FILES = ("ca_file", "client_certificate_file", "client_key_file", "oauth_ca_file")


@click.group()
def config() -> None:
    """Check, show and explain the settings."""


@config.command()
@config_option
def check(config_file: Path | None) -> None:
    """Name every fault with its place and its fix; exit 2 if there is one."""
    settings = load_or_exit(config_file)
    try:
        for hint in profile_hints(settings):
            click.echo(f"note: {hint}", err=True)
        for listener in settings.listeners:
            binding(listener)
        check_token(settings.admin)
    except ConfigError as exc:
        raise Unusable(str(exc)) from exc
    missing = [
        f"upstreams[{index}].{name}: {path} is not a file (in PEM)"
        for index, upstream in enumerate(settings.upstreams)
        for name in _UPSTREAM_FILES
        if (path := getattr(upstream, name)) and not Path(path).is_file()
    ]
    if missing:
        raise Unusable("\n".join(missing))
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


@config.command("hash-password")
def hash_password() -> None:
    """Make the password_hash of [[clients]]: asks on a terminal, else reads standard input."""
    if sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise click.UsageError("an empty password")
    click.echo(PasswordHasher().hash(password))


@config.command()
@click.option("--table", is_flag=True, help="The settings as a Markdown table instead.")
def example(*, table: bool) -> None:
    """Print an annotated file with all settings and their defaults."""
    click.echo(table_text() if table else example_text(), nl=False)
