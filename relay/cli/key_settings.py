"""What the commands for keys and their records work with: keyring, gate, rotation."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import click

from relay.assembly import make_gate, make_memory
from relay.cli.options import Unusable
from relay.config import Config
from relay.core.errors import ConfigError, Fault, KeyFault
from relay.dns.publish import Provider, PublishFault
from relay.keyring.keyring import Gate, Keyring
from relay.keyring.names import signing_domain
from relay.rotation.plan import Order
from relay.rotation.rotation import Progress, Rotation
from relay.rotation.setup import make_surroundings
from relay.rotation.surroundings import RotationBusy, RotationFault, Surroundings

_TRIES, _AGAIN_SECONDS = 50, 0.2
Result = TypeVar("Result")


class Stopped(click.ClickException):
    """It could not be done now: exit 1."""

    exit_code = 1

    def show(self, file: Any = None) -> None:
        """Print the fault as it is."""
        click.echo(self.message, file=file, err=True)


def keyring_of(config: Config, gate: Gate) -> Keyring:
    """The keys as the settings have them: listed, and read when they are asked for."""
    passphrase = config.keys_passphrase_file
    return Keyring.of_folder(
        Path(config.keys_dir),
        domains=config.domains,
        gate=gate,
        passphrase_file=Path(passphrase) if passphrase else None,
    )


def surroundings(config: Config, *, rotates: bool = True) -> Surroundings:
    """What rotations are made with, and a gate that asks DNS.

    Args:
        config: the settings.
        rotates: whether it is for a rotation, which needs the relay's gate too.

    Raises:
        Unusable: the settings are not usable, exit 2.
    """
    try:
        if rotates and config.dns.gate == "off":
            what = "a new key would sign before anybody can verify it"
            raise Unusable(str(Fault('dns.gate = "off"', what, 'set dns.gate = "published"')))
        dns = config.dns.model_copy(update={"gate": "published"})
        gate = make_gate(config.model_copy(update={"dns": dns}), make_memory(config, _warn))
        return make_surroundings(config, gate)
    except ConfigError as exc:
        raise Unusable(str(exc)) from exc


def _warn(fault: Fault) -> None:
    click.echo(f"warning: {fault}", err=True)


def named_domain(text: str) -> str:
    """A domain as it was given, in A-labels.

    Raises:
        Unusable: it is none, exit 2.
    """
    try:
        return signing_domain(text)
    except KeyFault as exc:
        raise Unusable(str(exc.fault)) from exc


def provider_of(config: Surroundings, domain: str) -> Provider:
    """Who changes the records of a domain.

    Raises:
        Unusable: nobody does, exit 2.
    """
    provider = config.provider(domain)
    if provider is None:
        fix = "add [[publishing]] with name, server and key_file, or publish the record by hand"
        raise Unusable(str(Fault(domain, "no DNS provider is set up for it", fix)))
    return provider


async def advance(within: Surroundings, domain: str, order: Order) -> Progress:
    """Work at the rotation of a domain, after another process that does so now.

    Raises:
        KeyFault: as `Rotation.advance`; the other process takes long.
    """
    rotation = Rotation(within)
    for _ in range(_TRIES):
        with contextlib.suppress(RotationBusy):
            return await rotation.advance(domain, order)
        await asyncio.sleep(_AGAIN_SECONDS)
    return await rotation.advance(domain, order)


def tell_faults(progress: Progress) -> None:
    """What is wrong, on standard error."""
    for fault in progress.faults:
        click.echo(f"fault: {fault}", err=True)


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """Run to the end.

    Raises:
        Stopped: a folder or DNS does not permit it now, exit 1.
        Unusable: the settings, a name or a key cannot be used, exit 2.
    """
    try:
        return asyncio.run(main)
    except (RotationFault, PublishFault) as exc:
        raise Stopped(str(exc.fault)) from exc
    except KeyFault as exc:
        raise Unusable(str(exc.fault)) from exc
    except ConfigError as exc:
        raise Unusable(str(exc)) from exc
