"""What an upstream does to a message after it was handed over. Pure; the data is in profiles/.

A header field that the upstream rewrites must be neither signed nor oversigned, or the
signature breaks there; an upstream that takes one DKIM-Signature gets one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Profile:
    """One kind of upstream.

    Attributes:
        name: as in `profile = "…"`.
        rewrites: lower-case header field names that it replaces or removes.
        max_signatures: DKIM-Signature fields it takes; 0 for any number.
    """

    name: str = "generic"
    rewrites: frozenset[bytes] = frozenset()
    max_signatures: int = 0


GENERIC = Profile()


def parse_profile(name: str, data: Mapping[str, object]) -> Profile:
    """Read a profile from its TOML data.

    Raises:
        ValueError: a key that is not known.
        TypeError: a value of the wrong type.
    """
    unknown = set(data) - {"about", "rewrites", "max_signatures"}
    if unknown:
        raise ValueError(f"profile {name}: unknown keys {sorted(unknown)}")
    rewrites, most = data.get("rewrites", []), data.get("max_signatures", 0)
    if not isinstance(rewrites, list) or not isinstance(most, int):
        raise TypeError(f"profile {name}: rewrites is a list, max_signatures a number")
    return Profile(name, frozenset(str(r).lower().encode("ascii") for r in rewrites), most)
