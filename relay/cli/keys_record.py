"""`dkim-relay keys record`: records in the form that is wanted. Arguments and output only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click

from relay.cli.options import Unusable, keys_options, settings
from relay.core.errors import KeyFault
from relay.keyring import forms
from relay.keyring.folder import list_keys
from relay.keyring.loading import read_found
from relay.keyring.names import key_selector, signing_domain
from relay.keyring.records import Record, RecordTerms, delegated, record_of, revoked_record
from relay.keyring.stored import StoredKey
from relay.keyring.tokens import Tokens

_FORMS: dict[str, Callable[[Sequence[Record]], str]] = {
    "text": forms.as_text,
    "bind": forms.as_bind,
    "json": forms.as_json,
    "route53": forms.as_route53,
    "cloudflare": forms.as_cloudflare,
    "terraform": forms.as_terraform,
    "terraform-cloudflare": forms.as_terraform_cloudflare,
    "nsupdate": forms.as_nsupdate,
    "instructions": forms.as_instructions,
}
_FOR_PEOPLE = ("text", "instructions")
_CANNOT_REPLACE = ("cloudflare",)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """What is asked for, beside the domain and the form."""

    selector: str | None
    terms: RecordTerms
    is_revoked: bool
    delegate_to: str | None
    passphrase_file: Path | None


@click.command()
@click.argument("domain")
@click.option("--selector", help="Default: every key of the domain.")
@click.option(
    "--format",
    "form",
    type=click.Choice(list(_FORMS)),
    default="text",
    show_default=True,
    help="text: for a console; bind: a zone file; json: for scripts and verify --dns-file;"
    " route53: a change batch; cloudflare: the body of a batch; terraform: for Route 53;"
    " nsupdate: a script; instructions: a text to send to whoever runs the DNS.",
)
@click.option("--testing", is_flag=True, help="t=y: failures count as unsigned mail.")
@click.option("--strict", is_flag=True, help="t=s: i= has exactly the domain of d=.")
@click.option("--hash", "hashes", type=click.Choice(["sha256"]), multiple=True, help="h=.")
@click.option("--service", "services", type=click.Choice(["email"]), multiple=True, help="s=.")
@click.option("--note", default="", help="n=, for people.")
@click.option("--revoked", is_flag=True, help="p= empty: the key is no longer valid.")
@click.option(
    "--delegate-to",
    metavar="NAME",
    help="A CNAME to NAME, and the record there; {selector} stands for the selector.",
)
@click.option("--advice", is_flag=True, help="Then what else belongs in DNS: DMARC, SPF.")
@click.option(
    "--passphrase-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Opens encrypted keys.  [default: as the settings say]",
)
@keys_options
def record(
    domain: str,
    selector: str | None,
    form: str,
    testing: bool,
    strict: bool,
    hashes: tuple[str, ...],
    services: tuple[str, ...],
    note: str,
    revoked: bool,
    delegate_to: str | None,
    advice: bool,
    passphrase_file: Path | None,
    config_file: Path | None,
    keys_dir: Path | None,
) -> None:
    """Print the records to publish for the keys of DOMAIN.

    With --selector and --revoked no key has to be there any more.
    """
    if advice and form not in _FOR_PEOPLE:
        raise click.UsageError(f"--advice goes with --format {' or '.join(_FOR_PEOPLE)}.")
    config = settings(config_file, keys_dir)
    wanted = _Wanted(
        selector=selector,
        terms=RecordTerms(
            hashes=hashes, services=services, is_testing=testing, is_strict=strict, note=note
        ),
        is_revoked=revoked,
        delegate_to=delegate_to,
        passphrase_file=passphrase_file,
    )
    if revoked and wanted.terms != RecordTerms():
        raise click.UsageError("a record that is --revoked says nothing else.")
    try:
        name = signing_domain(domain)
        if wanted.passphrase_file is None:
            wanted = replace(wanted, passphrase_file=config.passphrase_file_of(name))
        records = _records(Path(config.keys_dir), name, wanted)
    except KeyFault as exc:
        raise Unusable(str(exc.fault)) from exc
    if revoked and form in _CANNOT_REPLACE:
        click.echo("The record that is there now has to go: two at one name are no use.", err=True)
    click.echo(_FORMS[form](records), nl=False)
    if advice:
        click.echo("\n" + forms.advice(name), nl=False)


def _records(keys_dir: Path, domain: str, wanted: _Wanted) -> list[Record]:
    if wanted.is_revoked and wanted.selector is not None:
        selector = key_selector(wanted.selector, domain)
        found = [(selector, revoked_record(domain=domain, selector=selector))]
    else:
        found = [(key.selector, _record(key, wanted)) for key in _keys_of(keys_dir, domain, wanted)]
    if wanted.delegate_to is None:
        return [record for _, record in found]
    if len(found) > 1 and "{selector}" not in wanted.delegate_to:
        what = f"{domain} has {len(found)} keys, which cannot share a name"
        raise KeyFault("--delegate-to", what, "write {selector} into it, or give --selector")
    targets = [wanted.delegate_to.replace("{selector}", selector) for selector, _ in found]
    pairs = zip(found, targets, strict=True)
    return [each for (_, record), target in pairs for each in delegated(record, target)]


def _record(key: StoredKey, wanted: _Wanted) -> Record:
    if wanted.is_revoked:
        return revoked_record(domain=key.domain, selector=key.selector)
    return record_of(key.public, domain=key.domain, selector=key.selector, terms=wanted.terms)


def _keys_of(keys_dir: Path, domain: str, wanted: _Wanted) -> list[StoredKey]:
    """The keys of a domain, or the one of a selector; the first fault ends it."""
    selector = None if wanted.selector is None else key_selector(wanted.selector, domain)
    found = [
        file
        for file in list_keys(keys_dir).found
        if file.domain == domain and selector in (None, file.selector)
    ]
    if not found:
        what = "no key" if selector is None else f"no key with the selector {selector}"
        fix = f"make one: dkim-relay keys new {domain}"
        raise KeyFault(str(keys_dir / domain), what, fix)
    tokens = Tokens()
    try:
        return [
            read_found(file, tokens=tokens, passphrase_file=wanted.passphrase_file)
            for file in found
        ]
    finally:
        tokens.close()
