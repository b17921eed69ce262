"""The envelope: MAIL and RCPT read by grammar, and what is passed on of them. Pure.

RFC 5321 §4.1.1.2, §4.1.1.3 and §4.1.2; RFC 1870 (SIZE), RFC 6152 (BODY), RFC 6531 (SMTPUTF8).
Parameter values keep their case and octets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from relay.core.address import Path, parse_path
from relay.core.errors import SyntaxFault

# A path ends at the first ">" outside a quoted string (RFC 5321 §4.1.2).
_ARGUMENT = re.compile(
    rb'(?i:(FROM|TO)):[ ]?<((?:[^"<>\x00-\x20\x7f]|"(?:[^"\\\x00-\x1f\x7f]|\\[ -~])*")*)>(.*)',
    re.DOTALL,
)
_PARAMETER = re.compile(rb"([A-Za-z0-9][A-Za-z0-9\-]*)(?:=([!-<>-~\x80-\xff]+))?")
_SIZE = re.compile(rb"[0-9]{1,20}")  # RFC 1870 §4


class ParameterFault(SyntaxFault):
    """A parameter that is not known or not permitted here (555), by its keyword."""


class Body:
    """Values of BODY (RFC 6152 §2)."""

    SEVEN_BIT = "7BIT"
    EIGHT_BIT_MIME = "8BITMIME"


@dataclass(frozen=True, slots=True)
class MailCommand:
    """MAIL FROM with its parameters (RFC 5321 §4.1.1.2).

    Attributes:
        reverse_path: RFC5321.MailFrom; null for DSNs and auto-replies.
        size: the declared size in octets, or None (RFC 1870).
        body: "7BIT", "8BITMIME", or "" when not given (RFC 6152).
        smtputf8: whether the client asked for SMTPUTF8 (RFC 6531).
    """

    reverse_path: Path
    size: int | None = None
    body: str = ""
    smtputf8: bool = False


@dataclass(frozen=True, slots=True)
class RcptCommand:
    """RCPT TO (RFC 5321 §4.1.1.3)."""

    forward_path: Path


@dataclass(slots=True)
class Envelope:
    """What one transaction has gathered so far: MAIL, and the recipients that were accepted."""

    mail: MailCommand
    recipients: list[RcptCommand] = field(default_factory=list)

    @property
    def needs_smtputf8(self) -> bool:
        """Whether a path cannot be carried without SMTPUTF8 (RFC 6531 §3.2)."""
        return not (
            self.mail.reverse_path.is_ascii
            and all(r.forward_path.is_ascii for r in self.recipients)
        )


def parse_mail(argument: bytes) -> MailCommand:
    """Read what follows "MAIL " (RFC 5321 §4.1.1.2).

    Raises:
        SyntaxFault: the path or a parameter's value is outside its grammar.
        ParameterFault: a parameter that is not known.
    """
    path, parameters = _split(argument, b"FROM")
    if path.octets and not path.domain:
        raise SyntaxFault("a reverse-path without a domain")
    size: int | None = None
    body, smtputf8 = "", False
    for keyword, value in parameters.items():
        match keyword:
            case "SIZE" if value is not None and _SIZE.fullmatch(value):
                size = int(value)
            case "BODY" if value is not None and value.upper() in (b"7BIT", b"8BITMIME"):
                body = value.decode("ascii").upper()
            case "SMTPUTF8" if value is None:
                smtputf8 = True
            case "SIZE" | "BODY" | "SMTPUTF8":
                raise SyntaxFault(f"a bad value of {keyword}")
            case _:
                raise ParameterFault(keyword)
    if not path.is_ascii and not smtputf8:
        raise SyntaxFault("a path with octets above 0x7F, and no SMTPUTF8")  # RFC 6531 §3.4
    return MailCommand(path, size, body, smtputf8)


def parse_rcpt(argument: bytes, *, smtputf8: bool) -> RcptCommand:
    """Read what follows "RCPT " (RFC 5321 §4.1.1.3).

    Args:
        argument: octets after the verb.
        smtputf8: whether MAIL asked for SMTPUTF8.

    Raises:
        SyntaxFault: the path is outside its grammar, or null.
        ParameterFault: a parameter; none is known here.
    """
    path, parameters = _split(argument, b"TO")
    if path.is_null:
        raise SyntaxFault("a null forward-path")
    if not path.is_ascii and not smtputf8:
        raise SyntaxFault("a path with octets above 0x7F, and no SMTPUTF8")
    for keyword in parameters:
        raise ParameterFault(keyword)
    return RcptCommand(path)


def _split(argument: bytes, word: bytes) -> tuple[Path, Mapping[str, bytes | None]]:
    found = _ARGUMENT.fullmatch(argument)
    if found is None or found[1].upper() != word:
        raise SyntaxFault(f"not {word.decode()}:<path>")
    return parse_path(found[2]), _parameters(found[3])


def _parameters(octets: bytes) -> Mapping[str, bytes | None]:
    """Parameters by upper-case keyword, values as they stand (RFC 5321 §4.1.2)."""
    if octets and not octets.startswith(b" "):
        raise SyntaxFault("no blank after the path")
    parameters: dict[str, bytes | None] = {}
    for item in octets.split(b" "):
        if not item:
            continue  # blanks at the end of the line are common and harmless
        found = _PARAMETER.fullmatch(item)
        if found is None:
            raise SyntaxFault(f"not a parameter: {item[:80]!r}")
        keyword = found[1].decode("ascii").upper()
        if keyword in parameters:
            raise SyntaxFault(f"{keyword} stands twice")
        parameters[keyword] = found[2]
    return parameters
