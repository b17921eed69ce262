"""What `dkim-relay dns check --json` says. Output only.

It is one object, and its shape is stable; new keys and codes may be added.

    version      1
    result       ok when every record is right, else fault
    domains      in the order of the table:
      domain, result
      findings   about what stands around the keys: DMARC, SPF, other selectors
      records    one for each key:
        domain, selector, name, result
        state    matches, missing, different, revoked, malformed, several or temperror
        key      {path, algorithm, bits, fingerprint} or null when it is not here
        published  {key_type, bits, fingerprint, flags} of the record, or null
        findings
        zone     of the name, and cnames: the names that CNAMEs lead to
        servers  [{name, server, address, zone, trouble, outcome, records, cname, detail}]
        resolver {outcome, records, detail}
        dnssec   secure, signed, unsigned, bogus or unknown

Each finding is {code, severity: ok, note, warning or fault; symptom, cause, fix, tag, offset}.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from relay.cli.dns_run import DomainReport
from relay.core.dkim.query import TxtAnswer
from relay.dns.check import RecordReport
from relay.dns.finding import Finding
from relay.dns.survey import Hop, ServerAnswer


def as_json(reports: Sequence[DomainReport]) -> dict[str, Any]:
    """The object that the top of this module describes."""
    return {
        "version": 1,
        "result": _result(is_right=all(report.is_right for report in reports)),
        "domains": [_domain(report) for report in reports],
    }


def _result(*, is_right: bool) -> str:
    return "ok" if is_right else "fault"


def _domain(report: DomainReport) -> dict[str, Any]:
    return {
        "domain": report.domain,
        "result": _result(is_right=report.is_right),
        "findings": [_finding(finding) for finding in report.findings],
        "records": [_record(record) for record in report.records],
    }


def _record(report: RecordReport) -> dict[str, Any]:
    wanted, hops = report.wanted, report.survey.hops
    return {
        "domain": wanted.domain,
        "selector": wanted.selector,
        "name": wanted.name,
        "result": _result(is_right=report.is_right),
        "state": report.state,
        "key": _key(report),
        "published": _published(report),
        "findings": [_finding(finding) for finding in report.findings],
        "zone": hops[0].zone if hops else "",
        "cnames": report.survey.cnames,
        "servers": [_server(hop, one) for hop in hops for one in hop.servers],
        "resolver": _answer(report.resolved),
        "dnssec": report.dnssec,
    }


def _key(report: RecordReport) -> dict[str, Any] | None:
    public = report.wanted.public
    if public is None:
        return None
    return {
        "path": report.wanted.place,
        "algorithm": public.algorithm,
        "bits": public.bits,
        "fingerprint": public.fingerprint,
    }


def _published(report: RecordReport) -> dict[str, Any] | None:
    record = report.record
    if record is None:
        return None
    return {
        "key_type": record.key_type,
        "bits": record.public.bits if record.public else None,
        "fingerprint": record.public.fingerprint if record.public else None,
        "flags": sorted(record.flags),
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "code": finding.code,
        "severity": finding.severity,
        "symptom": finding.symptom,
        "cause": finding.cause,
        "fix": finding.fix,
        "tag": finding.tag,
        "offset": finding.offset,
    }


def _server(hop: Hop, one: ServerAnswer) -> dict[str, Any]:
    return {
        "name": one.name,
        "server": one.server,
        "address": one.address,
        "zone": hop.zone,
        "trouble": one.trouble,
        **_answer(one.answer),
        "cname": one.cname,
    }


def _answer(answer: TxtAnswer) -> dict[str, Any]:
    return {
        "outcome": answer.outcome,
        "records": [octets.decode("utf-8", "backslashreplace") for octets in answer.records],
        "detail": answer.detail,
    }
