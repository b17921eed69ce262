"""Why a message is signed as it is: the domain, the fields, the changes, each with its reason.

Pure. Nothing is decided here: what the stages of `relay.flow` did is compared and told. RFC 6376
§5.1-5.4, RFC 6409 §8.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from relay.core.errors import SyntaxFault
from relay.core.excerpt import counted, excerpt
from relay.core.message import Field, Message
from relay.core.mime import PLAIN_TEXT, Entity, read_entity, split_multipart
from relay.core.policy import SigningDomains

MAX_DEPTH = 10  # of MIME parts
# Why a field is never signed, for those that somebody may miss (§5.4.1, §8.15).
_NEVER = {
    b"received": "each hop adds one",
    b"return-path": "the last hop makes it anew",
    b"bcc": "it does not travel",
    b"resent-bcc": "it does not travel",
    b"dkim-signature": "signatures do not sign each other",
    b"authentication-results": "each border writes its own",
    b"arc-seal": "it is of another protocol",
    b"arc-message-signature": "it is of another protocol",
    b"arc-authentication-results": "it is of another protocol",
    b"comments": "hops add to it (RFC 6376 §5.4.1)",
    b"keywords": "hops add to it (RFC 6376 §5.4.1)",
}


class How(StrEnum):
    """How the signing domain follows from the From domain."""

    EXACT = "exact"
    PARENT = "parent"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class DomainChoice:
    """Which domain signs for a From domain, and why.

    Attributes:
        from_domain: in A-labels.
        how: exact, parent or none.
        signing_domain: d=; None when there is none.
        organizational_domain: how far up a parent is looked for; None for a public suffix.
        why: for people.
    """

    from_domain: str
    how: How
    signing_domain: str | None
    organizational_domain: str | None
    why: str


def choose_domain(from_domain: str, domains: SigningDomains) -> DomainChoice:
    """What `SigningDomains.signing_domain` does, with its reasons."""
    signing = domains.signing_domain(from_domain)
    top = domains.organizational(from_domain)
    if signing == from_domain:
        why = f"{from_domain} is configured itself, so it signs"
        return DomainChoice(from_domain, How.EXACT, signing, top, why)
    if signing is not None:
        why = (
            f"{from_domain} is not configured; {signing} is the nearest parent that is, with "
            f"subdomains = true, and it is not above {top}"
        )
        return DomainChoice(from_domain, How.PARENT, signing, top, why)
    why = f"{from_domain} is not configured"
    passed = [d for d in _parents(from_domain) if d in domains.configured]
    if not passed:
        why += ", and no parent of it is"
    elif not domains.configured[passed[0]]:
        why += f"; {passed[0]} is, but without subdomains = true"
    else:
        bound = top or "the public suffix list"
        why += f"; {passed[0]} is, but lies above {bound}, where nobody owns what is below"
    return DomainChoice(from_domain, How.NONE, None, top, why)


def _parents(domain: str) -> Iterator[str]:
    while "." in domain:
        domain = domain.partition(".")[2]
        yield domain


class Treatment(StrEnum):
    """What a signature does with a field."""

    OVERSIGNED = "oversigned"  # one name more in h= than there are fields: none can be added
    SIGNED = "signed"
    LEFT_OUT = "left out"


@dataclass(frozen=True, slots=True)
class FieldChoice:
    """All fields of one name, and what the signature does with them.

    Attributes:
        name: as the message writes it; in lower case when it is absent.
        present: how many there are.
        named: how often h= has the name.
        reason: why.
    """

    name: str
    present: int
    named: int
    reason: str

    @property
    def treatment(self) -> Treatment:
        """The word for it."""
        if self.named > self.present:
            return Treatment.OVERSIGNED
        return Treatment.SIGNED if self.named else Treatment.LEFT_OUT


def choose_fields(
    fields: Sequence[Field], names: Sequence[bytes], *, rewritten: Mapping[bytes, str]
) -> tuple[FieldChoice, ...]:
    """What becomes of each field name, in the order of the message; absent ones come last.

    Args:
        fields: the header section that is signed, without the signatures.
        names: h= in lower case.
        rewritten: lower-case names that the upstream rewrites, each with how that is known.
    """
    present = Counter(f.key for f in fields)
    named = Counter(names)
    shown = {f.key: excerpt(f.octets[: len(f.key)]) for f in reversed(fields)}
    keys = dict.fromkeys((*(f.key for f in fields), *names))
    return tuple(
        FieldChoice(
            shown.get(key, key.decode("ascii", "replace")),
            present[key],
            named[key],
            _reason(key, present[key], named[key], rewritten),
        )
        for key in keys
    )


def _reason(key: bytes, present: int, named: int, rewritten: Mapping[bytes, str]) -> str:
    if named > present:
        return "so that none can be added" if present else "absent, so that none can be added"
    if named:
        return "as it is; more of it may be added"
    if key in rewritten:
        return f"the upstream rewrites it ({rewritten[key]})"
    return _NEVER.get(key, "receivers do not rely on it, and hops may change it")


@dataclass(frozen=True, slots=True)
class Difference:
    """What a stage did to a header section: whole fields, on one line each."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


def differ(before: Message, after: Message) -> Difference:
    """The fields that only one of two messages has."""
    gone, added = (
        Counter(f.octets for f in before.fields),
        Counter(f.octets for f in after.fields),
    )
    return Difference(tuple(_shown(added - gone)), tuple(_shown(gone - added)))


def _shown(fields: Counter[bytes]) -> Iterator[str]:
    return (excerpt(octets, 70) for octets in fields.elements())


def reencoded_parts(before: Message, after: Message) -> tuple[str, ...]:
    """Which body parts have another transfer encoding, for people."""
    if before.body is after.body:
        return ()
    old, new = _encodings(before), _encodings(after)
    size = counted(sum(map(len, after.body)), "octet")
    changed = tuple(
        f"{f'part {number}' if number else 'the body'}: {old[number]} to {encoding}"
        for number, encoding in new.items()
        if number in old and old[number] != encoding
    )
    return (*changed, f"the body has {size} then")


def _encodings(message: Message) -> dict[str, str]:
    whole = Entity(message.fields, b"".join(message.body))
    return dict(_walk(whole, "", MAX_DEPTH))


def _walk(entity: Entity, number: str, depth: int) -> Iterator[tuple[str, str]]:
    try:
        yield number, excerpt(entity.transfer_encoding())
        kind = entity.content_type(PLAIN_TEXT)
        if kind.main != "multipart" or not depth:
            return
        pieces = split_multipart(entity.body, kind.boundary)
        for i, part in enumerate(pieces.parts, start=1):
            inner = f"{number}.{i}" if number else str(i)
            yield from _walk(read_entity(part), inner, depth - 1)
    except SyntaxFault:
        return
