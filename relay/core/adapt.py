"""What this hop cannot carry is settled before the message is signed. Pure.

RFC 6376 §5.3 (normalise before signing), RFC 6152 (8BITMIME), RFC 5322 §2.1.1 (998 octets),
RFC 6531 (SMTPUTF8), RFC 1870 (SIZE). Re-encoding a body is relay.core.reencode's.
"""

from __future__ import annotations

from dataclasses import replace

from relay.core.capabilities import Capabilities
from relay.core.errors import Reason, Rejection, unfit
from relay.core.message import MAX_LINE_OCTETS, Field, Message, Traits
from relay.core.mime import Entity
from relay.core.profile import Profile
from relay.core.reencode import CannotReencode, reencode
from relay.core.reply import own

_WSP = b" \t"


def adapt(
    message: Message,
    hop: Capabilities,
    profile: Profile,
    *,
    strip_signatures: bool = False,
    may_reencode: bool = True,
) -> Message:
    """The message as this hop will carry it, octet for octet.

    Args:
        message: complete.
        hop: what the upstream offers.
        profile: what the upstream is known to do.
        strip_signatures: take DKIM-Signature fields of others out.
        may_reencode: whether body parts may get another Content-Transfer-Encoding.

    Raises:
        Rejection: the hop cannot carry it.
    """
    if strip_signatures:
        message = message.without(frozenset({b"dkim-signature"}))
    message = _fold_long_fields(message)
    must_be_seven_bit = message.traits.eight_bit_body and not hop.eight_bit_mime
    if must_be_seven_bit or message.traits.long_body_line or message.traits.is_ambiguous:
        message = _reencoded(message, seven_bit=must_be_seven_bit, may_reencode=may_reencode)
    if not (hop.smtputf8 or hop.eight_bit_mime or all(f.octets.isascii() for f in message.fields)):
        raise Rejection(
            own(550, "5.6.7", "The next hop takes no 8-bit header fields"),
            Reason.NOT_CARRIABLE,
            "a header field has octets above 0x7F, and the upstream offers no SMTPUTF8",
        )
    # What the hop says itself wins; a profile's number is what its maker published.
    limit = hop.size_limit or profile.limits.max_message_bytes
    if 0 < limit < message.size_octets:
        raise Rejection(
            own(552, "5.3.4", "Message is over the size limit of the next hop"),
            Reason.MESSAGE_SIZE,
            f"{message.size_octets} octets, the upstream takes {limit}",
        )
    return message


def _reencoded(message: Message, *, seven_bit: bool, may_reencode: bool) -> Message:
    if not may_reencode:
        if seven_bit:
            raise unfit("5.6.3", "The next hop takes no 8-bit body", Reason.NOT_CARRIABLE)
        if message.traits.is_ambiguous:
            text = "VT, FF or only white space in the body: verifiers disagree on it"
            raise unfit("5.6.0", text, Reason.NOT_CARRIABLE)
        raise _long_line()
    try:
        whole = Entity(message.fields, b"".join(message.body))
        changed = reencode(whole, seven_bit=seven_bit)
    except CannotReencode as exc:
        raise unfit("5.6.3", str(exc), Reason.NOT_CARRIABLE) from exc
    is_eight_bit = message.traits.eight_bit_body and not seven_bit
    return replace(
        message,
        fields=changed.fields,
        body=(changed.body,),
        traits=Traits(eight_bit_body=is_eight_bit and not changed.body.isascii()),
    )


def _fold_long_fields(message: Message) -> Message:
    """Fold header lines over 998 octets where there is white space: the same field, unfolded.

    RFC 5322 §2.2.3. Hops that fold such lines themselves put in a blank where there was none.
    """
    if max([len(f.octets) for f in message.fields], default=0) <= MAX_LINE_OCTETS + 2:
        return message
    return replace(message, fields=tuple(map(_folded, message.fields)))


def _folded(field: Field) -> Field:
    if len(field.octets) <= MAX_LINE_OCTETS + 2:
        return field
    lines: list[bytes] = []
    for line in field.octets[:-2].split(b"\r\n"):
        start = 0
        while len(line) - start > MAX_LINE_OCTETS:
            end = _last_blank(line, start + 1, start + MAX_LINE_OCTETS + 1)
            # A line of blanks only would end the header section for some (RFC 5322 §3.2.2).
            if end < 0 or not line[start:end].strip(_WSP) or not line[end:].strip(_WSP):
                raise _long_line()
            lines.append(line[start:end])
            start = end
        lines.append(line[start:])
    return Field(field.key, b"\r\n".join(lines) + b"\r\n")


def _last_blank(line: bytes, start: int, end: int) -> int:
    return max(line.rfind(b" ", start, end), line.rfind(b"\t", start, end))


def _long_line() -> Rejection:
    return unfit("5.6.0", f"A line is longer than {MAX_LINE_OCTETS} octets", Reason.NOT_CARRIABLE)
