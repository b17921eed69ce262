"""One change to a message, for people. Pure data."""

from __future__ import annotations

from dataclasses import dataclass

from relay.core.excerpt import excerpt


@dataclass(frozen=True, slots=True)
class Change:
    """What was done to a message after it was signed.

    Attributes:
        what: what changed, and what usually does that.
        fix: what to do; empty when there is nothing to say.
    """

    what: str
    fix: str = ""


NOT_AFTER_SIGNING = "let what changes it come before signing, or switch it off"
EIGHT_BIT_FIX = (
    "send 7-bit content, or sign behind the hop that does this: dkim-relay re-encodes before it "
    "signs when the upstream lacks 8BITMIME"
)
LONG_LINE_FIX = (
    "keep lines within 998 octets before signing: dkim-relay re-encodes longer ones first"
)
CANONICAL_FIX = "sign with c=relaxed/relaxed, as dkim-relay does"
SIGNER_FIX = "mend or replace what signs"
PROFILE_FIX = 'leave it unsigned where the upstream replaces it: profile = "ses", or its own'
REPLACED_BY_UPSTREAMS = frozenset({b"date", b"message-id"})
# Signed fields that hops rewrite, most often first, and who does.
REWRITTEN_BY = {
    b"subject": "mailing lists and gateways put a tag in front",
    b"message-id": 'Amazon SES and others replace it, see profile = "ses"',
    b"date": 'Amazon SES and others replace it, see profile = "ses"',
    b"from": "mailing lists and account-bound relays replace it",
    b"to": "lists and address clean-ups rewrite it",
    b"cc": "lists and address clean-ups rewrite it",
    b"reply-to": "mailing lists set it",
    b"content-type": "gateways that open messages rewrite it",
    b"content-transfer-encoding": "hops without 8BITMIME rewrite it",
    b"mime-version": "gateways add it",
    b"list-unsubscribe": "mailing lists and ESPs replace it",
    b"list-unsubscribe-post": "mailing lists and ESPs replace it",
    b"sender": "mailing lists set it",
}
_SPELLED = {
    b"message-id": "Message-ID",
    b"mime-version": "MIME-Version",
    b"content-id": "Content-ID",
}


def spelled(key: bytes) -> str:
    """The name of a field as it is usually written, from its lower-case form."""
    return _SPELLED.get(key) or excerpt(key).title()
