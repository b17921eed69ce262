"""Which way a transaction takes, and whether it is signed on that way. Pure.

The first rule that matches decides. What it looks at is known at RCPT, before the message: the
listener, the client, the reverse-path and the recipient. RFC 5321 §2.3.1 (envelope).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeVar

from relay.core.address import Path
from relay.core.immutable import immutable_by_name
from relay.core.policy import matches_path

NULL_PATH = "<>"  # how the null reverse-path is written in a rule


class SigningPolicy(StrEnum):
    """What is done about signatures on a route.

    Attributes:
        SIGN: every message is signed, or refused.
        STRIP: the same, and the DKIM-Signature fields that it came with are taken out.
        SKIP: nothing is signed. The operator's own decision; each message is counted.
        SKIP_IF_SIGNED: a message that its author's domain has signed passes as it is, and is
            counted; every other is signed.
    """

    SIGN = "sign"
    STRIP = "strip"
    SKIP = "skip"
    SKIP_IF_SIGNED = "skip-if-signed"


@immutable_by_name
class Step:
    """What is known of a transaction when a recipient is given.

    Attributes:
        listener: the address of the listener, as in the settings.
        client: the name of the client's rule.
        mail_from, rcpt_to: RFC5321.MailFrom and the recipient.
    """

    listener: str
    client: str
    mail_from: Path
    rcpt_to: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteRule:
    """Which transactions take a route; every criterion that is given must hold.

    Attributes:
        name: for logs.
        listeners: addresses of listeners, as in the settings.
        clients: names of client rules.
        mail_from: patterns of the reverse-path (see `policy.matches_path`), or "<>" for null.
        rcpt_to: patterns of the recipient.
    """

    name: str
    listeners: frozenset[str] = frozenset()
    clients: frozenset[str] = frozenset()
    mail_from: tuple[str, ...] = ()
    rcpt_to: tuple[str, ...] = ()

    def matches(self, step: Step) -> bool:
        """Whether a recipient of a transaction goes this way."""
        return (
            (not self.listeners or step.listener in self.listeners)
            and (not self.clients or step.client in self.clients)
            and (not self.mail_from or _is_any(self.mail_from, step.mail_from))
            and (not self.rcpt_to or _is_any(self.rcpt_to, step.rcpt_to))
        )


def _is_any(patterns: tuple[str, ...], path: Path) -> bool:
    if path.is_null:
        return NULL_PATH in patterns
    return any(matches_path(pattern, path) for pattern in patterns)


class Ruled(Protocol):
    """Something that a rule leads to."""

    @property
    def rule(self) -> RouteRule:
        """The rule."""


_Way = TypeVar("_Way", bound=Ruled)


def choose(ways: Iterable[_Way], step: Step) -> _Way | None:
    """The first way whose rule matches; None when there is none."""
    return next((way for way in ways if way.rule.matches(step)), None)
