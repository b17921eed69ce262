"""`dkim-relay keys new`: keys and the records to publish. Arguments and output only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import orjson

from relay import clock
from relay.cli.inputs import keys_dir_option
from relay.cli.options import Unusable
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
@keys_dir_option
def new(
    domains: tuple[str, ...],
    selector: str | None,
    algorithm: str | None,
    bits: int | None,
    dual: bool,
    as_json: bool,
    keys_dir: Path,
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
    wishes = _checked(domains, template, algorithms, bits, keys_dir)
    written: list[WrittenKey] = []
    try:
        for wish in wishes:
            written.append(
                write_key_pair(keys_dir, wish.domain, wish.selector, wish.algorithm, bits)
            )
    except KeyFault as exc:  # a full disk, or somebody else who makes the same key
        _tell(written, as_json=as_json)
        raise Unusable(f"stopped after {len(written)} of {len(wishes)}: {exc.fault}") from exc
    _tell(written, as_json=as_json)


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


def _tell(written: Sequence[WrittenKey], *, as_json: bool) -> None:
    """The records on standard output; on standard error what was made and what to do next."""
    for key in written:
        click.echo(f"Wrote {key.key_path} (keep it secret) and {key.record_path}.", err=True)
        if key.warning:
            click.echo(f"Warning: {key.warning}.", err=True)
    if written:
        records = "this record" if len(written) == 1 else f"these {len(written)} records"
        click.echo(
            f"Publish {records} at the DNS provider of the domain, as they stand.\n"
            "The relay signs with a key once it sees the record.\n",
            err=True,
        )
    if as_json:
        rows = [_object(key) for key in written]
        click.echo(orjson.dumps(rows, option=orjson.OPT_INDENT_2))
    else:
        click.echo(forms.as_text([key.record for key in written]), nl=False)


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
