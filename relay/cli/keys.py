"""`dkim-relay keys`: the group, and the list of what lies there. Arguments and output only."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click
import orjson

from relay.cli.key_settings import keyring_of
from relay.cli.keys_import import import_command
from relay.cli.keys_new import new
from relay.cli.keys_record import record
from relay.cli.keys_status import status
from relay.cli.options import keys_options, settings
from relay.cli.rotate import retire, rotate
from relay.core.dkim.algorithm import SigningKey
from relay.keyring.keyring import KeyState, KeyStatus


class _AnyGate:
    """The state of files, whatever DNS says: `dns check` asks DNS."""

    def is_open(self, key: SigningKey) -> bool:
        return True

    def detail(self, key: SigningKey) -> str:
        return ""


@click.group()
def keys() -> None:
    """Make signing keys, take over those of others, and print the records to publish."""


keys.add_command(new)
keys.add_command(import_command)
keys.add_command(record)
for _command in (rotate, retire, status):
    keys.add_command(_command)


@keys.command(name="list")
@keys_options
@click.option("--json", "as_json", is_flag=True, help="One array of objects, for scripts.")
def list_command(config_file: Path | None, keys_dir: Path | None, as_json: bool) -> None:
    """List every key with what is wrong with it; exit 1 when one cannot be used.

    Files are read and each key proves itself; DNS is not asked.
    """
    keyring = keyring_of(settings(config_file, keys_dir), _AnyGate()).load()
    statuses = keyring.statuses()
    if as_json:
        rows = [_object(status) for status in statuses]
        click.echo(orjson.dumps(rows, option=orjson.OPT_INDENT_2))
    else:
        _table([_row(status) for status in statuses])
    for fault in keyring.faults:
        click.echo(f"fault: {fault}", err=True)
    for warning in keyring.warnings:
        click.echo(f"warning: {warning}", err=True)
    if keyring.faults:
        raise click.exceptions.Exit(1)


def _object(status: KeyStatus) -> dict[str, str | int | None]:
    public = status.public
    return {
        "domain": status.domain,
        "selector": status.selector,
        "algorithm": public.algorithm.value if public else None,
        "bits": public.bits if public else None,
        "fingerprint": public.fingerprint if public else None,
        "path": status.path,
        "state": status.state.value,
        "detail": status.detail,
    }


def _row(status: KeyStatus) -> tuple[str, ...]:
    public = status.public
    kind = f"{public.algorithm.key_type} {public.bits}" if public else "-"
    state = "faulty, see below" if status.state is KeyState.FAULTY else "fine"
    return status.domain, status.selector or "-", kind, state


def _table(rows: Iterable[tuple[str, ...]]) -> None:
    table = [("DOMAIN", "SELECTOR", "KEY", "STATE"), *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
