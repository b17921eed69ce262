"""`dkim-relay keys rotate|retire|status`: a new key for an old one. Arguments and output only."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
import orjson

from relay import clock
from relay.cli.key_settings import advance, key_options, named_domain, run, settings, surroundings
from relay.cli.layout import utc
from relay.cli.options import Unusable
from relay.config import Config
from relay.core.dkim.algorithm import Algorithm
from relay.core.dkim.record import record_name
from relay.core.errors import Fault, KeyFault
from relay.keyring import forms
from relay.keyring.folder import list_keys
from relay.keyring.records import record_of
from relay.rotation.journal import Entry
from relay.rotation.plan import Act, Due, KeyFacts, Order, Policy, Step, Waits, entry_of
from relay.rotation.rotation import Progress, Rotation, Surroundings

_SELECTOR_HELP = "Of the next key; may have {year}, {month} and {day}.  [default: s{year}{month}]"
_TIMES = ("made_at", "published_at", "in_use_at", "superseded_at", "retiring_at", "retired_at")
_HONEST = (
    "The private key was overwritten and removed. Copies elsewhere are not: backups, snapshots,"
    " and blocks that the disk has set aside."
)


@click.command()
@click.argument("domain")
@click.option("--selector", help=_SELECTOR_HELP)
@key_options
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
    config = settings(config_file, keys_dir, nameserver)
    _check_selectors(config, name)
    within = surroundings(config)
    order = Order(rotates=frozenset(Algorithm), publishes=True, template=selector or "")
    progress = run(advance(within, name, order))
    _tell_steps(progress, within.policy(name))
    _tell_faults(progress)
    waiting = _waiting(progress)
    if waiting:
        _tell_waiting(progress, waiting, within)
    else:
        click.echo("Nothing waits: the newest key is published and signs.", err=True)
    if progress.faults:
        raise click.exceptions.Exit(1)


@click.command()
@click.argument("domain")
@click.option("--selector", help="End this key now, whatever its time: it was stolen, for example.")
@key_options
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
    _tell_faults(progress)
    ended = {step.entry.selector for step in progress.steps if step.entry.retired_at}
    if not ended:
        click.echo(_why_nothing(progress, selector), err=True)
    if progress.faults or (selector is not None and selector.lower() not in ended):
        raise click.exceptions.Exit(1)


@click.command()
@click.argument("domains", metavar="[DOMAIN]...", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="One array of objects, for scripts.")
@key_options
def status(
    domains: tuple[str, ...],
    config_file: Path | None,
    keys_dir: Path | None,
    nameserver: tuple[str, ...],
    *,
    as_json: bool,
) -> None:
    """Show the life of every key, and what is due; exit 1 when something is.

    DNS is asked for the records; nothing is changed.
    """
    config = settings(config_file, keys_dir, nameserver)
    within = surroundings(config)
    names = [named_domain(domain) for domain in domains]
    found = names or sorted(list_keys(Path(config.keys_dir)).domains)
    looked = run(_look(within, found))
    now = clock.now()
    if as_json:
        rows = [_object(progress, now) for progress in looked]
        click.echo(orjson.dumps(rows, option=orjson.OPT_INDENT_2))
    else:
        click.echo("\n".join(_text(progress, now) for progress in looked), nl=False)
    for progress in looked:
        _tell_faults(progress)
    if any(progress.faults or _is_due(progress.dues, now) for progress in looked):
        raise click.exceptions.Exit(1)


def _check_selectors(config: Config, domain: str) -> None:
    if domain in config.domains and config.domains[domain].selectors:
        what = "the settings name the selectors that sign, so a new one would not"
        fix = "leave it out, and make the next key again"
        raise Unusable(str(Fault(f"domains.{domain}.selectors", what, fix)))


async def _look(within: Surroundings, domains: Iterable[str]) -> list[Progress]:
    """How the domains stand, some looked at together."""
    rotation, slots = Rotation(within), asyncio.Semaphore(20)

    async def look(domain: str) -> Progress:
        async with slots:
            return await rotation.look(domain)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(look(domain)) for domain in domains]
    except* KeyFault as exc:
        raise exc.exceptions[0] from exc
    return [task.result() for task in tasks]


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
    if selector is not None:
        return f"{selector} is no key of {progress.domain} beside another that signs."
    for due in progress.dues:
        if due.waits is Waits.RETIRE:
            when = utc(int(due.at_seconds))
            return f"Nothing to end yet: {due.selector} on {when}. --selector ends it now."
    return "Nothing to end: no key was replaced by a newer one that signs."


def _tell_faults(progress: Progress) -> None:
    for fault in progress.faults:
        click.echo(f"fault: {fault}", err=True)


def _is_due(dues: Iterable[Due], now: float) -> bool:
    return any(due.at_seconds <= now for due in dues)


def _object(progress: Progress, now: float) -> dict[str, Any]:
    journal = progress.state.journal
    return {
        "domain": progress.domain,
        "keys": [
            {**_entry(entry_of(key, journal)), "signs": key.is_open, "detail": key.detail}
            for key in progress.state.facts
        ],
        "past": [_entry(entry) for entry in journal.past],
        "due": [
            {
                "what": due.waits.value,
                "selector": due.selector,
                "at": utc(int(due.at_seconds)),
                "is_due": due.at_seconds <= now,
            }
            for due in progress.dues
        ],
        "faults": [str(fault) for fault in progress.faults],
    }


def _entry(entry: Entry) -> dict[str, Any]:
    times = {name.removesuffix("_at"): _time(getattr(entry, name)) for name in _TIMES}
    algorithm = entry.algorithm.value
    return {"selector": entry.selector, "algorithm": algorithm, "bits": entry.bits, **times}


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else utc(int(seconds))


def _text(progress: Progress, now: float) -> str:
    """A domain for people: its keys with their times, then what is due."""
    journal = progress.state.journal
    lines = [progress.domain]
    for key in progress.state.facts:
        lines += _key_lines(entry_of(key, journal), "can sign" if key.is_open else "waits")
        if not key.is_open:
            lines.append(f"      {key.detail}")
    for entry in journal.past:
        lines += _key_lines(entry, "retired")
    for due in progress.dues:
        when = "due since" if due.at_seconds <= now else "due on"
        lines.append(f"  {due.waits.value} {due.selector}: {when} {utc(int(due.at_seconds))}")
    return "\n".join(lines) + "\n"


def _key_lines(entry: Entry, state: str) -> list[str]:
    kind = f"{entry.algorithm.key_type} {entry.bits}"
    times = [
        f"{name.removesuffix('_at').replace('_', ' ')} {_time(at)}"
        for name in _TIMES
        if (at := getattr(entry, name)) is not None
    ]
    return [f"  {entry.selector}  {kind}  {state}", f"      {', '.join(times)}"]
