"""SASL from the server's side, for the fake smarthost; each says who logged in, or ""."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

REFUSAL = b'{"status":"401","schemes":"bearer","scope":"https://mail.test/"}'
CHALLENGE = b"<1896.697170952@smarthost.test>"


class Side(Protocol):
    """What a mechanism needs of the dialogue it is part of."""

    @property
    def users(self) -> Mapping[str, str]:
        """Name → password or token."""

    @property
    def certificate_names(self) -> tuple[str, ...]:
        """The names in the client's verified certificate."""

    async def challenged(self, octets: bytes) -> bytes:
        """What the client answers to a challenge."""


def _known(side: Side, name: bytes, secret: bytes) -> str:
    user = name.decode()
    return user if user and side.users.get(user) == secret.decode() else ""


async def _first(side: Side, initial: bytes | None) -> bytes:
    if initial is None:
        return await side.challenged(b"")
    return b"" if initial == b"=" else base64.b64decode(initial, validate=True)


async def _plain(side: Side, initial: bytes | None) -> str:
    _, name, password = (await _first(side, initial)).split(b"\0")
    return _known(side, name, password)


async def _login(side: Side, initial: bytes | None) -> str:
    name = base64.b64decode(initial) if initial else await side.challenged(b"Username:")
    return _known(side, name, await side.challenged(b"Password:"))


async def _cram_md5(side: Side, initial: bytes | None) -> str:
    name, _, digest = (await side.challenged(CHALLENGE)).rpartition(b" ")
    secret = side.users.get(name.decode(), "").encode()
    is_right = digest.decode() == hmac.new(secret, CHALLENGE, "md5").hexdigest()
    return name.decode() if secret and is_right else ""


async def _bearer(side: Side, initial: bytes | None) -> str:
    """XOAUTH2 and OAUTHBEARER: the refusal is explained in a challenge first."""
    parts = (await _first(side, initial)).split(b"\x01")
    fields = dict(part.partition(b"=")[::2] for part in parts if b"=" in part)
    header = [part[2:] for part in parts[0].split(b",") if part.startswith(b"a=")]
    name = header[0] if header else fields.get(b"user", b"")
    if user := _known(side, name, fields[b"auth"].removeprefix(b"Bearer ")):
        return user
    last = await side.challenged(REFUSAL)
    return "" if last in (b"", b"\x01") else "nobody: not the answer to a refusal"


async def _external(side: Side, initial: bytes | None) -> str:
    """Whoever the certificate names, or the name asked for if it is one of these."""
    asked = (await _first(side, initial)).decode()
    names = side.certificate_names
    if asked:
        return asked if asked in names else ""
    return names[0] if names else ""


LOGINS: Mapping[str, Callable[[Side, bytes | None], Awaitable[str]]] = {
    "PLAIN": _plain,
    "LOGIN": _login,
    "CRAM-MD5": _cram_md5,
    "XOAUTH2": _bearer,
    "OAUTHBEARER": _bearer,
    "EXTERNAL": _external,
}
