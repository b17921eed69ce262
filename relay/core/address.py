"""Domains and envelope paths, read by our own grammar on octets. Pure.

RFC 5321 §4.1.2 (paths), RFC 6531 §3.3 (UTF-8 in them), RFC 5890 (A-labels beside U-labels).
Nothing is decoded here: an RFC 2047 encoded word in a path is just atom text.
Deviations: a source route is read and left out (RFC 5321 §3.6.1); an underscore may stand in
a domain, because host names of containers carry it.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache

import idna

from relay.core.errors import SyntaxFault

MAX_PATH_OCTETS = 256  # RFC 5321 §4.5.3.1.3, the angle brackets included
MAX_DOMAIN_OCTETS = 255  # RFC 5321 §4.5.3.1.2
MAX_NAME_OCTETS = 253  # RFC 1035 §2.3.4: 255 as DNS carries it
MAX_LABEL_OCTETS = 63  # RFC 1035 §2.3.4

_ATEXT = rb"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~\x80-\xff]"
_LDH = rb"[A-Za-z0-9_\x80-\xff](?:[A-Za-z0-9_\-\x80-\xff]*[A-Za-z0-9_\x80-\xff])?"
_DOMAIN = rb"%b(?:\.%b)*" % (_LDH, _LDH)
_LOCAL_PART = rb'%b+(?:\.%b+)*|"(?:[ !#-\[\]-~\x80-\xff]|\\[ -~])*"' % (_ATEXT, _ATEXT)
_LITERAL = rb"\[[0-9A-Za-z.:\-]{1,64}\]"
_ROUTE = rb"(?:@%b(?:,@%b)*:)?" % (_DOMAIN, _DOMAIN)
_MAILBOX = re.compile(rb"%b((?:%b)@(%b|%b))" % (_ROUTE, _LOCAL_PART, _DOMAIN, _LITERAL))
_DOMAIN_ONLY = re.compile(_DOMAIN)
_POSTMASTER = re.compile(rb"(?i:postmaster)")  # RFC 5321 §4.1.1.3: without a domain


def a_label(domain: str) -> str:
    """A domain in lower-case A-labels, as it is compared, signed and looked up (RFC 8616 §4).

    Raises:
        SyntaxFault: not a domain name: an empty or overlong label, or a character that
            IDNA 2008 does not permit.
    """
    name = domain.lower()
    if not name.isascii() or name.startswith("xn--") or ".xn--" in name:
        try:
            name = idna.encode(name, uts46=True).decode("ascii").lower()
        except (idna.IDNAError, UnicodeError) as exc:
            raise SyntaxFault(f"not a domain name: {domain[:80]!r}") from exc
    is_too_long = len(name) > MAX_NAME_OCTETS or max(map(len, name.split("."))) > MAX_LABEL_OCTETS
    if is_too_long or not is_domain(name.encode("ascii")):
        raise SyntaxFault(f"not a domain name: {domain[:80]!r}")
    return name


@dataclass(frozen=True, slots=True)
class Path:
    """A reverse-path or forward-path (RFC 5321 §4.1.2).

    Attributes:
        octets: the mailbox exactly as received, without brackets and source route; empty
            for the null reverse-path.
        domain: its domain in A-labels; an address literal as it stands; "" when there is none.
    """

    octets: bytes
    domain: str

    @property
    def is_null(self) -> bool:
        """Whether this is the null reverse-path `<>`."""
        return not self.octets

    @property
    def is_ascii(self) -> bool:
        """Whether the path can be carried without SMTPUTF8 (RFC 6531 §3.2)."""
        return self.octets.isascii()

    def __str__(self) -> str:
        """The mailbox for logs."""
        return self.octets.decode("utf-8", "backslashreplace")


NULL_PATH = Path(b"", "")


def parse_path(octets: bytes) -> Path:
    """Read what stands between the angle brackets of MAIL or RCPT (RFC 5321 §4.1.2).

    Args:
        octets: the path without its brackets; empty for the null reverse-path.

    Raises:
        SyntaxFault: outside the grammar, or longer than `MAX_PATH_OCTETS`.
    """
    if not octets:
        return NULL_PATH
    if len(octets) + 2 > MAX_PATH_OCTETS:
        raise SyntaxFault(f"a path of over {MAX_PATH_OCTETS} octets")
    return _parse(octets)


@lru_cache(maxsize=1024)  # of an application, reverse-paths are few, and recipients come again
def _parse(octets: bytes) -> Path:
    if _POSTMASTER.fullmatch(octets):
        return Path(octets, "")
    found = _MAILBOX.fullmatch(octets)
    if found is None:
        raise SyntaxFault(f"not a mailbox: {octets!r}")
    mailbox, domain = found[1], found[2]
    try:
        text = domain.decode("utf-8")
        mailbox.decode("utf-8")  # RFC 6531 §3.3: octets above 0x7F are UTF-8
    except UnicodeDecodeError as exc:
        raise SyntaxFault(f"not UTF-8: {octets!r}") from exc
    return Path(mailbox, _literal(text) if text.startswith("[") else a_label(text))


def _literal(text: str) -> str:
    """Check an address literal (RFC 5321 §4.1.3); general tags are not in use and refused."""
    inner = text[1:-1]
    try:
        if inner[:5].lower() == "ipv6:":
            ipaddress.IPv6Address(inner[5:])
        else:
            ipaddress.IPv4Address(inner)
    except ValueError as exc:
        raise SyntaxFault(f"not an address literal: {text!r}") from exc
    return text


def is_domain(octets: bytes) -> bool:
    """Whether octets are a domain by grammar (RFC 5321 §4.1.2), not whether it exists."""
    return len(octets) <= MAX_DOMAIN_OCTETS and _DOMAIN_ONLY.fullmatch(octets) is not None
