"""Fuzz sessions for as long as one likes: `python -m tests.transcript.fuzz_long 600 [SEED]`.

Every round is a run of hypothesis with a seed of its own, so that a finding can be had again:
it is printed with its seed, made as small as it gets. Exits 1 when there is one.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
import traceback
from collections import Counter
from collections.abc import Sequence

from hypothesis import HealthCheck, given, seed, settings

from tests.transcript.fuzz_words import ACTS, CUTS, Act
from tests.transcript.fuzzing import SETTINGS, Setting, survives

EXAMPLES_PER_ROUND = 500


def fuzz(seconds: float, first_seed: int) -> int:
    """Go on until the time is over or something was found; tell how much was done.

    Returns:
        The exit code.
    """
    done: Counter[str] = Counter()
    began_at = time.monotonic()
    number = first_seed
    while time.monotonic() - began_at < seconds:
        try:
            _round(number, done)
        except Exception:
            traceback.print_exc()
            print(f"found with seed {number}, after {_told(done)}", file=sys.stderr)
            return 1
        number += 1
    print(f"{_told(done)} in {time.monotonic() - began_at:.0f} s, seeds from {first_seed}: clean")
    return 0


def _round(number: int, done: Counter[str]) -> None:
    @seed(number)
    @settings(
        max_examples=EXAMPLES_PER_ROUND,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    @given(setting=SETTINGS, acts=ACTS, cut=CUTS)
    def run(setting: Setting, acts: Sequence[tuple[int, Act]], cut: int) -> None:
        done["executions"] += 1
        done["acts"] += len(acts)
        asyncio.run(survives(setting, acts, cut))

    run()


def _told(done: Counter[str]) -> str:
    return f"{done['executions']} executions with {done['acts']} acts"


if __name__ == "__main__":
    given_seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    given_seed = int(sys.argv[2]) if len(sys.argv) > 2 else secrets.randbelow(1 << 32)
    sys.exit(fuzz(given_seconds, given_seed))
