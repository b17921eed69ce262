"""The record of one key as all of DNS has it: what is said, and that the gate says the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product

import pytest

from relay.core.dkim.algorithm import PublicKey
from relay.core.dkim.query import TxtAnswer, TxtOutcome
from relay.core.dkim.record import record_text
from relay.dns.check import RecordCheck, RecordReport, View, Wanted
from relay.dns.dnssec import DnssecState
from relay.dns.everywhere import taken_together
from relay.dns.finding import Code, Finding, Severity
from relay.dns.judge import RecordState
from relay.dns.survey import Hop, ServerAnswer, Survey, Trouble
from tests.fakes.authorities import FakeAuthority, FakeDnssec
from tests.fakes.broken_records import CASES, Case, fill, places
from tests.fakes.resolver import FakeResolver

C = Code
S = RecordState
UNSIGNED = DnssecState.UNSIGNED
NAME = "s1._domainkey.example.com"


@pytest.fixture
def wanted(rsa_public: PublicKey) -> Wanted:
    """A record that should be there."""
    return Wanted("example.com", "s1", rsa_public, "keys/example.com/s1.pem")


@pytest.fixture
def good(rsa_public: PublicKey) -> FakeResolver:
    """DNS with the right record."""
    return FakeResolver({NAME: [record_text(rsa_public)]})


def check_of(
    resolver: FakeResolver,
    servers: Mapping[str, FakeResolver | Trouble] | None = None,
    *,
    problem: str = "",
    dnssec: DnssecState = DnssecState.UNSIGNED,
) -> RecordCheck:
    """A check of fakes; by default two servers that have what the resolver has."""
    authority = FakeAuthority(servers or {"ns1": resolver, "ns2": resolver}, problem)
    return RecordCheck(resolver, authority, FakeDnssec(dnssec))


def codes(report: RecordReport) -> list[Code]:
    """The codes of all findings, in order."""
    return [finding.code for finding in report.findings]


def the(code: Code, report: RecordReport) -> Finding:
    """The one finding of a code."""
    (found,) = (finding for finding in report.findings if finding.code is code)
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_every_broken_record_has_its_finding(
    case: Case,
    wanted: Wanted,
    rsa_public: PublicKey,
    other_rsa_public: PublicKey,
    ed25519_public: PublicKey,
    weak_public: PublicKey,
) -> None:
    """Each row ends in its finding, is right exactly when it matches, and the gate agrees."""
    texts = places(rsa_public, other_rsa_public, ed25519_public, weak_public)
    resolver = FakeResolver({NAME: [fill(text, texts) for text in case.records]})
    report = await check_of(resolver).check(wanted)
    assert case.code in codes(report)
    assert report.state is case.state
    assert report.is_right == (case.state is S.MATCHES)
    assert report.state is taken_together(report.survey.answers, rsa_public).state
    wrong = [finding for finding in report.findings if finding.severity is not Severity.OK]
    assert all(finding.symptom and finding.fix for finding in wrong)
    assert all(str(finding).isprintable() for finding in report.findings)


class TestMissing:
    """No record at its name."""

    async def test_it_is_nowhere(self, wanted: Wanted) -> None:
        """Nothing more to say than that."""
        report = await check_of(FakeResolver()).check(wanted)
        assert (report.state, codes(report), report.is_right) == (S.MISSING, [C.MISSING], False)

    @pytest.mark.parametrize(
        ("name", "cause"),
        [
            (f"{NAME}.example.com", "appends the domain"),
            ("s1.example.com", "slip"),
            ("s1.domainkey.example.com", "slip"),
            ("s1._domainkeys.example.com", "slip"),
        ],
    )
    async def test_it_stands_elsewhere(
        self, wanted: Wanted, rsa_public: PublicKey, name: str, cause: str
    ) -> None:
        """What consoles and people make of the name is looked for."""
        resolver = FakeResolver({name: [record_text(rsa_public)]})
        finding = the(C.MISPLACED, await check_of(resolver).check(wanted))
        assert name in finding.symptom
        assert cause in finding.cause
        assert f"move it to {NAME}" in finding.fix

    async def test_a_subdomains_record_stands_at_its_parent(self, rsa_public: PublicKey) -> None:
        """The console of the parent zone was given too little."""
        resolver = FakeResolver({NAME: [record_text(rsa_public)]})
        report = await check_of(resolver).check(Wanted("mail.example.com", "s1", rsa_public))
        assert NAME in the(C.MISPLACED, report).symptom

    async def test_another_key_elsewhere_is_not_it(
        self, wanted: Wanted, other_rsa_public: PublicKey
    ) -> None:
        """A wildcard answers for every name."""
        resolver = FakeResolver({f"{NAME}.example.com": [record_text(other_rsa_public)]})
        assert codes(await check_of(resolver).check(wanted)) == [C.MISSING]


class TestServers:
    """Several servers, not of one mind."""

    @pytest.mark.parametrize("lacks", [True, False])
    async def test_not_yet_everywhere(
        self, wanted: Wanted, good: FakeResolver, other_rsa_public: PublicKey, lacks: bool
    ) -> None:
        """The server that has the old record, or none, is named."""
        old = FakeResolver({} if lacks else {NAME: [record_text(other_rsa_public)]})
        report = await check_of(good, {"ns1": good, "ns2": old}).check(wanted)
        finding = the(C.NOT_EVERYWHERE, report)
        said = "does not exist" if lacks else other_rsa_public.fingerprint
        assert "ns1 (ns1:53): published and matching; ns2 (ns2:53): " in finding.symptom
        assert said in finding.symptom
        assert not report.is_right

    @pytest.mark.parametrize(
        ("trouble", "code"),
        [
            (Trouble.TIMEOUT, C.SERVER_TIMEOUT),
            (Trouble.SERVFAIL, C.SERVER_SERVFAIL),
            (Trouble.REFUSED, C.SERVER_REFUSED),
            (Trouble.LAME, C.SERVER_LAME),
            (Trouble.UNREACHABLE, C.SERVER_UNREACHABLE),
            (Trouble.NO_ADDRESS, C.SERVER_NO_ADDRESS),
            (Trouble.ERROR, C.SERVER_ERROR),
        ],
    )
    async def test_a_server_in_trouble(
        self, wanted: Wanted, good: FakeResolver, trouble: Trouble, code: Code
    ) -> None:
        """Each kind apart, with the server's name; alone it is all that is known."""
        report = await check_of(good, {"ns1": good, "ns2": trouble}).check(wanted)
        finding = the(code, report)
        assert (report.state, report.is_right) == (S.MATCHES, True)
        assert finding.severity is Severity.WARNING
        assert "ns2 (ns2:53)" in finding.symptom
        alone = await check_of(good, {"ns2": trouble}).check(wanted)
        assert (alone.state, alone.is_right) == (S.TEMPERROR, False)
        assert code in codes(alone)

    async def test_no_server_can_be_found(self, wanted: Wanted, good: FakeResolver) -> None:
        """The resolver's answer stands in, and that is said."""
        report = await check_of(good, problem="no zone").check(wanted)
        assert (report.state, report.is_right) == (S.MATCHES, True)
        assert "no zone" in the(C.AUTHORITIES_UNKNOWN, report).symptom
        missing = await check_of(FakeResolver(), problem="no zone").check(wanted)
        assert (missing.state, missing.is_right) == (S.MISSING, False)

    def test_an_address_without_a_way_does_not_count_beside_another(self) -> None:
        """A host without IPv6 reaches the server all the same; alone it is told."""
        found = ServerAnswer("n", "ns1", "a", TxtAnswer(TxtOutcome.NXDOMAIN))
        no_way = TxtAnswer(TxtOutcome.TIMEOUT)
        unreached = ServerAnswer("n", "ns1", "b", no_way, Trouble.UNREACHABLE)
        other = ServerAnswer("n", "ns2", "c", no_way, Trouble.UNREACHABLE)
        survey = Survey((Hop("n", "z", (found, unreached, other)),))
        assert survey.answers == (found, other)

    def test_a_cname_is_no_answer(self) -> None:
        """What counts is what stands behind it, and what servers without it say."""
        leads = ServerAnswer("n", "ns1", "a", TxtAnswer(TxtOutcome.NO_DATA), cname="t")
        not_yet = ServerAnswer("n", "ns2", "b", TxtAnswer(TxtOutcome.NXDOMAIN))
        behind = ServerAnswer("t", "ns3", "c", TxtAnswer(TxtOutcome.FOUND, (b"x",)))
        survey = Survey((Hop("n", "z", (leads, not_yet)), Hop("t", "y", (behind,))))
        assert survey.answers == (not_yet, behind)
        assert survey.cnames == ("t",)

    def test_the_gate_and_the_check_take_servers_together_alike(
        self, wanted: Wanted, rsa_public: PublicKey
    ) -> None:
        """Every mix of three servers gives the same state on both sides."""
        right = TxtAnswer(TxtOutcome.FOUND, (record_text(rsa_public).encode(),))
        kinds: dict[str, Callable[[str], ServerAnswer]] = {
            "right": lambda name: ServerAnswer(NAME, name, name, right),
            "absent": lambda name: ServerAnswer(NAME, name, name, TxtAnswer(TxtOutcome.NXDOMAIN)),
            "revoked": lambda name: ServerAnswer(
                NAME, name, name, TxtAnswer(TxtOutcome.FOUND, (b"p=",))
            ),
            "silent": lambda name: ServerAnswer(
                NAME, name, name, TxtAnswer(TxtOutcome.TIMEOUT), Trouble.TIMEOUT
            ),
        }
        for mix in product(kinds, repeat=3):
            answers = tuple(kinds[kind](f"ns{i}") for i, kind in enumerate(mix))
            view = View(wanted, Survey((Hop(NAME, "example.com", answers),)), right, UNSIGNED)
            assert view.state is taken_together(answers, rsa_public).state, mix


class TestResolver:
    """The configured resolver beside the servers."""

    async def test_it_still_has_the_former_answer(self, wanted: Wanted, good: FakeResolver) -> None:
        """The record is right; caches take a while."""
        report = await check_of(FakeResolver(), {"ns1": good}).check(wanted)
        assert (report.state, report.is_right) == (S.MATCHES, True)
        assert "TTL" in the(C.RESOLVER_DIFFERS, report).cause

    @pytest.mark.parametrize(
        ("failure", "code"),
        [("servfail", C.RESOLVER_SERVFAIL), ("timeout", C.RESOLVER_TIMEOUT)],
    )
    async def test_it_fails(
        self, wanted: Wanted, good: FakeResolver, failure: str, code: Code
    ) -> None:
        """Servers have the record: receivers with another resolver are fine."""
        resolver = FakeResolver()
        setattr(resolver, failure, {NAME})
        report = await check_of(resolver, {"ns1": good}).check(wanted)
        assert (report.is_right, the(code, report).severity) == (True, Severity.WARNING)

    async def test_dnssec_is_broken(self, wanted: Wanted, good: FakeResolver) -> None:
        """Receivers that validate see nothing: a fault although each server has the record."""
        resolver = FakeResolver(servfail={NAME})
        check = check_of(resolver, {"ns1": good}, dnssec=DnssecState.BOGUS)
        report = await check.check(wanted)
        assert (report.state, report.is_right) == (S.MATCHES, False)
        assert "DS" in the(C.DNSSEC_BOGUS, report).fix

    async def test_nothing_answers(self, wanted: Wanted) -> None:
        """That is no absence."""
        resolver = FakeResolver(timeout={NAME})
        report = await check_of(resolver).check(wanted)
        assert (report.state, report.is_right, C.MISSING in codes(report)) == (
            S.TEMPERROR,
            False,
            False,
        )


class TestKeys:
    """The key on our side."""

    async def test_a_key_that_cannot_be_read(self, good: FakeResolver) -> None:
        """The record is still looked at, and the file is named."""
        wanted = Wanted("example.com", "s1", None, "keys/x.pem", "keys/x.pem: no PEM (mend it)")
        report = await check_of(good).check(wanted)
        assert not report.is_right
        assert "keys/x.pem" in the(C.KEY_UNREADABLE, report).symptom

    async def test_a_selector_without_a_key_here(self, good: FakeResolver) -> None:
        """Published and usable is right, with a note that nothing was compared."""
        report = await check_of(good).check(Wanted("example.com", "s1", None))
        assert (report.is_right, report.state) == (True, S.MATCHES)
        assert C.NO_KEY in codes(report)

    async def test_findings_stand_in_order(self, wanted: Wanted, good: FakeResolver) -> None:
        """What matters most is read first."""
        text = good.records[NAME][0].replace("v=DKIM1; ", "") + "; t=y"
        resolver = FakeResolver({NAME: [text]})
        report = await check_of(resolver, {"ns1": resolver, "ns2": FakeResolver()}).check(wanted)
        order = list(Severity)
        severities = [order.index(finding.severity) for finding in report.findings]
        assert severities == sorted(severities, reverse=True)
