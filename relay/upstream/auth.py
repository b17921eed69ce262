"""Logging in: which mechanism, and its dialogue. IO by the caller's means. RFC 4954, RFC 4422.

`auto` takes the best mechanism that the server offers and the settings have a secret for:

* a token: OAUTHBEARER (the standard), then XOAUTH2
* a password over verified TLS or a UNIX socket: PLAIN, LOGIN, then CRAM-MD5, which hides
  nothing there and has servers keep the password in clear
* a password over anything else (`insecure_auth`): CRAM-MD5 first, which at least does not
  show the password to who listens; then PLAIN, LOGIN
* neither, but a client certificate and a username: EXTERNAL

CRAM-MD5 needs `insecure_auth` as the others do: who listens can guess the password at leisure.
A refused password is not tried with a second mechanism: that would count as a second failed
login. Only a server that does not know what it has offered is asked for the next one.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from relay.core.errors import RelayError, SyntaxFault
from relay.core.excerpt import excerpt
from relay.upstream.oauth import Token, TokenFault, TokenSource
from relay.upstream.sasl import Mechanism, Script, script
from relay.upstream.secret import SecretFault
from relay.upstream.settings import Auth, UpstreamSettings

_SUCCESS, _CHALLENGE = 235, 334  # RFC 4954 §4
_UNKNOWN_MECHANISM = (500, 501, 502, 503, 504)  # RFC 4954 §4
_OUTDATED = 535  # RFC 4954 §6: credentials invalid
_EMPTY_INITIAL = b"="  # RFC 4954 §4: a response of no octets, with AUTH
_MAX_LINE_OCTETS = 12288  # RFC 4954 §4, CRLF included
_EXCERPT_CHARACTERS = 200


class AuthFault(RelayError):
    """The server does not let us in, or there is nothing to log in with."""


class Response(Protocol):
    """A reply, as aiosmtplib has it."""

    @property
    def code(self) -> int:
        """Its code."""

    @property
    def message(self) -> str:
        """Its text."""


class Execute(Protocol):
    """Writes a command or a response to a challenge; the reply to it."""

    def __call__(self, *words: bytes) -> Awaitable[Response]:
        """Write words with blanks between them, and CRLF."""


class _Refused(AuthFault):
    def __init__(self, said: str, code: int, *, at_once: bool) -> None:
        super().__init__(said)
        self.code = code
        self.at_once = at_once  # in reply to AUTH, before any challenge


def mechanisms(settings: UpstreamSettings, *, is_protected: bool) -> tuple[Mechanism, ...]:
    """Those that the settings have a secret for, the best first; see the module's text."""
    if settings.auth is not Auth.AUTO:
        return (Mechanism(settings.auth.upper()),)
    if settings.tokens is not None:
        return (Mechanism.OAUTHBEARER, Mechanism.XOAUTH2)
    if settings.client_certificate_file and not settings.password.is_set:
        return (Mechanism.EXTERNAL,)
    open_ones = (Mechanism.PLAIN, Mechanism.LOGIN)
    if is_protected:
        return (*open_ones, Mechanism.CRAM_MD5)
    return (Mechanism.CRAM_MD5, *open_ones)


async def first_token(settings: UpstreamSettings) -> Token | None:
    """The token to log in with; asked for before there is a connection that waits for it.

    Raises:
        AuthFault: there is none.
    """
    if settings.tokens is None:
        return None
    try:
        return await settings.tokens.token()
    except TokenFault as exc:
        raise AuthFault(str(exc)) from exc


class Login:
    """One login.

    Args:
        settings: of the upstream.
        execute: see there.
        token: of `first_token`.
        host: the server as it was connected to.
    """

    def __init__(
        self, settings: UpstreamSettings, execute: Execute, *, token: Token | None, host: str
    ) -> None:
        self._settings = settings
        self._execute = execute
        self._token = token
        self._host = host

    async def run(self, offered: Sequence[str], *, is_protected: bool) -> None:
        """Log in.

        Args:
            offered: mechanisms, in upper case.
            is_protected: whether nobody else can listen, and the server is who it says.

        Raises:
            AuthFault: it did not work; the text says with which mechanism, and what the server
                said.
        """
        possible = mechanisms(self._settings, is_protected=is_protected)
        usable = [mechanism for mechanism in possible if mechanism in offered]
        if not usable:
            *others, last = possible
            names = f"{', '.join(others)} and {last} are" if others else f"{last} is"
            raise AuthFault(f"{names} not offered")
        for number, mechanism in enumerate(usable, start=1):
            try:
                return await self._log_in(mechanism)
            except _Refused as exc:
                is_known = exc.code not in _UNKNOWN_MECHANISM or not exc.at_once
                if is_known or number == len(usable):
                    raise

    async def _log_in(self, mechanism: Mechanism) -> None:
        if not mechanism.takes_token:
            return await self._speak(mechanism, self._secret(mechanism))
        tokens, token = self._settings.tokens, self._token
        if tokens is None or token is None:
            raise AuthFault(f"{mechanism} needs a token: set oauth_token_url or oauth_token")
        try:
            return await self._speak(mechanism, token.text)
        except _Refused as exc:
            if exc.code != _OUTDATED or not token.is_kept:
                raise
            self._token = await self._renewed(tokens, token)
            if self._token.text == token.text:
                raise
            return await self._speak(mechanism, self._token.text)

    async def _renewed(self, tokens: TokenSource, refused: Token) -> Token:
        try:
            return await tokens.renewed(refused)
        except TokenFault as exc:
            raise AuthFault(f"the token was refused, and there is no other: {exc}") from exc

    def _secret(self, mechanism: Mechanism) -> str:
        if mechanism is Mechanism.EXTERNAL:
            return ""
        try:
            return self._settings.password.read()
        except SecretFault as exc:
            raise AuthFault(str(exc)) from exc

    async def _speak(self, mechanism: Mechanism, secret: str) -> None:
        """One dialogue (RFC 4954 §4)."""
        settings = self._settings
        try:
            lines = script(
                mechanism,
                username=settings.username,
                secret=secret,
                host=self._host,
                port=settings.port,
            )
        except SyntaxFault as exc:
            raise AuthFault(str(exc)) from exc
        response, waiting = await self._begin(mechanism, lines)
        challenges, told = 0, ""
        while response.code == _CHALLENGE:
            challenge = _decoded(response.message)
            challenges += 1
            if waiting:
                answer = waiting.pop(0)(challenge)
            elif lines.surrender is not None and not told:
                # RFC 7628 §3.2.3: why it refuses comes first, and the refusal after our answer.
                answer, told = lines.surrender, excerpt(challenge, _EXCERPT_CHARACTERS) or "no"
            else:
                raise AuthFault(f"{mechanism}: the server asks for more than there is to say")
            response = await self._execute(base64.b64encode(answer))
        if response.code != _SUCCESS:
            said = f"as {settings.username!r} by {mechanism} refused with "
            said += f"{response.code} {excerpt(response.message, _EXCERPT_CHARACTERS)}" + (
                f" ({told})" if told else ""
            )
            raise _Refused(said, response.code, at_once=not challenges)

    async def _begin(
        self, mechanism: Mechanism, lines: Script
    ) -> tuple[Response, list[Callable[[bytes], bytes]]]:
        """AUTH, with what is said first if it fits; the reply, and what is still to be said."""
        words = [b"AUTH", mechanism.encode("ascii")]
        waiting = list(lines.answers)
        if lines.initial is not None:
            initial = base64.b64encode(lines.initial) or _EMPTY_INITIAL
            if len(b" ".join((*words, initial))) + 2 <= _MAX_LINE_OCTETS:
                words.append(initial)
            else:
                waiting.insert(0, lambda _challenge: lines.initial or b"")
        return await self._execute(*words), waiting


def _decoded(message: str) -> bytes:
    try:
        return base64.b64decode(message.encode("ascii", "replace"), validate=True)
    except binascii.Error as exc:
        raise AuthFault(f"a challenge that is not base64: {excerpt(message)}") from exc
