"""`dkim-relay keys new`: keys and the records to publish. Arguments and output only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import orjson

from relay import clock
from relay.cli.options import Unusable, keys_options, settings
from relay.config import Config
from relay.core.dkim.algorithm import DEFAULT_RSA_BITS, Algorithm
from relay.core.errors import Fault, KeyFault
from relay.keyring import forms
from relay.keyring.folder import taken_selectors
from relay.keyring.names import (
    DEFAULT_TEMPLATE,
    free_selector,
    is_template,
    key_selector,
    signing_domain,
)
from relay.keyring.writing import WrittenKey, check_free, check_size, write_key_pair

_ALGORITHMS = {algorithm.key_type: algorithm for algorithm in Algorithm}
_MAX_SHOWN = 10  # domains in what to do next
_ED25519_ENDING = "-ed25519"  # of the second selector of --dual; no letter of a collision is in it


@dataclass(frozen=True, slots=True)
class _Wish:
    """A key to be made, its names checked."""

    domain: str
    selector: str
    algorithm: Algorithm


@click.command()
@click.argument("domains", metavar="DOMAIN...", nargs=-1, required=True)
@click.option(
    "--selector",
    help="A selector, or a template with {year}, {month} and {day}, which gets a letter where it"
    f" is taken.  [default: {DEFAULT_TEMPLATE}, like s202611]",
)
@click.option("--algorithm", type=click.Choice(list(_ALGORITHMS)), help="[default: rsa]")
@click.option(
    "--bits", type=int, help=f"Size of an RSA key, 1024 to 4096.  [default: {DEFAULT_RSA_BITS}]"
)
@click.option(
    "--dual",
    is_flag=True,
    help=f"Both kinds: SELECTOR with RSA and SELECTOR{_ED25519_ENDING} with Ed25519.",
)
@click.option("--json", "as_json", is_flag=True, help="One array of objects, for scripts.")
@keys_options
def new(
    domains: tuple[str, ...],
    selector: str | None,
    algorithm: str | None,
    bits: int | None,
    dual: bool,
    as_json: bool,
    config_file: Path | None,
    keys_dir: Path | None,
) -> None:
    """Make a key for each DOMAIN and print the records to publish.

    Everything is checked before the first key is made; nothing is ever overwritten.
    """
    if dual and algorithm is not None:
        raise click.UsageError("--dual makes both kinds: leave --algorithm out.")
    algorithms = list(Algorithm) if dual else [_ALGORITHMS[algorithm or "rsa"]]
    if bits is not None and Algorithm.RSA_SHA256 not in algorithms:
        raise click.UsageError(f"--bits is for RSA; every {algorithm} key has the same size.")
    bits = DEFAULT_RSA_BITS if bits is None else bits
    template = DEFAULT_TEMPLATE if selector is None else selector
    config = settings(config_file, keys_dir)
    folder = Path(config.keys_dir)
    wishes = _checked(domains, template, algorithms, bits, folder)
    written: list[WrittenKey] = []
    try:
        for wish in wishes:
            written.append(write_key_pair(folder, wish.domain, wish.selector, wish.algorithm, bits))
    except KeyFault as exc:  # a full disk, or somebody else who makes the same key
        _tell(written, config, as_json=as_json)
        raise Unusable(f"stopped after {len(written)} of {len(wishes)}: {exc.fault}") from exc
    _tell(written, config, as_json=as_json)


def _checked(
    domains: Sequence[str],
    selector: str,
    algorithms: Sequence[Algorithm],
    bits: int,
    keys_dir: Path,
) -> list[_Wish]:
    """What is to be made, or every fault at once and exit 2."""
    wishes: dict[_Wish, None] = {}
    faults: list[Fault] = []
    try:
        for algorithm in algorithms:
            check_size(algorithm, bits)
    except KeyFault as exc:
        faults.append(exc.fault)
    for domain in domains:
        try:
            wishes.update(dict.fromkeys(_wishes(domain, selector, algorithms, keys_dir)))
        except KeyFault as exc:
            faults.append(exc.fault)
        except OSError as exc:
            reason = exc.strerror or type(exc).__name__
            where = str(exc.filename or keys_dir)
            faults.append(Fault(where, f"cannot be read: {reason}", "choose --keys-dir"))
    if faults:
        raise Unusable("\n".join(dict.fromkeys(map(str, faults))))
    return list(wishes)


def _wishes(
    text: str, selector: str, algorithms: Sequence[Algorithm], keys_dir: Path
) -> Iterator[_Wish]:
    domain = signing_domain(text)
    endings = ["", _ED25519_ENDING][: len(algorithms)]
    if is_template(selector):
        taken = taken_selectors(keys_dir, domain)
        base = free_selector(
            selector, domain=domain, now=clock.now(), taken=taken, companions=endings[1:]
        )
    else:
        base = key_selector(selector, domain)
    for algorithm, ending in zip(algorithms, endings, strict=True):
        name = key_selector(base + ending, domain)
        check_free(keys_dir, domain, name)
        yield _Wish(domain, name, algorithm)


def _tell(written: Sequence[WrittenKey], config: Config, *, as_json: bool) -> None:
    """The records on standard output; on standard error what was made and what to do next."""
    for key in written:
        click.echo(f"Wrote {key.key_path} (keep it secret) and {key.record_path}.", err=True)
        if key.warning:
            click.echo(f"Warning: {key.warning}.", err=True)
    if written:
        click.echo(_what_next([key.domain for key in written], config), err=True)
    if as_json:
        rows = [_object(key) for key in written]
        click.echo(orjson.dumps(rows, option=orjson.OPT_INDENT_2))
    else:
        click.echo(forms.as_text([key.record for key in written]), nl=False)


def _what_next(domains: Sequence[str], config: Config) -> str:
    """How the records get into DNS, and how to see that they are there."""
    names = list(dict.fromkeys(domains))
    ours = [name for name in names if any(one.has(name) for one in config.publishing)]
    lines = [f"Publish it: dkim-relay dns publish {name}" for name in ours[:_MAX_SHOWN]]
    others = [name for name in domains if name not in ours]
    if others:
        which = "the other" if ours else "this" if len(others) == 1 else f"these {len(others)}"
        what = f"{which} record, as it stands," if len(others) == 1 else f"{which} records"
        lines.append(f"Publish {what} at the DNS provider of the domain.")
    shown = f" {' '.join(names)}" if len(names) <= _MAX_SHOWN else ""
    if config.dns.gate == "off":
        lines.append('The relay signs without waiting for that (dns.gate = "off").\n')
    else:
        lines.append("The relay signs with a key once it sees the record everywhere.")
        lines.append(f"Wait for that: dkim-relay dns check{shown} --wait\n")
    return "\n".join(lines)


def _object(key: WrittenKey) -> dict[str, str | int]:
    return {
        "domain": key.domain,
        "selector": key.selector,
        "algorithm": key.public.algorithm.value,
        "bits": key.public.bits,
        "fingerprint": key.public.fingerprint,
        "key_path": str(key.key_path),
        "record_path": str(key.record_path),
        "name": key.record.name,
        "type": key.record.kind.value,
        "value": key.record.value,
        "warning": key.warning,
    }
