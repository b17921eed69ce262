"""Whether a signature speaks for the author's domain, as DMARC asks. Pure. RFC 7489 §3.1.1.

The public suffix list is the caller's: `organizational` gives the domain right below the public
suffix (§3.2), or None for a public suffix itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum

from relay.core.errors import SyntaxFault
from relay.core.mailboxes import parse_mailboxes
from relay.core.message import Message

Organizational = Callable[[str], str | None]


class Alignment(StrEnum):
    """How d= and the From domain relate."""

    STRICT = "strict"  # the same domain
    RELAXED = "relaxed"  # another domain of the same organization
    NO = "no"


@dataclass(frozen=True, slots=True)
class Author:
    """The domain that receivers see as the author's (RFC 7489 §3.1).

    Attributes:
        domain: of the From header field, in A-labels; None when there is no single one.
        address: the mailbox, for people.
        problem: why there is no domain; empty when there is one.
    """

    domain: str | None
    address: str = ""
    problem: str = ""


def author_of(message: Message) -> Author:
    """The author's domain: one From field, all of whose mailboxes have one domain (§6.6.1)."""
    fields = list(message.named(b"from"))
    if len(fields) != 1:
        return Author(None, problem=f"{len(fields) or 'no'} From fields, where one must stand")
    try:
        mailboxes = parse_mailboxes(fields[0].value)
    except SyntaxFault as exc:
        return Author(None, problem=f"From is not a valid address field: {exc}")
    domains = {mailbox.domain for mailbox in mailboxes}
    if len(domains) != 1:
        return Author(None, problem=f"From has addresses of {len(domains)} domains")
    domain = domains.pop()
    if domain.startswith("["):
        return Author(None, str(mailboxes[0]), "From has an address literal, and no domain")
    return Author(domain, str(mailboxes[0]))


def align(signing_domain: str, author_domain: str, organizational: Organizational) -> Alignment:
    """How d= relates to the From domain; both in A-labels."""
    if signing_domain == author_domain:
        return Alignment.STRICT
    ours = organizational(signing_domain)
    if ours is not None and ours == organizational(author_domain):
        return Alignment.RELAXED
    return Alignment.NO


def aligning(
    author_domain: str, organizational: Organizational, available: Collection[str] = ()
) -> str:
    """Which signature would align, for people.

    Args:
        author_domain: of the From header field.
        organizational: see the top of this module.
        available: domains that there are local keys for.
    """
    text = f"a signature with d={author_domain} would align"
    top = organizational(author_domain)
    if top is not None and top != author_domain:
        text += f", under relaxed alignment also d={top}"
    ours = [d for d in sorted(available) if align(d, author_domain, organizational) != "no"]
    if ours:
        text += f"; there are keys for {', '.join(ours)}"
    return text
