"""`dkim-relay healthcheck`: whether the relay is ready. Arguments and output only."""

from __future__ import annotations

from pathlib import Path

import click

from relay.admin.ask import NoAnswer, ask_readiness
from relay.cli.options import Unusable, config_option, load_or_exit


@click.command()
@config_option
@click.option("--domain", default="", help="Ask about this domain.")
@click.option(
    "--timeout",
    "within_seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=5.0,
    show_default=True,
    help="Seconds to wait for an answer.",
)
@click.pass_context
def healthcheck(
    ctx: click.Context, config_file: Path | None, domain: str, within_seconds: float
) -> None:
    """Say whether the relay can pass mail on, as it sees itself.

    Exit 0: it is ready. 1: it is not, with the reasons. 2: it cannot be asked.
    """
    config = load_or_exit(config_file)
    try:
        found = ask_readiness(config.admin, domain=domain, within_seconds=within_seconds)
    except NoAnswer as exc:
        raise Unusable(str(exc)) from exc
    click.echo(found.text, err=True)
    ctx.exit(0 if found.is_ready else 1)
