"""What a fake smarthost can be told to do, and what it records. See `tests.fakes.smarthost`."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

STAGES = (
    "connect",
    "banner",
    "ehlo",
    "helo",
    "starttls",
    "auth",
    "mail",
    "rcpt",
    "data",
    "body",
    "dot",
    "rset",
    "noop",
    "quit",
)

# Parameter of MAIL or RCPT → the extension that it belongs to.
EXTENSION_OF = {
    "SIZE": "SIZE",
    "BODY": "8BITMIME",
    "SMTPUTF8": "SMTPUTF8",
    "RET": "DSN",
    "ENVID": "DSN",
    "NOTIFY": "DSN",
    "ORCPT": "DSN",
    "AUTH": "AUTH",
    "REQUIRETLS": "REQUIRETLS",
}


class Fault(Enum):
    """Ways to stop answering."""

    CLOSE = auto()  # FIN
    RESET = auto()  # RST, by SO_LINGER 0
    BLACK_HOLE = auto()  # goes on reading, says nothing more
    STALL = auto()  # does not even read any more


@dataclass(frozen=True)
class Drip:
    """Octets that go out one by one, with time between them if there is to be any."""

    octets: bytes
    pause_seconds: float = 0.0


@dataclass(frozen=True)
class Pause:
    """Time that passes before the next step."""

    seconds: float


Step = bytes | Drip | Pause | Fault


def reply(*lines: str) -> bytes:
    """Reply lines as octets, each with its CRLF."""
    return b"".join(line.encode() + b"\r\n" for line in lines)


@dataclass
class Received:
    """One message, whether it was accepted or not.

    Attributes:
        session: number of the connection, from 1.
        mail: the MAIL command, without CRLF.
        recipients: the accepted RCPT commands, without CRLF.
        verb: "DATA" or "BDAT".
        octets: the message, exactly, dots un-stuffed.
        raw: the same as it came: stuffed, with the final dot; for BDAT the chunks.
        is_accepted: whether the last reply was 2yz.
    """

    session: int
    mail: bytes
    recipients: list[bytes]
    verb: str
    octets: bytes
    raw: bytes
    is_accepted: bool = False


@dataclass
class Session:
    """One connection.

    Attributes:
        number: from 1.
        lines: every command line, without CRLF.
        segments: what each read brought, in clear or decrypted.
        tls: the version, or "".
        user: who is logged in, or "".
        is_open: whether the connection still stands.
    """

    number: int
    lines: list[bytes] = field(default_factory=list)
    segments: list[bytes] = field(default_factory=list)
    tls: str = ""
    user: str = ""
    is_open: bool = True

    @property
    def verbs(self) -> list[str]:
        """The verbs of all commands, in upper case."""
        return [line.split(b" ")[0].upper().decode("ascii", "replace") for line in self.lines]


@dataclass
class Rule:
    """See `Smarthost.on`."""

    stage: str
    steps: tuple[Step, ...]
    match: bytes
    session: int | None
    after: int
    times: int | None


def not_offered(line: bytes, extensions: Collection[str]) -> list[str]:
    """The parameters of a MAIL or RCPT command that no offered extension has."""
    offered = {words.split(" ")[0] for words in extensions}
    keywords = [word.partition(b"=")[0] for word in line.rpartition(b">")[2].split()]
    names = [keyword.decode("ascii", "replace").upper() for keyword in keywords]
    return [name for name in names if EXTENSION_OF.get(name) not in offered]


def code_of(step: Step) -> int:
    """The code of the first reply in a step, or 0."""
    octets = step.octets if isinstance(step, Drip) else step
    if not isinstance(octets, bytes) or re.match(rb"[0-9]{3}", octets) is None:
        return 0
    return int(octets[:3])


def first_code(steps: Sequence[Step]) -> int:
    """The code of the first reply in steps, or 0."""
    return next((code for step in steps if (code := code_of(step))), 0)


def is_positive(code: int) -> bool:
    """Whether a code is 2yz."""
    return 200 <= code < 300
