"""What the next hop offers: its EHLO reply, read. Pure. RFC 5321 §4.1.1.1.

Everything that would change a message later is decided from these before it is signed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The extensions of one hop; an HELO-only server has none.

    Attributes:
        keywords: upper-case keyword → its parameters, upper-case.
    """

    keywords: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __contains__(self, keyword: str) -> bool:
        """Whether the hop offers an extension, by its upper-case keyword."""
        return keyword in self.keywords

    @property
    def pipelining(self) -> bool:
        """RFC 2920."""
        return "PIPELINING" in self.keywords

    @property
    def chunking(self) -> bool:
        """RFC 3030: BDAT."""
        return "CHUNKING" in self.keywords

    @property
    def eight_bit_mime(self) -> bool:
        """RFC 6152."""
        return "8BITMIME" in self.keywords

    @property
    def smtputf8(self) -> bool:
        """RFC 6531."""
        return "SMTPUTF8" in self.keywords

    @property
    def size_limit(self) -> int | None:
        """The largest message in octets, or None when none is declared (RFC 1870 §3)."""
        words = self.keywords.get("SIZE", ())
        limit = int(words[0]) if words and words[0].isascii() and words[0].isdigit() else 0
        return limit or None


def parse_capabilities(lines: Iterable[bytes]) -> Capabilities:
    """Read the lines of an EHLO reply after the first, without their codes.

    A line that is not an extension keyword is passed over: it offers nothing.
    """
    keywords: dict[str, tuple[str, ...]] = {}
    for line in lines:
        words = line.decode("ascii", "replace").upper().replace("AUTH=", "AUTH ").split()
        if words:
            keywords[words[0]] = (*keywords.get(words[0], ()), *words[1:])
    return Capabilities(keywords)
