"""What a receiver would say of each signature. Pure. RFC 6376 §6, RFC 8301, RFC 8463.

    signatures = find_signatures(message)                 # read, or why they cannot be
    answers = {name: txt(name) for name in record_names(signatures)}      # the caller's IO
    verdicts = verify(message, signatures, answers, now)

Results are RFC 8601's words, and each says its cause and what to do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from relay.core.address import a_label
from relay.core.dkim.algorithm import MIN_RSA_BITS, Algorithm, PublicKey
from relay.core.dkim.canonical import hash_body, header_form, select_fields
from relay.core.dkim.query import TxtAnswer, TxtOutcome
from relay.core.dkim.record import KeyRecord, parse_record, record_name
from relay.core.dkim.signature import FIELD_KEY, Signature, parse_signature
from relay.core.dkim.tags import TagFault
from relay.core.errors import SyntaxFault
from relay.core.message import Message

CLOCK_SKEW_SECONDS = 300  # how far in the future t= may lie
_SHA1 = "rsa-sha1"


class Result(StrEnum):
    """What a signature is worth (RFC 8601 §2.7.1)."""

    PASS = "pass"  # noqa: S105 - a result, not a password
    FAIL = "fail"
    POLICY = "policy"
    NEUTRAL = "neutral"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found about one signature.

    Attributes:
        result: RFC 8601's word.
        cause: the symptom and its likely cause.
        fix: what to do; empty for a pass.
        domain, selector, algorithm: of the signature, empty when it cannot be read.
        notes: what a reader should know of a signature even when it passes.
    """

    result: Result
    cause: str
    fix: str = ""
    domain: str = ""
    selector: str = ""
    algorithm: str = ""
    notes: tuple[str, ...] = ()


class _Failed(Exception):
    """Carries a verdict; is no error of the program."""

    def __init__(self, result: Result, cause: str, fix: str) -> None:
        super().__init__(cause)
        self.result = result
        self.cause = cause
        self.fix = fix


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
    names = (record_name(s.selector, s.domain) for s in signatures if isinstance(s, Signature))
    return tuple(dict.fromkeys(names))


def verify(
    message: Message,
    signatures: Sequence[Signature | TagFault],
    answers: Mapping[str, TxtAnswer],
    now: float,
) -> tuple[Verdict, ...]:
    """One verdict for each signature, in order.

    Args:
        message: as received.
        signatures: of `find_signatures`.
        answers: by record name; a name without an answer counts as a timeout.
        now: seconds since 1970.
    """
    return tuple(_verdict(message, s, answers, now) for s in signatures)


def _verdict(
    message: Message, signature: Signature | TagFault, answers: Mapping[str, TxtAnswer], now: float
) -> Verdict:
    if isinstance(signature, TagFault):
        cause = f"the DKIM-Signature field is malformed: {signature}"
        return Verdict(Result.NEUTRAL, cause, "mend what signs, or what changed the field")
    notes: list[str] = []
    try:
        _check_times(signature, now)
        algorithm = _algorithm(signature)
        name = record_name(signature.selector, signature.domain)
        answer = answers.get(name, TxtAnswer(TxtOutcome.TIMEOUT))
        record = _record(name, answer, signature, algorithm, notes)
        _check_body(message, signature, notes)
        _check_value(message, signature, record, name)
        if record.is_testing:
            notes.append("the record says t=y: the domain is only testing DKIM")
        result, cause, fix = Result.PASS, "the signature verifies", ""
    except _Failed as exc:
        result, cause, fix = exc.result, exc.cause, exc.fix
    return Verdict(
        result,
        cause,
        fix,
        signature.domain,
        signature.selector,
        signature.algorithm,
        tuple(notes),
    )


def _check_times(signature: Signature, now: float) -> None:
    if signature.expires_at is not None and signature.expires_at < now:
        late = int(now) - signature.expires_at
        raise _Failed(Result.POLICY, f"the signature expired {late} s ago", "raise x=, or resend")
    if signature.signed_at is not None and signature.signed_at > now + CLOCK_SKEW_SECONDS:
        early = signature.signed_at - int(now)
        cause = f"the signature was made {early} s in the future"
        raise _Failed(Result.POLICY, cause, "set the clock of the machine that signs")


def _algorithm(signature: Signature) -> Algorithm:
    if signature.algorithm == _SHA1:  # RFC 8301 §3.1
        cause = "rsa-sha1 must not be relied upon"
        raise _Failed(Result.POLICY, cause, "sign with rsa-sha256")
    try:
        return Algorithm(signature.algorithm)
    except ValueError:
        cause = f"the algorithm {signature.algorithm!r} is not known"
        raise _Failed(Result.NEUTRAL, cause, "sign with rsa-sha256") from None


def _record(
    name: str, answer: TxtAnswer, signature: Signature, algorithm: Algorithm, notes: list[str]
) -> KeyRecord:
    """The one usable record, or why there is none (§6.1.2)."""
    _check_answer(name, answer)
    if len(answer.records) > 1:
        notes.append(f"{len(answer.records)} TXT records at {name}: delete all but one")
    fault: _Failed | None = None
    for octets in answer.records:
        try:
            return _usable(parse_record(octets), signature, algorithm, name)
        except SyntaxFault as exc:
            cause = f"the record at {name} is malformed: {exc}"
            fix = "publish it as dkim-relay keys record prints it"
            fault = fault or _Failed(Result.PERMERROR, cause, fix)
        except _Failed as exc:
            fault = fault or exc
    raise fault or _Failed(Result.PERMERROR, f"there is no record at {name}", "publish it")


def _check_answer(name: str, answer: TxtAnswer) -> None:
    match answer.outcome:
        case TxtOutcome.FOUND:
            pass
        case TxtOutcome.NXDOMAIN | TxtOutcome.NO_DATA:
            cause = f"there is no record at {name}"
            fix = "publish it: dkim-relay keys record"
            raise _Failed(Result.PERMERROR, cause, fix)
        case TxtOutcome.SERVFAIL | TxtOutcome.TIMEOUT:
            what = "failed" if answer.outcome is TxtOutcome.SERVFAIL else "did not answer"
            cause = f"DNS {what} for {name} {answer.detail}".rstrip()
            raise _Failed(Result.TEMPERROR, cause, "try again; check the name servers")


def _usable(record: KeyRecord, signature: Signature, algorithm: Algorithm, name: str) -> KeyRecord:
    """Check what the record permits (§3.6.1, §6.1.2)."""
    if record.public is None:
        raise _Failed(Result.PERMERROR, f"the key at {name} is revoked (p= is empty)", "rotate")
    if record.key_type != algorithm.key_type:
        cause = f"the record at {name} has k={record.key_type}, the signature {algorithm}"
        raise _Failed(Result.PERMERROR, cause, "publish the record of the key that signs")
    if record.hashes and "sha256" not in record.hashes:
        cause = f"h= of the record at {name} does not permit sha256"
        raise _Failed(Result.PERMERROR, cause, "remove h= from the record")
    if not record.services & {"*", "email"}:
        cause = f"s= of the record at {name} does not permit email"
        raise _Failed(Result.PERMERROR, cause, "remove s= from the record")
    if algorithm is Algorithm.RSA_SHA256 and record.public.bits < MIN_RSA_BITS:
        cause = f"an RSA key of {record.public.bits} bits is too short (RFC 8301)"
        raise _Failed(Result.POLICY, cause, "use a key of 2048 bits")
    if record.is_strict and signature.auid is not None:
        domain = a_label(signature.auid.rpartition("@")[2])
        if domain != signature.domain:
            cause = f"i= has the domain {domain}, and the record says t=s"
            raise _Failed(Result.PERMERROR, cause, "leave i= out, or t=s out of the record")
    return record


def _check_body(message: Message, signature: Signature, notes: list[str]) -> None:
    if signature.length is not None:
        notes.append("l= leaves the end of the body unsigned: anyone may append to it")
    digest = hash_body(message.body, signature.body_method, limit_octets=signature.length)
    if digest != signature.body_hash:
        cause = "the body hash did not verify: the body was changed after it was signed"
        fix = "see which hop re-encodes, re-wraps or appends a footer"
        raise _Failed(Result.FAIL, cause, fix)


def _check_value(message: Message, signature: Signature, record: KeyRecord, name: str) -> None:
    public = record.public
    digest = header_digest(message, signature)
    if not isinstance(public, PublicKey) or not public.verifies(signature.value, digest):
        shown = public.fingerprint if public else "none"
        cause = "the signature does not verify: a signed header field was changed, or the "
        cause += f"record at {name} has another key than the one that signed ({shown})"
        raise _Failed(Result.FAIL, cause, "compare the record with dkim-relay keys record")


def header_digest(message: Message, signature: Signature) -> bytes:
    """The data hash of §3.7 for a signature in a message."""
    method = signature.header_method
    # The signature itself is never among the fields that h= selects (§5.4).
    fields = [f for f in message.fields if f is not signature.field]
    forms = [header_form(f, method) for f in select_fields(fields, signature.names)]
    own = header_form(signature.unsigned_field, method).removesuffix(b"\r\n")
    return hashlib.sha256(b"".join(forms) + own).digest()
