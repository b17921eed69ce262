"""What an import has found so far. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from relay.core.dkim.algorithm import PublicKey
from relay.core.errors import Fault
from relay.keyring.pem import PrivateKey, public_half


@dataclass(frozen=True, slots=True, eq=False)
class ForeignKey:
    """A key of another signer.

    Attributes:
        domain: what it signs for, in A-labels.
        selector: its selector, in A-labels.
        private: the key.
        where: the file, or the file and line.
        modified_seconds: when the file was last written, in seconds since 1970; None when unknown.
        is_in_use: whether the other signer signed with it.
    """

    domain: str
    selector: str
    private: PrivateKey = field(repr=False)
    where: str
    modified_seconds: float | None
    is_in_use: bool = True

    @property
    def public(self) -> PublicKey:
        """The public half."""
        return public_half(self.private)


@dataclass(slots=True)
class Findings:
    """Collected while sources are read.

    Attributes:
        keys: those that can be taken over.
        faults: what cannot, each with its place and the fix.
        notes: what is taken over otherwise than it was, or not at all and needs no key.
        subdomains: domains whose keys signed for everything below them too, each with why.
    """

    keys: list[ForeignKey] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    notes: list[Fault] = field(default_factory=list)
    subdomains: dict[str, str] = field(default_factory=dict)

    def fault(self, where: str, what: str, fix: str) -> None:
        """One thing more that cannot be taken over."""
        self.faults.append(Fault(where, what, fix))

    def note(self, where: str, what: str, fix: str) -> None:
        """One thing more to know."""
        self.notes.append(Fault(where, what, fix))
