"""Anything at all from clients, for a moment; `fuzz_long.py` goes on for longer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transcript.fuzz_words import ACTS, CUTS, GOOD, MESSAGE, Act
from tests.transcript.fuzzing import SETTINGS, Setting, survives


@settings(max_examples=200)
@given(setting=SETTINGS, acts=ACTS, cut=CUTS)
def test_sessions_survive_their_clients(
    setting: Setting, acts: Sequence[tuple[int, Act]], cut: int
) -> None:
    """No fault, no silence, no line without a code, nothing left open or kept, one end each."""
    asyncio.run(survives(setting, acts, cut))


@settings(max_examples=60)
@given(setting=SETTINGS, octets=st.binary(max_size=400), cut=CUTS)
def test_random_octets(setting: Setting, octets: bytes, cut: int) -> None:
    """The same for noise."""
    asyncio.run(survives(setting, [(0, octets)], cut))


@settings(max_examples=60)
@given(octets=st.binary(max_size=300), cut=CUTS, budget=st.sampled_from([1 << 30, 100]))
def test_random_octets_within_data(octets: bytes, cut: int, budget: int) -> None:
    """The same for noise where a message should be."""
    script = [GOOD, b"DATA\r\n", octets, b"\r\n.\r\nQUIT\r\n"]
    acts = [(0, part) for part in script]
    asyncio.run(survives(Setting(budget_octets=budget), acts, cut))


@settings(max_examples=60)
@given(octets=st.binary(max_size=300), cut=CUTS, count=st.integers(0, 400), last=st.booleans())
def test_random_octets_within_a_chunk(octets: bytes, cut: int, count: int, last: bool) -> None:
    """The same for noise in a chunk, which may be longer or shorter than it says."""
    command = b"BDAT %d%b\r\n" % (count, b" LAST" if last else b"")
    acts = [(0, GOOD), (0, command + octets), (0, WHOLE_AGAIN)]
    asyncio.run(survives(Setting(), acts, cut))


WHOLE_AGAIN = b"RSET\r\n" + GOOD + b"BDAT %d LAST\r\n" % len(MESSAGE) + MESSAGE + b"QUIT\r\n"
