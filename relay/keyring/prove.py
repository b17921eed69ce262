"""Each key proves itself before its first use: our core signs, dkimpy verifies. CPU, no IO.

An RSA key of 2048 bits takes 1.1 ms.

The message is small and fixed; the record is the one that we tell people to publish. What is
proven is the key, its record and our own signing together, by code that shares none of ours.
dkimpy verifies RSA by its own arithmetic and Ed25519 with PyNaCl.
"""

from __future__ import annotations

import dkim

from relay.core.dkim.canonical import hash_body
from relay.core.dkim.record import record_name, record_text
from relay.core.dkim.sign import Draft, draft, fields_to_sign
from relay.core.errors import KeyFault
from relay.core.message import Message, new_field
from relay.keyring.stored import StoredKey

_BODY = (b"Proof  of a key. \r\n\r\n",)  # blanks that relaxed canonicalization must squeeze
_SIGNED_AT = 1_000_000_000  # any time in the past; a proof does not expire


def prove(key: StoredKey) -> None:
    """Sign with this key and have dkimpy verify it.

    Raises:
        KeyFault: the key cannot sign, or dkimpy does not say pass: it must not be used.
    """
    message, drafted = _draft(key)
    name = record_name(key.selector, key.domain).encode("ascii") + b"."
    zone = {name: record_text(key.public).encode("ascii")}

    def answer(name: bytes, timeout: int = 0) -> bytes | None:
        return zone.get(name)

    try:
        signed = message.prepend(drafted.seal(key.sign_now(drafted.digest))).octets()
        passed = dkim.DKIM(signed).verify(dnsfunc=answer)
    except KeyFault:
        raise
    except Exception as exc:  # whatever it is, it must cost this key only
        raise _unproven(key, f"{type(exc).__name__}: {exc}") from exc
    if not passed:
        raise _unproven(key, "the signature does not verify")


def _draft(key: StoredKey) -> tuple[Message, Draft]:
    address = f"proof@{key.domain}"
    fields = (
        new_field("From", f"Proof <{address}>"),
        new_field("To", address),
        new_field("Subject", f"Proof  of {key.selector}"),
    )
    message = Message(fields, _BODY)
    drafted = draft(
        message.fields,
        fields_to_sign(message.fields),
        hash_body(message.body),
        domain=key.domain,
        selector=key.selector,
        algorithm=key.public.algorithm,
        now=_SIGNED_AT,
    )
    return message, drafted


def _unproven(key: StoredKey, reason: str) -> KeyFault:
    return KeyFault(
        key.where,
        f"a signature made with this key is refused by dkimpy: {reason}",
        f"make a new one: dkim-relay keys new {key.domain}",
    )
