"""What stands around the keys of a domain: DMARC, SPF, policies of old, selectors of others.

The questions are the resolver's IO; what the answers mean is pure. RFC 7489 §6.3 and §6.6.3
(DMARC), RFC 7208 §4.5 (SPF; nothing is evaluated), RFC 4870 §3.6 and RFC 5617 (historic).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from relay.core.dkim.algorithm import PublicKey
from relay.core.dkim.alignment import Organizational
from relay.core.dkim.query import TxtAnswer, TxtOutcome
from relay.core.dkim.record import record_name
from relay.core.dkim.tags import parse_tags
from relay.core.errors import SyntaxFault
from relay.core.excerpt import excerpt
from relay.dns.finding import Code, Finding, Severity
from relay.dns.judge import RecordState, examine
from relay.dns.resolver import Resolver

_NO_ANSWER = frozenset({TxtOutcome.SERVFAIL, TxtOutcome.TIMEOUT})
_POLICIES = ("none", "quarantine", "reject")
_PUBLISH = 'publish "v=DMARC1; p=none; rua=mailto:ADDRESS" there, and tighten p= by the reports'


@dataclass(frozen=True, slots=True)
class DomainWanted:
    """A domain to look around.

    Attributes:
        domain: in A-labels.
        has_subdomains: whether its keys sign for subdomains too.
        publics: its own keys.
        others: selectors of other services, in A-labels.
    """

    domain: str
    has_subdomains: bool = False
    publics: Collection[PublicKey] = ()
    others: Sequence[str] = ()


async def look_around(
    wanted: DomainWanted, resolver: Resolver, organizational: Organizational
) -> tuple[Finding, ...]:
    """What stands around the keys of a domain; none of it is a fault of the keys.

    Args:
        wanted: the domain.
        resolver: who is asked.
        organizational: by the public suffix list.
    """
    domain = wanted.domain
    top = organizational(domain)
    names = [f"_dmarc.{domain}", domain, f"_domainkey.{domain}", f"_adsp._domainkey.{domain}"]
    others = [record_name(selector, domain) for selector in wanted.others]
    above = [f"_dmarc.{top}"] if top is not None and top != domain else []
    async with asyncio.TaskGroup() as group:
        asked = {n: group.create_task(resolver.txt(n)) for n in (*names, *others, *above)}
    answers = {name: task.result() for name, task in asked.items()}
    found = [
        *_dmarc(wanted, [(name, answers[name]) for name in (names[0], *above)]),
        *_spf(domain, answers[domain]),
        *(f for name in names[2:] for f in _legacy(name, answers[name])),
    ]
    for selector, name in zip(wanted.others, others, strict=True):
        found.append(_other(selector, name, answers[name], wanted.publics))
    return tuple(found)


def _dmarc(wanted: DomainWanted, asked: Sequence[tuple[str, TxtAnswer]]) -> Iterator[Finding]:
    """The record of the domain, else that of its organization (RFC 7489 §6.6.3)."""
    for name, answer in asked:
        if answer.outcome in _NO_ANSWER:
            what = f"DNS did not answer for {name} [{answer.detail}]"
            yield Finding(Code.DMARC_UNKNOWN, Severity.WARNING, what, fix="ask again later")
            return
        records = [r for r in answer.records if r.replace(b" ", b"").startswith(b"v=DMARC1")]
        if len(records) > 1:
            what = f"{len(records)} DMARC records at {name}, so receivers apply none"
            yield Finding(Code.DMARC_SEVERAL, Severity.WARNING, what, fix="delete all but one")
            return
        if records:
            yield from _dmarc_record(wanted, name, records[0])
            return
    what = f"no DMARC record at {asked[0][0]}"
    cause = "without it nothing ties DKIM to the From domain, and large receivers ask for it"
    yield Finding(Code.DMARC_MISSING, Severity.WARNING, what, cause, _PUBLISH)


def _dmarc_record(wanted: DomainWanted, name: str, octets: bytes) -> Iterator[Finding]:
    is_above = name != f"_dmarc.{wanted.domain}"
    try:
        tags = _dmarc_tags(octets)
    except SyntaxFault as exc:
        what = f"the DMARC record at {name} cannot be read: {excerpt(str(exc), 120)}"
        fix = f"it begins {excerpt(octets, 40)!r}; write it anew: v=DMARC1; p=..."
        yield Finding(Code.DMARC_MALFORMED, Severity.WARNING, what, fix=fix)
        return
    policy = tags["p"]
    below = tags.get("sp", policy)
    effective = below if is_above else policy
    alignment = "strict" if tags.get("adkim") == "s" else "relaxed"
    what = f"DMARC p={policy} sp={below} at {name}, DKIM alignment {alignment}"
    yield Finding(Code.DMARC, Severity.OK, what)
    if effective == "none":
        what = f"DMARC asks for nothing ({'sp' if is_above else 'p'}=none): forged mail arrives"
        fix = "quarantine or reject, once the reports show that your own mail passes"
        yield Finding(Code.DMARC_NONE, Severity.NOTE, what, fix=fix)
    elif below == "none":
        what = "DMARC sp=none: mail forged with subdomains arrives"
        fix = "leave sp= out, or give it the value of p="
        yield Finding(Code.DMARC_SUBDOMAINS_NONE, Severity.NOTE, what, fix=fix)
    if alignment == "strict" and wanted.has_subdomains:
        what = f"adkim=s: mail from subdomains, signed with d={wanted.domain}, is not aligned"
        fix = "give each subdomain a key of its own, or set adkim=r"
        yield Finding(Code.DMARC_STRICT, Severity.WARNING, what, fix=fix)


def _dmarc_tags(octets: bytes) -> dict[str, str]:
    """The tags of a DMARC record in lower case.

    Raises:
        SyntaxFault: no tag list, or no policy in it.
    """
    tags = {
        tag: value.unfolded.decode("ascii").lower() for tag, value in parse_tags(octets).items()
    }
    for name in ("p", "sp"):
        policy = tags.get(name, "none" if name == "sp" else "")
        if policy not in _POLICIES:
            raise SyntaxFault(f"{name}={policy} is none of {', '.join(_POLICIES)}")
    return tags


def _spf(domain: str, answer: TxtAnswer) -> Iterator[Finding]:
    if answer.outcome in _NO_ANSWER:
        what = f"DNS did not answer for {domain} [{answer.detail}]"
        yield Finding(Code.SPF_UNKNOWN, Severity.WARNING, what, fix="ask again later")
        return
    # RFC 7208 §4.5: the version, then a space or the end.
    count = sum(r.lower().partition(b" ")[0] == b"v=spf1" for r in answer.records)
    if count == 1:
        yield Finding(Code.SPF, Severity.OK, f"SPF at {domain} (not evaluated)")
    elif count:
        what = f"{count} SPF records at {domain}, which is a permanent error (RFC 7208 §4.5)"
        yield Finding(Code.SPF_SEVERAL, Severity.WARNING, what, fix="merge them into one")
    else:
        what = f"no SPF record at {domain}"
        cause = "DKIM and DMARC do not need it, some receivers ask for it"
        fix = "publish one that names who sends with this domain as reverse-path"
        yield Finding(Code.SPF_MISSING, Severity.NOTE, what, cause, fix)


def _legacy(name: str, answer: TxtAnswer) -> Iterator[Finding]:
    starts = (b"o=", b"t=", b"r=", b"n=", b"dkim=")
    policies = [r for r in answer.records if r.replace(b" ", b"").lower().startswith(starts)]
    if policies:
        what = f"an old policy record at {name} ({excerpt(policies[0], 40)})"
        cause = "DomainKeys and ADSP had them; receivers ignore it today"
        fix = "harmless; it may be deleted"
        yield Finding(Code.LEGACY_POLICY, Severity.NOTE, what, cause, fix)


def _other(selector: str, name: str, answer: TxtAnswer, publics: Collection[PublicKey]) -> Finding:
    """A selector of another service, which ought to be gone when the service is."""
    judgement = examine(answer, None)
    first = judgement.findings[0]
    public = judgement.record.public if judgement.record is not None else None
    if public is not None and public in publics:
        what = f"{name} has the same key as ours ({public.fingerprint})"
        cause = "two services share one private key"
        fix = "give each service a key of its own: dkim-relay keys new"
        return Finding(Code.OTHER_SELECTOR_SAME_KEY, Severity.WARNING, what, cause, fix)
    if public is not None:
        what = f"{name} is still published (key {public.fingerprint})"
        cause = f"whoever has the private key of {selector} signs mail as this domain"
        fix = "delete the record, or publish p= empty, when that service is no longer used"
        return Finding(Code.OTHER_SELECTOR, Severity.WARNING, what, cause, fix)
    match judgement.state:
        case RecordState.MISSING:
            return Finding(Code.OTHER_SELECTOR_ABSENT, Severity.OK, f"{name} is gone")
        case RecordState.REVOKED:
            return Finding(Code.OTHER_SELECTOR_REVOKED, Severity.OK, f"{name} is revoked")
        case RecordState.TEMPERROR:
            what = f"DNS did not answer for {name} [{answer.detail}]"
            fix = "ask again later"
            return Finding(Code.OTHER_SELECTOR_UNKNOWN, Severity.WARNING, what, fix=fix)
        case _:
            what = f"what stands at {name} is no usable key: {first.symptom}"
            fix = "nobody can sign with it; it may be deleted"
            return Finding(Code.OTHER_SELECTOR_BROKEN, Severity.NOTE, what, fix=fix)
