"""Signing: which fields, the digest, the finished header field. Pure. RFC 6376 §5.

    names = fields_to_sign(message.fields)
    drafted = draft(message.fields, names, body_hash, ...)     # everything but the key
    value = await key.sign(drafted.digest)                     # wherever the key lives
    message = message.prepend(drafted.seal(value))

The signature covers octets that nothing changes afterwards; see relay/flow.py.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from relay.core.dkim.algorithm import Algorithm
from relay.core.dkim.canonical import relaxed_fields, select_fields
from relay.core.dkim.signature import FIELD_KEY, FIELD_NAME, fold, fold_base64
from relay.core.immutable import immutable
from relay.core.message import Field

# Signed once more than present, even when absent, so that none can be added (§5.4.2, §8.15).
OVERSIGNED_ALWAYS = (
    b"from",
    b"to",
    b"cc",
    b"subject",
    b"reply-to",
    b"mime-version",
    b"content-type",
    b"content-transfer-encoding",
)
# Signed once more than present, when present; RFC 8058 §4 wants both List-Unsubscribe ones.
OVERSIGNED_WHEN_PRESENT = (
    b"date",
    b"message-id",
    b"in-reply-to",
    b"references",
    b"list-unsubscribe",
    b"list-unsubscribe-post",
)
SIGNED_WHEN_PRESENT = frozenset({b"sender", b"content-id", b"content-description"})
# RFC 5322 permits ";" in a name, which would end h=; quotes and brackets confuse verifiers.
_PLAIN_NAME = re.compile(rb"[a-z0-9\-]+")
MAX_NAMES_OCTETS = 4000  # of h=; some verifiers have room for 4,096
_CACHED_FIELDS = 64
_TIME, _HASH = b"\0" * 10, b"\1" * 44
_SIGNED_PREFIXES = (b"list-", b"resent-")
# Trace fields, and what hops add, drop or rewrite (§5.4.1); Resent-Bcc goes as Bcc does.
NEVER_SIGNED = frozenset(
    {
        b"received",
        b"return-path",
        b"bcc",
        b"resent-bcc",
        b"dkim-signature",
        b"comments",
        b"keywords",
    }
)


def fields_to_sign(
    fields: Sequence[Field], *, never: frozenset[bytes] = frozenset()
) -> tuple[bytes, ...]:
    """The names for h=, in lower case, repeated as often as they are signed (§5.4).

    Args:
        fields: the header section from the top.
        never: lower-case names that the next hop rewrites; neither signed nor oversigned.
    """
    keys = tuple([f.key for f in fields])
    # What strangers can make large is not kept.
    is_short = len(keys) <= _CACHED_FIELDS and len(b"".join(keys)) <= MAX_NAMES_OCTETS
    return _names(keys, never) if is_short else _names.__wrapped__(keys, never)


@lru_cache(maxsize=256)  # of one application's mail, most messages have the same fields
def _names(keys: tuple[bytes, ...], never: frozenset[bytes]) -> tuple[bytes, ...]:
    counts = Counter(keys)
    names: list[bytes] = []
    for name in OVERSIGNED_ALWAYS:
        if name not in never:
            names += [name] * (counts[name] + 1)
    for name in OVERSIGNED_WHEN_PRESENT:
        if counts[name] and name not in never:
            names += [name] * (counts[name] + 1)
    oversigned = set(names)
    for name, count in counts.items():
        is_of_kind = name.startswith(_SIGNED_PREFIXES) and _PLAIN_NAME.fullmatch(name)
        signed = name in SIGNED_WHEN_PRESENT or is_of_kind
        if signed and name not in oversigned | NEVER_SIGNED | never:
            names += [name] * count
    return tuple(names)


@immutable
class Draft:
    """A signature that only lacks its value.

    Attributes:
        digest: the 32 octets to sign (§3.7).
        unsigned: the value of the field up to and with "b=", folded.
    """

    digest: bytes
    unsigned: bytes

    def seal(self, value: bytes) -> Field:
        """The finished field, with its CRLF.

        Args:
            value: what the key made of `digest`.
        """
        column = len(self.unsigned) - self.unsigned.rfind(b"\t") - 1
        text = fold_base64(base64.b64encode(value), column=column)
        name = FIELD_NAME.encode("ascii")
        return Field(FIELD_KEY, b"%b: %b%b\r\n" % (name, self.unsigned, text))


def draft(
    fields: Sequence[Field],
    names: Sequence[bytes],
    body_hash: bytes,
    *,
    domain: str,
    selector: str,
    algorithm: Algorithm,
    now: int,
    expire_seconds: int = 0,
    auid: str = "",
) -> Draft:
    """Everything of a relaxed/relaxed signature but its value (§3.5, §3.7, §5.5).

    Args:
        fields: the header section from the top, as it will be on the wire.
        names: h=, see `fields_to_sign`.
        body_hash: SHA-256 of the relaxed body.
        domain: d=, in A-labels.
        selector: s=, in A-labels.
        algorithm: a=.
        now: t=, seconds since 1970.
        expire_seconds: x= is so much later than t=; 0 for none.
        auid: i=; empty for none.
    """
    make = _template if len(names) <= 2 * _CACHED_FIELDS else _template.__wrapped__
    template = make(tuple(names), domain, selector, algorithm, bool(expire_seconds), auid)
    times = (now, now + expire_seconds) if expire_seconds else (now,)
    unsigned = template % (*times, base64.b64encode(body_hash))
    return Draft(_digest(fields, names, unsigned), unsigned)


@lru_cache(maxsize=256)  # see _names
def _template(
    names: tuple[bytes, ...],
    domain: str,
    selector: str,
    algorithm: Algorithm,
    expires: bool,
    auid: str,
) -> bytes:
    """The value up to and with "b=", folded, with places for t=, x= and bh=.

    The places are as wide as what is put there: ten digits, and 44 octets of base64.
    """
    tags = [
        b"v=1",
        b"a=" + algorithm.value.encode("ascii"),
        b"c=relaxed/relaxed",
        b"d=" + domain.encode("ascii"),
        b"s=" + selector.encode("ascii"),
        b"t=" + _TIME,
    ]
    if expires:
        tags.append(b"x=" + _TIME)
    if auid:
        tags.append(b"i=" + auid.encode("ascii"))
    pieces = [(b" ", tag + b";") for tag in tags]
    pieces += [(b"", name + b":") for name in names[:-1]] + [(b"", names[-1] + b";")]
    pieces[len(tags)] = (b" ", b"h=" + pieces[len(tags)][1])
    pieces += [(b" ", b"bh=" + _HASH + b";"), (b" ", b"b=")]
    folded = fold(pieces, column=len(FIELD_NAME) + 1).lstrip(b" ")
    return folded.replace(b"%", b"%%").replace(_TIME, b"%d").replace(_HASH, b"%b")


def _digest(fields: Sequence[Field], names: Sequence[bytes], unsigned: bytes) -> bytes:
    """The data hash of §3.7: the selected fields, then our own with b= empty, no last CRLF."""
    own = Field(FIELD_KEY, FIELD_KEY + b":" + unsigned + b"\r\n")
    octets = relaxed_fields([*select_fields(fields, names), own])
    return hashlib.sha256(octets[: -len(b"\r\n")]).digest()
