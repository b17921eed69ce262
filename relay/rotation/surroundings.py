"""What rotations are made with, and what stops one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from relay import clock
from relay.core.errors import KeyFault
from relay.dns.gate import Gate
from relay.dns.publish import Provider
from relay.rotation.plan import Policy


class RotationFault(KeyFault):
    """A rotation cannot go on; `fault` says why and what to do. It may be tried again."""


class RotationBusy(RotationFault):
    """Another process works at the domain at this moment."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a rotation is made with.

    Attributes:
        keys_dir: the folder with <domain>/<selector>.pem.
        gate: whether a key may sign; asked for keys that wait.
        policy: what the settings say about a domain.
        provider: where the records of a domain are changed; None for by hand.
        passphrase_file: of the encrypted keys of a domain; None when they are not.
        now: seconds since 1970.
        after_effect: told of each effect right after it; a test ends the process there.
    """

    keys_dir: Path
    gate: Gate
    policy: Callable[[str], Policy]
    provider: Callable[[str], Provider | None] = lambda domain: None
    passphrase_file: Callable[[str], Path | None] = lambda domain: None
    now: Callable[[], float] = clock.now
    after_effect: Callable[[str], None] = lambda effect: None
