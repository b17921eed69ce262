"""`dkim-relay dns publish|unpublish`: key records at a DNS provider. Arguments and output only."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import click

from relay.cli.key_settings import (
    Stopped,
    named_domain,
    provider_of,
    run,
    surroundings,
)
from relay.cli.options import Unusable, keys_options, nameserver_option, settings
from relay.core.dkim.record import record_name
from relay.core.errors import KeyFault
from relay.dns import publish as publishing
from relay.dns.judge import RecordState
from relay.dns.publish import Done, Provider
from relay.keyring.names import key_selector
from relay.keyring.stored import StoredKey
from relay.rotation.files import read_folder
from relay.rotation.surroundings import Surroundings

_WAIT_SECONDS = 30.0
_AGAIN_SECONDS = 0.5


@click.command()
@click.argument("domain")
@click.option("--selector", "selectors", multiple=True, help="Default: every key of the domain.")
@click.option("--force", is_flag=True, help="Replace a record that is not this key's.")
@click.option(
    "--timeout",
    "timeout_seconds",
    type=click.FloatRange(min=0),
    default=_WAIT_SECONDS,
    show_default=True,
    help="Seconds to wait until every name server has it.",
)
@keys_options
@nameserver_option
def publish(
    domain: str,
    selectors: tuple[str, ...],
    timeout_seconds: float,
    config_file: Path | None,
    keys_dir: Path | None,
    nameserver: tuple[str, ...],
    *,
    force: bool,
) -> None:
    """Put the records of the keys of DOMAIN into DNS, and see that every name server has them.

    A record that is not this key's is never replaced without --force. Exit 1 when one could not
    be put there, or is not seen everywhere in time.
    """
    name = named_domain(domain)
    within = surroundings(settings(config_file, keys_dir, nameserver), rotates=False)
    provider = provider_of(within, name)
    keys = _keys(within, name, selectors)
    run(_publish(provider, keys, force=force))
    if late := run(_late(within, keys, timeout_seconds)):
        raise Stopped("\n".join(f"not seen everywhere: {detail}" for detail in late))
    for key in keys:
        click.echo(f"{_name(key)} is published and matches.", err=True)


@click.command()
@click.argument("domain")
@click.option("--selector", "selectors", multiple=True, required=True, help="Whose record.")
@click.option("--revoke", is_flag=True, help="Leave a record with an empty p=.")
@keys_options
@nameserver_option
def unpublish(
    domain: str,
    selectors: tuple[str, ...],
    config_file: Path | None,
    keys_dir: Path | None,
    nameserver: tuple[str, ...],
    *,
    revoke: bool,
) -> None:
    """Take the records of keys of DOMAIN out of DNS; the keys themselves stay.

    Mail that is signed with them fails to verify from then on. To end a key that was replaced,
    use `keys retire`.
    """
    name = named_domain(domain)
    within = surroundings(settings(config_file, keys_dir, nameserver), rotates=False)
    provider = provider_of(within, name)
    run(_withdraw(provider, _keys(within, name, selectors), revoke=revoke))


def _keys(within: Surroundings, domain: str, selectors: tuple[str, ...]) -> list[StoredKey]:
    """The keys of a domain, or those that are named.

    Raises:
        Unusable: there is no such key, or it cannot be read; exit 2.
    """
    try:
        wanted = [key_selector(text, domain) for text in selectors]
        folder = read_folder(within.keys_dir, domain, within.passphrase_file(domain))
    except KeyFault as exc:
        raise Unusable(str(exc.fault)) from exc
    there = {key.selector: key for key in folder.keys}
    faults = [str(fault) for fault in folder.faults if not wanted]
    faults += [
        f"{folder.path}: no key {text} that can be read" for text in wanted if text not in there
    ]
    if faults or not there:
        raise Unusable("\n".join(faults) or f"{folder.path}: no key (dkim-relay keys new {domain})")
    return [there[text] for text in wanted or there]


async def _publish(provider: Provider, keys: list[StoredKey], *, force: bool) -> None:
    for key in keys:
        done = await publishing.publish(provider, _name(key), key.public, force=force)
        what = "was there" if done is Done.NOTHING else "published"
        click.echo(f"{_name(key)}: {what} ({provider.name})", err=True)


async def _withdraw(provider: Provider, keys: list[StoredKey], *, revoke: bool) -> None:
    for key in keys:
        done = await publishing.withdraw(provider, _name(key), key.public, revoke=revoke)
        what = "nothing to do" if done is Done.NOTHING else done.value
        click.echo(f"{_name(key)}: {what} ({provider.name})", err=True)


async def _late(within: Surroundings, keys: list[StoredKey], timeout_seconds: float) -> list[str]:
    """What is known of the records that are not everywhere when the time is up."""
    gate, end = within.gate, time.monotonic() + timeout_seconds
    while True:
        await gate.check(keys)
        late = [key for key in keys if gate.state(key) is not RecordState.MATCHES]
        if not late or time.monotonic() >= end:
            return [gate.detail(key) for key in late]
        await asyncio.sleep(min(_AGAIN_SECONDS, timeout_seconds))


def _name(key: StoredKey) -> str:
    return record_name(key.selector, key.domain)
