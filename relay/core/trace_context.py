"""The trace that an application says a message belongs to. Pure. W3C Trace Context §3.2.

A header field as any other: it is passed on as it stands, and logs name its trace.
"""

from __future__ import annotations

import re

from relay.core.message import Message

_KEY = b"traceparent"
# version "-" trace-id "-" parent-id "-" flags; a later version may have more behind it (§3.2.4).
_VALUE = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-[!-~]{0,256})?"
)
_FIRST_VERSION = b"00-"
_FIRST_OCTETS = 55  # of which there is no more in version 00


def trace_id(message: Message) -> str:
    """The trace-id of the traceparent field: 32 hexadecimal digits, or "" when there is none."""
    value = next((f.value for f in message.fields if f.key == _KEY), b"").strip(b" \t\r\n")
    found = _VALUE.fullmatch(value)
    if found is None or (value.startswith(_FIRST_VERSION) and len(value) != _FIRST_OCTETS):
        return ""
    return found[1].decode("ascii")
