"""`dkim-relay dns check`: are the records right, on every server? Arguments and output only."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import click
import orjson

from relay.cli.dns_json import as_json
from relay.cli.dns_report import Display, as_text
from relay.cli.dns_run import Checker, DomainReport
from relay.cli.dns_targets import KeyReader, Request, Target, find_targets
from relay.cli.inputs import organizational_domains
from relay.cli.options import Unusable, config_option
from relay.config import Config, load
from relay.core.errors import ConfigError
from relay.dns.authorities import Authorities
from relay.dns.check import RecordCheck
from relay.dns.dnssec import ResolverDnssec
from relay.dns.resolver import DnsResolver

_DEFAULT_WAIT_SECONDS = 3600.0
_PLACEHOLDER = {"DKIM_RELAY_UPSTREAM__URL": "smtp://localhost:25"}


@click.command()
@click.argument("domains", nargs=-1, metavar="[DOMAIN]...")
@click.option("--selector", "selectors", multiple=True, help="Only this one; may be repeated.")
@click.option(
    "--other-selector",
    "others",
    multiple=True,
    help="A selector of another or a former service, to see whether it is still published; "
    "may be repeated.",
)
@config_option
@click.option("--keys-dir", type=click.Path(path_type=Path), help="Instead of the settings'.")
@click.option(
    "--nameserver", multiple=True, help="HOST[:PORT] of a resolver.  [default: the settings']"
)
@click.option("--wait", is_flag=True, help="Ask again until every record is right.")
@click.option(
    "--timeout",
    "timeout_seconds",
    type=click.FloatRange(min=0, min_open=True),
    help=f"Seconds to wait at most, with --wait.  [default: {_DEFAULT_WAIT_SECONDS:.0f}]",
)
@click.option("--json", "as_object", is_flag=True, help="For scripts.")
def check(
    domains: tuple[str, ...],
    selectors: tuple[str, ...],
    others: tuple[str, ...],
    config_file: Path | None,
    keys_dir: Path | None,
    nameserver: tuple[str, ...],
    timeout_seconds: float | None,
    *,
    wait: bool,
    as_object: bool,
) -> None:
    """Ask every authoritative server, and the resolver, for the records of the keys.

    By default for every domain that has keys. Each finding says what there is to see, the likely
    cause and what to do. Exit 0 when every record is published and matches, 1 when one does not.
    """
    if timeout_seconds is not None and not wait:
        raise click.UsageError("--timeout is for --wait")
    config = _settings(config_file)
    request = Request(domains, selectors, others)
    targets, faults = find_targets(request, config, keys_dir or Path(config.keys_dir))
    display = Display(sys.stderr, is_terminal=sys.stderr.isatty())
    seconds = (timeout_seconds or _DEFAULT_WAIT_SECONDS) if wait else 0.0
    read = KeyReader(config)
    try:
        setup = _Setup(config, nameserver or config.dns.nameservers, read, display)
        reports = asyncio.run(setup.run(targets, wait_seconds=seconds))
    except ConfigError as exc:
        raise Unusable(str(exc)) from exc
    finally:
        read.close()
        display.clear()
    if as_object:
        click.echo(orjson.dumps(as_json(reports), option=orjson.OPT_INDENT_2).decode())
    else:
        click.echo(as_text(reports))
    for fault in faults:
        click.echo(f"fault: {fault}", err=True)
    if faults or not all(report.is_right for report in reports):
        raise click.exceptions.Exit(1)


class _Setup:
    """Everything that asks, built inside of the loop that it is used in."""

    def __init__(
        self, config: Config, nameservers: tuple[str, ...], read: KeyReader, display: Display
    ) -> None:
        self._nameservers = nameservers
        self._read = read
        self._lifetime_seconds = config.dns.timeout_seconds
        self._display = display

    async def run(self, targets: list[Target], *, wait_seconds: float) -> list[DomainReport]:
        """Ask, and with time to wait ask again.

        Raises:
            ConfigError: a name server that cannot be used.
        """
        servers, lifetime = self._nameservers, self._lifetime_seconds
        check = RecordCheck(
            DnsResolver(servers, lifetime_seconds=lifetime),
            Authorities(servers, lifetime_seconds=lifetime),
            ResolverDnssec(servers, lifetime_seconds=lifetime),
        )
        checker = Checker(check, self._read, organizational_domains(), self._display)
        reports = await checker.all_of(targets)
        return await checker.until_right(reports, timeout_seconds=wait_seconds)


def _settings(config_file: Path | None) -> Config:
    """The settings; an upstream is not needed in order to look at DNS.

    Raises:
        Unusable: they cannot be used.
    """
    try:
        return load(config_file, os.environ)
    except ConfigError as exc:
        if any("no upstream" not in fault.what for fault in exc.faults):
            raise Unusable(str(exc)) from exc
    return load(config_file, {**os.environ, **_PLACEHOLDER})
