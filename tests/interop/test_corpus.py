"""The corpus is what it says, so that a failure elsewhere is not its own."""

from __future__ import annotations

import pytest

from tests.fakes.corpus import corpus
from tests.fakes.corpus_case import Case, Refused, Relayed
from tests.interop.message_parts import FIELD, fields_of

CASES = corpus()
EVERY = [pytest.param(case, id=name) for name, case in CASES.items()]
UNTOUCHED = [
    pytest.param(case, id=name)
    for name, case in CASES.items()
    if case.expected is Relayed.AS_IT_IS and case.becomes is None
]
RELAYED = [
    pytest.param(case, id=name)
    for name, case in CASES.items()
    if not isinstance(case.expected, Refused)
]


def test_there_are_enough() -> None:
    """Of every outcome there is more than one; 150 messages are the least."""
    assert len(RELAYED) >= 150
    refusals = {case.expected for case in CASES.values() if isinstance(case.expected, Refused)}
    assert len(refusals) >= 4


@pytest.mark.parametrize("case", EVERY)
def test_case_is_the_same_each_time(case: Case) -> None:
    """A test that fails can be run again with the same message."""
    assert case.build() == case.build()


@pytest.mark.parametrize("case", RELAYED)
def test_relayed_case_has_whole_lines(case: Case) -> None:
    """CRLF only, no NUL, and CRLF at the end, as DATA always has."""
    message = case.build()
    assert message.count(b"\r\n") == message.count(b"\r") == message.count(b"\n")
    assert b"\0" not in message
    assert message.endswith(b"\r\n")


@pytest.mark.parametrize("case", UNTOUCHED)
def test_untouched_case_is_well_formed(case: Case) -> None:
    """Fields, a blank line, lines of 998 octets at most: nothing that would have to change."""
    message = case.build()
    header, blank, _ = message.partition(b"\r\n\r\n")
    assert blank
    assert b"".join(field[0] for field in FIELD.finditer(header + b"\r\n")) == header + b"\r\n"
    assert max(map(len, message.split(b"\r\n"))) <= 998  # RFC 5322 §2.1.1


@pytest.mark.parametrize("case", UNTOUCHED)
def test_untouched_case_says_what_is_missing_and_what_goes(case: Case) -> None:
    """`added` names fields that are not there, `removed` fields that are, and only they go."""
    names = [name for name, _ in fields_of(case.build())]
    missing = {name for name in ("Date", "Message-ID") if name.lower() not in names}
    assert missing == set(case.added)
    gone = [name for name in names if name in {removed.lower() for removed in case.removed}]
    assert bool(gone) == bool(case.removed)
    assert sorted([name for name, _ in fields_of(case.carried())] + gone) == sorted(names)


@pytest.mark.parametrize("case", RELAYED)
def test_eight_bits_are_spoken_for(case: Case) -> None:
    """Who has 8-bit octets says what becomes of them at a hop that takes none."""
    is_eight_bit = not case.build().isascii()
    is_left_open = case.at_bare_hop is None and case.expected is not Relayed.REENCODED
    assert not (is_eight_bit and is_left_open)
