"""The mailboxes of an address header field, by grammar, on octets, in linear time. Pure.

RFC 5322 §3.2 and §3.4 with the obsolete forms of §4.4, RFC 6532 (UTF-8). Comments nest,
quoted strings and encoded words stay what they are: the domain comes from the addr-spec and
is never searched for in text.
Deviation: an "@" or "," in a display name without quotes is refused, not guessed at.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from relay.core.address import a_label
from relay.core.errors import SyntaxFault
from relay.core.immutable import immutable

_TOKEN = re.compile(
    rb"(?P<blank>[ \t\r\n]+)"
    rb"|(?P<atom>[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~\x80-\xff]+)"
    rb'|(?P<quoted>"(?:[^"\\\x00]|\\[^\x00])*")'
    rb"|(?P<literal>\[[!-Z^-~]{1,255}\])"
    rb"|(?P<special>[<>@,;:.])",
    re.DOTALL,
)
_KEPT_OCTETS = 320
MAX_MAILBOXES = 100  # of one field; each costs time before anybody is known
_COMMENT_STEP = re.compile(rb"[^()\\]+|\\.|[()]", re.DOTALL)


@immutable
class Mailbox:
    """One mailbox of a header field.

    Attributes:
        local_part: as written, quotes included.
        domain: in A-labels; an address literal keeps its brackets.
    """

    local_part: bytes
    domain: str

    def __str__(self) -> str:
        """The addr-spec, for logs."""
        return f"{self.local_part.decode('utf-8', 'backslashreplace')}@{self.domain}"


@immutable
class Token:
    """A word, a quoted string, a literal or a special (RFC 5322 §3.2), comments passed over.

    Attributes:
        end: the position behind it in the value.
    """

    kind: str
    octets: bytes
    end: int


def parse_mailboxes(value: bytes) -> tuple[Mailbox, ...]:
    """All mailboxes of a From, Sender or similar field (RFC 5322 §3.6.2).

    Args:
        value: what follows the colon, folded or not.

    Raises:
        SyntaxFault: outside the grammar, or a group (RFC 6854), which nobody can sign for.
    """
    # What strangers can make large is not kept.
    return _parse(value) if len(value) <= _KEPT_OCTETS else _parse.__wrapped__(value)


@lru_cache(maxsize=1024)  # an application has few authors
def _parse(value: bytes) -> tuple[Mailbox, ...]:
    tokens = tokenize(value)
    mailboxes: list[Mailbox] = []
    start = 0
    for position in _ends(tokens):
        part = tokens[start:position]
        start = position + 1
        if len(mailboxes) >= MAX_MAILBOXES:
            raise SyntaxFault("too many mailboxes")
        if part:  # §4.4 obs-mbox-list: empty members are passed over
            mailboxes.append(_mailbox(part))
    if not mailboxes:
        raise SyntaxFault("no mailbox")
    return tuple(mailboxes)


def _ends(tokens: Sequence[Token]) -> list[int]:
    """Where each member of a list ends: at commas, but not at those of a source route."""
    ends, is_angle = [], False
    for i, token in enumerate(tokens):
        if token.octets in (b"<", b">"):
            is_angle = token.octets == b"<"
        elif token.octets == b"," and not is_angle:
            ends.append(i)
    return [*ends, len(tokens)]


def tokenize(value: bytes) -> list[Token]:
    """The tokens of an address header field's value, blanks and comments left out.

    Raises:
        SyntaxFault: an octet that begins no token, or a comment that does not end.
    """
    tokens: list[Token] = []
    position = 0
    while position < len(value):
        if value[position] == ord("("):
            position = _after_comment(value, position)
            continue
        found = _TOKEN.match(value, position)
        if found is None or found.lastgroup is None:
            raise SyntaxFault(f"unexpected octet {value[position : position + 1]!r}")
        if found.lastgroup != "blank":
            tokens.append(Token(found.lastgroup, found[0], found.end()))
        position = found.end()
    return tokens


def _after_comment(value: bytes, position: int) -> int:
    """The position after a comment, which may nest (RFC 5322 §3.2.2)."""
    depth = 0
    while position < len(value):
        step = _COMMENT_STEP.match(value, position)
        if step is None:
            break
        position = step.end()
        depth += {b"(": 1, b")": -1}.get(step[0], 0)
        if depth == 0:
            return position
    raise SyntaxFault("a comment does not end")


def _mailbox(tokens: Sequence[Token]) -> Mailbox:
    """name-addr or addr-spec (RFC 5322 §3.4)."""
    specials = [t.octets for t in tokens if t.kind == "special"]
    if b":" in specials and (b"<" not in specials or specials.index(b":") < specials.index(b"<")):
        raise SyntaxFault("group syntax")
    opens = next((i for i, t in enumerate(tokens) if t.octets == b"<"), None)
    if opens is None:
        return _addr_spec(tokens)
    if tokens[-1].octets != b">":
        raise SyntaxFault("no > at the end of an address")
    for token in tokens[:opens]:  # §3.2.5 phrase, §4.1 obs-phrase with dots
        if token.kind == "literal" or token.octets in (b"@", b">", b";", b":"):
            raise SyntaxFault("a display name needs quotes")
    return _addr_spec(_without_route(tokens[opens + 1 : -1]))


def _without_route(tokens: Sequence[Token]) -> Sequence[Token]:
    """Leave out an obsolete source route (§4.4)."""
    first = next((t.octets for t in tokens if t.octets != b","), b"")
    if first != b"@":
        return tokens
    end = next((i for i, t in enumerate(tokens) if t.octets == b":"), None)
    if end is None:
        raise SyntaxFault("a source route does not end")
    hop: list[Token] = []
    for token in (*tokens[:end], Token("special", b",", 0)):
        if token.octets != b",":
            hop.append(token)
        elif hop:
            if hop[0].octets != b"@":
                raise SyntaxFault("a source route is not well formed")
            _domain(hop[1:])
            hop = []
    return tokens[end + 1 :]


def _addr_spec(tokens: Sequence[Token]) -> Mailbox:
    at = [i for i, t in enumerate(tokens) if t.octets == b"@"]
    if len(at) != 1:
        raise SyntaxFault("not an address")
    return Mailbox(_local_part(tokens[: at[0]]), _domain(tokens[at[0] + 1 :]))


def _local_part(tokens: Sequence[Token]) -> bytes:
    """Words with dots between them (§3.4.1, §4.4 obs-local-part)."""
    check_local_part(tokens)
    # The CRLF of a fold within a quoted string is no part of it (§3.2.4).
    return b"".join(t.octets for t in tokens).replace(b"\r\n", b"")


def check_local_part(tokens: Sequence[Token]) -> None:
    """Whether tokens are a local part.

    Raises:
        SyntaxFault: they are not.
    """
    _alternate(tokens, ("atom", "quoted"), "a local part")


def _domain(tokens: Sequence[Token]) -> str:
    """Atoms with dots between them, or one literal (§3.4.1, §4.4 obs-domain)."""
    if len(tokens) == 1 and tokens[0].kind == "literal":
        return tokens[0].octets.decode("ascii", "backslashreplace")
    _alternate(tokens, ("atom",), "a domain")
    try:
        return a_label(b"".join(t.octets for t in tokens).decode("utf-8"))
    except UnicodeDecodeError as exc:
        raise SyntaxFault("a domain is not UTF-8") from exc


def _alternate(tokens: Sequence[Token], kinds: tuple[str, ...], what: str) -> None:
    if len(tokens) % 2 == 0:
        raise SyntaxFault(f"{what} is not well formed")
    for i, token in enumerate(tokens):
        if token.octets != b"." if i % 2 else token.kind not in kinds:
            raise SyntaxFault(f"{what} is not well formed")
