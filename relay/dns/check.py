"""The record of one key as the whole of DNS has it: every server, the resolver, DNSSEC.

Asking is the IO of those it is given; what they say together is decided here. What one answer
means is `judge`'s, as it is for the gate.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from relay.core.dkim.algorithm import PublicKey
from relay.core.dkim.query import TxtAnswer, TxtOutcome
from relay.core.dkim.record import KeyRecord, record_name
from relay.dns.dnssec import Dnssec, DnssecState
from relay.dns.finding import Code, Finding, Severity, worst
from relay.dns.judge import Judgement, RecordState, carries, examine, size_finding
from relay.dns.resolver import Resolver
from relay.dns.survey import Authority, ServerAnswer, Survey, Trouble, trouble_of

_SETTLED = frozenset({RecordState.MATCHES, RecordState.TEMPERROR})
# What to do about a server that does not answer as it should; mail verifies while others do.
_TROUBLES: dict[Trouble, tuple[Code, str, str]] = {
    Trouble.TIMEOUT: (Code.SERVER_TIMEOUT, "no answer", "see whether it runs, and the way to it"),
    Trouble.SERVFAIL: (Code.SERVER_SERVFAIL, "SERVFAIL", "its copy of the zone is not usable"),
    Trouble.REFUSED: (Code.SERVER_REFUSED, "REFUSED", "load the zone, or drop its NS record"),
    Trouble.LAME: (Code.SERVER_LAME, "no authority", "load the zone, or drop its NS record"),
    Trouble.UNREACHABLE: (Code.SERVER_UNREACHABLE, "no way there", "ask from another network"),
    Trouble.NO_ADDRESS: (Code.SERVER_NO_ADDRESS, "no address", "publish one, or drop its NS"),
    Trouble.ERROR: (Code.SERVER_ERROR, "no valid answer", "see the log of that server"),
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A record that should be in DNS.

    Attributes:
        domain, selector: whose, in A-labels.
        public: the key that should be there; None when it is not known here.
        place: the key's file; empty when there is none.
        problem: why that file cannot be used; empty when it can.
    """

    domain: str
    selector: str
    public: PublicKey | None
    place: str = ""
    problem: str = ""

    @property
    def name(self) -> str:
        """The owner name of the record."""
        return record_name(self.selector, self.domain)


@dataclass(frozen=True, slots=True)
class RecordReport:
    """What was found of one record.

    Attributes:
        wanted: what should be there.
        state: as for the gate: MATCHES when every server that answers has it.
        findings: what matters most first.
        survey: what each authoritative server says.
        resolved: what the configured resolver says.
        dnssec: how the name stands with DNSSEC.
        record: what is there, when it can be read.
    """

    wanted: Wanted
    state: RecordState
    findings: tuple[Finding, ...]
    survey: Survey
    resolved: TxtAnswer
    dnssec: DnssecState
    record: KeyRecord | None = None

    @property
    def is_right(self) -> bool:
        """Whether signatures made with the key verify everywhere."""
        return worst(self.findings) is not Severity.FAULT


@dataclass(frozen=True, slots=True)
class RecordCheck:
    """Asks for records.

    Attributes:
        resolver: the configured one, as receivers have theirs.
        authority: asks every authoritative server.
        dnssec: asks for DNSSEC.
    """

    resolver: Resolver
    authority: Authority
    dnssec: Dnssec

    async def check(self, wanted: Wanted) -> RecordReport:
        """Ask everybody for one record, and say what the answers mean; never raises."""
        name = wanted.name
        async with asyncio.TaskGroup() as group:
            surveyed = group.create_task(self.authority.survey(name))
            resolved = group.create_task(self.resolver.txt(name))
            dnssec = group.create_task(self.dnssec.state(name))
        view = View(wanted, surveyed.result(), resolved.result(), dnssec.result())
        misplaced = await self._misplaced(wanted) if view.state is RecordState.MISSING else None
        return view.report(misplaced)

    async def _misplaced(self, wanted: Wanted) -> Finding | None:
        """Where else the record stands, when it is not where it should be."""
        public = wanted.public
        if public is None:
            return None
        names = _nearby(wanted)
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(self.resolver.txt(name)) for name in names]
        for name, task in zip(names, asked, strict=True):
            if carries(task.result(), public):
                is_doubled = name.startswith(f"{wanted.name}.")
                cause = "the console appends the domain by itself" if is_doubled else "a slip"
                return Finding(
                    Code.MISPLACED,
                    Severity.FAULT,
                    f"the record stands at {name} instead",
                    cause,
                    f"move it to {wanted.name}; where a console appends the domain, enter "
                    f"{wanted.selector}._domainkey",
                )
        return None


def _nearby(wanted: Wanted) -> list[str]:
    """Names that consoles and people make of the right one."""
    domain, selector = wanted.domain, wanted.selector
    names = [
        f"{wanted.name}.{domain}",
        f"{selector}.{domain}",
        f"{selector}.domainkey.{domain}",
        f"{selector}._domainkeys.{domain}",
    ]
    parent = domain.partition(".")[2]
    return [*names, record_name(selector, parent)] if "." in parent else names


@dataclass(slots=True)
class View:
    """All answers for one record, judged."""

    wanted: Wanted
    survey: Survey
    resolved: TxtAnswer
    dnssec: DnssecState
    _judged: list[tuple[str, Judgement]] = field(init=False)

    def __post_init__(self) -> None:
        public = self.wanted.public
        self._judged = [(one.shown, examine(one.answer, public)) for one in self.survey.answers]
        if self.survey.problem or not self._judged:
            # The resolver stands in for the servers that could not be asked.
            self._judged.append(("the resolver", examine(self.resolved, public)))

    @property
    def state(self) -> RecordState:
        """As `everywhere` has it for the gate: silent servers mislead nobody."""
        return self._representative.state

    @property
    def _representative(self) -> Judgement:
        """Of what is wrong the first, else a match, else that nothing is known."""
        judgements = [judgement for _, judgement in self._judged]
        wrong = [one for one in judgements if one.state not in _SETTLED]
        matching = [one for one in judgements if one.state is RecordState.MATCHES]
        return next(iter(wrong or matching or judgements))

    def report(self, misplaced: Finding | None) -> RecordReport:
        """The report, its findings sorted by how much they matter."""
        order = list(Severity)
        found = [*self._findings(), *([misplaced] if misplaced else [])]
        found.sort(key=lambda finding: -order.index(finding.severity))
        record = self._representative.record
        return RecordReport(
            self.wanted, self.state, tuple(found), self.survey, self.resolved, self.dnssec, record
        )

    def _findings(self) -> Iterator[Finding]:
        yield from self._own_findings()
        yield from self._record_findings()
        yield from self._key_size()
        yield from _troubled(trouble_of(self.survey.answers))
        yield from self._ways()
        yield from self._resolver_findings()

    def _own_findings(self) -> Iterator[Finding]:
        if self.wanted.problem:
            what = f"the key cannot be read: {self.wanted.problem}"
            yield Finding(Code.KEY_UNREADABLE, Severity.FAULT, what)
        elif self.wanted.public is None:
            what = "there is no key here to compare the record with"
            yield Finding(Code.NO_KEY, Severity.NOTE, what)

    def _key_size(self) -> Iterator[Finding]:
        record = self._representative.record
        public = self.wanted.public or (record.public if record else None)
        finding = size_finding(public) if public is not None else None
        if finding is not None:
            yield finding

    def _record_findings(self) -> Iterator[Finding]:
        """What stands there; and when servers do not say the same, which says what."""
        said: dict[str, list[str]] = {}
        for server, judgement in self._judged:
            if judgement.state is not RecordState.TEMPERROR:
                said.setdefault(judgement.findings[0].symptom, []).append(server)
        if len(said) > 1:
            what = "; ".join(f"{', '.join(who)}: {symptom}" for symptom, who in said.items())
            cause = "a change is on its way, or a server does not take over changes of the zone"
            fix = "wait some minutes; if it stays, see the zone's serial and transfers there"
            symptom = f"not the same everywhere: {what}"
            yield Finding(Code.NOT_EVERYWHERE, Severity.FAULT, symptom, cause, fix)
        if len(said) < 2 or not self._states & {RecordState.MATCHES}:
            yield from self._representative.findings

    @property
    def _states(self) -> set[RecordState]:
        return {judgement.state for _, judgement in self._judged}

    def _ways(self) -> Iterator[Finding]:
        if self.survey.cnames:
            what = f"a CNAME leads to {', '.join(self.survey.cnames)}"
            cause = "whoever runs that name decides about the key"
            yield Finding(Code.DELEGATED, Severity.NOTE, what, cause)
        if self.survey.problem:
            what = f"not all authoritative servers could be asked: {self.survey.problem}"
            fix = "the configured resolver's answer was taken instead"
            yield Finding(Code.AUTHORITIES_UNKNOWN, Severity.WARNING, what, fix=fix)

    def _resolver_findings(self) -> Iterator[Finding]:
        asked = f"[{self.resolved.detail}]"
        if self.dnssec is DnssecState.BOGUS:
            what = f"the resolver answers SERVFAIL, but not with checking disabled {asked}"
            cause = "DNSSEC of the zone is broken: signatures expired, or DS at the parent is wrong"
            fix = "sign the zone again, or mend DS; receivers that validate see no key until then"
            yield Finding(Code.DNSSEC_BOGUS, Severity.FAULT, what, cause, fix)
        elif self.state is RecordState.TEMPERROR:
            return
        elif self.resolved.outcome is TxtOutcome.SERVFAIL:
            fix = "see its log: some receivers may have the same trouble"
            what = f"the resolver fails on the name {asked}"
            yield Finding(Code.RESOLVER_SERVFAIL, Severity.WARNING, what, fix=fix)
        elif self.resolved.outcome is TxtOutcome.TIMEOUT:
            what = f"the resolver does not answer in time {asked}"
            fix = "see whether it runs, or name another with --nameserver"
            yield Finding(Code.RESOLVER_TIMEOUT, Severity.WARNING, what, fix=fix)
        else:
            yield from self._resolver_differs(asked)

    def _resolver_differs(self, asked: str) -> Iterator[Finding]:
        judgement = examine(self.resolved, self.wanted.public)
        if judgement.state in self._states:
            return
        what = f"the resolver has something else: {judgement.findings[0].symptom} {asked}"
        cause = "its cache keeps the former answer for as long as its TTL said, or its view differs"
        fix = "wait for that long: receivers that asked before see the same"
        yield Finding(Code.RESOLVER_DIFFERS, Severity.WARNING, what, cause, fix)


def _troubled(answers: Sequence[ServerAnswer]) -> Iterator[Finding]:
    """Servers that do not answer as they should, by what they do."""
    by_trouble: dict[Trouble, list[ServerAnswer]] = {}
    for one in answers:
        by_trouble.setdefault(one.trouble, []).append(one)
    for trouble, ones in by_trouble.items():
        code, what, fix = _TROUBLES[trouble]
        servers = ", ".join(one.shown for one in ones)
        cause = "receivers that ask it wait and ask another"
        yield Finding(code, Severity.WARNING, f"{what} from {servers}", cause, fix)
