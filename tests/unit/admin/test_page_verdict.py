"""The state in one glance: right in each situation, with what is wrong and what to do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relay.admin.page import marks
from relay.admin.page.marks import Tone
from relay.admin.page.verdict import judge
from relay.core.events import Outcome
from relay.core.status import DomainStatus, KeyRole, Reach, Status
from tests.fakes.page_statuses import (
    NOW,
    bad_status,
    broken_upstream,
    domain,
    good_status,
    rsa,
    transaction,
    unready_domain,
    upstream,
)

GOOD = good_status()
FAULTY = replace(rsa("s1", "a.example"), role=KeyRole.FAULTY, record="", detail="chmod 600 it")
LOST = replace(rsa("s1", "a.example"), record="missing", detail="publish it again")


def one_domain(shown: DomainStatus) -> Status:
    """A relay with a single domain."""
    return replace(GOOD, domains=(shown,), domain_count=1, ready_domain_count=int(shown.is_ready))


@pytest.mark.parametrize(
    ("status", "tone", "headline"),
    [
        (GOOD, Tone.GOOD, "Everything signs"),
        (bad_status(), Tone.BAD, "2 domains do not sign, 1 upstream cannot be reached"),
        (replace(GOOD, is_draining=True), Tone.BAD, "Stopping: no new mail is taken"),
        (one_domain(unready_domain("a.example")), Tone.BAD, "No mail can pass"),
        (
            replace(GOOD, upstreams=(broken_upstream(), broken_upstream("b"))),
            Tone.BAD,
            "No mail can pass",
        ),
        (replace(GOOD, ready_domain_count=3), Tone.BAD, "1 domain does not sign"),
        (
            replace(GOOD, upstreams=(upstream(), broken_upstream())),
            Tone.BAD,
            "1 upstream cannot be reached",
        ),
        (
            replace(GOOD, domains=(), domain_count=0, ready_domain_count=0),
            Tone.BAD,
            "There is no domain to sign for",
        ),
        (
            one_domain(replace(domain("a.example"), keys=(LOST,))),
            Tone.WARN,
            "Everything signs, with 1 thing to look at",
        ),
        (
            replace(GOOD, inflight_octets=GOOD.max_inflight_octets),
            Tone.WARN,
            "Everything signs, with 1 thing to look at",
        ),
        (
            replace(GOOD, certificates=(replace(GOOD.certificates[0], expires_at=NOW - 1),)),
            Tone.BAD,
            "Everything signs, but something is broken",
        ),
    ],
)
def test_the_headline_says_how_it_is(status: Status, tone: Tone, headline: str) -> None:
    """One state, in words, with the tone of the worst."""
    verdict = judge(status, now=NOW)
    assert (verdict.tone, verdict.headline) == (tone, headline)


def test_the_headline_stays_the_same_while_mail_flows() -> None:
    """It is spoken when it changes: numbers that always move are no part of it."""
    later = replace(GOOD, connections=99, inflight_octets=5, transactions=())
    assert judge(later, now=NOW + 60).headline == judge(GOOD, now=NOW).headline


def test_what_is_untried_is_no_problem() -> None:
    """A relay that just started, and domains whose keys are not read, are as they should be."""
    unread = replace(domain("a.example"), is_read=False, keys=())
    status = replace(one_domain(unread), upstreams=(replace(upstream(), reach=Reach.UNTRIED),))
    assert not judge(status, now=NOW).problems


def test_each_problem_says_what_why_and_what_to_do() -> None:
    """The worst first."""
    found = judge(bad_status(), now=NOW).problems
    assert [problem.tone for problem in found] == [Tone.BAD] * 3 + [Tone.WARN] * 2
    assert all(problem.todo for problem in found)
    assert [problem.command for problem in found] == [
        "",
        "dkim-relay keys new void.example",
        "",
        "dkim-relay keys status example.net",
        "",
    ]
    assert "there is no record" in found[0].why
    assert "the connection was refused" in found[2].why


def test_a_faulty_key_beside_a_good_one_is_told() -> None:
    """The domain signs, with one signature less than wanted."""
    shown = replace(domain("a.example"), keys=(rsa("s2", "a.example"), FAULTY))
    (problem,) = judge(one_domain(shown), now=NOW).problems
    assert problem.what == "a.example: key s1: cannot be used"
    assert problem.why == "chmod 600 it"
    assert marks.of_domain(shown).word == "signs, with trouble"


def test_a_key_that_waits_beside_one_that_signs_is_no_problem() -> None:
    """That is how a rotation goes; the milestones say when somebody has to act."""
    waiting = replace(LOST, role=KeyRole.WAITS)
    shown = replace(domain("a.example"), keys=(rsa("s2", "a.example"), waiting))
    assert not judge(one_domain(shown), now=NOW).problems


@pytest.mark.parametrize(
    ("record", "role", "shown"),
    [
        ("missing", KeyRole.WAITS, True),
        ("", KeyRole.WAITS, True),
        ("different", KeyRole.SIGNS, True),
        ("matches", KeyRole.SIGNS, False),
        ("", KeyRole.SIGNS, False),
        ("temperror", KeyRole.WAITS, False),
        ("revoked", KeyRole.WAITS, False),
    ],
)
def test_a_record_is_to_be_published_when_that_would_help(
    record: str, role: KeyRole, *, shown: bool
) -> None:
    """Not when DNS is silent, and never a key that was revoked."""
    assert marks.waits_for_record(replace(LOST, record=record, role=role)) is shown


@pytest.mark.parametrize(
    ("outcome", "word"),
    [
        (Outcome.RELAYED, "Signed"),
        (Outcome.REJECTED, "Refused"),
        (Outcome.DEFERRED, "Deferred"),
        (Outcome.UNKNOWN, "Unknown"),
        (Outcome.ABANDONED, "Left"),
        ("message.held", "message.held"),
    ],
)
def test_each_outcome_has_a_word(outcome: str, word: str) -> None:
    """Of a newer process's too, whose words this one may not know."""
    assert marks.of_transaction(replace(transaction(), outcome=outcome)).word == word


def test_relayed_without_a_signature_is_said_so() -> None:
    """Nothing leaves silently unsigned."""
    mark = marks.of_transaction(replace(transaction(), signatures=()))
    assert mark == marks.Mark(Tone.WARN, "Unsigned")
