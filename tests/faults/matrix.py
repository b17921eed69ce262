"""The fields of the fault matrix: which there are, what happens in each, what must come of it.

Pure. A field is a stage of an upstream session, a way to misbehave there, the command by which
the message goes, and whether the connection is fresh or has carried a message before. Fields
that make no sense are named by `nonsense` with the reason.

An outcome is what the caller of the pool sees: "sent"; the code of a reply that was passed on;
or the kind of loss: "unavailable" (nothing was begun), "lost" (the hop does not have the
message), "unknown" (it may have it). All losses are answered 451.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import product

from tests.fakes.smarthost import Drip, Fault, Step, reply

USUAL = {
    "banner": "220 hello",
    "ehlo": "250 smarthost.test",
    "starttls": "220 go",
    "auth": "235 2.7.0 in",
    "mail": "250 2.1.0 ok",
    "rcpt": "250 2.1.5 ok",
    "data": "354 go",
    "body": "452 4.3.1 full",  # nothing is usual there; a server that gives up says such a thing
    "dot": "250 2.0.0 queued",
    "rset": "250 2.0.0 reset",
    "quit": "221 2.0.0 bye",
}
OPENING = ("banner", "ehlo", "starttls", "auth")
STAGES = ("connect", *USUAL)
SILENT: dict[str, tuple[Step, ...]] = {
    "black hole": (Fault.BLACK_HOLE,),
    "reset": (Fault.RESET,),
    "close": (Fault.CLOSE,),
}
SPOKEN: dict[str, tuple[Step, ...]] = {
    "421": (reply("421 4.3.2 Going down"), Fault.CLOSE),
    "451": (reply("451 4.3.0 Not now"),),
    "554": (reply("554-5.7.1 Never", "554 5.7.1 Never ever"),),
    "251": (reply("251 2.0.0 Odd"),),
    "252": (reply("252 2.0.0 Odd"),),
    "garbage": (b"\x00\xff this is no reply\r\n",),
    "long": (b"250 " + b"x" * 1_000_000 + b"\r\n",),
}
# The usual reply in another way: in single octets, twice at once, one octet in a while.
ODDLY_SAID = ("split", "twice", "slow")
FAULTS = ("refused", *SILENT, *SPOKEN, *ODDLY_SAID)
PASSED_ON = {"421": "451", "451": "451", "554": "554"}  # what a client hears of it
SLOW_SECONDS = 2.0  # between two octets; a whole reply takes longer than anybody waits
# A kept connection that does so before it has answered anything is replaced, once.
REPLACED_WHEN_KEPT = (*SILENT, "421", "garbage", "long", "slow")


@dataclass(frozen=True)
class Case:
    """One field.

    Attributes:
        stage: of `Smarthost.on`.
        fault: one of `FAULTS`.
        verb: BDAT or DATA.
        is_kept: whether the connection has carried a message before.
    """

    stage: str
    fault: str
    verb: str
    is_kept: bool

    def __str__(self) -> str:
        kept = "kept" if self.is_kept else "fresh"
        return f"{self.stage}-{self.fault}-{self.verb}-{kept}".replace(" ", "_")

    @property
    def steps(self) -> tuple[Step, ...]:
        """What the smarthost does."""
        usual = reply(USUAL.get(self.stage, ""))
        match self.fault:
            case "split":
                steps: tuple[Step, ...] = (Drip(usual),)
            case "twice":
                steps = (usual + usual,)
            case "slow":
                steps = (Drip(usual, SLOW_SECONDS),)
            case _:
                steps = (SILENT | SPOKEN)[self.fault]
        if self.stage == "body" and self.fault not in SILENT:
            return (*steps, Fault.BLACK_HOLE)  # and no reply to what follows
        return steps

    @property
    def outcomes(self) -> tuple[str, ...]:
        """What may come of it; several where the order of segments decides."""
        match self.stage:
            case "connect" | "banner" | "ehlo" | "starttls" | "auth":
                return (_outcome_of_opening(self.stage, self.fault),)
            case "body":
                return (_outcome_within_message(self.fault),)
            case "dot":
                return (_outcome_after_message(self.fault),)
            case "rset" | "quit":
                return ("sent",)
            case _:
                return self._outcomes_of_command()

    def _outcomes_of_command(self) -> tuple[str, ...]:
        """Passed on, or lost before the end of the message."""
        if self.is_kept and self.stage == "mail" and self.fault in REPLACED_WHEN_KEPT:
            return ("sent",)
        if self.fault in PASSED_ON:
            return (PASSED_ON[self.fault],)
        if self.fault == "split" or (self.fault in ("251", "252") and self.stage != "data"):
            return ("sent",)
        if self.fault == "twice" and self.stage == "mail" and self.verb == "BDAT":
            # RCPT's own reply is the surplus one; it is noticed before the message, or stands
            # where the reply to the message should be.
            return ("lost", "sent")
        return ("lost",)


def _outcome_of_opening(stage: str, fault: str) -> str:
    """Nothing of the message is at stake: sent, or 451 before anything was asked."""
    if fault == "split":
        return "sent"
    if stage == "ehlo" and fault in ("451", "554", "251", "252"):
        return "sent"  # by HELO
    if stage == "starttls" and fault == "twice":
        return "sent"  # what was said in clear is discarded
    return "unavailable"


def _outcome_within_message(fault: str) -> str:
    """Passed on, or lost; a server that reads on and says nothing has the message."""
    if fault in PASSED_ON:
        return PASSED_ON[fault]
    if fault in ("split", "twice"):
        return "452"
    return "unknown" if fault == "black hole" else "lost"


def _outcome_after_message(fault: str) -> str:
    """Passed on, or unknown."""
    if fault in PASSED_ON:
        return PASSED_ON[fault]
    return "sent" if fault in ("split", "251", "252", "twice") else "unknown"


def nonsense(case: Case) -> str:
    """Why a field makes no sense, or nothing."""
    match case.stage:
        case "connect" if case.fault not in ("refused", *SILENT):
            return "what a server says first is its banner"
        case _ if case.fault == "refused" and case.stage != "connect":
            return "only connecting can be refused"
        case "connect" | "banner" | "ehlo" | "starttls" | "auth" if case.is_kept:
            return "a kept connection is past its opening"
        case "connect" | "banner" | "ehlo" | "starttls" | "auth" if case.verb == "BDAT":
            return "before the message, it does not matter how it will go"
        case "data" if case.verb == "BDAT":
            return "BDAT goes without DATA"
        case "rset" | "quit" if not case.is_kept:
            return "said after a message only"
        case "quit" if case.verb == "BDAT":
            return "after the message, it does not matter how it went"
        case _:
            return ""


EVERYTHING = tuple(
    Case(stage, fault, verb, is_kept)
    for stage, fault, verb, is_kept in product(STAGES, FAULTS, ("DATA", "BDAT"), (False, True))
)
CASES = tuple(case for case in EVERYTHING if not nonsense(case))
LEFT_OUT = Counter(reason for case in EVERYTHING if (reason := nonsense(case)))
