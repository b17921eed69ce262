"""One signature, measured. Pure. RFC 6376 §6.1, RFC 8301 §3, RFC 8463.

What can be measured is measured, whatever fails first, so that people hear of everything that
is wrong at once; the first failure decides the result.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from relay.core.dkim.algorithm import SHA256_OCTETS, Algorithm, PublicKey
from relay.core.dkim.canonical import Canonicalization, hash_body, header_form, select_fields
from relay.core.dkim.lookup import Lookup, look_up
from relay.core.dkim.proof import Proof, prove
from relay.core.dkim.query import TxtAnswer
from relay.core.dkim.record import KeyRecord
from relay.core.dkim.signature import Signature
from relay.core.dkim.verdict import Evidence, Finding, LocalKey, Published, Result, Verdict
from relay.core.excerpt import counted, excerpt
from relay.core.message import Message

CLOCK_SKEW_SECONDS = 300  # how far in the future t= may lie
_SHA1 = "rsa-sha1"
_SHA1_OCTETS = 20


def header_digest(message: Message, signature: Signature) -> bytes:
    """The data hash of §3.7 for a signature in a message."""
    method = signature.header_method
    # The signature itself is never among the fields that h= selects (§5.4).
    fields = [f for f in message.fields if f is not signature.field]
    forms = [header_form(f, method) for f in select_fields(fields, signature.names)]
    own = header_form(signature.unsigned_field, method).removesuffix(b"\r\n")
    return hashlib.sha256(b"".join(forms) + own).digest()


class BodyHashes:
    """Hashes of one body; signatures mostly agree on the canonicalization."""

    def __init__(self, message: Message) -> None:
        self._body = message.body
        self._known: dict[tuple[Canonicalization, int | None], bytes] = {}

    def of(self, method: Canonicalization, length: int | None) -> bytes:
        """The hash of the first `length` octets of the canonical body, or of all of it."""
        key = (method, length)
        if key not in self._known:
            self._known[key] = hash_body(self._body, method, limit_octets=length)
        return self._known[key]

    def is_shorter(self, method: Canonicalization, length: int) -> bool:
        """Whether the canonical body has fewer octets: then the last one counts for nothing."""
        return length > 0 and self.of(method, length) == self.of(method, length - 1)


@dataclass(frozen=True, slots=True)
class Check:
    """One signature and all that is needed to verify it."""

    message: Message
    signature: Signature
    bodies: BodyHashes
    now: float
    name: str
    local: LocalKey | None

    def verdict(self, answer: TxtAnswer) -> Verdict:
        """Measure everything; the first thing that fails is the result, the rest are notes."""
        signature = self.signature
        findings = self._times()
        algorithm = self._algorithm(findings)
        lookup = None if algorithm is None else look_up(self.name, answer, signature, algorithm)
        notes = list(lookup.notes) if lookup else []
        if lookup is not None and lookup.finding is not None:
            findings.append(lookup.finding)
        body_matches = self._body(findings, notes) if algorithm else None
        record, evidence = self._value(lookup, findings) if lookup else (None, Evidence())
        evidence = replace(evidence, body_matches=body_matches)
        published = Published(self.name, answer.outcome, answer.detail, len(answer.records), record)
        first = next(iter(findings), Finding(Result.PASS, "the signature verifies", ""))
        notes += [f"besides: {finding.cause}" for finding in findings[1:]]
        return Verdict(
            first.result,
            first.cause,
            first.fix,
            signature.domain,
            signature.selector,
            signature.algorithm,
            tuple(notes),
            signature,
            published if lookup else None,
            self.local,
            evidence,
        )

    def _times(self) -> list[Finding]:
        signed_at, expires_at = self.signature.signed_at, self.signature.expires_at
        findings = []
        if expires_at is not None and expires_at < self.now:
            late = counted(int(self.now) - expires_at, "second")
            fix = "send again; where mail waits longer, let the signature live longer (x=)"
            findings.append(Finding(Result.POLICY, f"the signature expired {late} ago (x=)", fix))
        if signed_at is not None and signed_at > self.now + CLOCK_SKEW_SECONDS:
            early = counted(signed_at - int(self.now), "second")
            cause = f"the signature was made {early} in the future (t=)"
            fix = "set the clock of the machine that signs, or of this one"
            findings.append(Finding(Result.POLICY, cause, fix))
        return findings

    def _algorithm(self, findings: list[Finding]) -> Algorithm | None:
        given = self.signature.algorithm
        try:
            return Algorithm(given)
        except ValueError:
            pass
        fix = "sign with rsa-sha256"
        if given == _SHA1:
            cause = "rsa-sha1 must not be relied upon (RFC 8301 §3.1): it was not verified"
            findings.append(Finding(Result.POLICY, cause, fix))
        else:
            cause = f"the algorithm {excerpt(given)!r} is not known"
            findings.append(Finding(Result.NEUTRAL, cause, fix))
        return None

    def _body(self, findings: list[Finding], notes: list[str]) -> bool:
        signature = self.signature
        length, method = signature.length, signature.body_method
        matches = self.bodies.of(method, length) == signature.body_hash
        if length is not None:
            notes.append(self._length_note(method, length))
            if self.bodies.is_shorter(method, length):
                findings.append(_beyond_the_end(length, matches=matches))
                return matches
        if not matches:
            findings.append(_body_mismatch(signature))
        return matches

    def _length_note(self, method: Canonicalization, length: int) -> str:
        is_whole = self.bodies.of(method, None) == self.bodies.of(method, length)
        now = "which is all of it now" if is_whole else "and the body goes on behind it, unsigned"
        return (
            f"l={length} signs only the beginning of the body, {now}: anybody may append to it and "
            "the signature still passes (RFC 6376 §8.2): sign without l="
        )

    def _value(self, lookup: Lookup, findings: list[Finding]) -> tuple[KeyRecord | None, Evidence]:
        """Whether b= is a signature of this header section, and by which key (§6.1.3)."""
        digest = header_digest(self.message, self.signature)
        tried = [
            (record, prove(record.public, self.signature.value, digest))
            for record in lookup.usable
            if record.public is not None
        ]
        own = prove(self.local.public, self.signature.value, digest) if self.local else None
        # Of several records the one whose key verifies counts, else the one whose key signed.
        best = max(tried, key=lambda pair: pair[1].rank, default=None)
        record, proof = best or (lookup.nearest, None)
        if proof is not None and not proof.verifies:
            finding = self._value_mismatch(record.public if record else None, proof, own)
            findings.append(finding)
        return record, self._evidence(record, proof, own)

    def _evidence(
        self, record: KeyRecord | None, proof: Proof | None, own: Proof | None
    ) -> Evidence:
        signer = None
        if proof is not None and proof.signed and record is not None:
            signer = record.public
        elif own is not None and own.signed and self.local is not None:
            signer = self.local.public
        # A key that did not sign says nothing about the header section.
        known = [p.verifies for p in (proof, own) if p is not None and p.signed]
        return Evidence(
            header_matches=any(known) if known else None,
            published_key_signed=proof.signed if proof else None,
            local_key_signed=own.signed if own else None,
            signing_key=signer,
        )

    def _value_mismatch(self, public: PublicKey | None, proof: Proof, own: Proof | None) -> Finding:
        shown = public.fingerprint if public else "none"
        if own is not None and own.signed and self.local is not None and proof.signed is not True:
            cause = (
                f"the record at {self.name} has another key ({shown}) than the one that signed: "
                f"{self.local.place} ({self.local.public.fingerprint}) did"
            )
            fix = f"publish its record: dkim-relay keys record {self.signature.domain}"
            return Finding(Result.FAIL, cause, fix)
        if proof.signed is True:
            hashed = " with SHA-1, although a= says sha256" if proof.is_sha1 else ""
            cause = (
                "the signature does not verify: the published key made it"
                f"{hashed or ', so a signed header field was changed after signing'}"
            )
            fix = "see which hop rewrites header fields, and sign behind it or leave them unsigned"
            return Finding(Result.FAIL, cause, "sign with SHA-256" if proof.is_sha1 else fix)
        if proof.signed is False:
            cause = (
                f"the signature does not verify: the record at {self.name} has another key "
                f"({shown}) than the one that signed, or b= was damaged"
            )
            fix = "publish the record of the key that signs; dkim-relay keys list has fingerprints"
            return Finding(Result.FAIL, cause, fix)
        cause = (
            "the signature does not verify: a signed header field was changed, or the record at "
            f"{self.name} has another key than the one that signed ({shown})"
        )
        return Finding(Result.FAIL, cause, "compare the record with dkim-relay keys record")


def _beyond_the_end(length: int, *, matches: bool) -> Finding:
    """More octets are signed than there are: §3.5, l= MUST NOT be larger than the body."""
    cause = f"l={length} is larger than the canonical body"
    if matches:
        cause += ", which is whole all the same: the signer counted wrongly"
        return Finding(Result.FAIL, cause, "sign without l=")
    cause += ", whose hash did not verify: the end of the body was removed, or more was changed"
    return Finding(Result.FAIL, cause, "see which hop cuts messages off; sign without l=")


def _body_mismatch(signature: Signature) -> Finding:
    octets = len(signature.body_hash)
    if octets != SHA256_OCTETS:
        kind = "a SHA-1 hash" if octets == _SHA1_OCTETS else "cut"
        cause = f"bh= has {octets} octets, and a SHA-256 hash has {SHA256_OCTETS}: it is {kind}"
        return Finding(Result.FAIL, f"the body hash did not verify: {cause}", "mend what signs")
    cause = "the body hash did not verify: the body was changed after it was signed"
    fix = "see which hop re-encodes, re-wraps or appends, and let signing be the last step"
    return Finding(Result.FAIL, cause, fix)
