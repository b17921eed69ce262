"""dkimpy's opinion on the signatures of a message: another program, none of our code.

It parses and canonicalizes by regular expressions of which some take quadratic time, so it is
not asked about messages that would stop the command; then that is said.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import dkim

from relay.core.dkim.signature import FIELD_KEY
from relay.core.excerpt import excerpt
from relay.core.message import Message

MAX_MESSAGE_OCTETS = 64 * 1024 * 1024  # it takes some twenty times as much memory
MAX_HEADER_OCTETS = 1024 * 1024
MAX_SEARCHES = 5_000_000  # about half a second
MAX_STEPS = 2_000_000_000  # about two seconds
MAX_RECORD_OCTETS = 2048  # twice what an RSA key of 8192 bits needs
_BLANKS = re.compile(rb"[ \t]{64,}")
_WHITE_SPACE = re.compile(rb"\s{64,}")
_SHOWN_CHARACTERS = 160


class Outcome(StrEnum):
    """What dkimpy says."""

    PASS = "pass"  # noqa: S105 - a result, not a password
    FAIL = "fail"
    NOT_ASKED = "not_asked"


@dataclass(frozen=True, slots=True)
class Opinion:
    """What dkimpy says of one signature, and why."""

    outcome: Outcome
    reason: str = ""

    def agrees(self, *, passed: bool) -> bool | None:
        """Whether it says the same as we do; None when it was not asked."""
        if self.outcome is Outcome.NOT_ASKED:
            return None
        return passed == (self.outcome is Outcome.PASS)


class SecondOpinion:
    """dkimpy, with one message in its hands."""

    def __init__(self, message: Message) -> None:
        self._heard = _Heard()
        self._refusal = _why_not(message)
        self._verifier: dkim.DKIM | None = None
        self._fault = ""
        if not self._refusal:
            try:
                self._verifier = dkim.DKIM(message.octets(), logger=self._heard)
            except Exception as exc:  # whatever stops it, it did not say pass
                self._fault = _told(exc)

    def on(self, index: int, records: Sequence[bytes]) -> Opinion:
        """Its opinion on the signature at `index`, from the top.

        Args:
            index: among the DKIM-Signature fields.
            records: at the name of its key; dkimpy looks at one, so each is tried.
        """
        if self._refusal:
            return Opinion(Outcome.NOT_ASKED, self._refusal)
        if self._verifier is None:
            return Opinion(Outcome.FAIL, self._fault)
        opinion = Opinion(Outcome.FAIL, "no record")
        for record in records:
            if len(record) > MAX_RECORD_OCTETS:
                opinion = Opinion(Outcome.FAIL, "so large a record is kept from it")
                continue
            opinion = self._ask(self._verifier, index, record)
            if opinion.outcome is Outcome.PASS:
                break
        return opinion

    def _ask(self, verifier: dkim.DKIM, index: int, record: bytes) -> Opinion:
        self._heard.errors.clear()

        def answer(name: bytes, timeout: int = 0) -> bytes:
            return record

        try:
            passed = bool(verifier.verify(idx=index, dnsfunc=answer))
        except Exception as exc:  # whatever stops it, it did not say pass
            return Opinion(Outcome.FAIL, _told(exc))
        if passed:
            return Opinion(Outcome.PASS)
        told = "; ".join(self._heard.errors) or "the signature does not verify"
        return Opinion(Outcome.FAIL, excerpt(told, _SHOWN_CHARACTERS))


class _Heard:
    """A logger that keeps errors: dkimpy says there why it returns False."""

    def __init__(self) -> None:
        self.errors: list[str] = []

    def error(self, text: object, *_: object) -> None:
        """Keep it."""
        self.errors.append(str(text))

    def debug(self, *_: object) -> None:
        """Let it go: whole messages come this way."""


def _told(exc: Exception) -> str:
    text = " ".join(str(argument) for argument in exc.args)
    return excerpt(f"{type(exc).__name__}: {text}", _SHOWN_CHARACTERS)


def _why_not(message: Message) -> str:
    """Why dkimpy should not be asked; empty when it may."""
    fields = message.fields
    if message.size_octets > MAX_MESSAGE_OCTETS:
        return "it takes too much memory for so large a message"
    if sum(len(f.octets) for f in fields) > MAX_HEADER_OCTETS:
        return "it takes quadratic time on so large a header section"
    signed = sum(f.octets.count(b":") for f in message.named(FIELD_KEY))
    if signed * len(fields) > MAX_SEARCHES:
        return "it searches the whole header section for each of so many names in h="
    steps = sum(_steps(_WHITE_SPACE, f.octets) for f in fields)
    steps += sum(_steps(_BLANKS, block) for block in message.body)
    return "it takes quadratic time on so many blanks" if steps > MAX_STEPS else ""


def _steps(runs: re.Pattern[bytes], octets: bytes) -> int:
    return sum((run.end() - run.start()) ** 2 for run in runs.finditer(octets))
