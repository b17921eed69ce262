"""The corpus: messages of every kind, and what the relay must make of each.

Pure. A message is signed so that everyone's verifier says pass, or it is refused with a
reason; there is nothing between. To add one, add a `Case` to the table where it belongs, with a
comment when it is not plain why it is there; tests ask for cases by name.
"""

from __future__ import annotations

from collections.abc import Mapping

from tests.fakes.corpus_authors import AUTHORS
from tests.fakes.corpus_bodies import BODIES
from tests.fakes.corpus_case import Case
from tests.fakes.corpus_charsets import CHARSETS
from tests.fakes.corpus_clients import CLIENTS
from tests.fakes.corpus_envelopes import ENVELOPES
from tests.fakes.corpus_headers import HEADERS
from tests.fakes.corpus_mime import MIME
from tests.fakes.corpus_programs import PROGRAMS
from tests.fakes.corpus_protected import PROTECTED
from tests.fakes.corpus_reencoded import REENCODING
from tests.fakes.corpus_refused import REFUSED
from tests.fakes.corpus_reports import REPORTS
from tests.fakes.corpus_trace import TRACE

TABLES = (
    *(BODIES, CHARSETS, MIME, PROTECTED, REENCODING, HEADERS, AUTHORS, TRACE, ENVELOPES),
    *(CLIENTS, PROGRAMS, REPORTS, REFUSED),
)


def corpus() -> Mapping[str, Case]:
    """Every case by its name.

    Raises:
        ValueError: two cases have the same name.
    """
    cases: dict[str, Case] = {}
    for case in (case for table in TABLES for case in table):
        if case.name in cases:
            raise ValueError(f"two cases are called {case.name}")
        cases[case.name] = case
    return cases
