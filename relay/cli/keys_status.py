"""`dkim-relay keys status`: the life of every key, and what is due. Arguments and output only."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
import orjson

from relay import clock
from relay.cli.key_settings import named_domain, run, surroundings, tell_faults
from relay.cli.layout import utc
from relay.cli.options import keys_options, nameserver_option, settings
from relay.core.dkim.algorithm import Algorithm
from relay.core.errors import KeyFault
from relay.core.status import KeyRole
from relay.keyring.folder import list_keys
from relay.rotation.journal import Entry
from relay.rotation.plan import Due, KeyFacts, entry_of
from relay.rotation.rotation import Progress, Rotation
from relay.rotation.surroundings import Surroundings

_TIMES = ("made_at", "published_at", "in_use_at", "superseded_at", "retiring_at", "retired_at")
_ROLES = {
    KeyRole.SIGNS: "signs",
    KeyRole.READY: "ready, a newer key signs",
    KeyRole.WAITS: "waits",
}


@click.command()
@click.argument("domains", metavar="[DOMAIN]...", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="One array of objects, for scripts.")
@keys_options
@nameserver_option
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
        tell_faults(progress)
    if any(progress.faults or _is_due(progress.dues, now) for progress in looked):
        raise click.exceptions.Exit(1)


async def _look(within: Surroundings, domains: Iterable[str]) -> list[Progress]:
    """How the domains stand, some looked at together."""
    rotation, slots = Rotation(within), asyncio.Semaphore(20)

    async def look(domain: str) -> Progress:
        async with slots:
            return await rotation.look(domain)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(look(domain)) for domain in domains]
    except ExceptionGroup as exc:  # `except*` of Python 3.11.2 wraps again what is raised in it
        fault = next((fault for fault in exc.exceptions if isinstance(fault, KeyFault)), None)
        if fault is None:
            raise
        raise fault from exc
    return [task.result() for task in tasks]


def _object(progress: Progress, now: float) -> dict[str, Any]:
    journal = progress.state.journal
    return {
        "domain": progress.domain,
        "keys": [
            {
                **_entry(entry_of(key, journal)),
                "role": role.value,
                "signs": role is KeyRole.SIGNS,
                "detail": key.detail,
            }
            for key, role in _roles(progress)
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
    for key, role in _roles(progress):
        lines += _key_lines(entry_of(key, journal), _ROLES[role])
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


def _roles(progress: Progress) -> Iterator[tuple[KeyFacts, KeyRole]]:
    """What each key does for mail now: per algorithm, the first that may sign does."""
    signing: set[Algorithm] = set()
    for key in progress.state.facts:
        algorithm = key.public.algorithm
        if not key.is_open:
            yield key, KeyRole.WAITS
        elif algorithm in signing:
            yield key, KeyRole.READY
        else:
            signing.add(algorithm)
            yield key, KeyRole.SIGNS


def _is_due(dues: Iterable[Due], now: float) -> bool:
    return any(due.at_seconds <= now for due in dues)
