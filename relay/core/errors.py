"""The exception tree. Pure.

A `Rejection` carries two texts: the `Reply` is public, constant and bland; `detail` names
domains, files and fixes and goes to the log only.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from relay.core.reply import Reply, own


class RelayError(Exception):
    """The root of every error that the relay itself raises."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with what an operator gave us.

    Attributes:
        where: file and line, or the environment variable.
        what: the setting and the value that is wrong (never a secret's).
        fix: what to do.
    """

    where: str
    what: str
    fix: str

    def __str__(self) -> str:
        """The fault on one line."""
        return f"{self.where}: {self.what}" + (f" ({self.fix})" if self.fix else "")


class ConfigError(RelayError):
    """The settings are not usable; `faults` names everything wrong at once."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults


class KeyFault(RelayError):
    """A key file, key or name of a key cannot be used; `fault` says why and what to do."""

    def __init__(self, where: str, what: str, fix: str) -> None:
        self.fault = Fault(where, what, fix)
        super().__init__(str(self.fault))


class SyntaxFault(RelayError):
    """Octets that do not follow their grammar; the text says which rule, safe to log."""


class Reason(StrEnum):
    """Why a message was not relayed: the label of logs and metrics."""

    CLIENT_NOT_PERMITTED = "client_not_permitted"
    FROM_NOT_PERMITTED = "from_not_permitted"
    DOMAIN_NOT_CONFIGURED = "domain_not_configured"
    FROM_FIELD = "from_field"
    MESSAGE_SYNTAX = "message_syntax"
    MESSAGE_SIZE = "message_size"
    CLIENT_TOO_SLOW = "client_too_slow"
    NO_MEMORY = "no_memory"
    REVERSE_PATH_NOT_PERMITTED = "reverse_path_not_permitted"
    NO_ROUTE = "no_route"
    ANOTHER_ROUTE = "another_route"
    NOT_CARRIABLE = "not_carriable"
    KEY_UNAVAILABLE = "key_unavailable"
    UPSTREAM_UNAVAILABLE = "upstream_unavailable"
    UPSTREAM_REFUSED = "upstream_refused"
    UPSTREAM_LOST = "upstream_lost"
    OUTCOME_UNKNOWN = "outcome_unknown"
    INTERNAL_ERROR = "internal_error"


class Rejection(RelayError):
    """The message is not relayed: what the client hears, and what the log says.

    Attributes:
        reply: the public answer.
        reason: the label of logs and metrics.
        detail: names, files and the fix, for the log.
    """

    def __init__(self, reply: Reply, reason: Reason, detail: str) -> None:
        super().__init__(f"{reply}: {detail}")
        self.reply = reply
        self.reason = reason
        self.detail = detail


def unfit(enhanced: str, text: str, reason: Reason = Reason.MESSAGE_SYNTAX) -> Rejection:
    """A message that cannot be made fit for signing without changing its meaning."""
    return Rejection(own(554, enhanced, text), reason, text)


def key_unavailable(domain: str, detail: str) -> Rejection:
    """The domain is ours to sign, and no key can do it now: never silently unsigned."""
    return Rejection(
        own(451, "4.7.5", "No signing key is usable for this domain now"),
        Reason.KEY_UNAVAILABLE,
        f"{domain}: {detail}",
    )
