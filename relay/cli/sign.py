"""`dkim-relay sign`: one message from a file or a pipe, signed as the relay would."""

from __future__ import annotations

import asyncio
import secrets
import sys
from pathlib import Path
from typing import BinaryIO

import click

from relay import clock
from relay.assembly import load_profile
from relay.cli.inputs import (
    Refused,
    keys_dir_option,
    message_argument,
    read_as_submitted,
    refused_message,
)
from relay.cli.options import Unusable
from relay.core.errors import ConfigError, Rejection
from relay.core.message import MessageFault, ReadLimits
from relay.core.policy import ClientRule, SigningDomains
from relay.dns.gate import OpenGate
from relay.flow import Submission, Terms, accept
from relay.flow import sign as sign_message
from relay.keyring.keyring import Keyring


@click.command()
@message_argument
@keys_dir_option
@click.option("--profile", default="generic", show_default=True, help="What the upstream rewrites.")
@click.option("--dry-run", is_flag=True, help="Print only what would be put in front.")
def sign(message: BinaryIO, keys_dir: Path, profile: str, *, dry_run: bool) -> None:
    """Sign a message (RFC 5322) as the relay would, and print it.

    Line ends are made CRLF first. DNS is not asked whether the record is published.
    """
    try:
        read, body_hash, _ = read_as_submitted(message, ReadLimits(normalize_newlines=True))
    except MessageFault as exc:
        raise refused_message(message, exc) from exc
    now = clock.now()
    keyring = Keyring.load(keys_dir, domains={}, gate=OpenGate())
    domains = SigningDomains(dict.fromkeys(keyring.domains, False), lambda _: None)
    try:
        terms, hop = Terms(domains=domains), load_profile(profile)
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
