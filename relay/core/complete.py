"""What a submission must have before it is signed. Pure.

RFC 6409 §8 (missing Date and Message-ID, fields that must not leave), RFC 5321 §4.4 (Received).
Whole fields are added in front or left out; no octet of any other field is touched, but that
an address without a domain gets one.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from relay.core.address import MAX_NAME_OCTETS, is_domain
from relay.core.dkim.record import record_name
from relay.core.dkim.signature import FIELD_KEY, parse_signature
from relay.core.dkim.tags import TagFault, parse_tags
from relay.core.errors import unfit
from relay.core.immutable import immutable
from relay.core.message import Field, Message, new_field
from relay.core.qualify import qualify

# Blind recipients must not travel; Return-Path is the last hop's to add (RFC 5321 §4.4).
# Fields that may stand once (RFC 5322 §3.6, RFC 2045 §3); From is policy's to check.
SINGLE = frozenset(
    {
        *(b"date", b"sender", b"reply-to", b"to", b"cc", b"subject"),
        *(b"message-id", b"in-reply-to", b"references"),
        *(b"mime-version", b"content-type", b"content-transfer-encoding"),
    }
)
REMOVED = frozenset({b"bcc", b"resent-bcc", b"return-path"})
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = (
    *("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
    *("Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
)


@immutable
class Trace:
    """What the Received field says of how a message came in (RFC 5321 §4.4).

    Attributes:
        helo: what the client called itself, as octets.
        client_address: its IP address, or "" to leave client and helo out.
        hostname: our name.
        protocol: the word after "with" (RFC 3848): SMTP, ESMTP, UTF8SMTP …
        queue_id: ours, for this message.
    """

    helo: bytes
    client_address: str
    hostname: str
    protocol: str
    queue_id: str


def complete(
    message: Message,
    *,
    author_domain: str,
    signing_domain: str,
    now: float,
    unique: str,
    trace: Trace | None,
) -> Message:
    """The message with everything that it must have, and without what must not leave.

    Args:
        message: as submitted.
        author_domain: for addresses without a domain; see `relay.core.qualify`.
        signing_domain: the right side of a Message-ID of ours.
        now: seconds since 1970.
        unique: the left side of a Message-ID of ours; unique for ever.
        trace: for the Received field; None leaves it out.

    Raises:
        Rejection: a field stands twice that may stand once.
    """
    _check_single(message)
    kept = qualify(message.without(REMOVED), author_domain)
    if kept.has(FIELD_KEY):
        kept = kept.with_fields(tuple(f for f in kept.fields if not _is_unreadable(f)))
    added = [] if trace is None else [received_field(trace, now)]
    if not kept.has(b"message-id"):
        added.append(new_field("Message-ID", f"<{unique}@{signing_domain}>"))
    if not kept.has(b"date"):
        added.append(new_field("Date", format_date(now)))
    return kept.prepend(*added) if added else kept


def pass_on(message: Message, trace: Trace | None, now: float) -> Message:
    """A message that must stay what it is: only what must not leave goes out, Received comes in.

    Raises:
        Rejection: a field stands twice that may stand once.
    """
    _check_single(message)
    kept = message.without(REMOVED)
    return kept if trace is None else kept.prepend(received_field(trace, now))


def _check_single(message: Message) -> None:
    """RFC 5322 §3.6: which of two counts is anybody's guess, and some verify neither."""
    keys = [field.key for field in message.fields]
    if len(set(keys)) == len(keys):
        return  # as with most
    seen: set[bytes] = set()
    for field in message.fields:
        if field.key in SINGLE:
            if field.key in seen:
                name = field.key.decode("ascii").title()
                raise unfit("5.6.0", f"The {name} header field stands more than once")
            seen.add(field.key)


def _is_unreadable(field: Field) -> bool:
    """A signature of somebody else that nobody can read, and for which some verify none at all.

    RFC 6376 §6.1.1: it is ignored by everybody else, so it is worth nothing.
    """
    if field.key != FIELD_KEY:
        return False
    try:
        signature, tags = parse_signature(field), parse_tags(field.value)
    except TagFault:
        return True
    name = record_name(signature.selector, signature.domain)
    has_blank = any(len(tags[tag].value.split()) > 1 for tag in ("d", "s"))
    return has_blank or not field.octets.isascii() or len(name) > MAX_NAME_OCTETS


def format_date(now: float) -> str:
    """A date-time in UTC (RFC 5322 §3.3)."""
    return _format_second(int(now))


@lru_cache(maxsize=4)
def _format_second(now: int) -> str:
    t = datetime.fromtimestamp(now, UTC)
    day = f"{_DAYS[t.weekday()]}, {t.day:02d} {_MONTHS[t.month - 1]} {t.year:04d}"
    return f"{day} {t.hour:02d}:{t.minute:02d}:{t.second:02d} +0000"


def received_field(trace: Trace, now: float) -> Field:
    """The Received field of this hop (RFC 5321 §4.4, RFC 3848)."""
    client = _client(trace.helo[: MAX_NAME_OCTETS + 1], trace.client_address)
    rest = f"by {trace.hostname} with {trace.protocol} id {trace.queue_id};\r\n\t{format_date(now)}"
    return new_field("Received", client + rest.encode("ascii"))


@lru_cache(maxsize=1024)  # the same clients come again and again
def _client(helo: bytes, address: str) -> bytes:
    """The from clause of a Received field; empty when the client is not to be named."""
    if not address:
        return b""
    ip = ip_address(address)
    literal = (f"[IPv6:{ip}]" if isinstance(ip, IPv6Address) else f"[{ip}]").encode("ascii")
    # Only a name by grammar may stand there: a client can say anything in EHLO.
    is_named = helo.isascii() and len(helo) <= MAX_NAME_OCTETS and is_domain(helo)
    return b"from " + (helo if is_named else literal) + b" (" + literal + b")\r\n\t"
