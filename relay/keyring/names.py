"""Names of domains and selectors, as people, folders and files give them. Pure.

RFC 6376 §3.1 (selectors), §3.5 (d= and s=), RFC 8616 (A-labels), RFC 1035 §2.3.4 (lengths).
Everything that becomes part of a path on disk goes through here first.
"""

from __future__ import annotations

import string
from collections.abc import Collection
from datetime import UTC, datetime

from relay.core.address import a_label, is_domain
from relay.core.dkim.record import record_name
from relay.core.errors import KeyFault, SyntaxFault

MAX_NAME_OCTETS = 253  # RFC 1035 §2.3.4: 255 on the wire, written with dots


def signing_domain(text: str) -> str:
    """A domain that can stand in d=, in A-labels (RFC 6376 §3.5, RFC 8616 §4).

    Args:
        text: A-labels or U-labels, any case.

    Raises:
        KeyFault: not a host name, or of a single label.
    """
    name = _labels(text, "domain", "give a domain like example.com")
    if "." not in name:  # RFC 6376 §3.5: domain-name = sub-domain 1*("." sub-domain)
        raise KeyFault(
            _shown(text), "a signing domain has at least two labels", "give one like example.com"
        )
    return name


def key_selector(text: str, domain: str) -> str:
    """A selector for a domain, in A-labels; dots are legal (RFC 6376 §3.1).

    Args:
        text: A-labels or U-labels, any case.
        domain: the signing domain in A-labels; the name of the record has to fit into DNS.

    Raises:
        KeyFault: not made of host name labels, or too long together with the domain.
    """
    name = _labels(text, "selector", "use letters, digits, hyphens and dots, like s202611")
    excess = len(record_name(name, domain)) - MAX_NAME_OCTETS
    if excess > 0:
        raise KeyFault(
            _shown(text),
            f"the record's name would have {MAX_NAME_OCTETS + excess} octets,"
            f" DNS permits {MAX_NAME_OCTETS}",
            f"shorten the selector by {excess}",
        )
    return name


def default_selector(now: float, taken: Collection[str]) -> str:
    """A selector that says the year and month of its making, like s202611.

    Args:
        now: seconds since 1970; the month is UTC's.
        taken: selectors that exist; the first letter that makes a new name is added.

    Raises:
        KeyFault: all 27 names of this month are taken.
    """
    plain = f"s{datetime.fromtimestamp(now, tz=UTC):%Y%m}"
    for name in [plain] + [plain + letter for letter in string.ascii_lowercase]:
        if name not in taken:
            return name
    raise KeyFault(plain, "every selector of this month is taken", "choose one with --selector")


def _labels(text: str, kind: str, fix: str) -> str:
    try:
        name = a_label(text)
    except SyntaxFault as exc:
        raise KeyFault(_shown(text), f"not a {kind} name", fix) from exc
    # Letters, digits, hyphens: nothing that means something to a file system or a zone file.
    if not is_domain(name.encode("utf-8", "surrogateescape")):
        raise KeyFault(_shown(text), f"not a {kind} name", fix)
    return name


def _shown(text: str) -> str:
    """The text on one line of printable ASCII, and not too long."""
    return ascii(text if len(text) <= 80 else text[:77] + "...")
