"""Credentials as SASL carries them: PLAIN and LOGIN, read on octets. Pure.

RFC 4954 (AUTH), RFC 4616 (PLAIN), draft-murchison-sasl-login (LOGIN).
Names and passwords are compared as octets; nothing of them is ever logged here.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field

from relay.core.errors import SyntaxFault

MAX_INITIAL_OCTETS = 12288  # RFC 4954 §4
LOGIN_USERNAME = b"VXNlcm5hbWU6"  # "Username:"
LOGIN_PASSWORD = b"UGFzc3dvcmQ6"  # "Password:"
_EMPTY_INITIAL = b"="  # RFC 4954 §4: an initial response of no octets


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client says it is; the password is not in the repr."""

    login: bytes
    password: bytes = field(repr=False)


def decode_response(octets: bytes) -> bytes:
    """The octets of a base64 response line (RFC 4954 §4).

    Raises:
        SyntaxFault: not base64.
    """
    if octets == _EMPTY_INITIAL:
        return b""
    try:
        return base64.b64decode(octets, validate=True)
    except binascii.Error as exc:
        raise SyntaxFault("not base64") from exc


def read_plain(response: bytes) -> Credentials:
    """The one message of PLAIN: authzid NUL authcid NUL passwd (RFC 4616 §2).

    Raises:
        SyntaxFault: not of that form, empty, or an authorization identity of somebody else.
    """
    parts = response.split(b"\0")
    if len(parts) != 3:
        raise SyntaxFault("not a PLAIN message")
    authzid, login, password = parts
    if not login or not password or authzid not in (b"", login):
        raise SyntaxFault("not a PLAIN message for one's own identity")
    return Credentials(login, password)
