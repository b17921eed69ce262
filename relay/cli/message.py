"""`dkim-relay sign` and `dkim-relay verify`: one message from a file or a pipe, no server."""

from __future__ import annotations

import asyncio
import secrets
import sys
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

import click
import dkim as dkimpy
import orjson

from relay import clock
from relay.cli.options import Unusable
from relay.core.dkim.canonical import BodyHash
from relay.core.dkim.query import TxtAnswer, TxtOutcome
from relay.core.dkim.verify import Result, Verdict, find_signatures, record_names
from relay.core.dkim.verify import verify as judge
from relay.core.errors import ConfigError, Rejection
from relay.core.message import Message, MessageFault, MessageReader, ReadLimits
from relay.core.policy import ClientRule, SigningDomains
from relay.dns.gate import OpenGate
from relay.dns.resolver import DnsResolver
from relay.flow import Submission, Terms, accept
from relay.flow import sign as sign_message
from relay.keyring.keyring import Keyring
from relay.service import load_profile

_BLOCK_OCTETS = 1024 * 1024
_MESSAGE = click.argument("message", type=click.File("rb"), default="-", metavar="[FILE|-]")


@click.command()
@_MESSAGE
@click.option(
    "--keys-dir",
    type=click.Path(path_type=Path),
    envvar="DKIM_RELAY_KEYS_DIR",
    default=Path("keys"),
    show_default=True,
    help="The folder with DOMAIN/SELECTOR.pem.",
)
@click.option("--profile", default="generic", show_default=True, help="What the upstream rewrites.")
@click.option("--dry-run", is_flag=True, help="Print only what would be put in front.")
def sign(message: BinaryIO, keys_dir: Path, profile: str, *, dry_run: bool) -> None:
    """Sign a message (RFC 5322) as the relay would, and print it.

    Line ends are made CRLF first. DNS is not asked whether the record is published.
    """
    read, body_hash = _read(message)
    now = clock.now()
    keyring = Keyring.load(keys_dir, domains={}, gate=OpenGate())
    domains = SigningDomains(dict.fromkeys(keyring.domains, False), lambda _: None)
    try:
        terms = Terms(domains=domains, profile=load_profile(profile))
        submission = Submission(
            read, body_hash, ClientRule("sign", ()), trace=None, unique=secrets.token_hex(8)
        )
        accepted = accept(submission, terms, now)
        signed = asyncio.run(sign_message(accepted.message, accepted, keyring, terms, now))
    except ConfigError as exc:
        raise Unusable(str(exc)) from exc
    except Rejection as exc:
        raise _Refused(f"{exc.reply.text}: {exc.detail}") from exc
    if dry_run:
        kept = {id(f) for f in read.fields}
        octets = b"".join(f.octets for f in signed.message.fields if id(f) not in kept)
    else:
        octets = signed.message.octets()
    sys.stdout.buffer.write(octets)


class _Refused(click.ClickException):
    """The answer is no: exit 1."""

    exit_code = 1


def _read(stream: BinaryIO) -> tuple[Message, bytes]:
    """A message of any size, with the relaxed hash of its body."""
    body_hash = BodyHash()
    reader = MessageReader(ReadLimits(normalize_newlines=True), body_sink=body_hash.feed)
    while block := stream.read(_BLOCK_OCTETS):
        reader.feed(block)
    try:
        return reader.finish(), body_hash.digest()
    except MessageFault as exc:
        raise _Refused(f"{stream.name}: {exc.text}") from exc


@click.command()
@_MESSAGE
@click.option("--nameserver", multiple=True, help="HOST[:PORT] to ask.  [default: the system's]")
@click.option(
    "--dns-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Records from a JSON file instead: owner name → list of TXT strings.",
)
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def verify(
    message: BinaryIO, nameserver: tuple[str, ...], dns_file: Path | None, *, as_json: bool
) -> None:
    """Say for each signature what a receiver would say, why, and what to do.

    Exit 0 when a signature passes, else 1.
    """
    read, _ = _read(message)
    signatures = find_signatures(read)
    names = record_names(signatures)
    answers = _from_file(dns_file, names) if dns_file else _from_dns(nameserver, names)
    verdicts = judge(read, signatures, answers, clock.now())
    second_opinion = [_dkimpy_says(read, i, answers) for i in range(len(signatures))]
    if as_json:
        rows = [{**asdict(v), "dkimpy": d} for v, d in zip(verdicts, second_opinion, strict=True)]
        click.echo(orjson.dumps({"signatures": rows}, option=orjson.OPT_INDENT_2).decode())
    else:
        _print(verdicts, second_opinion)
    if not any(verdict.result is Result.PASS for verdict in verdicts):
        raise SystemExit(1)


def _print(verdicts: tuple[Verdict, ...], second_opinion: list[bool]) -> None:
    if not verdicts:
        click.echo(
            "dkim=none: the message has no DKIM-Signature; signing is not switched on "
            "for its From domain or for the path it took"
        )
    for verdict, passed in zip(verdicts, second_opinion, strict=True):
        click.echo(
            f"dkim={verdict.result} d={verdict.domain} s={verdict.selector} "
            f"a={verdict.algorithm}: {verdict.cause}"
        )
        for note in verdict.notes:
            click.echo(f"  note: {note}")
        if verdict.fix:
            click.echo(f"  to do: {verdict.fix}")
        click.echo(
            f"  dkimpy says {'pass' if passed else 'no pass'}"
            + ("" if passed == (verdict.result is Result.PASS) else ": it disagrees")
        )


def _from_file(path: Path, names: tuple[str, ...]) -> dict[str, TxtAnswer]:
    try:
        zone = orjson.loads(path.read_bytes())
        records = {
            str(name).rstrip(".").lower(): tuple(text.encode("utf-8") for text in texts)
            for name, texts in zone.items()
        }
    except (orjson.JSONDecodeError, AttributeError, TypeError) as exc:
        what = f"{path}: not a JSON object of owner name → list of TXT strings: {exc}"
        raise Unusable(what) from exc
    return {
        name: TxtAnswer(TxtOutcome.FOUND, records[name], str(path))
        if records.get(name)
        else TxtAnswer(TxtOutcome.NXDOMAIN, detail=str(path))
        for name in names
    }


def _from_dns(nameservers: tuple[str, ...], names: tuple[str, ...]) -> dict[str, TxtAnswer]:
    if not names:
        return {}

    async def ask() -> dict[str, TxtAnswer]:
        resolver = DnsResolver(nameservers)
        return {name: await resolver.txt(name) for name in names}

    try:
        return asyncio.run(ask())
    except ConfigError as exc:
        raise Unusable(str(exc)) from exc


def _dkimpy_says(message: Message, index: int, answers: dict[str, TxtAnswer]) -> bool:
    """The independent verifier's opinion on the signature at `index`."""

    def answer(name: bytes, timeout: int = 0) -> bytes | None:
        found = answers.get(name.decode("ascii").rstrip(".").lower())
        return found.records[0] if found and found.records else None

    try:
        return bool(dkimpy.DKIM(message.octets()).verify(idx=index, dnsfunc=answer))
    except Exception:  # whatever stops it, it did not say pass
        return False
