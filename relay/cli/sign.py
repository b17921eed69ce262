"""`dkim-relay sign`: one message from a file or a pipe, signed as the relay would."""

from __future__ import annotations

import asyncio
import secrets
import sys
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import click

from relay import clock
from relay.assembly import load_profile, make_read_limits, make_terms
from relay.cli.inputs import (
    Refused,
    message_argument,
    read_as_submitted,
    refused_message,
)
from relay.cli.key_settings import keyring_of
from relay.cli.options import Unusable, keys_options, settings
from relay.core.errors import ConfigError, Rejection
from relay.core.policy import ClientRule
from relay.core.reader import MessageFault
from relay.dns.gate import OpenGate
from relay.flow import Submission, accept
from relay.flow import sign as sign_message


@click.command()
@message_argument
@keys_options
@click.option("--profile", help="Instead of the upstream's in the settings.")
@click.option("--dry-run", is_flag=True, help="Print only what would be put in front.")
def sign(
    message: BinaryIO,
    config_file: Path | None,
    keys_dir: Path | None,
    profile: str | None,
    *,
    dry_run: bool,
) -> None:
    """Sign a message (RFC 5322) as the relay would, and print it.

    Line ends are made CRLF first. DNS is not asked whether the record is published.
    """
    config = settings(config_file, keys_dir)
    limits = replace(make_read_limits(config), normalize_newlines=True)
    try:
        read, body_hash, _ = read_as_submitted(message, limits)
    except MessageFault as exc:
        raise refused_message(message, exc) from exc
    now = clock.now()
    keyring = keyring_of(config, OpenGate())
    terms = make_terms(config, keyring.domains)
    try:
        hop = load_profile(profile or config.upstreams[0].profile)
        submission = Submission(
            read, body_hash, ClientRule("sign", ()), trace=None, unique=secrets.token_hex(8)
        )
        accepted = accept(submission, terms, now)
        signed = asyncio.run(
            sign_message(accepted.message, accepted, keyring, terms=terms, profile=hop, now=now)
        )
    except ConfigError as exc:
        raise Unusable(str(exc)) from exc
    except Rejection as exc:
        raise Refused(f"{exc.reply.text}: {exc.detail}") from exc
    if dry_run:
        kept = {id(f) for f in read.fields}
        octets = b"".join(f.octets for f in signed.message.fields if id(f) not in kept)
    else:
        octets = signed.message.octets()
    sys.stdout.buffer.write(octets)
