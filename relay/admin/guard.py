"""Who may ask the admin port, and what every answer says beside its content. No IO.

Without a token it listens on this machine only. A page of another site, open in a browser here,
could still ask it under a name of its own that resolves to 127.0.0.1: so only known host names
are answered (DNS rebinding). With a token that is not needed, and probes of an orchestrator come
by the address of a pod that nobody knows beforehand.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
from collections.abc import Callable
from email.utils import formatdate
from typing import Final

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from relay.core.events import Event, Noted

ANSWER_SECONDS: Final = 10.0
_SEES_REASONS: Final = "sees_reasons"  # in the state of a request
_PROBES: Final = ("/livez", "/readyz")
_HEADERS: Final = {
    b"cache-control": b"no-store",
    b"content-security-policy": b"default-src 'none'; base-uri 'none'; form-action 'none'; "
    b"frame-ancestors 'none'",
    b"cross-origin-resource-policy": b"same-origin",
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
}


class Guard:
    """Lets those through who may, and sees that they get an answer."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        token: Callable[[], str] | None,
        hosts: frozenset[str] | None,
        now: Callable[[], float],
        emit: Callable[[Event], None],
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        """Stand before an application.

        Args:
            app: what answers.
            token: what clients must show now; None asks for none.
            hosts: names by which it may be asked, in lower case; None for any.
            now: seconds since 1970.
            emit: is told of faults.
            answer_seconds: an answer that takes longer is given up.
        """
        self._app = app
        self._token = token
        self._hosts = hosts
        self._now = now
        self._emit = emit
        self._answer_seconds = answer_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        has_begun = False

        async def tell(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(self._completed(message))

        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await refusal(scope, receive, tell)
            return
        try:
            async with asyncio.timeout(self._answer_seconds):
                await self._app(scope, receive, tell)
        except Exception as exc:
            self._emit(Noted("internal.failed", "error", (("exception", exc),)))
            if not has_begun:
                await PlainTextResponse("no answer, see the log\n", 503)(scope, receive, tell)

    def _refusal(self, scope: Scope, headers: dict[bytes, str]) -> PlainTextResponse | None:
        if self._hosts is not None and _host(headers.get(b"host", "")) not in self._hosts:
            text = "not by this name: add it to admin.hosts\n"
            return PlainTextResponse(text, 421)  # RFC 9110 §15.5.20: Misdirected Request
        shows_token = self._shows_token(headers.get(b"authorization", ""))
        scope.setdefault("state", {})[_SEES_REASONS] = shows_token
        if shows_token or (scope["path"] in _PROBES and not scope["query_string"]):
            return None
        # Browsers look at the first challenge of a line alone, and ask people for a password then.
        asked = {"WWW-Authenticate": 'Basic realm="dkim-relay", Bearer realm="dkim-relay"'}
        return PlainTextResponse("the token of admin.token_file is needed\n", 401, asked)

    def _shows_token(self, authorization: str) -> bool:
        """Whether a request carries the token; compared in constant time."""
        if self._token is None:
            return True
        shown = _credentials(authorization).encode("utf-8")
        return hmac.compare_digest(shown, self._token().encode("utf-8"))

    def _completed(self, message: Message) -> Message:
        if message["type"] != "http.response.start":
            return message
        given = dict[bytes, bytes](message.get("headers", ()))
        date = {b"date": formatdate(self._now(), usegmt=True).encode("ascii")}
        return {**message, "headers": [*{**date, **_HEADERS, **given}.items()]}


def _host(header: str) -> str:
    """The name in a Host field, without its port (RFC 9110 §7.2)."""
    name = header.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.partition(":")[0]


def _credentials(authorization: str) -> str:
    """The token in an Authorization field; for browsers, the password of any user (RFC 7617)."""
    scheme, _, value = authorization.partition(" ")
    match scheme.lower():
        case "bearer":
            return value.strip()
        case "basic":
            try:
                return base64.b64decode(value, validate=True).decode("utf-8").partition(":")[2]
            except ValueError:  # neither base64, nor UTF-8 in it, nor even ASCII
                return ""
        case _:
            return ""


def may_see_reasons(scope: Scope) -> bool:
    """Whether whoever asks may see more than the answer of a probe."""
    return bool(scope["state"][_SEES_REASONS])
