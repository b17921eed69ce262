"""What lies in the keys folder, by domain, and what is another than before. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from relay.core.errors import Fault
from relay.keyring.folder import Found, Identity


@dataclass(frozen=True, slots=True)
class Listed:
    """What lies in the folder of a domain.

    Attributes:
        found: its key files, by selector.
        faults: what is wrong with the folder or names in it.
        passphrase: the identity of the passphrase file.
        is_readable: whether the folder could be listed.
    """

    found: tuple[Found, ...] = ()
    faults: tuple[Fault, ...] = ()
    passphrase: Identity = ()
    is_readable: bool = True


@dataclass(frozen=True, slots=True)
class Contents:
    """What lies in the keys folder.

    Attributes:
        domains: every domain that has a folder or settings, in A-labels.
        faults, warnings: of the folder itself and of the settings.
        is_readable: whether the keys folder could be listed.
    """

    domains: Mapping[str, Listed]
    faults: tuple[Fault, ...]
    warnings: tuple[Fault, ...]
    is_readable: bool


@dataclass(frozen=True, slots=True)
class Difference:
    """What is another than before.

    Attributes:
        contents: what lies in the keys folder now.
        changed: the domains that are new or whose folder is another.
        gone: the domains that are no more.
    """

    contents: Contents
    changed: Mapping[str, Listed]
    gone: tuple[str, ...]


def difference(before: Mapping[str, Listed], contents: Contents) -> Difference:
    """What is another; 0.1 s for 20,000 domains, so it is found where the folders are listed."""
    now = contents.domains
    changed = {domain: listed for domain, listed in now.items() if before.get(domain) != listed}
    return Difference(contents, changed, tuple(domain for domain in before if domain not in now))
