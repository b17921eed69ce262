"""`dkim-relay keys rotate|retire`: a new key for an old one. Arguments and output only."""

from __future__ import annotations

from pathlib import Path

import click

from relay import clock
from relay.cli.key_settings import advance, named_domain, run, surroundings, tell_faults
from relay.cli.layout import utc
from relay.cli.options import Unusable, keys_options, nameserver_option, settings
from relay.config import Config
from relay.core.dkim.algorithm import Algorithm
from relay.core.dkim.record import record_name
from relay.core.errors import Fault, KeyFault
from relay.keyring import forms
from relay.keyring.names import free_selector, is_template, key_selector
from relay.keyring.records import record_of
from relay.rotation.plan import Act, KeyFacts, Order, Policy, Step, Waits
from relay.rotation.rotation import Progress
from relay.rotation.surroundings import Surroundings

_SELECTOR_HELP = "Of the next key; may have {year}, {month} and {day}.  [default: s{year}{month}]"
_HONEST = (
    "The private key was overwritten and removed. Copies elsewhere are not: backups, snapshots,"
    " and blocks that the disk has set aside."
)


@click.command()
@click.argument("domain")
@click.option("--selector", help=_SELECTOR_HELP)
@keys_options
@nameserver_option
def rotate(
    domain: str,
    selector: str | None,
    config_file: Path | None,
    keys_dir: Path | None,
    nameserver: tuple[str, ...],
) -> None:
    """Make the next key of DOMAIN; print the record to publish, or have it published.

    The relay signs with the new key as soon as all name servers have its record, and with the old
    one until then. Doing it again changes nothing while a key waits.
    """
    name = named_domain(domain)
    _check_template(selector, name)
    config = settings(config_file, keys_dir, nameserver)
    _check_selectors(config, name)
    within = surroundings(config)
    order = Order(rotates=frozenset(Algorithm), publishes=True, template=selector or "")
    progress = run(advance(within, name, order))
    _tell_steps(progress, within.policy(name))
    tell_faults(progress)
    waiting = _waiting(progress)
    if waiting:
        _tell_waiting(progress, waiting, within)
    else:
        click.echo(f"Nothing waits: the newest key is published. {_taken_up(config)}", err=True)
    if progress.faults:
        raise click.exceptions.Exit(1)


@click.command()
@click.argument("domain")
@click.option("--selector", help="End this key now, whatever its time: it was stolen, for example.")
@keys_options
@nameserver_option
def retire(
    domain: str,
    selector: str | None,
    config_file: Path | None,
    keys_dir: Path | None,
    nameserver: tuple[str, ...],
) -> None:
    """End the keys of DOMAIN that a newer one has replaced for long enough.

    The private key is destroyed, and its record taken out of DNS, or named for you to do that.
    """
    name = named_domain(domain)
    within = surroundings(settings(config_file, keys_dir, nameserver))
    order = Order(retires=True, retires_now=(selector or "").lower())
    progress = run(advance(within, name, order))
    _tell_steps(progress, within.policy(name))
    tell_faults(progress)
    ended = {step.entry.selector for step in progress.steps if step.entry.retired_at}
    if not ended:
        click.echo(_why_nothing(progress, selector), err=True)
    if progress.faults or (selector is not None and selector.lower() not in ended):
        raise click.exceptions.Exit(1)


def _taken_up(config: Config) -> str:
    seconds = config.keys_reload_seconds
    when = f"within {seconds:g} s" if seconds else "at its next start"
    return f"A relay that runs takes it into use {when}."


def _check_template(selector: str | None, domain: str) -> None:
    """What names the next key, also where none has to be made now."""
    if selector is None:
        return
    try:
        if is_template(selector):
            free_selector(selector, domain=domain, now=clock.now(), taken=frozenset())
        else:
            key_selector(selector, domain)
    except KeyFault as exc:
        raise Unusable(str(exc.fault)) from exc


def _check_selectors(config: Config, domain: str) -> None:
    if domain in config.domains and config.domains[domain].selectors:
        what = "the settings name the selectors that sign, so a new one would not"
        fix = "leave it out, and make the next key again"
        raise Unusable(str(Fault(f"domains.{domain}.selectors", what, fix)))


def _waiting(progress: Progress) -> list[KeyFacts]:
    selectors = {d.selector for d in progress.dues if d.waits in (Waits.PUBLISH, Waits.DNS)}
    return [key for key in progress.state.facts if key.selector in selectors]


def _tell_waiting(progress: Progress, waiting: list[KeyFacts], within: Surroundings) -> None:
    """The records of keys that wait: on standard output when somebody has to publish them."""
    domain = progress.domain
    if within.provider(domain) is not None:
        click.echo("The relay signs with the new key once it sees the record everywhere.", err=True)
        return
    records = [record_of(key.public, domain=domain, selector=key.selector) for key in waiting]
    click.echo(
        "Publish what follows at the DNS provider of the domain. The relay signs with the new key"
        " once it sees the record everywhere, and with the old one until then.\n",
        err=True,
    )
    click.echo(forms.as_text(records), nl=False)


def _tell_steps(progress: Progress, policy: Policy) -> None:
    for step in progress.steps:
        if text := _step_text(progress.domain, step, policy):
            click.echo(text, err=True)


def _step_text(domain: str, step: Step, policy: Policy) -> str:
    entry = step.entry
    name = record_name(entry.selector, domain)
    match step.act:
        case Act.MAKE:
            return f"Made {entry.algorithm.key_type} key {entry.selector} of {domain}."
        case Act.PUBLISH:
            return f"Published {name}."
        case Act.DESTROY:
            return f"Destroyed key {entry.selector} of {domain}. {_HONEST}"
        case Act.WITHDRAW:
            return f"{'Revoked' if policy.revokes else 'Removed'} the record at {name}."
        case Act.FINISH if entry.retiring_at is not None:
            return f"Remove the TXT record at {name}, or give it the value v=DKIM1; p="
        case _:
            return ""


def _why_nothing(progress: Progress, selector: str | None) -> str:
    domain = progress.domain
    if selector is not None:
        there = {key.selector for key in progress.state.facts}
        if selector.lower() not in there:
            what, fix = f"no key {selector}", f"see dkim-relay keys status {domain}"
        else:
            what = f"{selector} stays, because no other key may sign: its mail would be refused"
            fix = f"make another and publish it first: dkim-relay keys rotate {domain}"
        return str(Fault(domain, what, fix))
    for due in progress.dues:
        if due.waits is Waits.RETIRE:
            when = utc(int(due.at_seconds))
            return (
                f"Nothing to end yet: {due.selector} may go on {when}."
                f" --selector {due.selector} ends it now."
            )
    return "Nothing to end: no key was replaced by a newer one that signs."
