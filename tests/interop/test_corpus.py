"""The corpus is what it says: well-formed messages, so that a failure is not its own."""

from __future__ import annotations

import re

import pytest

from tests.fakes.corpus import corpus
from tests.fakes.corpus_case import Case

CASES = corpus()
FIELD = re.compile(rb"[!-9;-~]+:.*(?:\r\n[ \t].*)*\r\n")  # RFC 5322 §2.2, obsolete folding too


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_case_is_well_formed(case: Case) -> None:
    """CRLF only, no NUL, lines of 998 octets at most, fields, a blank line; the same each time."""
    message = case.build()
    header, blank, _ = message.partition(b"\r\n\r\n")
    assert message == case.build()
    assert message.count(b"\r\n") == message.count(b"\r") == message.count(b"\n")
    assert b"\0" not in message
    assert message.endswith(b"\r\n")
    assert blank
    assert re.fullmatch(b"(?:" + FIELD.pattern + b")+", header + b"\r\n")
    assert max(map(len, message.split(b"\r\n"))) <= 998  # RFC 5322 §2.1.1


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_case_says_what_is_missing_and_what_goes(case: Case) -> None:
    """`added` names fields that are not there, `removed` fields that are, and only they go."""
    names = _field_names(case.build())
    missing = {name for name in ("Date", "Message-ID") if name.lower() not in names}
    assert missing == set(case.added)
    gone = [name for name in names if name in {removed.lower() for removed in case.removed}]
    assert bool(gone) == bool(case.removed)
    assert sorted(_field_names(case.carried()) + gone) == sorted(names)


def _field_names(message: bytes) -> list[str]:
    header = message.partition(b"\r\n\r\n")[0] + b"\r\n"
    return [found.partition(b":")[0].decode().lower() for found in FIELD.findall(header)]
