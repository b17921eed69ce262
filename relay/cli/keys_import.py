"""`dkim-relay keys import`: take over the keys of another signer. Arguments and output only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import orjson

from relay.cli.options import Unusable, keys_options, settings
from relay.core.errors import Fault, KeyFault
from relay.core.excerpt import counted
from relay.keyring.importing.carry import Carried, Outcome, carry_over
from relay.keyring.importing.findings import Findings, ForeignKey
from relay.keyring.importing.recognize import read_sources
from relay.keyring.importing.source import Origin, read_file
from relay.keyring.names import key_selector, signing_domain

_MAX_PASSPHRASE_OCTETS = 4096
_MAX_DOMAINS_SHOWN = 20


@click.command(name="import")
@click.argument(
    "sources",
    metavar="SOURCE...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, path_type=Path),
)
@click.option("--domain", "domains", multiple=True, help="Whose keys, where files do not say it.")
@click.option("--selector", help="The selector, where files do not say it.")
@click.option(
    "--passphrase-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Opens encrypted keys.  They are stored without a passphrase.",
)
@click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A copy of the other host: paths in its files begin here.",
)
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
@click.option("--force", is_flag=True, help="Replace keys of the same name in the keys folder.")
@click.option("--json", "as_json", is_flag=True, help="One object, for scripts.")
@keys_options
def import_command(
    sources: tuple[Path, ...],
    domains: tuple[str, ...],
    selector: str | None,
    passphrase_file: Path | None,
    root: Path | None,
    dry_run: bool,
    force: bool,
    as_json: bool,
    config_file: Path | None,
    keys_dir: Path | None,
) -> None:
    """Take over keys from files, folders and the settings of other signers.

    SOURCE is recognised by itself: a key in PEM (PKCS#1, PKCS#8, encrypted), DER or as Ed25519
    seed; a folder of them, as opendkim-genkey, rspamadm and dknewkey make them; opendkim.conf,
    its KeyTable and SigningTable; rspamd's dkim_signing.conf; or a folder with one of these.

    What cannot be taken over is named with its line and the fix, the rest is imported, and the
    exit code is 1.
    """
    folder = Path(settings(config_file, keys_dir).keys_dir)
    origin = _origin(domains, selector, passphrase_file, root)
    findings = read_sources(sources, origin)
    carried = carry_over(findings, folder, replaces=force, is_dry_run=dry_run)
    to_set = settings_of(findings, carried)
    if as_json:
        click.echo(orjson.dumps(_object(findings, carried, to_set), option=orjson.OPT_INDENT_2))
    else:
        for each in carried:
            click.echo(_line(each, is_dry_run=dry_run))
    _tell(findings, carried, to_set, is_dry_run=dry_run)
    if findings.faults:
        raise click.exceptions.Exit(1)


def settings_of(findings: Findings, carried: Sequence[Carried]) -> str:
    """The settings (TOML) with which the relay signs for the same mail as the other signer."""
    by_domain: dict[str, list[ForeignKey]] = {}
    for each in carried:
        by_domain.setdefault(each.key.domain, []).append(each.key)
    sections = []
    for domain, keys in by_domain.items():
        lines = []
        if domain in findings.subdomains:
            lines.append(f"subdomains = true  # {findings.subdomains[domain]}")
        used = [key.selector for key in keys if key.is_in_use]
        if used and len(used) < len(keys):
            names = ", ".join(f'"{name}"' for name in used)
            lines.append(f"selectors = [{names}]  # the other keys were not in use")
        if lines:
            sections.append("\n".join([f'[domains."{domain}"]', *lines, ""]))
    return "\n".join(sections)


def _origin(
    domains: Sequence[str], selector: str | None, passphrase_file: Path | None, root: Path | None
) -> Origin:
    try:
        names = tuple(dict.fromkeys(map(signing_domain, domains)))
        return Origin(
            root=root,
            passphrase=None if passphrase_file is None else _passphrase(passphrase_file),
            domains=names,
            selector=None if selector is None else key_selector(selector, (*names, "x.example")[0]),
        )
    except KeyFault as exc:
        raise Unusable(str(exc.fault)) from exc


def _passphrase(path: Path) -> bytes:
    text = read_file(path, _MAX_PASSPHRASE_OCTETS).octets.rstrip(b"\r\n")
    if not text:
        raise KeyFault(str(path), "the file is empty", "put the passphrase into it")
    return text


def _line(carried: Carried, *, is_dry_run: bool) -> str:
    key = carried.key
    kind = f"{key.public.algorithm.key_type} {key.public.bits}"
    would = "would be " if is_dry_run and carried.outcome is not Outcome.PRESENT else ""
    unused = "" if key.is_in_use else ", was not in use"
    return (
        f"{would}{carried.outcome}: {key.domain} {key.selector} ({kind}{unused})"
        f" from {key.where} to {carried.path}"
    )


def _tell(
    findings: Findings, carried: Sequence[Carried], settings: str, *, is_dry_run: bool
) -> None:
    """On standard error: what is wrong, what to know, what to set, what to check."""
    for fault in findings.faults:
        click.echo(f"fault: {fault}", err=True)
    for note in dict.fromkeys(findings.notes):
        click.echo(f"note: {note}", err=True)
    if settings:
        click.echo(f"\nAdd to the settings, to sign for the same mail:\n\n{settings}", err=True)
    if not carried:
        click.echo("Nothing was imported.", err=True)
        return
    domains = list(dict.fromkeys(each.key.domain for each in carried))
    named = " ".join(domains) if len(domains) <= _MAX_DOMAINS_SHOWN else ""
    outcome = (
        "Nothing was written (--dry-run)." if is_dry_run else "Their records stay as they are."
    )
    click.echo(
        f"{counted(len(carried), 'key')} of {counted(len(domains), 'domain')};"
        f" {counted(len(findings.faults), 'fault')}."
        f" {outcome}\nCheck that each record is published: dkim-relay dns check {named}".rstrip(),
        err=True,
    )


def _object(
    findings: Findings, carried: Sequence[Carried], settings: str
) -> dict[str, list[dict[str, str | int | bool]] | str]:
    return {
        "keys": [
            {
                "domain": each.key.domain,
                "selector": each.key.selector,
                "algorithm": each.key.public.algorithm.value,
                "bits": each.key.public.bits,
                "fingerprint": each.key.public.fingerprint,
                "source": each.key.where,
                "path": str(each.path),
                "outcome": each.outcome.value,
                "was_in_use": each.key.is_in_use,
            }
            for each in carried
        ],
        "faults": [_fault(fault) for fault in findings.faults],
        "notes": [_fault(note) for note in dict.fromkeys(findings.notes)],
        "settings": settings,
    }


def _fault(fault: Fault) -> dict[str, str | int | bool]:
    return {"where": fault.where, "what": fault.what, "fix": fault.fix}
