"""What `dkim-relay verify --json` says. Output only.

It is one object, and its shape is stable; new keys may be added.

    version       1
    file          the argument, "<stdin>" for standard input
    size_octets   of the message as it was read
    reading       what had to be supposed in order to read it
    from          {address, domain, organizational_domain, problem}; domains null when unknown
    result        pass when any signature passes, else the first one's, none without any
    cause, fix    those of that verdict
    aligned       the best alignment of a signature that passes: strict, relaxed, no; or null
    signatures    in the order of the fields:
      result, cause, fix, notes
      domain, selector, algorithm, auid, canonicalization, length, signed_at, expires_at, signed
                  of the signature; null when it cannot be read; signed is h=
      body_matches, header_matches, published_key_signed
                  what was measured: true, false, or null when it could not be
      changes     [{what, fix}], what was found to have changed
      record      {name, outcome, detail, count, key_type, bits, fingerprint, flags, note} or null
      local_key   {path, fingerprint, signed, record_state: matches, different, missing,
                  revoked, malformed, several or temperror; record_detail} or null
      aligned     strict, relaxed, no; null without a From domain
      would_align which signature would; empty when this one does
      dkimpy      {outcome: pass, fail or not_asked; reason; agrees: true, false or null}
"""

from __future__ import annotations

from typing import Any

from relay.cli.layout import utc
from relay.cli.verify_report import Judged, Report
from relay.core.dkim.verdict import Verdict

_SHOWN_NAMES = 200


def as_json(report: Report) -> dict[str, Any]:
    """The object that the top of this module describes."""
    author = report.author
    organizational = report.organizational(author.domain) if author.domain else None
    return {
        "version": 1,
        "file": report.file,
        "size_octets": report.size_octets,
        "reading": report.reading,
        "from": {
            "address": author.address,
            "domain": author.domain,
            "organizational_domain": organizational,
            "problem": author.problem,
        },
        "result": report.overall.result,
        "cause": report.overall.cause,
        "fix": report.overall.fix,
        "aligned": report.aligned,
        "signatures": [_signature_object(report, judged) for judged in report.judged],
    }


def _signature_object(report: Report, judged: Judged) -> dict[str, Any]:
    verdict, opinion = judged.verdict, judged.opinion
    evidence = verdict.evidence
    return {
        "result": verdict.result,
        "cause": verdict.cause,
        "fix": verdict.fix,
        "notes": verdict.notes,
        "domain": verdict.domain or None,
        "selector": verdict.selector or None,
        "algorithm": verdict.algorithm or None,
        **_signature_tags(verdict),
        "body_matches": evidence.body_matches,
        "header_matches": evidence.header_matches,
        "published_key_signed": evidence.published_key_signed,
        "changes": [{"what": change.what, "fix": change.fix} for change in judged.changes],
        "record": _record_object(verdict),
        "local_key": _local_object(judged),
        "aligned": report.alignment(verdict),
        "would_align": report.would_align(verdict),
        "dkimpy": {
            "outcome": opinion.outcome,
            "reason": opinion.reason,
            "agrees": opinion.agrees(passed=verdict.passed),
        },
    }


def _signature_tags(verdict: Verdict) -> dict[str, Any]:
    signature = verdict.signature
    if signature is None:
        names = ("auid", "canonicalization", "length", "signed_at", "expires_at", "signed")
        return dict.fromkeys(names)
    length = signature.length
    return {
        "auid": signature.auid,
        "canonicalization": f"{signature.header_method}/{signature.body_method}",
        # A number of 76 digits is more than JSON readers take.
        "length": length if length is None or length < 2**53 else str(length),
        "signed_at": utc(signature.signed_at),
        "expires_at": utc(signature.expires_at),
        "signed": [name.decode("ascii") for name in signature.names[:_SHOWN_NAMES]],
    }


def _record_object(verdict: Verdict) -> dict[str, Any] | None:
    published = verdict.published
    if published is None:
        return None
    record, public = published.record, published.public
    return {
        "name": published.name,
        "outcome": published.outcome,
        "detail": published.detail,
        "count": published.count,
        "key_type": record.key_type if record else None,
        "bits": public.bits if public else None,
        "fingerprint": public.fingerprint if public else None,
        "flags": sorted(record.flags) if record else [],
        "note": record.note if record else "",
    }


def _local_object(judged: Judged) -> dict[str, Any] | None:
    local = judged.verdict.local
    if local is None:
        return None
    return {
        "path": local.place,
        "fingerprint": local.public.fingerprint,
        "signed": judged.verdict.evidence.local_key_signed,
        "record_state": judged.record_state,
        "record_detail": judged.record_detail,
    }
