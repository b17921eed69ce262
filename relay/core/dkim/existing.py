"""Whether a message was signed by its author's domain before it came to us. Pure.

RFC 6376 §3.5, §6.1. No DNS is asked on the path of a message, so this is not a verification: it
is everything that can be known without the key. A signature passes for one only when it is well
formed, covers From and the whole body, is not expired, uses an algorithm that receivers take
(RFC 8301), comes from the author's domain or one above it (RFC 7489 §3.1.1, relaxed), and has
the hash of this very body.
"""

from __future__ import annotations

from collections.abc import Callable

from relay.core.dkim.algorithm import Algorithm
from relay.core.dkim.canonical import Canonicalization, hash_body
from relay.core.dkim.signature import Signature
from relay.core.dkim.verify import find_signatures
from relay.core.message import Message


def is_signed_by_author(
    message: Message,
    author_domain: str,
    *,
    organizational: Callable[[str], str | None],
    relaxed_hash: bytes,
    now: float,
) -> bool:
    """Whether a receiver has reason to take the message for the author's own as it is.

    Args:
        message: as submitted.
        author_domain: of From, in A-labels.
        organizational: the organizational domain of a domain, or None.
        relaxed_hash: SHA-256 of its relaxed body.
        now: seconds since 1970.
    """
    own = [
        s
        for s in find_signatures(message)
        if isinstance(s, Signature)
        and _is_aligned(s.domain, author_domain, organizational)
        and _is_usable(s, now)
    ]
    hashes = {Canonicalization.RELAXED: relaxed_hash}
    if any(s.body_method is Canonicalization.SIMPLE for s in own):
        hashes[Canonicalization.SIMPLE] = hash_body(message.body, Canonicalization.SIMPLE)
    return any(s.body_hash == hashes[s.body_method] for s in own)


def _is_aligned(
    domain: str, author_domain: str, organizational: Callable[[str], str | None]
) -> bool:
    if domain == author_domain:
        return True
    top = organizational(author_domain)
    # Up to the organizational domain: nobody below a public suffix speaks for it.
    is_above = author_domain.endswith(f".{domain}")
    return is_above and top is not None and (domain == top or domain.endswith(f".{top}"))


def _is_usable(signature: Signature, now: float) -> bool:
    is_expired = signature.expires_at is not None and signature.expires_at < now
    is_known = signature.algorithm in {algorithm.value for algorithm in Algorithm}
    return signature.length is None and is_known and not is_expired
