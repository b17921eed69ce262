"""The key record in DNS. Pure. RFC 6376 §3.6.1 and §3.6.2, RFC 8463 §4.

A record is read leniently nowhere: `parse_record` names the tag and the offset.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

from relay.core.dkim.algorithm import PublicKey, public_key
from relay.core.dkim.tags import Tag, TagFault, decode_base64, parse_tags
from relay.core.errors import SyntaxFault

TXT_STRING_OCTETS = 255  # RFC 1035 §3.3
_KNOWN_TYPES = frozenset({"rsa", "ed25519"})
_BASE64 = re.compile(rb"[A-Za-z0-9+/]*={0,2}")


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key record, read.

    Attributes:
        public: the key; None when p= is empty: revoked (§3.6.1).
        hashes: h=, empty when any hash is fine.
        services: s=, ("*",) when absent.
        flags: t=, for example {"y", "s"}.
        note: n=.
        granularity: g=, or None when absent. RFC 6376 dropped it: nothing depends on it, but
            receivers that still follow RFC 4871 §3.6.1 do.
    """

    public: PublicKey | None
    key_type: str = "rsa"
    hashes: frozenset[str] = frozenset()
    services: frozenset[str] = frozenset({"*"})
    flags: frozenset[str] = frozenset()
    note: str = ""
    granularity: str | None = None

    @property
    def is_testing(self) -> bool:
        """Whether the domain says that it is only testing DKIM (t=y)."""
        return "y" in self.flags

    @property
    def is_strict(self) -> bool:
        """Whether i= must have exactly the domain of d= (t=s)."""
        return "s" in self.flags


def record_name(selector: str, domain: str) -> str:
    """The owner name of a key record, without a final dot (RFC 6376 §3.6.2.1)."""
    return f"{selector}._domainkey.{domain}"


def record_text(public: PublicKey, further_tags: str = "") -> str:
    """The record to publish for a key, as one text (RFC 6376 §3.6.1).

    Args:
        public: the key.
        further_tags: such as "t=y; ", put before p=, which some consoles cut at its end.
    """
    p = base64.b64encode(public.octets).decode("ascii")
    return f"v=DKIM1; k={public.algorithm.key_type}; {further_tags}p={p}"


def split_strings(text: str) -> tuple[str, ...]:
    """The record in strings of at most 255 octets, as DNS carries it (RFC 6376 §3.6.2.2)."""
    return tuple(text[i : i + TXT_STRING_OCTETS] for i in range(0, len(text), TXT_STRING_OCTETS))


def parse_record(octets: bytes) -> KeyRecord:
    """Read a key record, its strings already joined (RFC 6376 §3.6.1).

    Raises:
        TagFault: what is malformed, with its tag and offset.
    """
    tags = parse_tags(octets)
    version = tags.get("v")
    if version is not None and (version.value != b"DKIM1" or next(iter(tags)) != "v"):
        raise TagFault("v", version.offset, "must be the first tag and exactly DKIM1")
    key_type = _text(tags, "k", "rsa")
    if key_type not in _KNOWN_TYPES:
        raise TagFault("k", tags["k"].offset, f"key type {key_type!r} is not known")
    if "p" not in tags:
        raise TagFault("p", len(octets), "is missing")
    return KeyRecord(
        public=_public(key_type, tags["p"]),
        key_type=key_type,
        hashes=_list(tags, "h", ""),
        services=_list(tags, "s", "*"),
        flags=_list(tags, "t", ""),
        note=_text(tags, "n", ""),
        granularity=_text(tags, "g", "") if "g" in tags else None,
    )


def _public(key_type: str, tag: Tag) -> PublicKey | None:
    text = tag.unfolded
    if not text:
        return None
    bad = _BASE64.match(text)
    if bad is None or bad.end() != len(text):
        raise TagFault("p", tag.offset, "is not base64")
    try:
        return public_key(key_type, decode_base64(text))
    except binascii.Error as exc:
        raise TagFault("p", tag.offset, "is not base64: cut short?") from exc
    except SyntaxFault as exc:
        raise TagFault("p", tag.offset, str(exc)) from exc


def _text(tags: dict[str, Tag], name: str, default: str) -> str:
    return tags[name].value.decode("ascii") if name in tags else default


def _list(tags: dict[str, Tag], name: str, default: str) -> frozenset[str]:
    items = tags[name].unfolded.decode("ascii") if name in tags else default
    return frozenset(item for item in items.split(":") if item)
