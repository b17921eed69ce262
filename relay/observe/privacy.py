"""Addresses of people and of clients masked, for logs and pages that others read. Pure.

Left as they are: domains, because trouble is a domain's, and Message-IDs, queue ids and
selectors, by which a line is found again. A client keeps its network: /24 of IPv4, /48 of IPv6.
"""

from __future__ import annotations

import re
import traceback
from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Final

from relay.core.events import Event, Noted, TransactionEnded

_WORD: Final = re.compile(r"[^\s<>@,;:()\"]*")  # with "=", which VERP has, and "'"
# A quoted string, and whether it is a local part; or one that does not end, looked at once.
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*+(?:"(@?)|\\?\Z)', re.DOTALL)
# An address literal, which is how a client without a name says EHLO (RFC 5321 §4.1.3).
_LITERAL: Final = re.compile(r"\[(IPv6:)?([0-9a-f:.]{2,45})\]", re.IGNORECASE)
_MASK: Final = "***"
_PREFIX_BITS: Final = {4: 24, 6: 48}
_CLIENT: Final = "client"
_LOGIN: Final = "login"
# Of our own making, or of the settings, without anybody's address.
_OPEN: Final = frozenset(
    {"message_id", "session_id", "queue_id", "where", "listening", "upstreams"}
)


def masked(event: Event) -> Event:
    """The same event without local parts, and with networks in place of clients."""
    if isinstance(event, TransactionEnded):
        client = masked_client(event.client)

        def text(value: str) -> str:
            return _masked_text(value, event.client, client)

        return replace(
            event,
            client=client,
            mail_from=text(event.mail_from),
            from_address=text(event.from_address),
            rcpt_to=tuple(map(text, event.rcpt_to)),
            reply=text(event.reply),
            detail=text(event.detail),
        )
    if isinstance(event, Noted):
        return _masked_note(event)
    return event


def masked_client(address: str) -> str:
    """The network of a client's address; anything else as it stands."""
    try:
        ip = ip_address(address)
    except ValueError:
        return address
    return str(ip_network((ip, _PREFIX_BITS[ip.version]), strict=False))


def _masked_note(event: Noted) -> Noted:
    given = dict(event.fields).get(_CLIENT)
    client = given if isinstance(given, str) else ""
    network = masked_client(client)

    def value(name: str, value: object) -> object:
        if name in _OPEN or isinstance(value, bool | int | float):
            return value
        if name == _LOGIN and "@" not in str(value):
            return _MASK
        if isinstance(value, tuple | list):
            return [_masked_text(str(item), client, network) for item in value]
        if isinstance(value, BaseException):  # a traceback may quote anything
            return _masked_text("".join(traceback.format_exception(value)), client, network)
        return _masked_text(str(value), client, network)

    return Noted(event.name, event.level, tuple((n, value(n, v)) for n, v in event.fields))


def _masked_text(text: str, client: str, network: str) -> str:
    if client and network != client:
        text = text.replace(client, network)
    text = _LITERAL.sub(_masked_literal, text)
    text = _QUOTED.sub(lambda found: f"{_MASK}@" if found[1] else found[0], text)
    before, *domains = text.split("@")
    parts = []
    for domain in domains:
        parts.append(_without_local_part(before))
        before = domain
    return "@".join((*parts, before))


def _masked_literal(literal: re.Match[str]) -> str:
    tag, address = literal.groups(default="")
    return f"[{tag}{masked_client(address)}]"


def _without_local_part(text: str) -> str:
    """What stands before an "@": its last word, or a quoted string, masked; in linear time."""
    if text.endswith('"'):
        return text[: text.index('"')] + _MASK
    backwards = _WORD.match(text[::-1])
    length = backwards.end() if backwards else 0
    return text[: len(text) - length] + _MASK if length else text
