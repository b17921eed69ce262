"""A message without any signature: which domain signs nothing, and on which path. Pure.

RFC 8601 §2.7.1 ("none"), RFC 5321 §4.4 (the Received field at the bottom is where it began).
"""

from __future__ import annotations

import re
from collections.abc import Collection

from relay.core.dkim.alignment import Author
from relay.core.dkim.verdict import Result, Verdict
from relay.core.excerpt import excerpt
from relay.core.message import Message

_MAX_TRACE_OCTETS = 2000
_FROM = re.compile(rb"\s*from\s+(\S+)(?:\s+\(([^()]{0,200})\))?", re.IGNORECASE)
_BY = re.compile(rb"\bby\s+([^\s;]+)", re.IGNORECASE)


def unsigned(message: Message, author: Author, local_domains: Collection[str] = ()) -> Verdict:
    """The verdict on a message that has no DKIM-Signature field.

    Args:
        message: as received.
        author: whose domain should have signed.
        local_domains: domains that there are local keys for.
    """
    cause = "the message has no DKIM-Signature: signing is not switched on for "
    cause += f"{author.domain or 'its From domain'} on the path that it took"
    if author.problem:
        cause += f" ({author.problem})"
    cause += f"; {_path(message)}"
    return Verdict(Result.NONE, cause, _fix(author, local_domains), notes=tuple(_notes(message)))


def _path(message: Message) -> str:
    """Where the message came in first, as its lowest Received field has it."""
    received = list(message.named(b"received"))
    if not received:
        return "it has no Received field, so it did not pass any server yet"
    value = received[-1].value[:_MAX_TRACE_OCTETS].replace(b"\r\n", b"")
    client, server = _FROM.match(value), _BY.search(value)
    shown = f" by {excerpt(server[1])}" if server else ""
    if client is None:
        return f"it was first taken{shown}, which does not say from whom"
    literal = f" ({excerpt(client[2])})" if client[2] else ""
    return f"it was first taken{shown} from {excerpt(client[1])}{literal}"


def _fix(author: Author, local_domains: Collection[str]) -> str:
    domain = author.domain
    if domain is None:
        return "give the message one From field with one address: its domain signs"
    see = "dkim-relay explain FILE says what the relay would do with it"
    if domain in local_domains:
        return (
            f"there are keys for {domain}, so the relay signs its mail: see that this client sends "
            f"through the relay, and that nothing behind it takes signatures out; {see}"
        )
    parents = [d for d in sorted(local_domains) if domain.endswith(f".{d}")]
    if parents:
        return (
            f"there are keys for {parents[-1]}: set subdomains = true for it, or make a key: "
            f"dkim-relay keys new {domain}; {see}"
        )
    return (
        f"send through the relay, with a key for this domain (dkim-relay keys new {domain}); a "
        f"published record alone signs nothing; {see}"
    )


def _notes(message: Message) -> list[str]:
    notes = []
    if message.has(b"domainkey-signature"):
        notes.append("DomainKey-Signature is there, which means nothing since RFC 6376")
    if message.has(b"x-google-dkim-signature"):
        notes.append("X-Google-DKIM-Signature is for Google itself; receivers do not look at it")
    return notes
