"""What every authoritative server says of a name. Pure; asking them is `authorities`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from relay.core.dkim.query import TxtAnswer


class Trouble(StrEnum):
    """Why a server gave no authoritative answer."""

    NONE = "none"
    TIMEOUT = "timeout"
    SERVFAIL = "servfail"
    REFUSED = "refused"
    LAME = "lame"  # it answers, but not as an authority of the zone (RFC 1912 §2.8)
    UNREACHABLE = "unreachable"  # there is no way to its address from this machine
    NO_ADDRESS = "no_address"  # its name has no address
    ERROR = "error"  # another response code, or no DNS message


@dataclass(frozen=True, slots=True)
class ServerAnswer:
    """What one server says of a name.

    Attributes:
        name: the owner name that was asked for, without a final dot.
        server: the host name of the server.
        address: its address and port; "" when it has none.
        answer: SERVFAIL or TIMEOUT when there is a trouble; NO_DATA when there is a `cname`.
        trouble: why there is no authoritative answer.
        cname: the name that has to be asked for instead; empty for none.
    """

    name: str
    server: str
    address: str
    answer: TxtAnswer
    trouble: Trouble = Trouble.NONE
    cname: str = ""

    @property
    def shown(self) -> str:
        """The server, for people."""
        return f"{self.server} ({self.address})" if self.address else self.server


@dataclass(frozen=True, slots=True)
class Hop:
    """One name on the way to the record: the name itself, then targets of CNAMEs.

    Attributes:
        name: the owner name, without a final dot.
        zone: the zone that it lies in; empty when that could not be found out.
        servers: what each address of each server says.
        problem: why nobody was asked; empty when somebody was.
    """

    name: str
    zone: str = ""
    servers: tuple[ServerAnswer, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Survey:
    """What all authoritative servers say of a name.

    Attributes:
        hops: the name, then the targets of CNAMEs that any server gave.
    """

    hops: tuple[Hop, ...]

    @property
    def answers(self) -> tuple[ServerAnswer, ...]:
        """What every server says, CNAMEs followed.

        An address that cannot be reached from here does not count beside another of its server.
        """
        return tuple(
            one
            for hop in self.hops
            for one in hop.servers
            if not one.cname
            and not (
                one.trouble is Trouble.UNREACHABLE
                and any(
                    o.server == one.server and o.trouble is not one.trouble for o in hop.servers
                )
            )
        )

    @property
    def problem(self) -> str:
        """Why the servers of some name on the way were not asked; empty when all were."""
        return next((hop.problem for hop in self.hops if hop.problem), "")

    @property
    def cnames(self) -> tuple[str, ...]:
        """The names behind the first."""
        return tuple(hop.name for hop in self.hops[1:])


class Authority(Protocol):
    """Asks every authoritative server."""

    async def survey(self, name: str) -> Survey:
        """What each says of the TXT records of a name; never raises but for cancellation."""


def trouble_of(answers: Iterable[ServerAnswer]) -> tuple[ServerAnswer, ...]:
    """Those that gave no authoritative answer."""
    return tuple(one for one in answers if one.trouble is not Trouble.NONE)
