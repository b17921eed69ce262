"""The envelope: MAIL and RCPT read by grammar, and what is passed on of them. Pure.

RFC 5321 §4.1.1.2, §4.1.1.3 and §4.1.2; RFC 1870 (SIZE), RFC 6152 (BODY), RFC 6531 (SMTPUTF8),
RFC 3461 (DSN: RET, ENVID, NOTIFY, ORCPT), RFC 4954 §5 (AUTH=), RFC 8689 (REQUIRETLS).
Parameter values keep their case and octets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from relay.core.address import Path, parse_path
from relay.core.errors import SyntaxFault
from relay.core.immutable import immutable

# A path ends at the first ">" outside a quoted string (RFC 5321 §4.1.2).
_ARGUMENT = re.compile(
    rb'(?i:(FROM|TO)):[ ]?<((?:[^"<>\x00-\x20\x7f]|"(?:[^"\\\x00-\x1f\x7f]|\\[ -~])*")*)>(.*)',
    re.DOTALL,
)
_PARAMETER = re.compile(rb"([A-Za-z0-9][A-Za-z0-9\-]*)(?:=([!-<>-~\x80-\xff]+))?")
_SIZE = re.compile(rb"[0-9]{1,20}")  # RFC 1870 §4
_XTEXT = rb"(?:[!-*,-<>-~]|\+[0-9A-F]{2})"  # RFC 3461 §4
_ENVID = re.compile(rb"%b{1,100}" % _XTEXT)  # RFC 3461 §4.4
_ORCPT = re.compile(rb"[A-Za-z0-9\-]{1,40};%b{1,500}" % _XTEXT)  # RFC 3461 §4.2
_ORCPT_UTF8 = re.compile(rb"(?i:utf-8);(?:%b|[\x80-\xff]){1,500}" % _XTEXT)  # RFC 6533 §3
_AUTH = re.compile(rb"%b{1,500}" % _XTEXT)  # RFC 4954 §5
_NOTIFY = frozenset({b"NEVER", b"SUCCESS", b"FAILURE", b"DELAY"})


class ParameterFault(SyntaxFault):
    """A parameter that is not known or not permitted here (555), by its keyword."""


class ValueFault(SyntaxFault):
    """A known parameter with a value that it cannot have (501 5.5.4)."""


@immutable
class MailCommand:
    """MAIL FROM with its parameters (RFC 5321 §4.1.1.2).

    Attributes:
        reverse_path: RFC5321.MailFrom; null for DSNs and auto-replies.
        size: the declared size in octets, or None (RFC 1870).
        body: "7BIT", "8BITMIME", or "" when not given (RFC 6152).
        smtputf8: whether the client asked for SMTPUTF8 (RFC 6531).
        ret: "FULL", "HDRS", or "" when not given (RFC 3461 §4.3).
        envelope_id: ENVID as it was written, in xtext; empty when not given (§4.4).
        requiretls: whether every hop must be secured (RFC 8689).
    """

    reverse_path: Path
    size: int | None = None
    body: str = ""
    smtputf8: bool = False
    ret: str = ""
    envelope_id: bytes = b""
    requiretls: bool = False


@immutable
class RcptCommand:
    """RCPT TO (RFC 5321 §4.1.1.3).

    Attributes:
        forward_path: the recipient.
        notify: NOTIFY as it was written; empty when not given (RFC 3461 §4.1).
        original_recipient: ORCPT as it was written; empty when not given (§4.2).
    """

    forward_path: Path
    notify: bytes = b""
    original_recipient: bytes = b""


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
    found = {k: _mail_value(k, v) for k, v in parameters.items()}
    smtputf8 = "SMTPUTF8" in found
    if not path.is_ascii and not smtputf8:
        raise SyntaxFault("a path with octets above 0x7F, and no SMTPUTF8")  # RFC 6531 §3.4
    return MailCommand(
        path,
        size=int(found["SIZE"]) if "SIZE" in found else None,
        body=found.get("BODY", b"").decode("ascii").upper(),
        smtputf8=smtputf8,
        ret=found.get("RET", b"").decode("ascii").upper(),
        envelope_id=found.get("ENVID", b""),
        requiretls="REQUIRETLS" in found,
    )


def _mail_value(keyword: str, value: bytes | None) -> bytes:
    """The value of a parameter of MAIL, checked; empty for one that has none."""
    match keyword, value:
        case "SMTPUTF8" | "REQUIRETLS", None:
            return b""
        case "SIZE", bytes() if _SIZE.fullmatch(value):
            return value
        case "BODY", bytes() if value.upper() in (b"7BIT", b"8BITMIME"):
            return value
        case "RET", bytes() if value.upper() in (b"FULL", b"HDRS"):
            return value
        case "ENVID", bytes() if _ENVID.fullmatch(value):
            return value
        case "AUTH", bytes() if _AUTH.fullmatch(value):
            return value  # read, and passed on as <>: whom we relay for is ours to say
        case "SIZE" | "BODY" | "SMTPUTF8" | "RET" | "ENVID" | "AUTH" | "REQUIRETLS", _:
            raise ValueFault(f"a bad value of {keyword}")
        case _:
            raise ParameterFault(keyword)


def parse_rcpt(argument: bytes, *, smtputf8: bool, dsn: bool = True) -> RcptCommand:
    """Read what follows "RCPT " (RFC 5321 §4.1.1.3).

    Args:
        argument: octets after the verb.
        smtputf8: whether MAIL asked for SMTPUTF8.
        dsn: whether NOTIFY and ORCPT are offered.

    Raises:
        SyntaxFault: the path is outside its grammar, or null.
        ParameterFault: a parameter that is not known.
        ValueFault: a parameter whose value is outside its grammar; ORCPT in UTF-8 belongs to
            SMTPUTF8 and the address type utf-8 (RFC 6533 §3).
    """
    path, parameters = _split(argument, b"TO")
    if path.is_null:
        raise SyntaxFault("a null forward-path")
    if not path.is_ascii and not smtputf8:
        raise SyntaxFault("a path with octets above 0x7F, and no SMTPUTF8")
    for keyword, value in parameters.items():
        if not dsn:
            raise ParameterFault(keyword)
        _check_rcpt_value(keyword, value, smtputf8=smtputf8)
    return RcptCommand(path, parameters.get("NOTIFY") or b"", parameters.get("ORCPT") or b"")


def _check_rcpt_value(keyword: str, value: bytes | None, *, smtputf8: bool) -> None:
    match keyword, value:
        case "NOTIFY", bytes():
            words = [word.upper() for word in value.split(b",")]
            alone = b"NEVER" not in words or len(words) == 1
            if not (alone and set(words) <= _NOTIFY and len(set(words)) == len(words)):
                raise ValueFault("a bad value of NOTIFY")
        case "ORCPT", bytes() if _ORCPT.fullmatch(value):
            return
        case "ORCPT", bytes() if smtputf8 and _ORCPT_UTF8.fullmatch(value) and _is_utf8(value):
            return
        case "NOTIFY" | "ORCPT", _:
            raise ValueFault(f"a bad value of {keyword}")
        case _:
            raise ParameterFault(keyword)


def _is_utf8(octets: bytes) -> bool:
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


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
            raise ValueFault(f"not a parameter: {item[:80]!r}")
        keyword = found[1].decode("ascii").upper()
        if keyword in parameters:
            raise ValueFault(f"{keyword} stands twice")
        parameters[keyword] = found[2]
    return parameters
