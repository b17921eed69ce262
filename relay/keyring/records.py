"""The record to publish, in the forms people paste. Pure. RFC 6376 §3.6.2, RFC 1035 §5.1."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import orjson

from relay.core.dkim.algorithm import PublicKey
from relay.core.dkim.record import record_name, record_text, split_strings

_TTL_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Record:
    """A TXT record to publish.

    Attributes:
        name: the owner name, without a final dot.
        value: the whole text; DNS carries it in strings of at most 255 octets.
    """

    name: str
    value: str


def record_of(public: PublicKey, *, domain: str, selector: str) -> Record:
    """The record that makes this key verifiable."""
    return Record(record_name(selector, domain), record_text(public))


def as_text(record: Record) -> str:
    """For the form of a DNS console: one line each for name, type and value."""
    return f"name:  {record.name}\ntype:  TXT\nvalue: {record.value}\n"


def as_bind(record: Record) -> str:
    """One line of a zone file (RFC 1035 §5.1), the value in quoted strings."""
    # A record has no quote, backslash or control character, so nothing needs escaping.
    strings = " ".join(f'"{text}"' for text in split_strings(record.value))
    return f"{record.name}. {_TTL_SECONDS} IN TXT ( {strings} )\n"


def as_json(records: Iterable[Record]) -> str:
    """An object from owner name to a list of texts, as `verify --dns-file` reads it."""
    texts: dict[str, list[str]] = {}
    for record in records:
        texts.setdefault(record.name, []).append(record.value)
    return orjson.dumps(texts, option=orjson.OPT_INDENT_2).decode("ascii") + "\n"


def record_file(record: Record) -> str:
    """What lies beside a key: for people as comments, for a name server as a zone file."""
    comments = "".join(f"; {line}\n" for line in as_text(record).splitlines())
    return f"; Publish this record; it holds no secret.\n{comments}{as_bind(record)}"
