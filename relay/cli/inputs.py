"""What `sign`, `verify` and `explain` take: a message from a file or a pipe, keys, DNS."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import click
import orjson
from publicsuffixlist import PublicSuffixList

from relay.cli.options import Command, Unusable, nameserver_option
from relay.core.dkim.canonical import BodyHash
from relay.core.dkim.query import TxtAnswer, TxtOutcome
from relay.core.dkim.reading import LooseReader, Reading
from relay.core.dkim.verdict import LocalKey
from relay.core.errors import ConfigError, KeyFault, SyntaxFault
from relay.core.message import Message
from relay.core.reader import MessageFault, MessageReader, ReadLimits
from relay.dns.resolver import DnsResolver
from relay.keyring.folder import Found, list_keys
from relay.keyring.loading import read_found
from relay.keyring.tokens import Tokens

_BLOCK_OCTETS = 1024 * 1024
_FROM_FILE = "line ends are LF, as files have them: read as CRLF, as clients send them"


class Refused(click.ClickException):
    """The answer is no: exit 1."""

    exit_code = 1


def message_argument(command: Command) -> Command:
    """`[FILE|-]`, by default standard input."""
    return click.argument("message", type=click.File("rb"), default="-", metavar="[FILE|-]")(
        command
    )


def dns_options(command: Command) -> Command:
    """`--nameserver H[:P]` and `--dns-file F`."""
    given = click.option(
        "--dns-file",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="Records from a JSON file instead: owner name → list of TXT records, each a text "
        "or a list of its strings.",
    )
    return nameserver_option(given(command))


def read_as_submitted(
    stream: BinaryIO, limits: ReadLimits
) -> tuple[Message, bytes, tuple[str, ...]]:
    """A message of any size as the relay reads it, with the relaxed hash of its body.

    A file whose lines end in LF is read with CRLF, as every mail client would send it; that is
    said in a note. A message that has both is read as the limits say.

    Raises:
        MessageFault: the relay would refuse it.
    """
    notes: tuple[str, ...] = ()
    block = stream.read(_BLOCK_OCTETS)
    if b"\n" in block and b"\r\n" not in block:
        limits = replace(limits, normalize_newlines=True)
        notes = (_FROM_FILE,)
    body_hash = BodyHash()
    reader = MessageReader(limits, body_sink=body_hash.feed)
    while block:
        reader.feed(block)
        block = stream.read(_BLOCK_OCTETS)
    return reader.finish(), body_hash.digest(), notes


def read_to_verify(stream: BinaryIO) -> Reading:
    """A message of any size, whoever wrote it.

    Raises:
        Refused: it is no message at all.
    """
    reader = LooseReader()
    try:
        while block := stream.read(_BLOCK_OCTETS):
            reader.feed(block)
        return reader.finish()
    except SyntaxFault as exc:
        raise Refused(f"{stream.name}: {exc}") from exc


def refused_message(stream: BinaryIO, fault: MessageFault) -> Refused:
    """What is said of a message that the relay would refuse."""
    return Refused(f"{stream.name}: {fault.text}")


def find_answers(
    names: Collection[str], nameservers: tuple[str, ...], dns_file: Path | None
) -> Mapping[str, TxtAnswer]:
    """The TXT records of these names, from a file or from DNS.

    Raises:
        Unusable: the file or a name server cannot be used.
    """
    if dns_file is not None:
        return _from_file(dns_file, names)
    if not names:
        return {}
    try:
        return asyncio.run(_from_dns(names, nameservers))
    except ConfigError as exc:
        raise Unusable(str(exc)) from exc


async def _from_dns(names: Collection[str], nameservers: tuple[str, ...]) -> dict[str, TxtAnswer]:
    resolver = DnsResolver(nameservers)
    async with asyncio.TaskGroup() as group:
        asked = {name: group.create_task(resolver.txt(name)) for name in names}
    return {name: task.result() for name, task in asked.items()}


def _from_file(path: Path, names: Collection[str]) -> dict[str, TxtAnswer]:
    try:
        records = _read_zone(orjson.loads(path.read_bytes()))
    except (orjson.JSONDecodeError, TypeError) as exc:
        what = f"{path}: not a JSON object of owner name → list of TXT records: {exc}"
        raise Unusable(what) from exc
    except OSError as exc:
        raise Unusable(f"{path}: {exc.strerror or exc}") from exc
    return {
        name: TxtAnswer(TxtOutcome.FOUND, records[name], str(path))
        if records.get(name)
        else TxtAnswer(TxtOutcome.NXDOMAIN, detail=str(path))
        for name in names
    }


def _read_zone(zone: object) -> dict[str, tuple[bytes, ...]]:
    """The records by name.

    Raises:
        TypeError: the object has another form.
    """
    if not isinstance(zone, dict):
        raise TypeError(f"it is a {type(zone).__name__}")
    records: dict[str, tuple[bytes, ...]] = {}
    for name, items in zone.items():
        if not isinstance(items, list):
            raise TypeError(f"{name} has no list")
        records[name.rstrip(".").lower()] = tuple(map(_record, items))
    return records


def _record(item: object) -> bytes:
    """One record: a text, or the list of its strings (RFC 6376 §3.6.2.2)."""
    strings = item if isinstance(item, list) else [item]
    texts = [string for string in strings if isinstance(string, str)]
    if len(texts) != len(strings):
        raise TypeError("a record is a text, or a list of texts")
    return "".join(texts).encode("utf-8")


def organizational_domains() -> Callable[[str], str | None]:
    """The organizational domain of a domain by the public suffix list; None for a suffix."""
    suffixes = PublicSuffixList()

    def organizational(domain: str) -> str | None:
        found = suffixes.privatesuffix(domain)
        return str(found) if found else None

    return organizational


class LocalKeys:
    """The keys in a folder, read only when they are asked for.

    Attributes:
        domains: those that have a key file.
        faults: keys that were asked for and cannot be read, with why.
    """

    def __init__(self, keys_dir: Path, passphrase_file: Callable[[str], Path | None]) -> None:
        self._passphrase_file = passphrase_file
        self._tokens = Tokens()
        self._found = {(f.domain, f.selector): f for f in list_keys(keys_dir).found}
        self.domains = frozenset(domain for domain, _ in self._found)
        self.faults: list[str] = []

    def of(self, domain: str, selector: str) -> LocalKey | None:
        """The key of a domain and selector in A-labels; None when there is none to be had."""
        found = self._found.get((domain, selector))
        return None if found is None else self._read(found)

    def close(self) -> None:
        """Let go of the tokens."""
        self._tokens.close()

    def _read(self, found: Found) -> LocalKey | None:
        try:
            key = read_found(
                found, tokens=self._tokens, passphrase_file=self._passphrase_file(found.domain)
            )
        except KeyFault as exc:
            self.faults.append(str(exc.fault))
            return None
        return LocalKey(key.public, str(found.path))
