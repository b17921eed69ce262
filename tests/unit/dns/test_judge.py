"""What records mean: a table of what consoles, people and time do to them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.dkim.algorithm import Algorithm, PublicKey
from relay.core.dkim.causes import Kind
from relay.core.dkim.query import TxtAnswer, TxtOutcome
from relay.core.dkim.record import record_text
from relay.dns.finding import Code, Severity
from relay.dns.judge import RecordState, examine, judge, size_finding
from tests.fakes.broken_records import CASES, Case, base64_of, fill, places
from tests.fakes.keys import rsa_private

S = RecordState
Places = Mapping[str, str]


@pytest.fixture
def texts(
    rsa_public: PublicKey,
    other_rsa_public: PublicKey,
    ed25519_public: PublicKey,
    weak_public: PublicKey,
) -> Places:
    """What stands for the names in braces."""
    return places(rsa_public, other_rsa_public, ed25519_public, weak_public)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_records(case: Case, rsa_public: PublicKey, texts: Places) -> None:
    """Each row is judged as it says, and the finding names cause or fix."""
    records = tuple(fill(text, texts).encode() for text in case.records)
    answer = TxtAnswer(TxtOutcome.FOUND, records)
    state, detail = judge(answer, rsa_public)
    assert state is case.state, detail
    assert fill(case.says, texts) in detail
    assert detail.isprintable()
    assert len(detail) < 700
    findings = examine(answer, rsa_public).findings
    assert case.code in {finding.code for finding in findings}
    # What is wrong stands first, and says what to do.
    assert (findings[0].severity is Severity.FAULT) == (state is not S.MATCHES)
    assert all(finding.fix for finding in findings if finding.severity is not Severity.OK)


def test_a_malformed_record_names_tag_and_offset(rsa_public: PublicKey) -> None:
    """For scripts, and for people who look at the record with a ruler."""
    answer = TxtAnswer(TxtOutcome.FOUND, (b"v=DKIM1; k=dsa; p=AAAA",))
    (finding,) = examine(answer, rsa_public).findings
    assert (finding.tag, finding.offset) == ("k", 9)


def test_a_weak_key_is_no_key(weak_public: PublicKey) -> None:
    """RFC 8301 §3.2: under 1024 bits nobody relies on it, even when it is the one we have."""
    answer = TxtAnswer(TxtOutcome.FOUND, (record_text(weak_public).encode(),))
    (finding,) = examine(answer, weak_public).findings
    assert (finding.code, finding.severity) == (Code.SHORT_KEY, Severity.FAULT)
    assert judge(answer, weak_public)[0] is S.MALFORMED


@pytest.mark.parametrize(("bits", "code"), [(1024, Code.SHORT_KEY), (3072, Code.LONG_KEY)])
def test_sizes_worth_knowing(bits: int, code: Code) -> None:
    """Between what is forbidden and what is advised, and above it."""
    public = PublicKey(Algorithm.RSA_SHA256, rsa_private(bits).public_key())
    finding = size_finding(public)
    assert finding is not None
    assert finding.code is code


@pytest.mark.parametrize("record", [b"v=DKIM1; k=rsa; p={P}", b"p={P}"])
def test_without_a_key_to_compare_with(record: bytes, rsa_public: PublicKey) -> None:
    """A record of another service is published when a verifier can use it."""
    octets = record.replace(b"{P}", base64_of(rsa_public).encode())
    judgement = examine(TxtAnswer(TxtOutcome.FOUND, (octets,)), None)
    assert judgement.state is S.MATCHES
    assert judgement.record is not None
    assert judgement.record.public == rsa_public


@pytest.mark.parametrize(
    ("outcome", "state", "says"),
    [
        (TxtOutcome.NXDOMAIN, S.MISSING, "does not exist"),
        (TxtOutcome.NO_DATA, S.MISSING, "no TXT record"),
        (TxtOutcome.FOUND, S.MISSING, "no record"),
        (TxtOutcome.SERVFAIL, S.TEMPERROR, "failed to answer"),
        (TxtOutcome.TIMEOUT, S.TEMPERROR, "in time"),
    ],
)
def test_no_records(
    outcome: TxtOutcome, state: RecordState, says: str, rsa_public: PublicKey
) -> None:
    """Absence is not failure; who was asked is part of what is said."""
    found, detail = judge(TxtAnswer(outcome, (), "asked 127.0.0.1:53"), rsa_public)
    assert found is state
    assert says in detail
    assert detail.endswith("[asked 127.0.0.1:53]")


def test_an_ed25519_record(ed25519_public: PublicKey, rsa_public: PublicKey) -> None:
    """RFC 8463 §4: the raw key in p=; the SubjectPublicKeyInfo that people publish is no key."""
    good = TxtAnswer(TxtOutcome.FOUND, (record_text(ed25519_public).encode(),))
    assert judge(good, ed25519_public)[0] is S.MATCHES
    p = base64_of(rsa_public)
    wrong = TxtAnswer(TxtOutcome.FOUND, (f"v=DKIM1; k=ed25519; p={p}".encode(),))
    assert judge(wrong, ed25519_public)[0] is S.MALFORMED
    k_left_out = TxtAnswer(TxtOutcome.FOUND, (f"p={base64_of(ed25519_public)}".encode(),))
    state, detail = judge(k_left_out, ed25519_public)
    assert (state, "write k=ed25519" in detail) == (S.MALFORMED, True)


@given(records=st.lists(st.binary(max_size=300), min_size=1, max_size=3))
def test_no_record_raises_or_matches_by_chance(records: list[bytes], rsa_public: PublicKey) -> None:
    """Whatever octets stand there: one named state, and a text for one line of a log."""
    state, detail = judge(TxtAnswer(TxtOutcome.FOUND, tuple(records)), rsa_public)
    assert state in {S.MALFORMED, S.SEVERAL, S.REVOKED, S.DIFFERENT}
    assert detail.isprintable()


@given(data=st.data())
def test_one_octet_changed_never_matches_another_key(
    data: st.DataObject, rsa_public: PublicKey
) -> None:
    """A record with one octet of p= changed is not taken for the key."""
    text = bytearray(record_text(rsa_public).encode())
    start = text.index(b"p=") + 2
    at = data.draw(st.integers(start, len(text) - 1))
    before = text[at]
    text[at] = data.draw(st.integers(33, 126).filter(lambda octet: octet != before))
    state, _ = judge(TxtAnswer(TxtOutcome.FOUND, (bytes(text),)), rsa_public)
    assert state is not S.MATCHES


def test_every_cause_has_its_code() -> None:
    """`verify` and `dns check` say the same of a record, in words that scripts can compare."""
    assert {kind.value for kind in Kind} <= {code.value for code in Code}


def test_the_table_is_long_enough() -> None:
    """At least 40 broken records, each by a name of its own."""
    broken = {case.name for case in CASES if case.state is not S.MATCHES}
    assert len(broken) >= 40
