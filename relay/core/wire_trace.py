"""SMTP dialogues for the log, when an operator asks for them. Pure.

Written as RFC 5321 Appendix D has it, "C: " and "S: ". Commands whose words are known are shown,
and of AUTH the mechanism; anything else may be a secret, and is not. Messages are no commands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from relay.core.reply import Reply

_SHOWN: Final = frozenset(
    {
        *(b"EHLO", b"HELO", b"LHLO", b"STARTTLS", b"MAIL", b"RCPT", b"DATA", b"BDAT"),
        *(b"RSET", b"NOOP", b"HELP", b"QUIT"),
    }
)
_NAMING: Final = frozenset({b"VRFY", b"EXPN"})  # people, who need no domain here to be known by
# RFC 4954 §4 has the name first; what is no name may be a secret that somebody sends for one.
_MECHANISMS: Final = frozenset(
    {
        *(b"PLAIN", b"LOGIN", b"CRAM-MD5", b"DIGEST-MD5", b"EXTERNAL", b"NTLM", b"GSSAPI"),
        *(b"XOAUTH2", b"OAUTHBEARER", b"SCRAM-SHA-1", b"SCRAM-SHA-256"),
    }
)
_HIDDEN: Final = "C: ***"
_SHOWN_OCTETS: Final = 1000

Trace = Callable[[str], None]


def command_shown(line: bytes) -> str:
    """A command line; what may be a secret is three asterisks."""
    verb, _, argument = line.strip(b"\r\n ").partition(b" ")
    if verb.upper() == b"AUTH":
        mechanism = argument.partition(b" ")[0]
        shown = _text(mechanism) if mechanism.upper() in _MECHANISMS else "***"
        return f"C: AUTH {shown}" + (" ***" if b" " in argument else "")
    if verb.upper() in _NAMING:
        return f"C: {_text(verb)} ***"
    if verb.upper() not in _SHOWN:
        return _HIDDEN
    return f"C: {_text(verb + b' ' + argument if argument else verb)}"


def reply_shown(reply: Reply) -> Iterator[str]:
    """The lines of a reply."""
    for line in reply.wire().split(b"\r\n")[:-1]:
        yield f"S: {_text(line)}"


def message_shown(octets: int) -> str:
    """Octets of a message: how many."""
    return f"C: [{octets} octets of a message]"


def _text(octets: bytes) -> str:
    shown = octets[:_SHOWN_OCTETS].decode("utf-8", "backslashreplace")
    return shown if len(octets) <= _SHOWN_OCTETS else f"{shown} […]"
