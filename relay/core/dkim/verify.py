"""What a receiver would say of each signature. Pure. RFC 6376 §6, RFC 8301, RFC 8463.

    signatures = find_signatures(message)                 # read, or why they cannot be
    answers = {name: txt(name) for name in record_names(signatures)}      # the caller's IO
    verdicts = verify(message, signatures, answers, now)

Results are RFC 8601's words, and each says its cause and what to do. Everything that can be
measured is measured, whatever fails first: what changed is found out by `diagnose`, from there.
The work is bounded: `MAX_SIGNATURES` are verified, and the rest is said to be left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from relay.core.dkim.check import BodyHashes, Check, header_digest
from relay.core.dkim.query import TxtAnswer, TxtOutcome
from relay.core.dkim.record import record_name
from relay.core.dkim.signature import FIELD_KEY, Signature, parse_signature
from relay.core.dkim.tags import TagFault
from relay.core.dkim.verdict import LocalKey, Result, Verdict
from relay.core.excerpt import excerpt
from relay.core.message import Message

__all__ = [
    "MAX_SIGNATURES",
    "LocalKey",
    "Result",
    "Verdict",
    "find_signatures",
    "header_digest",
    "record_names",
    "verify",
]

MAX_SIGNATURES = 10  # verified in one message; bounds look-ups, hashes and key operations
_NO_LOCAL_KEYS: Mapping[str, LocalKey] = MappingProxyType({})
_SILENCE = TxtAnswer(TxtOutcome.TIMEOUT)


def find_signatures(message: Message) -> tuple[Signature | TagFault, ...]:
    """The DKIM-Signature fields from the top, each read or with its fault (§6.1.1)."""
    found: list[Signature | TagFault] = []
    for field in message.named(FIELD_KEY):
        try:
            found.append(parse_signature(field))
        except TagFault as exc:
            found.append(exc)
    return tuple(found)


def record_names(signatures: Sequence[Signature | TagFault]) -> tuple[str, ...]:
    """The names whose TXT records are needed, each once (§3.6.2.1)."""
    chosen = (signatures[i] for i in _chosen(signatures))
    names = (record_name(s.selector, s.domain) for s in chosen if isinstance(s, Signature))
    return tuple(dict.fromkeys(names))


def _chosen(signatures: Sequence[Signature | TagFault]) -> tuple[int, ...]:
    """Which are verified: the first ones from the top, copies left out."""
    first: dict[bytes, int] = {}
    for i, signature in enumerate(signatures):
        if isinstance(signature, Signature) and len(first) < MAX_SIGNATURES:
            first.setdefault(signature.field.octets, i)
    return tuple(first.values())


def verify(
    message: Message,
    signatures: Sequence[Signature | TagFault],
    answers: Mapping[str, TxtAnswer],
    now: float,
    *,
    local_keys: Mapping[str, LocalKey] = _NO_LOCAL_KEYS,
) -> tuple[Verdict, ...]:
    """One verdict for each signature, in order.

    Args:
        message: as received.
        signatures: of `find_signatures`.
        answers: by record name; a name without an answer counts as a timeout.
        now: seconds since 1970.
        local_keys: our own keys by record name: what they would make of the signature is part
            of the evidence, never of the result.
    """
    bodies = BodyHashes(message)
    verdicts: dict[int, Verdict] = {}
    for i in _chosen(signatures):
        signature = signatures[i]
        if isinstance(signature, Signature):
            name = record_name(signature.selector, signature.domain)
            check = Check(message, signature, bodies, now, name, local_keys.get(name))
            verdicts[i] = check.verdict(answers.get(name, _SILENCE))
    originals = {v.signature.field.octets: i for i, v in verdicts.items() if v.signature}
    return tuple(
        verdicts[i] if i in verdicts else _unverified(signature, verdicts, originals)
        for i, signature in enumerate(signatures)
    )


def _unverified(
    signature: Signature | TagFault, verdicts: Mapping[int, Verdict], originals: Mapping[bytes, int]
) -> Verdict:
    if isinstance(signature, TagFault):
        cause = f"the DKIM-Signature field is malformed: {excerpt(str(signature), 200)}"
        return Verdict(Result.NEUTRAL, cause, "mend what signs, or what changed the field")
    original = originals.get(signature.field.octets)
    if original is not None:
        note = f"a copy of signature {original + 1}: leave it out"
        notes = (note, *verdicts[original].notes)
        return replace(verdicts[original], notes=notes, copy_of=original)
    return Verdict(
        Result.POLICY,
        f"not verified: only the first {MAX_SIGNATURES} signatures of a message are",
        "leave out signatures that no receiver needs",
        signature.domain,
        signature.selector,
        signature.algorithm,
        signature=signature,
        is_skipped=True,
    )
