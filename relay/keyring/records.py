"""The record to publish for a key, and what may stand in it. Pure. RFC 6376 §3.6.1."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from relay.core.dkim.algorithm import PublicKey
from relay.core.dkim.record import record_name, record_text
from relay.core.errors import KeyFault
from relay.keyring.names import host_name

MAX_NOTE_OCTETS = 200  # RFC 6376 §3.6.1 asks to use n= sparingly, for want of space in DNS
# What n= can hold as it stands; the rest of printable ASCII means something in some form of zone.
_PLAIN_IN_NOTE = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 !#&'()*+,-./:<>?@[]^_|~"
)


class RecordType(StrEnum):
    """The DNS types that are published for a key."""

    TXT = "TXT"
    CNAME = "CNAME"


@dataclass(frozen=True, slots=True)
class Record:
    """A record to publish.

    Attributes:
        name: the owner name, without a final dot.
        value: the whole text of a TXT record, which DNS carries in strings of at most 255
            octets; of a CNAME record the name that it leads to, without a final dot.
        kind: TXT, or CNAME for a delegation.
        replaces: whether it is meant to take the place of a record that is there.
    """

    name: str
    value: str
    kind: RecordType = RecordType.TXT
    replaces: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordTerms:
    """What a record says beside the key (RFC 6376 §3.6.1).

    Attributes:
        hashes: h=, the only hashes to be used; empty for any.
        services: s=, the only services it is for; empty for any.
        is_testing: t=y, receivers shall treat a failure as if nothing was signed.
        is_strict: t=s, i= must have exactly the domain of d=.
        note: n=, for people; any text.
    """

    hashes: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    is_testing: bool = False
    is_strict: bool = False
    note: str = ""

    def tags(self) -> str:
        """The tags, each followed by "; ".

        Raises:
            KeyFault: the note is too long.
        """
        flags = [flag for flag, is_set in (("y", self.is_testing), ("s", self.is_strict)) if is_set]
        values = {
            "h": ":".join(self.hashes),
            "s": ":".join(self.services),
            "t": ":".join(flags),
            "n": _quoted_printable(self.note),
        }
        return "".join(f"{name}={value}; " for name, value in values.items() if value)


def record_of(
    public: PublicKey, *, domain: str, selector: str, terms: RecordTerms | None = None
) -> Record:
    """The record that makes this key verifiable.

    Raises:
        KeyFault: the note of the terms is too long.
    """
    further_tags = "" if terms is None else terms.tags()
    return Record(record_name(selector, domain), record_text(public, further_tags))


def revoked_record(*, domain: str, selector: str) -> Record:
    """The record that says that the key is no longer valid: p= is empty (RFC 6376 §3.6.1)."""
    return Record(record_name(selector, domain), "v=DKIM1; p=", replaces=True)


def delegated(record: Record, target: str) -> tuple[Record, Record]:
    """A record as a delegation: a CNAME at its name, and the record itself at the target.

    Args:
        record: as it would stand without the delegation.
        target: where the CNAME leads to; a host name, with or without a final dot.

    Raises:
        KeyFault: the target is not a name, or the name of the record itself.
    """
    name = host_name(target.removesuffix("."))
    if name == record.name:
        fix = "give a name in the zone of whoever keeps the key"
        raise KeyFault(name, "a CNAME cannot lead to itself", fix)
    leads = Record(record.name, name, RecordType.CNAME, replaces=record.replaces)
    return leads, Record(name, record.value, replaces=record.replaces)


def _quoted_printable(note: str) -> str:
    """RFC 6376 §3.6.1 n=: a qp-section (RFC 2045 §6.7), no octet of which is special in DNS."""
    octets = note.strip().encode("utf-8", "backslashreplace")
    text = "".join(chr(o) if o in _PLAIN_IN_NOTE else f"={o:02X}" for o in octets)
    if len(text) > MAX_NOTE_OCTETS:
        what = f"the note takes {len(text)} octets of the record, at most {MAX_NOTE_OCTETS} go"
        raise KeyFault("--note", what, "shorten it")
    return text
