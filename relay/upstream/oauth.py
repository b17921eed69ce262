"""OAuth 2.0 access tokens: fetched, kept, renewed before they expire, one request at a time. IO.

RFC 6749 §4.4 (client credentials) and §6 (refresh token), RFC 6750 (bearer tokens). The
client's own credentials go into the form (RFC 6749 §2.3.1), which every large provider takes.
A refresh token that the server replaces is kept in memory; one that is put into the settings'
file after that wins.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from relay.core.errors import RelayError
from relay.core.excerpt import excerpt
from relay.upstream.https import HttpFault, post_form
from relay.upstream.secret import Secret, SecretFault

TIMEOUT_SECONDS = 20.0  # for one request in all
MAX_RESPONSE_OCTETS = 65536
DEFAULT_LIFETIME_SECONDS = 3600  # RFC 6749 §5.1 lets the server leave it out
# A token is renewed when a tenth of its life is left, but not earlier than five minutes before.
RENEWAL_SHARE, MAX_RENEWAL_SECONDS = 0.1, 300.0
_EXCERPT_CHARACTERS = 200
_OK = 200


class TokenFault(RelayError):
    """There is no token; the text says why and has no secret in it."""


@dataclass(frozen=True, slots=True)
class Token:
    """An access token.

    Attributes:
        text: what the server takes.
        is_kept: whether it was there already, so that a refusal may mean that it is outdated.
    """

    text: str = field(repr=False)
    is_kept: bool = True


class TokenSource(Protocol):
    """Where access tokens come from."""

    async def token(self) -> Token:
        """The token to use now.

        Raises:
            TokenFault: there is none.
        """

    async def renewed(self, refused: Token) -> Token:
        """Another one than that which a server refused; the same when there is no other.

        Raises:
            TokenFault: there is none.
        """


class FixedToken:
    """A token that somebody else renews, by writing it into a file."""

    def __init__(self, secret: Secret) -> None:
        self._secret = secret

    async def token(self) -> Token:
        """The one in the file."""
        try:
            return Token(self._secret.read())
        except SecretFault as exc:
            raise TokenFault(str(exc)) from exc

    async def renewed(self, refused: Token) -> Token:
        """The one in the file: perhaps it was renewed."""
        return await self.token()


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a token is asked for with.

    Attributes:
        url: of the token endpoint, https.
        client_id: who we are to it.
        client_secret: the password to that; need not be set beside a refresh token.
        refresh_token: when it is set, it is the grant; else the client's credentials are.
        scope: what for; empty to leave it to the server.
        ca_file: PEM bundle that the endpoint is verified against; empty: the system's.
    """

    url: str
    client_id: str
    client_secret: Secret = field(default_factory=Secret)
    refresh_token: Secret = field(default_factory=Secret)
    scope: str = ""
    ca_file: str = ""


Post = Callable[[Grant, Mapping[str, str]], Awaitable[tuple[int, bytes]]]


async def post(grant: Grant, form: Mapping[str, str]) -> tuple[int, bytes]:
    """Send a form to the token endpoint."""
    return await post_form(
        grant.url,
        form,
        ca_file=grant.ca_file,
        timeout_seconds=TIMEOUT_SECONDS,
        max_octets=MAX_RESPONSE_OCTETS,
    )


class Tokens:
    """The token of one grant.

    Args:
        grant: what it is asked for with.
        monotonic: seconds, for when it expires.
        send: sends the request.
    """

    def __init__(self, grant: Grant, *, monotonic: Callable[[], float], send: Post = post) -> None:
        self._grant = grant
        self._monotonic = monotonic
        self._send = send
        self._lock = asyncio.Lock()
        self._token = ""
        self._renew_at = self._expires_at = 0.0
        self._requests = 0  # ended ones
        self._fault: TokenFault | None = None  # of the last one
        self._replaced = ("", "")  # a refresh token of the settings, and what took its place

    async def token(self) -> Token:
        """The token that is kept, or a new one when it is about to expire.

        Raises:
            TokenFault: there is none that still holds, and a new one is not to be had.
        """
        if self._monotonic() < self._renew_at:
            return Token(self._token)
        try:
            return await self._fetched()
        except TokenFault:
            if self._monotonic() < self._expires_at:
                return Token(self._token)
            raise

    async def renewed(self, refused: Token) -> Token:
        """A new token, unless another took the place of the refused one meanwhile.

        Raises:
            TokenFault: it is not to be had.
        """
        if refused.text != self._token:
            return await self.token()
        self._renew_at = self._expires_at = 0.0
        return await self._fetched()

    async def _fetched(self) -> Token:
        """The result of one request, for all who ask while it is under way.

        Raises:
            TokenFault: it failed.
        """
        before = self._requests
        async with self._lock:
            if self._requests == before:
                self._fault = None
                try:
                    await self._fetch()
                except TokenFault as exc:
                    self._fault = exc
                self._requests += 1
            if self._fault is not None:
                raise TokenFault(str(self._fault)) from self._fault
            return Token(self._token, is_kept=False)

    async def _fetch(self) -> None:
        grant = self._grant
        where = f"the token endpoint {grant.url}"
        try:
            form = self._form()
            status, body = await self._send(grant, form)
        except SecretFault as exc:
            raise TokenFault(str(exc)) from exc
        except HttpFault as exc:
            raise TokenFault(f"{where}: {exc}") from exc
        answer = _read(body)
        if status != _OK:
            said = " ".join(str(answer.get(k, "")) for k in ("error", "error_description")).strip()
            said = _without_secrets(said or excerpt(body, _EXCERPT_CHARACTERS), form)
            raise TokenFault(f"{where} answered {status}: {excerpt(said, _EXCERPT_CHARACTERS)}")
        self._take(answer, where, form.get("refresh_token", ""))

    def _form(self) -> dict[str, str]:
        grant = self._grant
        form = {"client_id": grant.client_id}
        if grant.client_secret.is_set:
            form["client_secret"] = grant.client_secret.read()
        if grant.scope:
            form["scope"] = grant.scope
        if not grant.refresh_token.is_set:
            return form | {"grant_type": "client_credentials"}
        given = grant.refresh_token.read()
        before, after = self._replaced
        token = after if before == given else given
        return form | {"grant_type": "refresh_token", "refresh_token": token}

    def _take(self, answer: Mapping[str, Any], where: str, refresh_token: str) -> None:
        token, kind = answer.get("access_token"), answer.get("token_type", "Bearer")
        if not isinstance(token, str) or not token or not token.isascii():
            raise TokenFault(f"{where} answered without an access_token")
        if str(kind).lower() != "bearer":
            raise TokenFault(f"{where} gave a token of type {excerpt(str(kind))}, not Bearer")
        seconds = _lifetime_seconds(answer.get("expires_in"))
        now = self._monotonic()
        self._token = token
        self._expires_at = now + seconds
        self._renew_at = self._expires_at - min(MAX_RENEWAL_SECONDS, seconds * RENEWAL_SHARE)
        replacement = answer.get("refresh_token")
        if refresh_token and isinstance(replacement, str) and replacement:
            self._replaced = (self._grant.refresh_token.read(), replacement)


def _read(body: bytes) -> dict[str, Any]:
    """The members of a JSON object (RFC 6749 §5.1 and §5.2); none when it is something else."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _lifetime_seconds(given: object) -> float:
    try:
        seconds = float(given) if isinstance(given, int | float | str) else 0.0
    except (ValueError, OverflowError):
        seconds = 0.0
    return seconds if 0 < seconds < float("inf") else DEFAULT_LIFETIME_SECONDS


def _without_secrets(said: str, form: Mapping[str, str]) -> str:
    """A server that repeats what it was sent does not bring it into the log."""
    for name in ("client_secret", "refresh_token"):
        if secret := form.get(name):
            said = said.replace(secret, "***")
    return said
