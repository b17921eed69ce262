"""The octets of a transaction: command lines, dot-stuffing, runs to write. Pure.

RFC 5321 §4.1.1 (commands), §4.5.2 (transparency), RFC 1870, RFC 3030, RFC 6152, RFC 6531.
Message octets are never changed but by dot-stuffing, and copied only where a dot is added or
small parts are joined for one write.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from relay.core.capabilities import Capabilities
from relay.core.envelope import MailCommand, RcptCommand
from relay.upstream import rejections

WRITE_OCTETS = 64 * 1024  # small enough for fairness and bounded buffers, large enough for speed
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_DOT = ord(".")


def command_line(command: bytes) -> bytes:
    """A command with its CRLF, refused when it would be more than one.

    All paths come from a grammar that permits no control characters; this is the second lock
    on the way out.

    Raises:
        ValueError: a control character within the line.
    """
    if _CONTROL.search(command):
        raise ValueError("a control character in an SMTP command")
    return command + b"\r\n"


def mail_line(mail: MailCommand, capabilities: Capabilities) -> bytes:
    """MAIL FROM with what this hop understands of its parameters (RFC 5321 §4.1.1.2).

    BODY=8BITMIME is said whenever it is offered, whatever the client declared: MAIL goes out
    before the message is known, applications send 8-bit text without declaring it, and a hop
    that believes in 7-bit may re-encode the body and break the signature. RFC 6152 §3 lets a
    message of 7-bit octets only be declared so as well.

    Raises:
        Rejection: 550 5.6.7, SMTPUTF8 is asked for and not offered.
        ValueError: a control character in the path.
    """
    line = b"MAIL FROM:<%b>" % mail.reverse_path.octets
    if mail.size is not None and "SIZE" in capabilities:
        line += b" SIZE=%d" % mail.size
    if capabilities.eight_bit_mime:
        line += b" BODY=8BITMIME"
    if mail.smtputf8:
        if not capabilities.smtputf8:
            offered = ", ".join(capabilities.keywords) or "nothing"
            raise rejections.smtputf8_missing(f"SMTPUTF8 was asked for; offered: {offered}")
        line += b" SMTPUTF8"
    return command_line(line)


def rcpt_line(rcpt: RcptCommand) -> bytes:
    """RCPT TO (RFC 5321 §4.1.1.3).

    Raises:
        ValueError: a control character in the path.
    """
    return command_line(b"RCPT TO:<%b>" % rcpt.forward_path.octets)


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
    tail = b""
    for block in reversed(body):
        tail = block[-2:] + tail
        if len(tail) >= 2:
            break
    if tail and not tail.endswith(b"\r\n"):
        raise ValueError("the body does not end in CRLF")
    parts = [header, b"\r\n", *body]
    # What fits one write is joined here, once, instead of being looked at part by part later.
    return [b"".join(parts)] if sum(map(len, parts)) <= WRITE_OCTETS else parts


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
        if b"\r\n." in stuffed:
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
