"""The corpus: every message that the relay must sign so that everyone's verifier says pass.

Pure. To add a message, add a `Case` to the group it belongs to; tests ask for
cases by name and build them when they run.
"""

from __future__ import annotations

from collections.abc import Mapping

from tests.fakes.corpus_bodies import BODIES
from tests.fakes.corpus_case import Case
from tests.fakes.corpus_envelopes import ENVELOPES
from tests.fakes.corpus_headers import HEADERS


def corpus() -> Mapping[str, Case]:
    """Every case by its name.

    Raises:
        ValueError: two cases have the same name.
    """
    cases: dict[str, Case] = {}
    for case in (*BODIES, *HEADERS, *ENVELOPES):
        if case.name in cases:
            raise ValueError(f"two cases are called {case.name}")
        cases[case.name] = case
    return cases
