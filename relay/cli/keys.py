"""`dkim-relay keys`: make keys, list them, print their records. Arguments and output only."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click
import orjson

from relay import clock
from relay.cli.options import Unusable
from relay.core.dkim.algorithm import DEFAULT_RSA_BITS, Algorithm, SigningKey
from relay.core.errors import Fault, KeyFault
from relay.keyring import records
from relay.keyring.files import FileKey, WrittenKey, read_key_file, write_key_pair
from relay.keyring.folder import list_keys, taken_selectors
from relay.keyring.keyring import Keyring, KeyState, KeyStatus
from relay.keyring.names import default_selector, key_selector, signing_domain

_ALGORITHMS = {algorithm.key_type: algorithm for algorithm in Algorithm}
_Command = TypeVar("_Command", bound=Callable[..., Any])


class _AnyGate:
    """The state of files, whatever DNS says: `dns check` asks DNS."""

    def is_open(self, key: SigningKey) -> bool:
        return True

    def detail(self, key: SigningKey) -> str:
        return ""


def _keys_dir_option(command: _Command) -> _Command:
    return click.option(
        "--keys-dir",
        type=click.Path(path_type=Path),
        envvar="DKIM_RELAY_KEYS_DIR",
        default=Path("keys"),
        show_default=True,
        show_envvar=True,
        help="The folder with DOMAIN/SELECTOR.pem.",
    )(command)


@click.group()
def keys() -> None:
    """Make signing keys and print the records to publish."""


@keys.command()
@click.argument("domain")
@click.option("--selector", help="Default: s and the year and month, like s202611.")
@click.option("--algorithm", type=click.Choice(list(_ALGORITHMS)), default="rsa", show_default=True)
@click.option(
    "--bits", type=int, help=f"Size of an RSA key, 1024 to 4096.  [default: {DEFAULT_RSA_BITS}]"
)
@_keys_dir_option
def new(
    domain: str, selector: str | None, algorithm: str, bits: int | None, keys_dir: Path
) -> None:
    """Make a key for DOMAIN and print the record to publish."""
    if algorithm != "rsa" and bits is not None:
        raise click.UsageError(f"--bits is for RSA; every {algorithm} key has the same size.")
    try:
        signs_for = signing_domain(domain)
        if selector is None:
            selector = default_selector(clock.now(), taken_selectors(keys_dir, signs_for))
        written = write_key_pair(
            keys_dir,
            signs_for,
            selector,
            _ALGORITHMS[algorithm],
            DEFAULT_RSA_BITS if bits is None else bits,
        )
    except KeyFault as exc:
        raise Unusable(str(exc.fault)) from exc
    except OSError as exc:
        raise Unusable(str(_unlistable(keys_dir, exc))) from exc
    _tell_what_next(written)
    click.echo(records.as_text(written.record), nl=False)


@keys.command(name="list")
@_keys_dir_option
@click.option("--json", "as_json", is_flag=True, help="One array of objects, for scripts.")
def list_command(keys_dir: Path, as_json: bool) -> None:
    """List every key with what is wrong with it; exit 1 when one cannot be used.

    Files are read and each key proves itself; DNS is not asked.
    """
    keyring = Keyring.load(keys_dir, domains={}, gate=_AnyGate())
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


@keys.command()
@click.argument("domain")
@click.option("--selector", help="Default: every key of the domain.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "bind", "json"]),
    default="text",
    show_default=True,
    help="For a console, for a zone file, or for scripts and verify --dns-file.",
)
@_keys_dir_option
def record(domain: str, selector: str | None, form: str, keys_dir: Path) -> None:
    """Print the records to publish for the keys of DOMAIN."""
    try:
        found = _keys_of(keys_dir, domain, selector)
    except KeyFault as exc:
        raise Unusable(str(exc.fault)) from exc
    items = [records.record_of(k.public, domain=k.domain, selector=k.selector) for k in found]
    match form:
        case "json":
            click.echo(records.as_json(items), nl=False)
        case "bind":
            click.echo("".join(map(records.as_bind, items)), nl=False)
        case _:
            click.echo("\n".join(map(records.as_text, items)), nl=False)


def _keys_of(keys_dir: Path, domain: str, selector: str | None) -> list[FileKey]:
    """The keys of a domain, or the one of a selector; the first fault ends it."""
    name = signing_domain(domain)
    wanted = None if selector is None else key_selector(selector, name)
    listing = list_keys(keys_dir)
    found = [
        read_key_file(file.path, domain=name, selector=file.selector)
        for file in listing.found
        if file.domain == name and wanted in (None, file.selector)
    ]
    if not found:
        what = "no key" if wanted is None else f"no key with the selector {wanted}"
        fix = f"make one: dkim-relay keys new {name}"
        raise KeyFault(str(keys_dir / name), what, fix)
    return found


def _tell_what_next(written: WrittenKey) -> None:
    lines = [f"Wrote {written.key_path} (keep it secret) and {written.record_path}."]
    if written.warning:
        lines.append(f"Warning: {written.warning}.")
    lines += [
        "Publish this record at the DNS provider of the domain, as it stands.",
        "The relay reads the keys folder when it starts, and signs with the key once it sees"
        " the record.",
    ]
    click.echo("\n".join(lines) + "\n", err=True)


def _unlistable(keys_dir: Path, exc: OSError) -> Fault:
    reason = exc.strerror or type(exc).__name__
    return Fault(str(exc.filename or keys_dir), f"cannot be read: {reason}", "choose --keys-dir")


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
