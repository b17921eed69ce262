"""The answer to a question for a key record. Pure; asking is `relay.dns`. RFC 6376 §3.6.2.

Absence is told apart from having no answer, because the one is permanent and the other is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class TxtOutcome(StrEnum):
    """What came of a question."""

    FOUND = "found"
    NXDOMAIN = "nxdomain"  # the name does not exist
    NO_DATA = "no_data"  # the name exists and has no TXT record
    SERVFAIL = "servfail"  # servers answered that they cannot, or none can be reached
    TIMEOUT = "timeout"  # no server answered in time


@dataclass(frozen=True, slots=True)
class TxtAnswer:
    """The answer to a question for TXT records.

    Attributes:
        outcome: what came of it.
        records: one item per record, its strings joined (RFC 6376 §3.6.2.2); in the order
            of their octets, because DNS has none. Empty unless FOUND.
        detail: the server asked, how long it took, the canonical name when a CNAME was
            followed; for logs and people.
    """

    outcome: TxtOutcome
    records: tuple[bytes, ...] = ()
    detail: str = ""
