"""The key record as a verifier uses it: from an answer of DNS to keys, or why there are none.

Pure; asking is `relay.dns`. RFC 6376 §3.6.1, §3.6.2 and §6.1.2, RFC 8301 §3.2. Where several
records stand at one name, what a verifier does is undefined (§3.6.2.2): here each is tried, and
that is said.
"""

from __future__ import annotations

from dataclasses import dataclass

from relay.core.address import a_label
from relay.core.dkim.algorithm import Algorithm
from relay.core.dkim.causes import Kind, why_excluded, why_unreadable
from relay.core.dkim.query import TxtAnswer, TxtOutcome
from relay.core.dkim.record import KeyRecord, parse_record
from relay.core.dkim.signature import Signature
from relay.core.dkim.tags import TagFault
from relay.core.dkim.verdict import Finding, Result
from relay.core.excerpt import excerpt

MAX_RECORDS = 10  # at one name; the rest is somebody's mistake, or an attack


@dataclass(frozen=True, slots=True)
class Lookup:
    """What an answer has for one signature.

    Attributes:
        usable: the records whose key may have made the signature, in the order of the answer.
        nearest: the first of them, else the first that could be read.
        finding: why none is usable; None when one is.
        notes: what should be put right although the signature may pass.
    """

    usable: tuple[KeyRecord, ...]
    nearest: KeyRecord | None
    finding: Finding | None
    notes: tuple[str, ...] = ()


def look_up(name: str, answer: TxtAnswer, signature: Signature, algorithm: Algorithm) -> Lookup:
    """The records that permit this signature (§6.1.2).

    Args:
        name: the owner name that was asked for.
        answer: what came of it.
        signature: whose key is looked for.
        algorithm: its a=, known to us.
    """
    if (finding := _no_answer(name, answer)) is not None:
        return Lookup((), None, finding)
    usable: list[KeyRecord] = []
    readable: list[KeyRecord] = []
    findings: list[Finding] = []
    for octets in answer.records[:MAX_RECORDS]:
        try:
            record = parse_record(octets)
        except TagFault as exc:
            findings.append(_malformed(name, octets, exc))
            continue
        readable.append(record)
        excluded = _exclusion(name, record, signature, algorithm)
        if excluded is None:
            usable.append(record)
        else:
            findings.append(excluded)
    nearest = next(iter(usable or readable), None)
    notes = _several(name, answer.records) + _questionable(name, nearest, signature)
    return Lookup(tuple(usable), nearest, None if usable else findings[0], notes)


def _no_answer(name: str, answer: TxtAnswer) -> Finding | None:
    asked = f" ({answer.detail})" if answer.detail else ""
    match answer.outcome:
        case TxtOutcome.FOUND if answer.records:
            return None
        case TxtOutcome.FOUND | TxtOutcome.NO_DATA:
            cause = f"there is no record at {name}: the name exists, but has no TXT record{asked}"
        case TxtOutcome.NXDOMAIN:
            cause = f"there is no record at {name}: the name does not exist{asked}"
        case TxtOutcome.SERVFAIL:
            fix = "see the log of those name servers, and try again"
            return Finding(Result.TEMPERROR, f"DNS failed to answer for {name}{asked}", fix)
        case TxtOutcome.TIMEOUT:
            fix = "see whether those name servers can be reached, and try again"
            return Finding(Result.TEMPERROR, f"DNS did not answer for {name}{asked}", fix)
    fix = "publish the record of the key that signs (dkim-relay keys record), and wait for DNS"
    return Finding(Result.PERMERROR, cause, fix)


def _malformed(name: str, octets: bytes, fault: TagFault) -> Finding:
    cause = f"the record at {name} is malformed: {excerpt(str(fault), 200)}"
    why = why_unreadable(octets)
    if why.kind is not Kind.MALFORMED:
        cause += f"; {why.what}"
    return Finding(Result.PERMERROR, f"{cause} (it begins {excerpt(octets, 40)!r})", why.fix)


def _exclusion(
    name: str, record: KeyRecord, signature: Signature, algorithm: Algorithm
) -> Finding | None:
    """Why a record does not permit the signature (§3.6.1, §6.1.2); None when it does."""
    if record.public is None:
        cause = f"the key at {name} is revoked: p= is empty"
        return Finding(Result.PERMERROR, cause, "sign with a key that is in use: make a new one")
    if record.key_type != algorithm.key_type:
        cause = f"the record at {name} has k={record.key_type}, the signature a={algorithm}"
        return Finding(Result.PERMERROR, cause, "publish the record of the key that signs")
    if (why := why_excluded(record)) is not None:
        result = Result.POLICY if why.kind is Kind.SHORT_KEY else Result.PERMERROR
        return Finding(result, f"{why.what} (the record at {name})", why.fix)
    if record.is_strict and (domain := _auid_domain(signature)) != signature.domain:
        cause = f"i= has the domain {domain}, and t=s of the record permits {signature.domain} only"
        return Finding(Result.PERMERROR, cause, "leave i= out, or take t=s out of the record")
    return None


def _auid_domain(signature: Signature) -> str:
    """The domain of i=; without i= it is that of d= (§3.5)."""
    return (
        signature.domain if signature.auid is None else a_label(signature.auid.rpartition("@")[2])
    )


def _several(name: str, records: tuple[bytes, ...]) -> tuple[str, ...]:
    if len(set(records)) < 2:
        return ()
    shown = ", ".join(repr(excerpt(octets, 40)) for octets in records[:MAX_RECORDS])
    return (
        f"{len(records)} TXT records at {name}, a receiver may take any; each was tried here: "
        f"delete all but one ({shown})",
    )


def _questionable(name: str, record: KeyRecord | None, signature: Signature) -> tuple[str, ...]:
    """What receivers may take ill although it excludes nothing (§3.6.1, RFC 4871 §3.6.1)."""
    if record is None:
        return ()
    notes = []
    if record.is_testing:
        notes.append("t=y of the record: the domain is only testing, receivers may ignore DKIM")
    given = record.granularity
    local_part = (signature.auid or "").rpartition("@")[0]
    if given is not None and not _matches_granularity(given, local_part):
        notes.append(
            f"g={excerpt(given)} of the record does not match the local part of i= "
            f"({excerpt(local_part) or 'empty'}): g= means nothing since RFC 6376, but old "
            f"receivers refuse the signature: remove g= from the record at {name}"
        )
    public = record.public
    if public is not None and public.algorithm is Algorithm.RSA_SHA256 and public.bits < 2048:
        notes.append(f"an RSA key of {public.bits} bits: 2048 is what receivers want (RFC 8301)")
    return tuple(notes)


def _matches_granularity(pattern: str, local_part: str) -> bool:
    """One "*" stands for anything; an empty pattern matches nothing (RFC 4871 §3.6.1)."""
    if not pattern:
        return False
    before, star, after = pattern.partition("*")
    if not star:
        return local_part == pattern
    long_enough = len(local_part) >= len(before) + len(after)
    return long_enough and local_part.startswith(before) and local_part.endswith(after)
