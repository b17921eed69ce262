"""The octets of a transaction: command lines, dot-stuffing, runs to write. Pure.

RFC 5321 §4.1.1 (commands), §4.5.2 (transparency), RFC 1870, RFC 3030, RFC 3461, RFC 4954 §5,
RFC 6152, RFC 6531, RFC 8689.
Message octets are never changed but by dot-stuffing, and copied only where a dot is added or
small parts are joined for one write.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from relay.core.capabilities import Capabilities
from relay.core.envelope import MailCommand, RcptCommand
from relay.upstream import rejections

WRITE_OCTETS = 64 * 1024  # small enough for fairness and bounded buffers, large enough for speed
# Received, Date and Message-ID, and two DKIM-Signatures: what we put in front of a message.
ADDED_OCTETS = 2048
_LARGEST_SIZE = 10**20 - 1  # RFC 1870 §4: SIZE has at most 20 digits
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_DOT = ord(".")


def command_line(command: bytes) -> bytes:
    """A command with its CRLF, refused when it would be more than one.

    All paths and parameters come from a grammar that permits no control characters; this is
    the second lock on the way out.

    Raises:
        ValueError: a control character within the line.
    """
    if _CONTROL.search(command):
        raise ValueError("a control character in an SMTP command")
    return command + b"\r\n"


def mail_line(
    mail: MailCommand,
    capabilities: Capabilities,
    *,
    is_secured: bool = False,
    is_authenticated: bool = False,
) -> bytes:
    """MAIL FROM with what this hop understands of its parameters (RFC 5321 §4.1.1.2).

    BODY=8BITMIME is said whenever it is offered, whatever the client declared: MAIL goes out
    before the message is known, applications send 8-bit text without declaring it, and a hop
    that believes in 7-bit may re-encode the body and break the signature. RFC 6152 §3 lets a
    message of 7-bit octets only be declared so as well.

    RET and ENVID are left out where DSN is not offered. RFC 3461 §5.2.2 would have the relay
    issue a "relayed" DSN of its own then, which a proxy without state cannot; the listener
    offers DSN only when the hop does.

    Args:
        mail: what the client asked for.
        capabilities: of the hop.
        is_secured: whether the connection is TLS with name and certificate verified.
        is_authenticated: whether we are logged in to the hop.

    Raises:
        Rejection: 550 5.6.7, SMTPUTF8 is asked for and not offered; 550 5.7.30, REQUIRETLS is
            asked for and cannot be kept.
        ValueError: a control character in the path or in a parameter.
    """
    line = b"MAIL FROM:<%b>" % mail.reverse_path.octets
    if capabilities.eight_bit_mime:
        if mail.size and "SIZE" in capabilities:
            line += b" SIZE=%d" % _declared_size(mail.size, capabilities.size_limit)
        line += b" BODY=8BITMIME"
    if mail.smtputf8:
        if not capabilities.smtputf8:
            raise rejections.smtputf8_missing(_missing("SMTPUTF8", capabilities))
        line += b" SMTPUTF8"
    if mail.requiretls:
        line += _requiretls(capabilities, is_secured=is_secured)
    if (mail.ret or mail.envelope_id) and "DSN" in capabilities:
        line += b" RET=%b" % mail.ret.encode("ascii") if mail.ret else b""
        line += b" ENVID=%b" % mail.envelope_id if mail.envelope_id else b""
    # RFC 4954 §5: we vouch for nobody, and must say so to a hop that could take us for the author.
    if is_authenticated and "AUTH" in capabilities:
        line += b" AUTH=<>"
    return command_line(line)


def _declared_size(size: int, limit: int | None) -> int:
    """The SIZE to declare, in octets, for a message that the client says is so large (RFC 1870).

    A hop may refuse what is larger than declared (§6.3), so what we add is counted in. It may
    also refuse at once what is declared larger than its limit (§6.1), so our allowance alone
    never lifts a message over that: whether it fits is seen when it is there. For the same
    reason SIZE is not said to a hop without 8BITMIME: a body that is re-encoded for it may
    grow threefold, or not at all.
    """
    return max(size, min(size + ADDED_OCTETS, limit or _LARGEST_SIZE))


def _requiretls(capabilities: Capabilities, *, is_secured: bool) -> bytes:
    """REQUIRETLS (RFC 8689 §4.2.1), where it can be kept.

    Raises:
        Rejection: 550 5.7.30, it cannot.
    """
    if not is_secured:
        raise rejections.requiretls_missing(
            "REQUIRETLS was asked for, and the connection to the hop is not verified TLS: "
            'it is with tls = "starttls" or "implicit"'
        )
    if "REQUIRETLS" not in capabilities:
        raise rejections.requiretls_missing(_missing("REQUIRETLS", capabilities))
    return b" REQUIRETLS"


def _missing(keyword: str, capabilities: Capabilities) -> str:
    offered = ", ".join(capabilities.keywords) or "nothing"
    return f"{keyword} was asked for; offered: {offered}"


def rcpt_line(rcpt: RcptCommand, capabilities: Capabilities) -> bytes:
    """RCPT TO with what this hop understands of its parameters (RFC 5321 §4.1.1.3, RFC 3461).

    An ORCPT with octets above 0x7F is left out where SMTPUTF8 is not offered (RFC 6533 §3).

    Raises:
        ValueError: a control character in the path or in a parameter.
    """
    line = b"RCPT TO:<%b>" % rcpt.forward_path.octets
    original = rcpt.original_recipient
    if (rcpt.notify or original) and "DSN" in capabilities:
        line += b" NOTIFY=%b" % rcpt.notify if rcpt.notify else b""
        if original and (original.isascii() or capabilities.smtputf8):
            line += b" ORCPT=%b" % original
    return command_line(line)


def message_parts(header: bytes, body: Sequence[bytes]) -> list[bytes]:
    """The message in order: header section, blank line, body; joined when it is small.

    Args:
        header: the header section with its last CRLF; may be empty.
        body: blocks of octets after the blank line, CRLF only, no dot-stuffing.

    Raises:
        ValueError: header section or body does not end in CRLF, so that adding the end of
            data would change it (RFC 5321 §4.1.1.4).
    """
    if header and not header.endswith(b"\r\n"):
        raise ValueError("the header section does not end in CRLF")
    if body and not (body[-1].endswith(b"\r\n") or _ends_in_crlf(body)):
        raise ValueError("the body does not end in CRLF")
    parts = [header, b"\r\n", *body]
    # What fits one write is joined here, once, instead of being looked at part by part later.
    return [b"".join(parts)] if sum(map(len, parts)) <= WRITE_OCTETS else parts


def _ends_in_crlf(body: Sequence[bytes]) -> bool:
    """Whether the last line is ended, or there is none; CR and LF may be in two blocks."""
    tail = b""
    for block in reversed(body):
        tail = block[-2:] + tail
        if len(tail) >= 2:
            break
    return not tail or tail.endswith(b"\r\n")


def bdat_runs(parts: Sequence[bytes]) -> Iterator[bytes | memoryview]:
    """A message as BDAT has it, command and all (RFC 3030 §2), for one write each."""
    command = b"BDAT %d LAST\r\n" % sum(map(len, parts))
    return iter((command + parts[0],)) if len(parts) == 1 else runs([command, *parts])


def data_runs(parts: Sequence[bytes]) -> Iterator[bytes | memoryview]:
    """A message as DATA has it, with dots doubled and the end of data, for one write each.

    RFC 5321 §4.1.1.4 and §4.5.2.
    """
    if len(parts) == 1:
        stuffed = parts[0].replace(b"\r\n.", b"\r\n..") + b".\r\n"
        return iter((b"." + stuffed if parts[0].startswith(b".") else stuffed,))
    return runs(chain(dot_stuffed(parts), (b".\r\n",)))


def dot_stuffed(parts: Iterable[bytes]) -> Iterator[bytes]:
    """The parts of a message with every dot that begins a line doubled (RFC 5321 §4.5.2).

    Parts may be split anywhere, also between CR and LF. A part without such a dot is handed
    on as it is.
    """
    tail = b"\r\n"  # the start of the data is the start of a line
    for part in parts:
        if not part:
            continue
        stuffed = part
        if tail == b"\r\n" and part[0] == _DOT:
            yield b"."
        elif tail.endswith(b"\r") and part.startswith(b"\n."):
            stuffed = b"\n." + part[1:]
        if b"." in stuffed and b"\r\n." in stuffed:
            stuffed = stuffed.replace(b"\r\n.", b"\r\n..")
        yield stuffed
        tail = part[-2:] if len(part) > 1 else (tail + part)[-2:]


def runs(parts: Iterable[bytes]) -> Iterator[bytes | memoryview]:
    """Octets for one write each, of about `WRITE_OCTETS` at most twice that.

    Small parts are joined, so that a small message is one segment and one TLS record; large
    ones are cut without copying.
    """
    held: list[bytes] = []
    held_octets = 0
    for part in parts:
        if len(part) <= WRITE_OCTETS:
            held.append(part)
            held_octets += len(part)
            if held_octets < WRITE_OCTETS:
                continue
        if held:
            yield b"".join(held) if len(held) > 1 else held[0]
            held, held_octets = [], 0
        if len(part) > WRITE_OCTETS:
            view = memoryview(part)
            for start in range(0, len(part), WRITE_OCTETS):
                yield view[start : start + WRITE_OCTETS]
    if held:
        yield b"".join(held) if len(held) > 1 else held[0]
