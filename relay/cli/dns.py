"""`dkim-relay dns`: what DNS has of our keys. The group; each command has a module of its own."""

from __future__ import annotations

import click

from relay.cli.dns_check import check
from relay.cli.dns_publish import publish, unpublish


@click.group()
def dns() -> None:
    """Check, publish and withdraw the records of the keys in DNS."""


dns.add_command(check)
dns.add_command(publish)
dns.add_command(unpublish)
