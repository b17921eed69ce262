"""Signatures as others make them: any tags, in any canonicalization, right or wrong.

Pure. What is asked for is written down and signed as it stands; the relay itself never writes
most of it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping

from relay.core.dkim.canonical import Canonicalization, hash_body
from relay.core.dkim.query import TxtAnswer
from relay.core.dkim.record import record_name, record_text
from relay.core.dkim.signature import Signature, parse_signature
from relay.core.dkim.verdict import LocalKey, Verdict
from relay.core.dkim.verify import find_signatures, header_digest, verify
from relay.core.message import Field, Message, new_field
from relay.core.reader import read_message
from tests.fakes.keys import FakeKey, answers

NOW = 1_800_000_000.0
HEADER = (
    b"From: Jane <jane@example.com>\r\n"
    b"To: ann@example.net\r\n"
    b"Subject: Numbers of the week\r\n"
    b"Date: Fri, 20 Nov 2026 10:00:00 +0000\r\n"
    b"Message-ID: <1@example.com>\r\n"
)
BODY = b"Good morning,\r\n\r\nthe numbers  are fine. \r\n\r\n-- \r\nJane\r\n"
NAMES = "from:to:cc:subject:date:message-id"


def message_of(body: bytes = BODY, *, extra: bytes = b"") -> Message:
    """The standard message with another body, or with further header lines."""
    return read_message(HEADER + extra + b"\r\n" + body)


def sign_as(
    message: Message, key: FakeKey, *, hashed: bytes | None = None, **tags: str | None
) -> Message:
    """A message with one more signature in front.

    Args:
        message: what is signed.
        key: whose signature it is.
        hashed: what bh= is the hash of, instead of the canonical body.
        tags: instead of the usual ones; None leaves a tag out.
    """
    method = Canonicalization((tags.get("c") or "relaxed/relaxed").rpartition("/")[2])
    length = tags.get("l")
    if hashed is None:
        limit = int(length) if length else None
        digest = hash_body(message.body, method, limit_octets=limit)
    else:
        digest = hashlib.sha256(hashed).digest()
    usual: Mapping[str, str | None] = {
        "v": "1",
        "a": key.public.algorithm.value,
        "c": "relaxed/relaxed",
        "d": key.domain,
        "s": key.selector,
        "h": NAMES,
        "bh": base64.b64encode(digest).decode(),
    }
    written = "; ".join(f"{k}={v}" for k, v in {**usual, **tags}.items() if v is not None)
    draft = message.prepend(_field(f"{written}; b=AAAA"))
    value = key.sign_now(header_digest(draft, parse_signature(draft.fields[0])))
    return message.prepend(_field(f"{written}; b={base64.b64encode(value).decode()}"))


def _field(value: str) -> Field:
    return new_field("DKIM-Signature", value)


def signature_of(message: Message) -> Signature:
    """The topmost signature of a message, which can be read."""
    found = find_signatures(message)[0]
    assert isinstance(found, Signature)
    return found


def zone_of(*keys: FakeKey) -> dict[str, TxtAnswer]:
    """The DNS in which the records of these keys are published."""
    return answers({record_name(key.selector, key.domain): record_text(key.public) for key in keys})


def only_verdict(
    message: Message,
    dns: Mapping[str, TxtAnswer],
    *,
    local: FakeKey | None = None,
    now: float = NOW,
) -> Verdict:
    """What is said of the only signature; `local` is a key that lies on this machine."""
    local_keys = {}
    if local is not None:
        name = record_name(local.selector, local.domain)
        local_keys[name] = LocalKey(local.public, f"keys/{local.domain}/{local.selector}.pem")
    found = find_signatures(message)
    (verdict,) = verify(message, found, dns, now, local_keys=local_keys)
    return verdict
