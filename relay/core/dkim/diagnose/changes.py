"""What changed, for a verdict: which of the neighbours to ask, with what. Pure."""

from __future__ import annotations

from relay.core.dkim.algorithm import SHA256_OCTETS, PublicKey
from relay.core.dkim.diagnose.body import UNKNOWN, explain_body
from relay.core.dkim.diagnose.change import Change
from relay.core.dkim.diagnose.header import explain_header
from relay.core.dkim.diagnose.original import compare_body, compare_header
from relay.core.dkim.proof import prover
from relay.core.dkim.signature import Signature
from relay.core.dkim.verdict import Verdict
from relay.core.message import Message


def find_changes(
    message: Message, verdict: Verdict, original: Message | None = None
) -> tuple[Change, ...]:
    """What changed a message after it was signed; empty when nothing did, or nobody can tell.

    Args:
        message: as received.
        verdict: on one of its signatures.
        original: the message as it was sent, to compare with.
    """
    signature = verdict.signature
    if signature is None:
        return ()
    return (
        *_body_changes(message, verdict, signature, original),
        *_header_changes(message, verdict, signature, original),
    )


def _body_changes(
    message: Message, verdict: Verdict, signature: Signature, original: Message | None
) -> tuple[Change, ...]:
    if verdict.evidence.body_matches is not False or len(signature.body_hash) != SHA256_OCTETS:
        return ()
    measured = explain_body(message, signature)
    if original is None or measured is not UNKNOWN:
        return (measured,)  # what bh= itself proves needs no comparison
    return compare_body(original, message, signature)


def _header_changes(
    message: Message, verdict: Verdict, signature: Signature, original: Message | None
) -> tuple[Change, ...]:
    public = _signing_key(verdict)
    if public is None or verdict.evidence.header_matches:
        return ()
    proves = prover(public, signature.value)
    if original is not None:
        return compare_header(original, message, signature, proves)
    return explain_header(message, signature, proves)


def _signing_key(verdict: Verdict) -> PublicKey | None:
    """The key that made the signature, or that may have made it: Ed25519 does not tell."""
    if verdict.evidence.signing_key is not None:
        return verdict.evidence.signing_key
    if verdict.evidence.published_key_signed is False or verdict.published is None:
        return None
    return verdict.published.public
