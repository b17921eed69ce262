"""`dkim-relay demo`: the self-contained proof. Arguments and output only."""

from __future__ import annotations

import click

from relay.cli.serve import run_loop
from relay.demo.run import StepFailed
from relay.demo.run import run as run_demo


@click.command()
def demo() -> None:
    """Prove it: key, DNS, relay, smarthost, one message, verified; all on this machine."""
    try:
        run_loop(run_demo(_say, click.echo))
    except StepFailed as exc:
        raise _Failed(f"failed at: {exc}") from exc
    _say("✓ signed in transit, accepted, verified")


class _Failed(click.ClickException):
    exit_code = 1


def _say(text: str) -> None:
    click.echo(text, err=True)
