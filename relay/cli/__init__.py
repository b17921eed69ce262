"""The command line: one file per command group; arguments and output only.

Messages to people on standard error, data on standard output. Exit 0: done; 1: the answer is
no; 2: usage or configuration.
"""

from __future__ import annotations

from importlib import import_module

import click

from relay import __version__

# Imported when asked for: `serve` should not wait for what only `verify` needs.
_COMMANDS = {
    "serve": ("relay.cli.serve", "Run the relay."),
    "healthcheck": ("relay.cli.healthcheck", "Say whether the relay that runs is ready."),
    "demo": ("relay.cli.demo", "Prove it: key, DNS, relay, smarthost, one message, verified."),
    "config": ("relay.cli.config", "Check, show and explain the settings."),
    "keys": ("relay.cli.keys", "Make signing keys and print the records to publish."),
    "dns": ("relay.cli.dns", "Check the records of the keys in DNS, on every server."),
    "sign": ("relay.cli.sign", "Sign a message from a file or a pipe."),
    "verify": ("relay.cli.verify", "Say what a receiver would say of a message, and why."),
    "explain": ("relay.cli.explain", "Say what the relay would do with a message, and why."),
}


class _Commands(click.Group):
    """Commands by name, each module imported on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of a newcomer's steps."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command itself."""
        if cmd_name not in _COMMANDS:
            return None
        command = getattr(import_module(_COMMANDS[cmd_name][0]), cmd_name)
        if not isinstance(command, click.Command):
            raise TypeError(f"{cmd_name} is not a command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in --help, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dkim-relay")
def main() -> None:
    """An SMTP relay proxy that signs mail with DKIM in transit."""
