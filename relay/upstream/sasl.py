"""SASL mechanisms from the client's side: what is said, and in answer to what. Pure.

RFC 4954 (AUTH), RFC 4616 (PLAIN), RFC 2195 (CRAM-MD5), RFC 4422 appendix A (EXTERNAL),
RFC 7628 (OAUTHBEARER), RFC 6750 (bearer tokens), RFC 4013 (SASLprep of names and passwords),
draft-murchison-sasl-login (LOGIN); XOAUTH2 as Google and Microsoft document it.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from relay.core.errors import SyntaxFault
from relay.core.saslprep import saslprep


class Mechanism(StrEnum):
    """As servers offer it."""

    PLAIN = "PLAIN"
    LOGIN = "LOGIN"
    CRAM_MD5 = "CRAM-MD5"
    XOAUTH2 = "XOAUTH2"
    OAUTHBEARER = "OAUTHBEARER"
    EXTERNAL = "EXTERNAL"

    @property
    def takes_token(self) -> bool:
        """Whether its secret is an access token, not a password."""
        return self in (Mechanism.XOAUTH2, Mechanism.OAUTHBEARER)


@dataclass(frozen=True, slots=True)
class Script:
    """What a client says in one exchange; not shown, because secrets are in it.

    Attributes:
        initial: sent with AUTH; None when the server speaks first.
        answers: one for each challenge, made from it.
        surrender: the answer to the challenge in which a server says why it refuses
            (RFC 7628 §3.2.3); None when the mechanism has no such thing.
    """

    initial: bytes | None = field(default=None, repr=False)
    answers: tuple[Callable[[bytes], bytes], ...] = field(default=(), repr=False)
    surrender: bytes | None = None


def script(
    mechanism: Mechanism, *, username: str, secret: str, host: str = "", port: int = 0
) -> Script:
    """What to say.

    Args:
        mechanism: which of them.
        username: who we are; for EXTERNAL whom to act as, empty for whom the certificate names.
        secret: the password or the access token.
        host: the server as it was connected to, for OAUTHBEARER.
        port: the same.

    Raises:
        SyntaxFault: a control character that would end the name or the secret early.
    """
    _refuse_controls(username, secret, is_token=mechanism.takes_token)
    takes_password = mechanism in (Mechanism.PLAIN, Mechanism.LOGIN, Mechanism.CRAM_MD5)
    name, octets = (
        (_prepared(text) if takes_password else text).encode() for text in (username, secret)
    )
    match mechanism:
        case Mechanism.PLAIN:
            return Script(b"\0" + name + b"\0" + octets)
        case Mechanism.LOGIN:
            # Not every server takes a name together with AUTH.
            return Script(answers=(lambda _challenge: name, lambda _challenge: octets))
        case Mechanism.CRAM_MD5:
            return Script(answers=(lambda challenge: _keyed(name, octets, challenge),))
        case Mechanism.XOAUTH2:
            return Script(b"user=%b\x01auth=Bearer %b\x01\x01" % (name, octets), surrender=b"")
        case Mechanism.OAUTHBEARER:
            return Script(_bearer(username, octets, host, port), surrender=b"\x01")
        case Mechanism.EXTERNAL:
            return Script(name)


def _refuse_controls(username: str, secret: str, *, is_token: bool) -> None:
    for what, text in (("username", username), ("secret", secret)):
        if "\0" in text or (is_token and not text.isprintable()):
            raise SyntaxFault(f"the {what} has a control character in it")


def _prepared(text: str) -> str:
    """As RFC 4616 §2 asks for; ASCII needs nothing.

    What SASLprep forbids goes as it is: a server that does not prepare may well know it, and one
    that does refuses it itself.
    """
    if text.isascii():
        return text
    try:
        return saslprep(text)
    except SyntaxFault:
        return text


def _keyed(name: bytes, secret: bytes, challenge: bytes) -> bytes:
    """RFC 2195 §2: the secret is the key of an HMAC over the challenge."""
    return name + b" " + hmac.new(secret, challenge, "md5").hexdigest().encode("ascii")


def _bearer(username: str, token: bytes, host: str, port: int) -> bytes:
    """RFC 7628 §3.1; in the name, "=" and "," are written as RFC 5801 §4 has it."""
    name = username.replace("=", "=3D").replace(",", "=2C")
    authzid = f"a={name}" if name else ""
    where = f"host={host}\x01port={port}\x01" if host and port else ""
    return f"n,{authzid},\x01{where}auth=Bearer ".encode() + token + b"\x01\x01"
