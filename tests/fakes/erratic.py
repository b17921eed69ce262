"""A smarthost that fails at random, in all the ways of the fault matrix and one more.

The one more: it stores the message, and the connection ends in the middle of saying so.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

from tests.fakes.smarthost import ALL_EXTENSIONS, EXTENSIONS, Drip, Fault, Smarthost, Step
from tests.fakes.smarthost_script import Rule
from tests.faults.matrix import FAULTS, SILENT, Case

# How likely a fault is each time that a stage is reached. Stages that every message passes have
# the smaller share; the others would hardly be met.
SHARES = dict.fromkeys(("mail", "rcpt", "data", "dot"), 0.02) | dict.fromkeys(
    ("connect", "banner", "ehlo", "rset", "quit"), 0.05
)
BODY_SHARE = 0.02
UNHEARD: tuple[tuple[Step, ...], ...] = tuple(
    (Drip(b"250 2.0.0 stored, but"), fault) for fault in (Fault.RESET, Fault.CLOSE)
)


class ErraticSmarthost(Smarthost):
    """See the text of the module.

    Args:
        seed: of the chance.
        chunking: whether CHUNKING is offered.

    Attributes:
        faults: (stage, fault) → how often it was met.
    """

    def __init__(self, seed: int, *, chunking: bool) -> None:
        super().__init__(extensions=ALL_EXTENSIONS if chunking else EXTENSIONS)
        self.faults: Counter[tuple[str, str]] = Counter()
        self._verb = "BDAT" if chunking else "DATA"
        self._chance = random.Random(seed)  # noqa: S311 - to be had again, not to be guessed

    def rule(self, stage: str, line: bytes, session: int, after: int = 0) -> Rule | None:
        """Mostly none."""
        share = BODY_SHARE if stage == "body" and after else SHARES.get(stage, 0.0)
        if self._chance.random() >= share:
            return None
        if stage == "dot" and self._chance.random() < 0.25:
            self.faults[stage, "stored, but unheard"] += 1
            return Rule(stage, self._chance.choice(UNHEARD), b"", None, 0, None)
        case = Case(stage, self._chance.choice(_faults_of(stage)), self._verb, is_kept=False)
        self.faults[stage, case.fault] += 1
        return Rule(stage, case.steps, b"", None, 0, None)


def _faults_of(stage: str) -> Sequence[str]:
    match stage:
        case "connect":
            return tuple(SILENT)
        case "body":
            # Who says 2yz to a message before it was read, and then loses it, has lied: the
            # message was handed to the system, and nothing tells that reply from a true one.
            return [fault for fault in FAULTS[1:] if fault not in ("251", "252")]
        case _:
            return FAULTS[1:]
