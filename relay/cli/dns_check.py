"""`dkim-relay dns check`: are the records right, on every server? Arguments and output only."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click
import orjson

from relay.cli.dns_json import as_json
from relay.cli.dns_report import Display, as_text
from relay.cli.dns_run import Checker, DomainReport
from relay.cli.dns_targets import KeyReader, Request, Target, find_targets
from relay.cli.inputs import organizational_domains
from relay.cli.options import Unusable, keys_options, nameserver_option, settings
from relay.config import Config
from relay.core.errors import ConfigError
from relay.dns.authorities import Authorities
from relay.dns.check import RecordCheck
from relay.dns.dnssec import ResolverDnssec
from relay.dns.resolver import DnsResolver

_DEFAULT_WAIT_SECONDS = 3600.0


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
@keys_options
@nameserver_option
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
    config = settings(config_file, keys_dir, nameserver)
    request = Request(domains, selectors, others)
    targets, faults = find_targets(request, config)
    display = Display(sys.stderr, is_terminal=sys.stderr.isatty())
    seconds = (timeout_seconds or _DEFAULT_WAIT_SECONDS) if wait else 0.0
    read = KeyReader(config)
    try:
        setup = _Setup(config, read, display)
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

    def __init__(self, config: Config, read: KeyReader, display: Display) -> None:
        self._dns = config.dns
        self._read = read
        self._display = display

    async def run(self, targets: list[Target], *, wait_seconds: float) -> list[DomainReport]:
        """Ask, and with time to wait ask again.

        Raises:
            ConfigError: a name server that cannot be used.
        """
        servers, lifetime = self._dns.nameservers, self._dns.timeout_seconds
        check = RecordCheck(
            DnsResolver(servers, lifetime_seconds=lifetime),
            Authorities(servers, lifetime_seconds=lifetime),
            ResolverDnssec(servers, lifetime_seconds=lifetime),
        )
        checker = Checker(check, self._read, organizational_domains(), self._display)
        reports = await checker.all_of(targets)
        return await checker.until_right(reports, timeout_seconds=wait_seconds)
