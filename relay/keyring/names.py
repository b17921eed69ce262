"""Names of domains and selectors, as people, folders and files give them. Pure.

RFC 6376 §3.1 (selectors), §3.5 (d= and s=), RFC 8616 (A-labels), RFC 1035 §2.3.4 (lengths).
Everything that becomes part of a path on disk goes through here first.
"""

from __future__ import annotations

import string
from collections.abc import Collection, Set
from datetime import UTC, datetime

from relay.core.address import a_label, is_domain
from relay.core.dkim.record import record_name
from relay.core.errors import KeyFault, SyntaxFault

DEFAULT_TEMPLATE = "s{year}{month}"
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


def host_name(text: str) -> str:
    """A name that a CNAME can lead to, in A-labels; without a final dot.

    Raises:
        KeyFault: not made of host name labels.
    """
    return _labels(text, "host", "give a name like s1.example.net")


def free_selector(
    template: str,
    *,
    domain: str,
    now: float,
    taken: Set[str],
    companions: Collection[str] = (),
) -> str:
    """The first selector after a template that is free; a collision gets a letter.

    Args:
        template: a selector in which {year}, {month} and {day} stand for those of `now`.
        domain: the signing domain in A-labels.
        now: seconds since 1970; the date is UTC's.
        taken: selectors that exist.
        companions: endings; the selector with each of them has to be free too.

    Raises:
        KeyFault: another placeholder, not a selector, or all 27 names are taken.
    """
    plain = key_selector(_filled(template, now), domain)
    for letter in ["", *string.ascii_lowercase]:
        name = key_selector(plain + letter, domain)
        if taken.isdisjoint(name + ending for ending in ("", *companions)):
            return name
    fix = "choose another with --selector"
    raise KeyFault(plain, "it is taken, and so is it with each letter behind it", fix)


def is_template(selector: str) -> bool:
    """Whether a selector has placeholders, or means to."""
    return "{" in selector or "}" in selector


def _filled(template: str, now: float) -> str:
    date = datetime.fromtimestamp(now, tz=UTC)
    text = template
    for name, form in (("{year}", "%Y"), ("{month}", "%m"), ("{day}", "%d")):
        text = text.replace(name, f"{date:{form}}")
    if is_template(text):
        what = "a placeholder that is not known"
        raise KeyFault(_shown(template), what, "there are {year}, {month} and {day}")
    return text


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
