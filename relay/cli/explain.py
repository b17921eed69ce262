"""`dkim-relay explain`: what the relay would do with a message, stage by stage, and why."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import BinaryIO

import click
import orjson

from relay.assembly import load_profile
from relay.cli.explain_report import Explanation, as_json, as_text
from relay.cli.explain_run import Case, Dns, Walk
from relay.cli.inputs import dns_options, message_argument
from relay.cli.options import Unusable, keys_options, settings
from relay.core.capabilities import Capabilities
from relay.core.errors import ConfigError
from relay.core.policy import Identity

_EXTENSIONS = ("8BITMIME", "SMTPUTF8")


@click.command()
@message_argument
@keys_options
@click.option("--profile", help="Instead of the upstream's in the settings.")
@click.option("--client", default="127.0.0.1", show_default=True, help="Where it would come from.")
@click.option("--login", default="", help="The name that the client would log in with.")
@click.option("--certificate", multiple=True, help="A name in its certificate; may be repeated.")
@click.option("--uid", type=int, help="A user on a UNIX socket, instead of --client.")
@click.option("--listener", help="The listener that it would come to.  [default: the first]")
@click.option(
    "--hop-lacks",
    multiple=True,
    type=click.Choice(_EXTENSIONS, case_sensitive=False),
    help="What the upstream does not offer; may be repeated.",
)
@click.option("--dns", is_flag=True, help="Ask whether the records of the keys are published.")
@dns_options
@click.option("--json", "as_object", is_flag=True, help="For scripts.")
def explain(
    message: BinaryIO,
    config_file: Path | None,
    keys_dir: Path | None,
    profile: str | None,
    client: str,
    login: str,
    certificate: tuple[str, ...],
    uid: int | None,
    listener: str | None,
    hop_lacks: tuple[str, ...],
    nameserver: tuple[str, ...],
    dns_file: Path | None,
    *,
    dns: bool,
    as_object: bool,
) -> None:
    """Say what the relay would do with a message: which key signs, what is changed, why.

    Nothing is sent. Exit 0 when the message would be signed, 1 when it would be refused; then
    the reply that the application would get is shown.
    """
    try:
        address = ip_address(client) if uid is None else None
    except ValueError as exc:
        raise click.BadParameter(str(exc), param_hint="--client") from exc
    asks = dns or bool(nameserver) or dns_file is not None
    try:
        config = settings(config_file, keys_dir, nameserver)
        identity = Identity(
            address=address,
            listener=listener or config.listeners[0].address,
            login=login,
            certificate=frozenset(certificate),
            uid=uid,
        )
        case = Case(
            config,
            load_profile(profile or config.upstreams[0].profile),
            Capabilities({name: () for name in _EXTENSIONS if name not in hop_lacks}),
            Dns(config.dns.nameservers, dns_file) if asks else None,
            identity,
        )
        who = f"uid {uid}" if address is None else str(address)
        told = Explanation(message.name, who, case.profile.name)
        Walk(case, told).run(message)
    except ConfigError as exc:
        raise Unusable(str(exc)) from exc
    if as_object:
        click.echo(orjson.dumps(as_json(told), option=orjson.OPT_INDENT_2).decode())
    else:
        click.echo(as_text(told))
    if told.refusal is not None:
        raise click.exceptions.Exit(1)
