"""Addresses without a domain in header fields are given one. Pure. RFC 5322 §3.4.1, RFC 6409 §4.2.

`To: root`, as cron and scripts write it, is no address of RFC 5322. Postfix and others complete
it behind us, with their own name, when we come from the same machine: after that no signature
holds. So it is completed here, before signing, with the domain of the author.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from relay.core.errors import SyntaxFault
from relay.core.mailboxes import Token, check_local_part, tokenize
from relay.core.message import Field, Message

# Of those that are signed; a From without a domain is refused before.
ADDRESS_KEYS = frozenset(
    {
        *(b"to", b"cc", b"reply-to", b"sender"),
        *(b"resent-from", b"resent-sender", b"resent-to", b"resent-cc", b"resent-reply-to"),
    }
)
# A list, a group, a comment or a quoted string: from here on it takes more than counting "@".
_STRUCTURE = re.compile(rb"[,:;(\"]")


def qualify(message: Message, author_domain: str) -> Message:
    """The message with whole addresses; the same when nothing is missing.

    Args:
        message: well formed.
        author_domain: of the From address, in A-labels.
    """
    if all(_is_one_address(f) for f in message.fields if f.key in ADDRESS_KEYS):
        return message  # as most are
    fields = tuple(
        _qualified(f, author_domain.encode("ascii")) if f.key in ADDRESS_KEYS else f
        for f in message.fields
    )
    is_same = all(new is old for new, old in zip(fields, message.fields, strict=True))
    return message if is_same else message.with_fields(fields)


def _is_one_address(field: Field) -> bool:
    """Whether it is so without a closer look."""
    return field.octets.count(b"@") == 1 and _STRUCTURE.search(field.value) is None


def _qualified(field: Field, domain: bytes) -> Field:
    value = field.value
    if _is_one_address(field):
        return field
    try:
        tokens = tokenize(value)
    except SyntaxFault:
        return field  # nobody can complete what nobody can read
    missing = [end for member in _members(tokens) for end in _end_of_bare_local_part(member)]
    if not missing:
        return field
    starts = [0, *missing]
    pieces = [value[a:b] for a, b in zip(starts, [*missing, len(value)], strict=True)]
    name = field.octets[: len(field.key) + 1]
    return replace(field, octets=name + (b"@" + domain).join(pieces))


def _members(tokens: Sequence[Token]) -> Iterator[Sequence[Token]]:
    """The members of a list and of groups in it; a group's name is none (§3.4)."""
    start, is_angle = 0, False
    for position, token in enumerate(tokens):
        if token.kind != "special":
            continue
        if token.octets in b"<>":
            is_angle = token.octets == b"<"
        elif token.octets in b",;:" and not is_angle:
            if token.octets != b":":
                yield tokens[start:position]
            start = position + 1
    yield tokens[start:]


def _end_of_bare_local_part(member: Sequence[Token]) -> Iterator[int]:
    """Where a domain is missing in one mailbox, if it is."""
    specials = [t.octets for t in member if t.kind == "special"]
    if b"@" in specials:
        return
    if b"<" in specials:
        opens = next(i for i, t in enumerate(member) if t.octets == b"<")
        if member[-1].octets != b">":
            return
        member = member[opens + 1 : -1]
    try:
        check_local_part(member)
    except SyntaxFault:  # nothing at all, or words that are no address
        return
    yield member[-1].end
