"""What `dkim-relay verify` found out, and how it is told to people. Output only."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from relay.cli.layout import labelled, lines, utc, wrapped
from relay.cli.second_opinion import Opinion, Outcome
from relay.core.dkim.alignment import Alignment, Author, Organizational, align, aligning
from relay.core.dkim.diagnose.change import Change
from relay.core.dkim.verdict import Result, Verdict
from relay.core.excerpt import counted, excerpt

_SHOWN_SIGNATURES = 20


@dataclass(frozen=True, slots=True)
class Judged:
    """One signature with everything that was found out about it.

    Attributes:
        verdict: what a receiver would say.
        opinion: dkimpy's.
        changes: what changed since the signature was made.
        record_state, record_detail: how the published record stands to the local key; empty
            without a local key.
    """

    verdict: Verdict
    opinion: Opinion
    changes: tuple[Change, ...] = ()
    record_state: str = ""
    record_detail: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """A message, judged.

    Attributes:
        file: the argument.
        size_octets: of the message as it was read.
        reading: what had to be supposed in order to read it.
        author: whose domain counts for alignment.
        judged: every signature from the top.
        overall: the verdict on the message.
        organizational: by the public suffix list.
        local_domains: domains that there are local keys for.
    """

    file: str
    size_octets: int
    reading: tuple[str, ...]
    author: Author
    judged: tuple[Judged, ...]
    overall: Verdict
    organizational: Organizational
    local_domains: Collection[str]

    @property
    def aligned(self) -> Alignment | None:
        """The best alignment of a signature that passes."""
        found = [self.alignment(j.verdict) for j in self.judged if j.verdict.passed]
        return next((a for a in Alignment if a in found), None)

    def alignment(self, verdict: Verdict) -> Alignment | None:
        """How d= of a signature and the From domain relate."""
        if self.author.domain is None or not verdict.domain:
            return None
        return align(verdict.domain, self.author.domain, self.organizational)

    def would_align(self, verdict: Verdict) -> str:
        """Which signature would align; empty when this one does."""
        if self.author.domain is None or self.alignment(verdict) is not Alignment.NO:
            return ""
        return aligning(self.author.domain, self.organizational, self.local_domains)


def as_text(report: Report) -> str:
    """The same for people."""
    author = report.author
    parts = [
        wrapped(f"From {author.address or author.problem}, {counted(report.size_octets, 'octet')}")
    ]
    parts += [labelled("reading", note, indent=0) for note in report.reading]
    if not report.judged:
        parts.append(_verdict_text(report.overall))
    for judged in report.judged[:_SHOWN_SIGNATURES]:
        parts.append(_signature_text(report, judged))
    more = len(report.judged) - _SHOWN_SIGNATURES
    if more > 0:
        parts.append(f"and {counted(more, 'more signature')}, not shown here; --json has them")
    return lines(parts)


def _verdict_text(verdict: Verdict) -> str:
    about = "".join(
        f" {tag}={excerpt(value)}"
        for tag, value in (("d", verdict.domain), ("s", verdict.selector), ("a", verdict.algorithm))
        if value
    )
    return lines(
        [
            wrapped(f"dkim={verdict.result}{about}: {verdict.cause}"),
            labelled("to do", verdict.fix),
            *(labelled("note", note) for note in verdict.notes),
        ]
    )


def _signature_text(report: Report, judged: Judged) -> str:
    verdict = judged.verdict
    parts = [_verdict_text(verdict)]
    for change in judged.changes:
        parts.append(labelled("found", change.what))
        parts.append(labelled("to do", change.fix, indent=4))
    if verdict.published is not None:
        parts += [
            labelled("signed", _when(verdict)),
            labelled("record", _record_text(verdict)),
            labelled("local key", _local_text(judged)),
        ]
    parts += [
        labelled("aligned", _alignment_text(report, verdict)),
        labelled(*_opinion_text(verdict, judged.opinion)),
    ]
    return lines(parts)


def _when(verdict: Verdict) -> str:
    signature = verdict.signature
    if signature is None:
        return ""
    parts = [
        utc(signature.signed_at) or "at an unknown time",
        f"c={signature.header_method}/{signature.body_method}",
        counted(len(signature.names), "name") + " in h=",
    ]
    if signature.expires_at is not None:
        parts.insert(1, f"expires {utc(signature.expires_at)}")
    return ", ".join(parts)


def _record_text(verdict: Verdict) -> str:
    published = verdict.published
    if published is None:
        return ""
    public = published.public
    found = "no key"
    if public is not None:
        kind = public.algorithm.key_type
        found = f"{kind} {public.bits} bits, fingerprint {public.fingerprint}"
    asked = f" ({published.detail})" if published.detail else ""
    return f"{published.name}, {found}{asked}"


def _local_text(judged: Judged) -> str:
    verdict, local = judged.verdict, judged.verdict.local
    if local is None:
        return ""
    made = ""
    if not verdict.passed and verdict.evidence.local_key_signed is not None:
        made = ", made" if verdict.evidence.local_key_signed else ", did not make"
        made += " this signature"
    shown = f"{local.place}, fingerprint {local.public.fingerprint}{made}"
    return f"{shown}; its record: {judged.record_state}, {judged.record_detail}"


def _alignment_text(report: Report, verdict: Verdict) -> str:
    match report.alignment(verdict):
        case None:
            return f"not known: {report.author.problem}" if report.author.problem else ""
        case Alignment.NO:
            author = f"d= has nothing to do with the From domain {report.author.domain}"
            return f"no, {author}; {report.would_align(verdict)}"
        case Alignment.STRICT | Alignment.RELAXED as alignment:
            return f"{alignment}, with the From domain {report.author.domain}"


def _opinion_text(verdict: Verdict, opinion: Opinion) -> tuple[str, str]:
    because = f" ({opinion.reason})" if opinion.reason else ""
    match opinion.outcome:
        case Outcome.NOT_ASKED:
            return "dkimpy", f"was not asked: {opinion.reason}"
        case Outcome.PASS | Outcome.FAIL as outcome if opinion.agrees(passed=verdict.passed):
            short = opinion.reason.partition(" (")[0]
            return "dkimpy", f"says {outcome} too" + (f": {short}" if short else "")
        case Outcome.PASS | Outcome.FAIL as outcome:
            ours = f"we say {verdict.result} ({verdict.cause})"
            return "DISAGREEMENT", f"dkimpy says {outcome}{because}, {ours}"


def overall_verdict(verdicts: Collection[Verdict], without: Verdict) -> Verdict:
    """The verdict on the message: a pass wins, else the first counts, else `without`."""
    passed = (verdict for verdict in verdicts if verdict.result is Result.PASS)
    return next(passed, next(iter(verdicts), without))
