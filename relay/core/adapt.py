"""What this hop cannot carry is settled before the message is signed. Pure.

RFC 6376 §5.3 (normalise before signing), RFC 6152 (8BITMIME), RFC 5322 §2.1.1 (998 octets),
RFC 6531 (SMTPUTF8), RFC 1870 (SIZE).
"""

from __future__ import annotations

from relay.core.capabilities import Capabilities
from relay.core.errors import Reason, Rejection, unfit
from relay.core.message import MAX_LINE_OCTETS, Field, Message
from relay.core.profile import Profile
from relay.core.reply import own


def adapt(
    message: Message, hop: Capabilities, profile: Profile, *, strip_signatures: bool = False
) -> Message:
    """The message as this hop will carry it, octet for octet.

    Args:
        message: complete.
        hop: what the upstream offers.
        profile: what the upstream is known to do.
        strip_signatures: take DKIM-Signature fields of others out.

    Raises:
        Rejection: the hop cannot carry it.
    """
    if message.traits.long_body_line or any(map(_has_long_line, message.fields)):
        raise unfit(
            "5.6.0", f"A line is longer than {MAX_LINE_OCTETS} octets", Reason.NOT_CARRIABLE
        )
    if message.traits.eight_bit_body and not hop.eight_bit_mime:
        raise unfit("5.6.3", "The next hop takes no 8-bit body", Reason.NOT_CARRIABLE)
    limit = hop.size_limit
    if limit is not None and message.size_octets > limit:
        raise Rejection(
            own(552, "5.3.4", "Message is over the size limit of the next hop"),
            Reason.MESSAGE_SIZE,
            f"{message.size_octets} octets, the upstream takes {limit}",
        )
    if strip_signatures or profile.max_signatures == 1:
        return message.without(frozenset({b"dkim-signature"}))
    return message


def _has_long_line(field: Field) -> bool:
    if len(field.octets) <= MAX_LINE_OCTETS + 2:
        return False
    return any(len(line) > MAX_LINE_OCTETS for line in field.octets.split(b"\r\n"))
